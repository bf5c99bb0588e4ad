//! Many commands in one call, each by itself.

use std::collections::HashSet;

use florin_application::command::{Outcome, Receipt, Request};
use florin_application::{Answer, SubmitError};
use florin_domain::wallet::Status;
use florin_domain::{Refusal, WalletId};
use florin_tests::ask::{
    close, deposit, freeze, id_in, keyed, movement, refused, request, transfer, transferred,
    unfreeze, withdraw,
};
use florin_tests::on_every_journal;
use florin_tests::store::{Store, balance_of, eventually};
use tokio::task::JoinSet;

on_every_journal!(
    each_command_is_answered_in_its_place,
    commands_to_one_wallet_take_effect_in_their_order,
    a_command_waits_for_the_money_that_is_on_its_way_to_its_wallet,
    a_key_twice_in_a_bulk_is_a_repeat,
    a_key_sent_singly_and_in_bulk_takes_effect_once,
    two_processes_with_one_bulk_do_it_once,
    a_bulk_without_room_does_nothing_and_leaves_room_for_others,
    a_bulk_of_nothing_is_answered_with_nothing,
);

/// Two wallets, in different partitions where there are several.
fn pair(store: &Store) -> (WalletId, WalletId) {
    let partitions = store.partitions();
    (id_in(0, partitions, "alice"), id_in(partitions - 1, partitions, "bob"))
}

fn all_ok(answers: Vec<Result<Answer, SubmitError>>) -> Vec<Answer> {
    answers.into_iter().map(Result::unwrap).collect()
}

fn is_accepted(answer: &Answer) -> bool {
    matches!(answer.outcome, Outcome::Accepted(_))
}

async fn each_command_is_answered_in_its_place(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    let nobody = id_in(0, store.partitions(), "nobody");
    let answers = ledger
        .submit_each(vec![
            request(deposit(&alice, "10")),
            request(withdraw(&nobody, "1")),
            request(transfer(&alice, &bob, "4")),
            request(freeze(&alice)),
            request(withdraw(&alice, "1")),
            request(unfreeze(&alice)),
            request(withdraw(&alice, "1")),
            request(close(&bob)),
        ])
        .await
        .unwrap();
    let answers = all_ok(answers);
    let accepted: Vec<bool> = answers.iter().map(is_accepted).collect();
    assert_eq!(accepted, [true, false, true, true, false, true, true, false], "{answers:#?}");
    assert_eq!(refused(answers[1].clone()).0, Refusal::WalletNotFound);
    assert_eq!(transferred(answers[2].clone()).to, bob);
    assert_eq!(refused(answers[4].clone()).0, Refusal::WalletFrozen);
    assert_eq!(movement(answers[6].clone()).balance.to_string(), "5.00");
    assert!(matches!(refused(answers[7].clone()).0, Refusal::WalletNotEmpty { .. }));
    assert_eq!(balance_of(&ledger, &alice).await, "5.00");
    assert_eq!(balance_of(&ledger, &bob).await, "4.00");
}

async fn commands_to_one_wallet_take_effect_in_their_order(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    // In any other order, some withdrawal finds nothing.
    let in_and_out = |id: &WalletId| [request(deposit(id, "1")), request(withdraw(id, "1"))];
    let commands: Vec<Request> =
        (0..100).flat_map(|_| [in_and_out(&alice), in_and_out(&bob)]).flatten().collect();
    let answers = all_ok(ledger.submit_each(commands).await.unwrap());
    assert_eq!(answers.len(), 400);
    assert!(answers.iter().all(is_accepted));
    let versions: Vec<u64> = answers.chunks(4).map(|of| movement(of[1].clone()).version).collect();
    assert!(versions.is_sorted(), "{versions:?}");
    assert_eq!(balance_of(&ledger, &alice).await, "0.00");
}

async fn a_command_waits_for_the_money_that_is_on_its_way_to_its_wallet(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    let mut commands = vec![request(deposit(&alice, "10"))];
    for _ in 0..3 {
        commands.push(request(transfer(&alice, &bob, "10")));
        commands.push(request(transfer(&bob, &alice, "10")));
    }
    commands.push(request(transfer(&alice, &bob, "10")));
    commands.push(request(withdraw(&bob, "10")));
    commands.push(request(close(&alice)));
    let answers = all_ok(ledger.submit_each(commands).await.unwrap());
    assert!(answers.iter().all(is_accepted), "{answers:#?}");
    assert_eq!(balance_of(&ledger, &bob).await, "0.00");
}

async fn a_key_twice_in_a_bulk_is_a_repeat(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    let mut answers = ledger
        .submit_each(vec![
            keyed("d", deposit(&alice, "10")),
            keyed("d", deposit(&alice, "10.00")),
            keyed("t", transfer(&alice, &bob, "3")),
            keyed("t", transfer(&alice, &bob, "3")),
            keyed("t", transfer(&alice, &bob, "4")),
        ])
        .await
        .unwrap();
    assert_eq!(answers.pop().unwrap(), Err(SubmitError::KeyReused));
    let answers = all_ok(answers);
    let replayed: Vec<bool> = answers.iter().map(|answer| answer.replayed).collect();
    assert_eq!(replayed, [false, true, false, true]);
    assert_eq!(answers[0].outcome, answers[1].outcome);
    assert_eq!(answers[2].outcome, answers[3].outcome);
    assert_eq!(balance_of(&ledger, &alice).await, "7.00");
}

async fn a_key_sent_singly_and_in_bulk_takes_effect_once(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    let single = ledger.submit(keyed("d", deposit(&alice, "10"))).await.unwrap();
    let bulk = || vec![keyed("d", deposit(&alice, "10")), keyed("t", transfer(&alice, &bob, "1"))];
    let first = all_ok(ledger.submit_each(bulk()).await.unwrap());
    assert_eq!((first[0].replayed, &first[0].outcome), (true, &single.outcome));
    assert!(!first[1].replayed);
    let single = ledger.submit(keyed("t", transfer(&alice, &bob, "1"))).await.unwrap();
    assert_eq!((single.replayed, &single.outcome), (true, &first[1].outcome));
    let again = all_ok(store.process().submit_each(bulk()).await.unwrap());
    assert!(again.iter().all(|answer| answer.replayed));
    assert_eq!(balance_of(&ledger, &alice).await, "9.00");
}

async fn two_processes_with_one_bulk_do_it_once(store: &Store) {
    let (one, two, (alice, bob)) = (store.process(), store.process(), pair(store));
    one.submit(request(deposit(&alice, "100"))).await.unwrap();
    let bulk = || (0..60).map(|n| keyed(&format!("k{n}"), transfer(&alice, &bob, "1"))).collect();
    let (first, second) = tokio::join!(one.submit_each(bulk()), two.submit_each(bulk()));
    let mut transfers = HashSet::new();
    for answer in first.unwrap().into_iter().chain(second.unwrap()) {
        match answer {
            Ok(answer) => drop(transfers.insert(transferred(answer).transfer_id)),
            // The other process has its money in flight.
            Err(error) => assert_eq!(error, SubmitError::InProgress),
        }
    }
    assert_eq!(transfers.len(), 60);
    assert_eq!(balance_of(&one, &bob).await, "60.00");
}

async fn a_bulk_without_room_does_nothing_and_leaves_room_for_others(store: &Store) {
    let (ledger, (alice, bob)) = (store.process(), pair(store));
    ledger.submit(request(deposit(&alice, "1"))).await.unwrap();
    let mut lock = store.partition(0);
    lock.lock(0).await.unwrap();
    // More than the queue holds, and than the writer takes with it.
    let mut bulks = JoinSet::new();
    for _ in 0..12 {
        let (ledger, alice, bob) = (ledger.clone(), alice.clone(), bob.clone());
        bulks.spawn(async move {
            let mut commands = vec![request(deposit(&bob, "1"))];
            commands.extend((1..1000).map(|_| request(deposit(&alice, "1"))));
            ledger.submit_each(commands).await
        });
    }
    let first = bulks.join_next().await.unwrap().unwrap();
    assert_eq!(first.unwrap_err(), SubmitError::Busy);
    let alone = ledger.submit(request(deposit(&alice, "1")));
    let release = async {
        tokio::task::yield_now().await;
        lock.release().await;
    };
    let (alone, ()) = tokio::join!(alone, release);
    alone.unwrap();
    let mut done = 0;
    while let Some(bulk) = bulks.join_next().await {
        match bulk.unwrap() {
            Ok(answers) => {
                assert!(all_ok(answers).iter().all(is_accepted));
                done += 1;
            }
            Err(error) => assert_eq!(error, SubmitError::Busy),
        }
    }
    assert!(done >= 7, "{done} of 12");
    assert_eq!(balance_of(&ledger, &alice).await, format!("{}.00", 2 + done * 999));
    assert_eq!(balance_of(&ledger, &bob).await, format!("{done}.00"));
}

/// What waits for a transfer that does not come to its end in time is not sent after it.
#[tokio::test]
async fn what_waits_for_a_command_that_takes_too_long_is_not_done() {
    let store = Store::memory(4).await;
    let (ledger, (alice, bob)) = (store.process(), pair(&store));
    ledger.submit(request(deposit(&alice, "5"))).await.unwrap();
    let mut lock = store.partition(0);
    lock.lock(0).await.unwrap();
    let commands =
        vec![request(transfer(&alice, &bob, "5")), request(freeze(&bob)), request(freeze(&bob))];
    let answers = ledger.submit_each(commands).await.unwrap();
    let (late, unsent) = (Err(SubmitError::Unavailable), Err(SubmitError::Busy));
    assert_eq!(answers, [late, unsent.clone(), unsent]);
    lock.release().await;
    let wallet = eventually("the money arrives", async || {
        ledger.wallet(&bob).await.unwrap().ok_or("no wallet")
    })
    .await;
    assert_eq!(wallet.account.status, Status::Active);
    store.audit().await;
}

async fn a_bulk_of_nothing_is_answered_with_nothing(store: &Store) {
    let ledger = store.process();
    assert_eq!(ledger.submit_each(vec![]).await, Ok(vec![]));
    let atomic = ledger.submit_all(florin_tests::ask::keyed_atomic("k", vec![])).await.unwrap();
    assert_eq!(atomic.outcome, Outcome::Accepted(Receipt::All(vec![])));
}
