//! Many commands of which all take effect or none.

use florin_application::SubmitError;
use florin_application::command::{Command, Receipt};
use florin_domain::{Refusal, WalletId};
use florin_tests::ask::{
    atomic, close, deposit, freeze, id_in, keyed, keyed_atomic, open, receipts, refused, request,
    stopped, transfer, unfreeze, withdraw,
};
use florin_tests::on_every_journal;
use florin_tests::store::{Store, balance_of};
use futures::future::join_all;

on_every_journal!(
    each_command_is_decided_on_what_those_before_it_leave,
    a_refusal_leaves_nothing_of_the_others,
    the_first_outcome_of_its_key_is_its_only_one,
    four_at_once_under_one_key_take_effect_once,
    a_malformed_command_keeps_no_key,
    a_key_belongs_to_the_bulk_and_to_no_wallet,
    wallets_of_different_partitions_do_not_come_together,
    a_refused_bulk_disturbs_none_of_its_batch,
    two_processes_do_all_or_none_of_each,
    a_large_one_fills_a_batch_by_itself,
);

/// Two wallets in one partition.
fn pair(store: &Store) -> (WalletId, WalletId) {
    (id_in(0, store.partitions(), "alice"), id_in(0, store.partitions(), "bob"))
}

async fn each_command_is_decided_on_what_those_before_it_leave(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    let bulk = vec![
        open(&alice, "USD"),
        deposit(&alice, "10"),
        transfer(&alice, &bob, "4"),
        freeze(&alice),
        unfreeze(&alice),
        withdraw(&bob, "4"),
        close(&bob),
        withdraw(&alice, "6"),
    ];
    let done = receipts(ledger.submit_all(keyed_atomic("k", bulk)).await.unwrap());
    assert_eq!(done.len(), 8);
    let Receipt::Transfer(moved) = &done[2] else { panic!("{done:?}") };
    assert_eq!((moved.debit.balance, moved.credit.as_ref().unwrap().balance), (6.into(), 4.into()));
    let Receipt::Movement(last) = &done[7] else { panic!("{done:?}") };
    assert_eq!(last.balance.to_string(), "0.00");
    assert_eq!(balance_of(&ledger, &alice).await, "0.00");
    let events = store.events().await;
    let first = &events[0];
    assert!(events.iter().all(|event| event.recorded_at == first.recorded_at), "one append");
    let has_key = |metadata: &str| metadata.contains(r#""requestId":"k""#);
    assert!(events.iter().all(|event| has_key(&event.metadata)), "they tell what they answer");
}

async fn a_refusal_leaves_nothing_of_the_others(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    ledger.submit(request(deposit(&alice, "5"))).await.unwrap();
    let before = (store.events().await, ledger.wallet(&alice).await.unwrap());
    for key in [None, Some("k")] {
        let bulk = vec![
            deposit(&alice, "1"),
            transfer(&alice, &bob, "3"),
            freeze(&bob),
            transfer(&alice, &bob, "99"),
            withdraw(&alice, "1"),
        ];
        let bulk = key.map_or_else(|| atomic(bulk.clone()), |key| keyed_atomic(key, bulk.clone()));
        let (index, refusal) = stopped(ledger.submit_all(bulk).await.unwrap());
        assert_eq!(index, 3);
        let Refusal::InsufficientFunds { available, .. } = refusal else { panic!("{refusal:?}") };
        assert_eq!(available, 3.into(), "as the first two left it");
        assert_eq!((store.events().await, ledger.wallet(&alice).await.unwrap()), before);
        assert!(ledger.wallet(&bob).await.unwrap().is_none());
    }
    ledger.submit(request(withdraw(&alice, "5"))).await.unwrap();
}

async fn the_first_outcome_of_its_key_is_its_only_one(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    let poor = || keyed_atomic("poor", vec![deposit(&bob, "1"), withdraw(&alice, "5")]);
    let refusal = ledger.submit_all(poor()).await.unwrap();
    assert_eq!(stopped(refusal.clone()), (1, Refusal::WalletNotFound));
    let rich = || {
        let commands = vec![deposit(&alice, "50"), transfer(&alice, &bob, "1"), freeze(&bob)];
        keyed_atomic("rich", commands)
    };
    let done = ledger.submit_all(rich()).await.unwrap();
    assert!(!done.replayed);
    ledger.submit(request(unfreeze(&bob))).await.unwrap();
    for ledger in [&ledger, &store.process()] {
        let again = ledger.submit_all(poor()).await.unwrap();
        assert_eq!((again.replayed, &again.outcome), (true, &refusal.outcome));
        let again = ledger.submit_all(rich()).await.unwrap();
        assert_eq!((again.replayed, &again.outcome), (true, &done.outcome));
        let other = keyed_atomic("rich", vec![deposit(&alice, "50"), freeze(&bob)]);
        assert_eq!(ledger.submit_all(other).await, Err(SubmitError::KeyReused));
        assert_eq!(balance_of(ledger, &alice).await, "49.00");
    }
}

async fn four_at_once_under_one_key_take_effect_once(store: &Store) {
    let (one, two, (alice, bob)) = (store.process(), store.process(), pair(store));
    let bulk = || keyed_atomic("k", vec![deposit(&alice, "2"), transfer(&alice, &bob, "1")]);
    let four = [&one, &two, &one, &two].map(|ledger| ledger.submit_all(bulk()));
    let answers: Vec<_> = join_all(four).await.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| answer.outcome == answers[0].outcome));
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(balance_of(&one, &alice).await, "1.00");
}

async fn a_malformed_command_keeps_no_key(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    let bulk = |amount| keyed_atomic("k", vec![open(&alice, "JPY"), deposit(&alice, amount)]);
    let fraction = ledger.submit_all(bulk("1.5")).await.unwrap();
    let (index, refusal) = stopped(fraction);
    assert!(index == 1 && matches!(refusal, Refusal::TooManyDecimals { .. }), "{refusal:?}");
    assert!(!ledger.submit_all(bulk("2")).await.unwrap().replayed);
    let exists = keyed_atomic("o", vec![deposit(&bob, "1"), open(&alice, "JPY")]);
    let exists = ledger.submit_all(exists).await.unwrap();
    assert_eq!(stopped(exists), (1, Refusal::WalletExists));
    // The conflict came later than the outcome.
    assert!(store.process().submit_all(bulk("2")).await.unwrap().replayed);
    assert!(ledger.wallet(&bob).await.unwrap().is_none());
}

async fn a_key_belongs_to_the_bulk_and_to_no_wallet(store: &Store) {
    let (ledger, (alice, _)) = (store.process(), pair(store));
    ledger.submit(keyed("k", deposit(&alice, "1"))).await.unwrap();
    let bulk = ledger.submit_all(keyed_atomic("k", vec![deposit(&alice, "1")])).await.unwrap();
    assert!(!bulk.replayed);
    assert_eq!(balance_of(&ledger, &alice).await, "2.00");
}

async fn wallets_of_different_partitions_do_not_come_together(store: &Store) {
    let last = store.partitions() - 1;
    let (alice, bob) =
        (id_in(0, store.partitions(), "alice"), id_in(last, store.partitions(), "bob"));
    let ledger = store.process();
    let apart = Err(SubmitError::Apart { index: 1, one: alice.clone(), other: bob.clone() });
    for second in [transfer(&alice, &bob, "1"), deposit(&bob, "1")] {
        let answer = ledger.submit_all(atomic(vec![deposit(&alice, "5"), second])).await;
        match last {
            0 => drop(receipts(answer.unwrap())),
            _ => assert_eq!(answer, apart),
        }
    }
    assert_eq!(store.events().await.is_empty(), last > 0);
}

async fn a_refused_bulk_disturbs_none_of_its_batch(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    ledger.submit(request(deposit(&alice, "1000"))).await.unwrap();
    let single = |n: usize| ledger.submit(keyed(&format!("s{n}"), transfer(&alice, &bob, "1")));
    let accepted = |n: usize| {
        let commands = vec![transfer(&alice, &bob, "1"), withdraw(&bob, "1"), deposit(&alice, "1")];
        ledger.submit_all(keyed_atomic(&format!("a{n}"), commands))
    };
    let stopped_at = |n: usize| {
        let commands = vec![transfer(&alice, &bob, "1"), withdraw(&alice, "1000")];
        ledger.submit_all(keyed_atomic(&format!("r{n}"), commands))
    };
    let rounds = join_all(
        (0..40).map(|n| async move { tokio::join!(single(n), stopped_at(n), accepted(n)) }),
    );
    for (one, refused, all) in rounds.await {
        assert!(refused_at(one.unwrap()).is_none());
        assert_eq!(refused_at(refused.unwrap()), Some(1));
        assert_eq!(receipts(all.unwrap()).len(), 3);
    }
    // Each round moves 1 singly; atomically 1 comes and goes, and alice's comes back.
    assert_eq!(balance_of(&ledger, &alice).await, "960.00");
    assert_eq!(balance_of(&ledger, &bob).await, "40.00");
}

fn refused_at(answer: florin_application::Answer) -> Option<usize> {
    match answer.outcome {
        florin_application::command::Outcome::Accepted(_) => None,
        florin_application::command::Outcome::Refused(why) => why.index,
    }
}

async fn two_processes_do_all_or_none_of_each(store: &Store) {
    let (one, two, (alice, bob)) = (store.process(), store.process(), pair(store));
    one.submit(request(deposit(&alice, "11"))).await.unwrap();
    // Enough for five, and for half of a sixth.
    let bulk = || {
        let step = || [withdraw(&alice, "1"), deposit(&bob, "1")];
        atomic([step(), step()].concat())
    };
    let both = (0..20).flat_map(|_| [one.submit_all(bulk()), two.submit_all(bulk())]);
    let answers = join_all(both).await.into_iter().map(Result::unwrap);
    let (done, others): (Vec<_>, Vec<_>) =
        answers.partition(|answer| refused_at(answer.clone()).is_none());
    assert_eq!((done.len(), others.len()), (5, 35));
    for refusal in others {
        let (index, refusal) = stopped(refusal);
        assert!(index == 2 && matches!(refusal, Refusal::InsufficientFunds { .. }), "{index}");
    }
    assert_eq!(balance_of(&two, &alice).await, "1.00");
    assert_eq!(balance_of(&one, &bob).await, "10.00");
}

async fn a_large_one_fills_a_batch_by_itself(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    ledger.submit(request(deposit(&alice, "3000"))).await.unwrap();
    let bulk = || -> Vec<Command> { (0..1000).map(|_| transfer(&alice, &bob, "1")).collect() };
    let three = ["a", "b", "c"].map(|key| ledger.submit_all(keyed_atomic(key, bulk())));
    for answer in join_all(three).await {
        assert_eq!(receipts(answer.unwrap()).len(), 1000);
    }
    let poor = ledger.submit_all(atomic(bulk())).await.unwrap();
    assert_eq!(stopped(poor).0, 0);
    let unknown = ledger.submit(request(withdraw(&alice, "1"))).await.unwrap();
    assert!(matches!(refused(unknown).0, Refusal::InsufficientFunds { .. }));
    assert_eq!(balance_of(&ledger, &bob).await, "3000.00");
}
