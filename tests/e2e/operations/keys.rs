//! One key, sent with and without waiting: the command takes effect once.

use florin_adapters::operations::OperationDesk;
use florin_tests::ask::{self, id, id_in, keyed};
use florin_tests::service::Answer;
use florin_tests::store::Store;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{Queueing, expect_completed, expect_refused};

fn deposit(amount: u32) -> Value {
    json!({ "amount": amount, "requestId": "k" })
}

const PATH: &str = "/wallets/a/deposit";

#[tokio::test]
async fn the_same_key_sent_twice_is_the_same_operation() {
    let queue = Queueing::start(1).await;
    let first = queue.post(PATH, deposit(5)).await;
    let again = queue.post(PATH, deposit(5)).await;
    assert!(!first.expect(202).is_replayed() && again.expect(202).is_replayed());
    assert_eq!(first.header("location"), again.header("location"));
    let ended = queue.ended(&first).await;
    expect_completed(&ended, 201);
    let later = queue.post(PATH, deposit(5)).await;
    // Of which nothing more is to come.
    assert!(later.expect(200).is_replayed());
    assert_eq!(later.header("location"), first.header("location"));
    assert_eq!((later.header("preference-applied"), later.header("retry-after")), (None, None));
    assert_eq!(later.body, ended.body, "it tells what became of it");
    assert_eq!(later.header("florin-position"), ended.header("florin-position"));
    queue.post(PATH, deposit(6)).await.expect_problem(422, "idempotency-mismatch");
    let other = json!({ "amount": 5, "requestId": "k" });
    queue
        .post("/wallets/a/withdraw", other.clone())
        .await
        .expect_problem(422, "idempotency-mismatch");
    // A key belongs to its wallet.
    assert!(!queue.post("/wallets/b/deposit", other).await.expect(202).is_replayed());
    assert_eq!(queue.balance("a").await, "5.00");
    queue.finish().await;
}

#[tokio::test]
async fn a_key_that_has_an_outcome_is_answered_with_it() {
    let queue = Queueing::start(1).await;
    let told = queue.service.post(PATH, deposit(5)).await;
    let ended = queue.carried_out(PATH, deposit(5)).await;
    assert_eq!(expect_completed(&ended, 201), &told.expect(201).body);
    assert_eq!(ended.body["result"]["replayed"], true, "{ended}");
    // And of another request nothing comes.
    let other = json!({ "amount": 7, "requestId": "other" });
    queue.service.post(PATH, other).await.expect(201);
    let body = json!({ "amount": 8, "requestId": "other" });
    let reused = queue.carried_out(PATH, body).await;
    expect_refused(&reused, 422, "idempotency-mismatch");
    assert_eq!(queue.balance("a").await, "12.00");
    queue.finish().await;
}

#[tokio::test]
async fn a_key_of_an_operation_is_a_key_of_the_ledger() {
    let queue = Queueing::start(1).await;
    let ended = queue.carried_out(PATH, deposit(5)).await;
    let told = queue.service.post(PATH, deposit(5)).await;
    assert!(told.expect(201).is_replayed());
    assert_eq!(&told.body, expect_completed(&ended, 201));
    queue.service.post(PATH, deposit(6)).await.expect_problem(422, "idempotency-mismatch");
    let refused = json!({ "amount": 50, "requestId": "r" });
    let ended = queue.carried_out("/wallets/a/withdraw", refused.clone()).await;
    let problem = expect_refused(&ended, 422, "insufficient-funds");
    assert_eq!((&problem["available"], &problem["requested"]), (&json!("5.00"), &json!("50.00")));
    let told = queue.service.post("/wallets/a/withdraw", refused).await;
    assert!(told.is_replayed());
    told.expect_problem(422, "insufficient-funds");
    queue.finish().await;
}

#[tokio::test]
async fn many_at_once_with_and_without_waiting_move_money_once() {
    for partitions in [1, 4] {
        let queue = Queueing::start(partitions).await;
        let (a, b) = (id_in(0, partitions, "a"), id_in(partitions - 1, partitions, "b"));
        queue.service.post("/wallets", json!({ "id": a, "balance": 100 })).await.expect(201);
        let path = format!("/wallets/{a}/transfer");
        for round in 0..10 {
            let body = json!({ "toWalletId": b, "amount": 1, "requestId": format!("k{round}") });
            let send = async |number: usize| -> Answer {
                if number.is_multiple_of(2) {
                    queue.post(&path, body.clone()).await
                } else {
                    queue.service.post(&path, body.clone()).await
                }
            };
            let together = join_all((0..6).map(send)).await;
            // One is taken in; the others meet it on its way, or at its end.
            let (known, new): (Vec<_>, Vec<_>) =
                together.iter().step_by(2).partition(|answer| answer.is_replayed());
            let [accepted] = new[..] else { panic!("one is new: {new:?}") };
            assert!(known.iter().all(|answer| [200, 202].contains(&answer.status)), "{known:?}");
            let ended = queue.ended(accepted).await;
            let moved = expect_completed(&ended, 201);
            for told in together.iter().skip(1).step_by(2) {
                match told.status {
                    201 => assert_eq!(told.body["transferId"], moved["transferId"]),
                    _ => drop(told.expect_problem(409, "request-in-progress")),
                }
            }
        }
        assert_eq!(queue.balance(a.as_str()).await, "90.00");
        assert_eq!(queue.balance(b.as_str()).await, "10.00");
        queue.finish().await;
    }
}

/// Each holds what the other one wants next, unless both go in one order.
#[tokio::test]
async fn two_processes_that_take_in_the_same_keys_do_not_wait_for_each_other() {
    let store = Store::postgres(1).await;
    let Store::Postgres(_, urls) = &store else { panic!("it is in Postgres") };
    let desk = || OperationDesk::start(&urls.service, 1, true).unwrap();
    let (one, other) = (desk(), desk());
    for round in 0..20 {
        let new =
            |number: usize| keyed(&format!("k-{round}-{number}"), ask::deposit(&id("a"), "1"));
        let (forth, back) = tokio::join!(
            join_all((0..200).map(|number| one.accept(new(number)))),
            join_all((0..200).rev().map(|number| other.accept(new(number)))),
        );
        let accepted: Vec<_> = forth.into_iter().chain(back).map(Result::unwrap).collect();
        assert_eq!(accepted.iter().filter(|one| !one.is_known).count(), 200);
    }
    store.audit().await;
}

#[tokio::test]
async fn a_key_that_cannot_be_looked_up_concerns_nobody_else() {
    let queue = Queueing::start(1).await;
    expect_completed(&queue.carried_out(PATH, deposit(1)).await, 201);
    queue.admin("UPDATE operations SET state = 'unheard of'").await;
    let many = join_all((0..60).map(|number| {
        let key = if number % 10 == 5 { "k".to_owned() } else { format!("k-{number}") };
        queue.post(PATH, json!({ "amount": 1, "requestId": key }))
    }))
    .await;
    for (number, answer) in many.iter().enumerate() {
        match number % 10 == 5 {
            true => drop(answer.expect_problem(503, "unavailable")),
            false => drop(answer.expect(202)),
        }
    }
    queue.admin("UPDATE operations SET state = 'completed' WHERE request_id = 'k'").await;
    queue.finish().await;
}
