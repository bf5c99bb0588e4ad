use std::collections::HashSet;

use florin_application::SubmitError;
use florin_application::command::{Command, Receipt};
use florin_domain::wallet::Open;
use florin_domain::{Refusal, WalletCommand, WalletId};
use florin_tests::ask::{
    deposit, id, keyed, movement, open, refused, request, transfer, transferred, wallet_of,
    withdraw,
};
use florin_tests::on_every_journal;
use florin_tests::store::{Store, balance_of};
use futures::future::join_all;
use uuid::Uuid;

on_every_journal!(
    the_first_outcome_of_a_key_is_its_only_outcome,
    a_refusal_is_kept_too,
    a_key_belongs_to_its_wallet,
    a_key_of_another_request_is_refused,
    malformed_requests_and_conflicts_keep_no_key,
    six_at_once_under_one_key_take_effect_once,
    a_wallet_without_an_id_is_opened_once_per_key,
    keys_survive_a_restart_among_new_ones,
    an_outcome_goes_before_a_conflict_that_came_later,
);

async fn the_first_outcome_of_a_key_is_its_only_outcome(store: &Store) {
    let (ledger, alice) = (store.process(), id("alice"));
    let first = ledger.submit(keyed("k", deposit(&alice, "5"))).await.unwrap();
    assert!(!first.replayed);
    ledger.submit(request(deposit(&alice, "1"))).await.unwrap();
    let again = ledger.submit(keyed("k", deposit(&alice, "5.00"))).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.outcome, first.outcome);
    assert_eq!(balance_of(&ledger, &alice).await, "6.00");
}

async fn a_refusal_is_kept_too(store: &Store) {
    let (ledger, alice) = (store.process(), id("alice"));
    let unknown = ledger.submit(keyed("w", withdraw(&alice, "5"))).await.unwrap();
    assert_eq!(refused(unknown).0, Refusal::WalletNotFound);
    ledger.submit(request(deposit(&alice, "50"))).await.unwrap();
    let again = ledger.submit(keyed("w", withdraw(&alice, "5"))).await.unwrap();
    assert!(again.replayed);
    assert_eq!(refused(again).0, Refusal::WalletNotFound);
    let poor = ledger.submit(keyed("t", transfer(&alice, &id("bob"), "99"))).await.unwrap();
    let (_, on_record) = refused(poor);
    ledger.submit(request(deposit(&alice, "50"))).await.unwrap();
    let again = ledger.submit(keyed("t", transfer(&alice, &id("bob"), "99"))).await.unwrap();
    assert_eq!(refused(again).1, on_record, "the same failed transfer, not another one");
}

async fn a_key_belongs_to_its_wallet(store: &Store) {
    let (ledger, alice, bob) = (store.process(), id("alice"), id("bob"));
    for wallet in [&alice, &bob] {
        assert!(!ledger.submit(keyed("k", deposit(wallet, "5"))).await.unwrap().replayed);
    }
    assert_eq!(balance_of(&ledger, &bob).await, "5.00");
}

async fn a_key_of_another_request_is_refused(store: &Store) {
    let (ledger, alice) = (store.process(), id("alice"));
    ledger.submit(keyed("k", deposit(&alice, "5"))).await.unwrap();
    for ledger in [&ledger, &store.process()] {
        for other in [deposit(&alice, "6"), withdraw(&alice, "5")] {
            assert_eq!(ledger.submit(keyed("k", other)).await, Err(SubmitError::KeyReused));
        }
        assert_eq!(balance_of(ledger, &alice).await, "5.00");
    }
}

async fn malformed_requests_and_conflicts_keep_no_key(store: &Store) {
    let (ledger, alice) = (store.process(), id("alice"));
    ledger.submit(request(open(&alice, "JPY"))).await.unwrap();
    let fraction = ledger.submit(keyed("k", deposit(&alice, "1.5"))).await.unwrap();
    assert!(matches!(refused(fraction).0, Refusal::TooManyDecimals { .. }));
    assert!(!ledger.submit(keyed("k", deposit(&alice, "2"))).await.unwrap().replayed);
    let exists = ledger.submit(keyed("o", open(&alice, "JPY"))).await.unwrap();
    assert_eq!(refused(exists).0, Refusal::WalletExists);
    let mut stale = keyed("v", deposit(&alice, "1"));
    stale.expected_version = Some(7);
    assert!(ledger.submit(stale.clone()).await.is_err());
    stale.expected_version = None;
    assert!(!ledger.submit(stale).await.unwrap().replayed);
}

async fn six_at_once_under_one_key_take_effect_once(store: &Store) {
    let (ledger, alice, bob) = (store.process(), id("alice"), id("bob"));
    ledger.submit(request(deposit(&alice, "100"))).await.unwrap();
    let six = (0..6).map(|_| ledger.submit(keyed("k", transfer(&alice, &bob, "10"))));
    let mut transfers = HashSet::new();
    for answer in join_all(six).await {
        match answer {
            Ok(answer) => drop(transfers.insert(transferred(answer).transfer_id)),
            // The money of the first is in flight between two partitions.
            Err(error) => assert_eq!(error, SubmitError::InProgress),
        }
    }
    assert_eq!(transfers.len(), 1);
    assert_eq!(balance_of(&ledger, &alice).await, "90.00");
    assert_eq!(balance_of(&ledger, &bob).await, "10.00");
}

async fn a_wallet_without_an_id_is_opened_once_per_key(store: &Store) {
    let ledger = store.process();
    let open_any = || Command::Wallet {
        id: WalletId::from(Uuid::now_v7()),
        id_is_new: true,
        command: WalletCommand::Open(Open {
            currency: "USD".parse().unwrap(),
            owner: None,
            metadata: None,
            initial: None,
        }),
    };
    let first = wallet_of(ledger.submit(keyed("k", open_any())).await.unwrap());
    for ledger in [&ledger, &store.process()] {
        // The new id may lie in any partition: the key is found all the same.
        for _ in 0..8 {
            let again = ledger.submit(keyed("k", open_any())).await.unwrap();
            assert!(again.replayed);
            assert_eq!(wallet_of(again), first);
        }
    }
}

async fn an_outcome_goes_before_a_conflict_that_came_later(store: &Store) {
    let (before, alice) = (store.process(), id("alice"));
    let opened = before.submit(keyed("o", open(&alice, "USD"))).await.unwrap();
    let mut first = keyed("d", deposit(&alice, "5"));
    first.expected_version = Some(1);
    let deposited = before.submit(first.clone()).await.unwrap();
    // A process that remembers no outcome finds the wallet there, and at another version.
    for ledger in [&before, &store.process()] {
        let again = ledger.submit(keyed("o", open(&alice, "USD"))).await.unwrap();
        assert_eq!((again.replayed, &again.outcome), (true, &opened.outcome));
        let again = ledger.submit(first.clone()).await.unwrap();
        assert_eq!((again.replayed, &again.outcome), (true, &deposited.outcome));
        let other = ledger.submit(keyed("o", open(&alice, "EUR"))).await;
        assert_eq!(other, Err(SubmitError::KeyReused));
    }
}

async fn keys_survive_a_restart_among_new_ones(store: &Store) {
    let alice = id("alice");
    let before = store.process();
    for n in 0..5 {
        before.submit(keyed(&format!("k{n}"), deposit(&alice, "1"))).await.unwrap();
    }
    drop(before);
    let after = store.process();
    let keys = (0..10).map(|n| after.submit(keyed(&format!("k{n}"), deposit(&alice, "1"))));
    for (n, answer) in join_all(keys).await.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!(answer.replayed, n < 5, "k{n}");
        assert!(movement(answer).balance <= 10.into());
    }
    assert_eq!(balance_of(&after, &alice).await, "10.00");
    let transfer = after.submit(keyed("t", transfer(&alice, &id("bob"), "1"))).await.unwrap();
    assert!(matches!(
        &transfer.outcome,
        florin_application::command::Outcome::Accepted(Receipt::Transfer(_))
    ));
}
