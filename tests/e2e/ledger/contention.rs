//! Several processes on one journal.

use florin_application::{Ledger, SubmitError};
use florin_domain::Refusal;
use florin_domain::transfer::Phase;
use florin_tests::ask::{
    deposit, id, keyed, movement, refused, request, transfer, transferred, withdraw,
};
use florin_tests::on_every_journal;
use florin_tests::store::{Store, balance_of, eventually};
use futures::future::join_all;

on_every_journal!(
    a_process_sees_what_another_one_wrote,
    two_processes_lose_no_update,
    a_key_sent_to_two_processes_takes_effect_once,
    a_refusal_is_never_decided_on_an_old_state,
    a_transfer_that_its_process_left_is_finished_by_another,
    a_busy_process_keeps_no_other_one_from_reading,
);

async fn a_process_sees_what_another_one_wrote(store: &Store) {
    let (one, two, alice) = (store.process(), store.process(), id("alice"));
    for round in 1..=5 {
        one.submit(request(deposit(&alice, "1"))).await.unwrap();
        let seen = two.wallet(&alice).await.unwrap().unwrap();
        assert_eq!(seen.account.balance, (2 * round - 1).into());
        let answer = movement(two.submit(request(deposit(&alice, "1"))).await.unwrap());
        assert_eq!(answer.balance, (2 * round).into());
    }
}

async fn two_processes_lose_no_update(store: &Store) {
    let (one, two, alice) = (store.process(), store.process(), id("alice"));
    let both = |n: usize| if n.is_multiple_of(2) { &one } else { &two };
    let deposits = (0..200).map(|n| both(n).submit(request(deposit(&alice, "1"))));
    for answer in join_all(deposits).await {
        answer.unwrap();
    }
    for ledger in [&one, &two] {
        assert_eq!(balance_of(ledger, &alice).await, "200.00");
    }
}

async fn a_key_sent_to_two_processes_takes_effect_once(store: &Store) {
    let (one, two, alice) = (store.process(), store.process(), id("alice"));
    for n in 0..50 {
        let key = format!("k{n}");
        let send = async |ledger: &Ledger| ledger.submit(keyed(&key, deposit(&alice, "1"))).await;
        let (first, second) = tokio::join!(send(&one), send(&two));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.outcome, second.outcome);
        assert!(first.replayed != second.replayed);
    }
    assert_eq!(balance_of(&one, &alice).await, "50.00");
}

async fn a_refusal_is_never_decided_on_an_old_state(store: &Store) {
    let (one, two, alice) = (store.process(), store.process(), id("alice"));
    one.submit(request(deposit(&alice, "1"))).await.unwrap();
    let poor = refused(two.submit(request(withdraw(&alice, "2"))).await.unwrap());
    assert!(matches!(poor.0, Refusal::InsufficientFunds { .. }));
    one.submit(request(deposit(&alice, "1"))).await.unwrap();
    assert_eq!(
        movement(two.submit(request(withdraw(&alice, "2"))).await.unwrap()).balance,
        0.into()
    );
}

async fn a_transfer_that_its_process_left_is_finished_by_another(store: &Store) {
    let partitions = store.partitions();
    let alice = florin_tests::ask::id_in(0, partitions, "alice");
    let bob = florin_tests::ask::id_in(partitions - 1, partitions, "bob");
    let left = store.process();
    left.submit(request(deposit(&alice, "100"))).await.unwrap();
    let send = (0..20).map(|n| left.submit(keyed(&format!("t{n}"), transfer(&alice, &bob, "1"))));
    // The process ends while its transfers are under way: their clients hear nothing.
    let sending = join_all(send);
    let _ = tokio::time::timeout(std::time::Duration::from_millis(3), sending).await;
    drop(left);
    let other = store.process();
    for n in 0..20 {
        let answer = eventually("the transfer ends", async || {
            let again = other.submit(keyed(&format!("t{n}"), transfer(&alice, &bob, "1"))).await;
            match again {
                Ok(answer) => Ok(answer),
                Err(error @ SubmitError::InProgress) => Err(error),
                Err(other) => panic!("{other}"),
            }
        })
        .await;
        assert_eq!(transferred(answer).phase, Phase::Completed);
    }
    assert_eq!(balance_of(&other, &alice).await, "80.00");
    assert_eq!(balance_of(&other, &bob).await, "20.00");
    eventually("nothing is unfinished", async || match store.audit().await.unfinished {
        0 => Ok(()),
        more => Err(more),
    })
    .await;
}

async fn a_busy_process_keeps_no_other_one_from_reading(store: &Store) {
    let (busy, other, alice) = (store.process(), store.process(), id("alice"));
    busy.submit(request(deposit(&alice, "1"))).await.unwrap();
    let writer = async {
        loop {
            busy.submit(request(deposit(&alice, "1"))).await.unwrap();
        }
    };
    let reader = async {
        for _ in 0..300 {
            other.wallet(&alice).await.unwrap().unwrap();
        }
    };
    tokio::select! {
        () = writer => unreachable!("it goes on until the reader is done"),
        () = reader => {}
    }
}
