use florin_application::Settings;
use florin_domain::transfer::Phase;
use florin_domain::{Refusal, WalletId};
use florin_tests::ask::{
    balance, close, deposit, freeze, id, id_in, open, refused, request, transfer, transferred,
};
use florin_tests::on_every_journal;
use florin_tests::store::{Store, balance_of, eventually};

on_every_journal!(
    a_transfer_moves_money_and_tells_its_path,
    a_refused_debit_is_on_record_as_a_failed_transfer,
    a_refused_credit_is_refunded,
    incoming_money_opens_a_wallet_unless_told_otherwise,
    a_transfer_to_oneself_is_refused_and_on_record,
    a_wallet_whose_transfer_is_under_way_does_not_close,
    opposite_transfers_do_not_stall,
);

/// Two wallets, in different partitions where there are several.
fn pair(store: &Store) -> (WalletId, WalletId) {
    let partitions = store.partitions();
    (id_in(0, partitions, "alice"), id_in(partitions - 1, partitions, "bob"))
}

async fn a_transfer_moves_money_and_tells_its_path(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    ledger.submit(request(deposit(&alice, "10"))).await.unwrap();
    let done = transferred(ledger.submit(request(transfer(&alice, &bob, "4"))).await.unwrap());
    assert_eq!(done.phase, Phase::Completed);
    assert_eq!(balance(&done.debit), "6.00");
    assert_eq!(done.credit.as_ref().map(balance).as_deref(), Some("4.00"));
    assert_eq!(balance_of(&ledger, &alice).await, "6.00");
    assert_eq!(balance_of(&ledger, &bob).await, "4.00");
    let path = ["TransferInitiated", "TransferDebited", "TransferCompleted"];
    assert_eq!(store.stream(&done.transfer_id.to_string()).await, path);
    let state = ledger.transfer(done.transfer_id).await.unwrap().unwrap();
    assert_eq!((state.details.phase, state.version), (Phase::Completed, 3));
    assert_eq!(state.position, done.position);
    assert_eq!(state.details.debit, Some(done.debit));
}

async fn a_refused_debit_is_on_record_as_a_failed_transfer(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    let unknown = ledger.submit(request(transfer(&alice, &bob, "1"))).await.unwrap();
    assert_eq!(refused(unknown), (Refusal::WalletNotFound, None), "there is no source to record");
    ledger.submit(request(deposit(&alice, "1"))).await.unwrap();
    let poor = ledger.submit(request(transfer(&alice, &bob, "2"))).await.unwrap();
    let (refusal, on_record) = refused(poor);
    assert!(matches!(refusal, Refusal::InsufficientFunds { .. }));
    let state = ledger.transfer(on_record.unwrap()).await.unwrap().unwrap();
    assert_eq!((state.details.phase, state.details.refusal), (Phase::Failed, Some(refusal)));
    ledger.submit(request(freeze(&alice))).await.unwrap();
    let frozen = ledger.submit(request(transfer(&alice, &bob, "1"))).await.unwrap();
    assert_eq!(refused(frozen).0, Refusal::WalletFrozen);
    assert_eq!(balance_of(&ledger, &alice).await, "1.00");
}

async fn a_refused_credit_is_refunded(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    ledger.submit(request(deposit(&alice, "5"))).await.unwrap();
    ledger.submit(request(open(&bob, "USD"))).await.unwrap();
    ledger.submit(request(close(&bob))).await.unwrap();
    let answer = ledger.submit(request(transfer(&alice, &bob, "2"))).await.unwrap();
    let (refusal, on_record) = refused(answer);
    assert_eq!(refusal, Refusal::WalletClosed);
    assert_eq!(balance_of(&ledger, &alice).await, "5.00");
    let path = ["TransferInitiated", "TransferDebited", "TransferCompensated", "TransferFailed"];
    assert_eq!(store.stream(&on_record.unwrap().to_string()).await, path);
    let alices = store.stream(alice.as_str()).await;
    assert_eq!(alices[2..], ["FundsDebited", "FundsRefunded"]);
}

async fn incoming_money_opens_a_wallet_unless_told_otherwise(store: &Store) {
    let strict = Settings { auto_open: false, ..Settings::default() };
    let (ledger, (alice, bob)) = (store.process_with(&strict), pair(store));
    ledger.submit(request(deposit(&alice, "5"))).await.unwrap();
    let answer = ledger.submit(request(transfer(&alice, &bob, "2"))).await.unwrap();
    assert_eq!(refused(answer).0, Refusal::WalletNotFound);
    assert_eq!(balance_of(&ledger, &alice).await, "5.00");
    assert!(ledger.wallet(&bob).await.unwrap().is_none());
}

async fn a_transfer_to_oneself_is_refused_and_on_record(store: &Store) {
    let (ledger, alice) = (store.process(), id("alice"));
    ledger.submit(request(deposit(&alice, "5"))).await.unwrap();
    let answer = ledger.submit(request(transfer(&alice, &alice, "2"))).await.unwrap();
    let (refusal, on_record) = refused(answer);
    assert_eq!(refusal, Refusal::SameWallet);
    let path = ["TransferInitiated", "TransferFailed"];
    assert_eq!(store.stream(&on_record.unwrap().to_string()).await, path);
    assert_eq!(balance_of(&ledger, &alice).await, "5.00");
}

async fn a_wallet_whose_transfer_is_under_way_does_not_close(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    ledger.submit(request(deposit(&alice, "5"))).await.unwrap();
    // Sent together: the close meets the wallet empty, with its money in flight or gone.
    let (sent, closed) = tokio::join!(
        ledger.submit(request(transfer(&alice, &bob, "5"))),
        ledger.submit(request(close(&alice))),
    );
    assert_eq!(transferred(sent.unwrap()).phase, Phase::Completed);
    if store.partitions() > 1 {
        assert_eq!(refused(closed.unwrap()).0, Refusal::TransferInFlight);
    }
    eventually("the empty wallet closes", async || {
        let answer = ledger.submit(request(close(&alice))).await.unwrap();
        match &answer.outcome {
            florin_application::command::Outcome::Accepted(_) => Ok(()),
            florin_application::command::Outcome::Refused(refused) => Err(refused.clone()),
        }
    })
    .await;
}

async fn opposite_transfers_do_not_stall(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    for wallet in [&alice, &bob] {
        ledger.submit(request(deposit(wallet, "1000"))).await.unwrap();
    }
    let both_ways = (0..100).map(|n| {
        let (from, to) = if n % 2 == 0 { (&alice, &bob) } else { (&bob, &alice) };
        ledger.submit(request(transfer(from, to, "1")))
    });
    for answer in futures::future::join_all(both_ways).await {
        assert_eq!(transferred(answer.unwrap()).phase, Phase::Completed);
    }
    assert_eq!(balance_of(&ledger, &alice).await, "1000.00");
}
