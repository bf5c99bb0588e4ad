use florin_application::{Settings, SubmitError};
use florin_domain::Refusal;
use florin_domain::wallet::Status;
use florin_tests::ask::{
    close, deposit, freeze, id, movement, open, refused, request, unfreeze, wallet_of, withdraw,
};
use florin_tests::on_every_journal;
use florin_tests::store::{Store, balance_of};

on_every_journal!(
    a_deposit_opens_a_wallet_and_a_withdrawal_empties_it,
    refusals_change_nothing,
    a_wallet_freezes_thaws_and_closes,
    a_command_that_expects_another_version_is_not_carried_out,
    a_restart_forgets_nothing,
    a_tiny_cache_gives_the_same_answers,
    positions_are_dense_and_recorded_times_never_run_backwards,
);

async fn a_deposit_opens_a_wallet_and_a_withdrawal_empties_it(store: &Store) {
    let (ledger, alice) = (store.process(), id("alice"));
    let first = movement(ledger.submit(request(deposit(&alice, "5"))).await.unwrap());
    assert_eq!((first.balance.to_string(), first.version), ("5.00".to_owned(), 2));
    let second = movement(ledger.submit(request(withdraw(&alice, "5"))).await.unwrap());
    assert_eq!((second.balance.to_string(), second.version), ("0.00".to_owned(), 3));
    let stream = store.stream("alice").await;
    assert_eq!(stream, ["WalletOpened", "FundsDeposited", "FundsWithdrawn"]);
    let state = ledger.wallet(&alice).await.unwrap().unwrap();
    assert_eq!((state.version, state.position), (3, second.position));
    assert!(ledger.wallet(&id("nobody")).await.unwrap().is_none());
}

async fn refusals_change_nothing(store: &Store) {
    let (ledger, alice) = (store.process(), id("alice"));
    let unknown = ledger.submit(request(withdraw(&alice, "1"))).await.unwrap();
    assert_eq!(refused(unknown), (Refusal::WalletNotFound, None));
    ledger.submit(request(open(&alice, "EUR"))).await.unwrap();
    let again = ledger.submit(request(open(&alice, "EUR"))).await.unwrap();
    assert_eq!(refused(again), (Refusal::WalletExists, None));
    let poor = ledger.submit(request(withdraw(&alice, "1"))).await.unwrap();
    assert!(matches!(refused(poor), (Refusal::InsufficientFunds { .. }, None)));
    assert_eq!(store.stream("alice").await, ["WalletOpened"]);
}

async fn a_wallet_freezes_thaws_and_closes(store: &Store) {
    let (ledger, alice) = (store.process(), id("alice"));
    let submit = async |command| ledger.submit(request(command)).await.unwrap();
    submit(deposit(&alice, "1")).await;
    let frozen = wallet_of(submit(freeze(&alice)).await);
    assert_eq!((frozen.account.status, frozen.version), (Status::Frozen, 3));
    assert_eq!(wallet_of(submit(freeze(&alice)).await), frozen, "asked again, nothing changes");
    assert_eq!(refused(submit(withdraw(&alice, "1")).await).0, Refusal::WalletFrozen);
    submit(deposit(&alice, "1")).await;
    assert_eq!(wallet_of(submit(unfreeze(&alice)).await).account.status, Status::Active);
    assert!(matches!(refused(submit(close(&alice)).await).0, Refusal::WalletNotEmpty { .. }));
    submit(withdraw(&alice, "2")).await;
    assert_eq!(wallet_of(submit(close(&alice)).await).account.status, Status::Closed);
    assert_eq!(refused(submit(deposit(&alice, "1")).await).0, Refusal::WalletClosed);
}

async fn a_command_that_expects_another_version_is_not_carried_out(store: &Store) {
    let (ledger, alice) = (store.process(), id("alice"));
    ledger.submit(request(deposit(&alice, "5"))).await.unwrap();
    let mut stale = request(withdraw(&alice, "1"));
    stale.expected_version = Some(1);
    let refused = ledger.submit(stale.clone()).await;
    assert_eq!(refused, Err(SubmitError::VersionMismatch { actual: 2 }));
    stale.expected_version = Some(2);
    assert!(ledger.submit(stale).await.is_ok());
    assert_eq!(balance_of(&ledger, &alice).await, "4.00");
}

async fn a_restart_forgets_nothing(store: &Store) {
    let alice = id("alice");
    for round in 1..=3 {
        let ledger = store.process();
        let answer = movement(ledger.submit(request(deposit(&alice, "1"))).await.unwrap());
        assert_eq!(answer.balance, round.into());
    }
}

async fn a_tiny_cache_gives_the_same_answers(store: &Store) {
    let ledger = store.process_with(&Settings { cached_wallets: 1, ..Settings::default() });
    for round in 1..=3 {
        for name in ["a", "b", "c", "d", "e", "f"] {
            let answer = ledger.submit(request(deposit(&id(name), "1"))).await.unwrap();
            assert_eq!(movement(answer).balance, round.into(), "{name}");
        }
    }
}

async fn positions_are_dense_and_recorded_times_never_run_backwards(store: &Store) {
    let ledger = store.process();
    for n in 0..20 {
        ledger.submit(request(deposit(&id(&format!("w{n}")), "1"))).await.unwrap();
    }
    for pair in store.events().await.windows(2) {
        if pair[0].partition == pair[1].partition {
            assert_eq!(pair[1].position, pair[0].position + 1);
            assert!(pair[1].recorded_at >= pair[0].recorded_at);
        }
    }
}
