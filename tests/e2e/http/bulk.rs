//! `POST /bulk`.

use florin_application::Settings;
use florin_tests::ask::id_in;
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::service::{Answer, Service};
use serde_json::{Value, json};

/// A command of a bulk, from the body of its single route.
fn in_bulk(kind: &str, wallet: Option<&str>, body: &Value) -> Value {
    let mut command = body.clone();
    command["type"] = kind.into();
    if let Some(wallet) = wallet {
        command["walletId"] = wallet.into();
    }
    command
}

/// What a result of a bulk and the answer of a single route have in common.
fn told(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    if answer.status < 300 {
        return json!({ "status": answer.status, "replayed": true, "body": body });
    }
    body.as_object_mut().unwrap().remove("traceId");
    json!({ "status": answer.status, "replayed": answer.is_replayed(), "problem": body })
}

/// One command of each kind and of each end, by its single route: the kind, the wallet, the body.
fn of_every_kind(a: &str, b: &str) -> Vec<(&'static str, Option<String>, Value)> {
    let of = |kind, body| (kind, Some(a.to_owned()), body);
    vec![
        ("open", None, json!({ "id": a, "balance": "9.00", "owner": "olga", "requestId": "1" })),
        ("open", None, json!({ "currency": "EUR", "requestId": "2" })),
        of("deposit", json!({ "amount": 1, "metadata": { "a": [1] }, "requestId": "3" })),
        of("withdraw", json!({ "amount": "2", "currency": "USD", "clientTransactionId": "4" })),
        of("transfer", json!({ "toWalletId": b, "amount": 3, "requestId": "5" })),
        of("withdraw", json!({ "amount": 99, "requestId": "6" })),
        of("transfer", json!({ "receiverWalletId": b, "amount": 99, "requestId": "7" })),
        of("transfer", json!({ "toWalletId": a, "amount": 1, "requestId": "8" })),
        of("freeze", json!({ "reason": "why not", "requestId": "9" })),
        of("withdraw", json!({ "amount": 1, "requestId": "10" })),
        of("unfreeze", json!({ "requestId": "11" })),
        of("close", json!({ "requestId": "12" })),
        of("deposit", json!({ "amount": "x" })),
        of("deposit", json!({ "amount": "1.001" })),
        of("deposit", json!({})),
        of("deposit", json!({ "amount": 1, "currency": "EUR" })),
        of("deposit", json!({ "amount": 2, "requestId": "3" })),
        of("freeze", json!({ "reason": "" })),
        of("transfer", json!({ "amount": 1 })),
        of("transfer", json!({ "toWalletId": b, "amount": 1, "requestId": "" })),
    ]
}

#[tokio::test]
async fn each_command_is_answered_as_its_single_route_would() {
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let a = id_in(0, partitions, "a").to_string();
        let b = id_in(partitions - 1, partitions, "b").to_string();
        let (mut singly, mut commands) = (vec![], vec![]);
        for (kind, wallet, body) in of_every_kind(&a, &b) {
            let path = match &wallet {
                None => "/wallets".to_owned(),
                Some(wallet) => format!("/wallets/{wallet}/{kind}"),
            };
            singly.push(told(&service.post(&path, body.clone()).await));
            commands.push(in_bulk(kind, wallet.as_deref(), &body));
        }
        let events = service.store().events().await.len();
        let bulk = service.post("/bulk", json!({ "commands": commands })).await;
        let results = bulk.expect(200).body["results"].as_array().unwrap().clone();
        assert_eq!(results.len(), singly.len());
        for (place, (result, single)) in results.into_iter().zip(singly).enumerate() {
            // A refusal that is kept is a replay by now.
            let mut single = single;
            if single["problem"].is_object() && single["status"] != 400 {
                single["replayed"] = result["replayed"].clone();
            }
            assert_eq!(result, single, "commands[{place}]");
        }
        assert_eq!((&bulk.body["succeeded"], &bulk.body["failed"]), (&7.into(), &13.into()));
        assert_eq!(service.store().events().await.len(), events, "they were done already");
        service.finish().await;
    }
}

#[tokio::test]
async fn the_commands_of_a_bulk_may_be_sent_singly_afterwards() {
    let service = Service::start(4).await;
    let bulk = json!({ "atomic": false, "commands": [
        { "type": "open", "walletId": "a", "initialBalance": "10.00", "requestId": "1" },
        { "type": "transfer", "fromWalletId": "a", "toWalletId": "b", "amount": "4",
          "requestId": "2" },
        { "type": "withdraw", "walletId": "b", "amount": "4", "requestId": "3" },
        { "type": "withdraw", "walletId": "b", "amount": "4", "requestId": "3" },
        { "type": "open", "balance": 5 },
    ] });
    let answer = service.post("/v1/bulk", bulk).await;
    answer.expect(200).expect_members(json!({ "succeeded": 5, "failed": 0 }));
    let results = answer.body["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["status"].clone()).collect();
    assert_eq!(statuses, [201; 5]);
    let replayed: Vec<_> = results.iter().map(|result| result["replayed"].clone()).collect();
    assert_eq!(replayed, [false, false, false, true, false]);
    assert_eq!(results[2]["body"], results[3]["body"]);
    for (path, body, place) in [
        ("/wallets", json!({ "id": "a", "balance": 10, "requestId": "1" }), 0),
        ("/wallets/a/transfer", json!({ "toWalletId": "b", "amount": 4, "requestId": "2" }), 1),
        ("/wallets/b/withdraw", json!({ "amount": 4, "requestId": "3" }), 2),
    ] {
        let single = service.post(path, body).await;
        assert!(single.expect(201).is_replayed(), "{single}");
        assert_eq!(single.body, results[place]["body"]);
    }
    // What the answer is as of, in every partition that it is about, is there to be read.
    let position = answer.header("florin-position").unwrap().to_owned();
    let read = service.get(&format!("/wallets?minPosition={position}")).await;
    assert_eq!(read.expect(200).body["data"].as_array().unwrap().len(), 3);
    service.finish().await;
}

#[tokio::test]
async fn a_malformed_command_is_refused_alone() {
    let service = Service::start(1).await;
    let good = json!({ "type": "deposit", "walletId": "a", "amount": 1 });
    let bad = [
        (json!(7), "malformed-json"),
        (json!([]), "malformed-json"),
        (json!({ "walletId": "a", "amount": 1 }), "missing-field"),
        (json!({ "type": "steal", "walletId": "a", "amount": 1 }), "invalid-command-type"),
        (json!({ "type": 7 }), "invalid-command-type"),
        (json!({ "type": "deposit", "amount": 1 }), "missing-field"),
        (json!({ "type": "deposit", "walletId": "a b", "amount": 1 }), "invalid-wallet-id"),
        (
            json!({ "type": "transfer", "walletId": "a", "senderWalletId": "a", "toWalletId": "b",
                    "amount": 1 }),
            "conflicting-fields",
        ),
        (json!({ "type": "open", "walletId": "a", "id": "a" }), "conflicting-fields"),
        (
            json!({ "type": "close", "walletId": "a", "requestId": "1",
                    "clientTransactionId": "2" }),
            "conflicting-fields",
        ),
    ];
    let commands: Vec<_> =
        bad.iter().flat_map(|(command, _)| [command.clone(), good.clone()]).collect();
    let answer = service.post("/bulk", json!({ "commands": commands })).await;
    answer.expect(200).expect_members(json!({ "succeeded": bad.len(), "failed": bad.len() }));
    let results = answer.body["results"].as_array().unwrap();
    for (pair, (command, code)) in results.chunks(2).zip(&bad) {
        let expected = (&json!(400), &json!(code));
        assert_eq!((&pair[0]["status"], &pair[0]["problem"]["code"]), expected, "{command}");
        assert_eq!(pair[1]["status"], 201);
    }
    assert_eq!(service.get("/wallets/a").await.text_of("balance"), format!("{}.00", bad.len()));
    service.finish().await;
}

#[tokio::test]
async fn a_frame_that_says_nothing_clear_is_refused_as_a_whole() {
    let service = Service::start(1).await;
    let one = json!({ "type": "deposit", "walletId": "a", "amount": 1 });
    let keyed = json!({ "type": "deposit", "walletId": "a", "amount": 1, "requestId": "k" });
    let nameless = json!({ "type": "open" });
    for (body, code) in [
        (json!([one]), "malformed-json"),
        (json!({}), "invalid-bulk"),
        (json!({ "commands": [] }), "invalid-bulk"),
        (json!({ "commands": one }), "invalid-bulk"),
        (json!({ "commands": vec![one.clone(); 1001] }), "invalid-bulk"),
        (json!({ "atomic": "yes", "commands": [one] }), "invalid-bulk"),
        (json!({ "commands": [one], "requestId": "k" }), "conflicting-fields"),
        (json!({ "atomic": true, "commands": [one], "requestId": 7 }), "invalid-request-id"),
        (json!({ "atomic": true, "commands": [one, keyed] }), "conflicting-fields"),
        (json!({ "atomic": true, "commands": [one, nameless] }), "missing-field"),
        (json!({ "atomic": true, "commands": [one, 7] }), "malformed-json"),
    ] {
        service.post("/bulk", body).await.expect_problem(400, code);
    }
    let body = json!({ "commands": [one] });
    let condition = service.post_with("/bulk", &[("if-match", "\"1\"")], body.clone()).await;
    condition.expect_problem(400, "invalid-if-match");
    let key = service.post_with("/bulk", &[("idempotency-key", "k")], body).await;
    key.expect_problem(400, "conflicting-fields");
    let twice = r#"{"atomic":true,"atomic":false,"commands":[]}"#;
    service.post_text("/bulk", twice).await.expect_problem(400, "malformed-json");
    assert_eq!(service.finish().await.wallets, 0);
}

#[tokio::test]
async fn a_thousand_commands_with_metadata_fit_into_a_body_and_more_do_not() {
    let service = Service::start(1).await;
    let of = |bytes: usize| {
        let metadata = json!({ "note": "x".repeat(bytes) });
        json!({ "type": "deposit", "walletId": "a", "amount": "0.01", "metadata": metadata })
    };
    let bulk = |bytes| json!({ "commands": vec![of(bytes); 1000] });
    let answer = service.post("/bulk", bulk(1900)).await;
    answer.expect(200).expect_members(json!({ "succeeded": 1000 }));
    service.post("/bulk", bulk(2100)).await.expect_problem(413, "body-too-large");
    service.finish().await;
}

#[tokio::test]
async fn an_atomic_bulk_takes_effect_as_a_whole_and_once() {
    let service = Service::start(1).await;
    let bulk = json!({ "atomic": true, "requestId": "k", "commands": [
        { "type": "open", "walletId": "a", "initialBalance": "10.00" },
        { "type": "transfer", "walletId": "a", "toWalletId": "b", "amount": "4" },
        { "type": "freeze", "walletId": "b", "reason": "why not" },
    ] });
    let first = service.post("/bulk", bulk.clone()).await;
    first.expect(200).expect_members(json!({ "succeeded": 3, "failed": 0 }));
    assert!(!first.is_replayed());
    let results = first.body["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["status"].clone()).collect();
    assert_eq!(statuses, [json!(201), json!(201), json!(200)]);
    assert_eq!(results[1]["body"]["toBalance"], "4.00");
    assert_eq!(results[2]["body"]["status"], "frozen");
    let transfer = format!("/transfers/{}", results[1]["body"]["transferId"].as_str().unwrap());
    service.get(&transfer).await.expect_members(json!({ "requestId": "k", "amount": "4.00" }));

    let again = service.post("/bulk", bulk.clone()).await;
    assert!(again.expect(200).is_replayed());
    let results = again.body["results"].as_array().unwrap();
    assert!(results.iter().all(|result| result["replayed"] == true));
    for (then, now) in first.body["results"].as_array().unwrap().iter().zip(results) {
        assert_eq!(then["body"], now["body"]);
    }
    let mut other = bulk;
    other["commands"][1]["amount"] = "5".into();
    service.post("/bulk", other).await.expect_problem(422, "idempotency-mismatch");
    service.finish().await;
}

#[tokio::test]
async fn the_first_refusal_refuses_an_atomic_bulk_and_says_which_it_is() {
    let service = Service::start(1).await;
    service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    let bulk = json!({ "atomic": true, "commands": [
        { "type": "deposit", "walletId": "a", "amount": "1.00" },
        { "type": "transfer", "walletId": "a", "toWalletId": "b", "amount": "2" },
        { "type": "withdraw", "walletId": "a", "amount": "4.50" },
    ] });
    let headers = [("idempotency-key", "k")];
    let events = service.store().events().await.len();
    let first = service.post_with("/bulk", &headers, bulk.clone()).await;
    first.expect_problem(422, "insufficient-funds").expect_members(json!({
        "index": 2, "available": "4.00", "requested": "4.50", "currency": "USD",
        "detail": "commands[2]: The wallet holds 4.00, which is less than 4.50: ask for less, or \
                   deposit first. Nothing of the bulk took effect.",
    }));
    assert!(!first.is_replayed());
    assert_eq!(service.store().events().await.len(), events);
    service.get("/wallets/b").await.expect_problem(404, "wallet-not-found");

    service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    let again = service.post_with("/bulk", &headers, bulk.clone()).await;
    assert!(again.expect_problem(422, "insufficient-funds").is_replayed());
    service.post("/bulk", bulk).await.expect(200);

    let unknown = json!({ "atomic": true, "commands": [
        { "type": "deposit", "walletId": "a", "amount": "1.00" },
        { "type": "freeze", "walletId": "nobody" },
    ] });
    let unknown = service.post("/bulk", unknown).await;
    let members = json!({ "index": 1, "walletId": "nobody" });
    unknown.expect_problem(404, "wallet-not-found").expect_members(members);
    let malformed = json!({ "atomic": true, "commands": [
        { "type": "deposit", "walletId": "a", "amount": "1.00" },
        { "type": "deposit", "walletId": "a", "amount": "-1.00" },
    ] });
    let malformed = service.post("/bulk", malformed).await;
    let members = json!({ "index": 1, "field": "amount" });
    malformed.expect_problem(400, "invalid-amount").expect_members(members);
    service.finish().await;
}

#[tokio::test]
async fn an_atomic_bulk_over_several_partitions_names_two_of_its_wallets() {
    let service = Service::start(4).await;
    let (a, b, c) = (id_in(0, 4, "a"), id_in(0, 4, "b"), id_in(3, 4, "c"));
    let bulk = json!({ "atomic": true, "requestId": "k", "commands": [
        { "type": "deposit", "walletId": a, "amount": "5" },
        { "type": "transfer", "walletId": a, "toWalletId": b, "amount": "2" },
        { "type": "transfer", "walletId": b, "toWalletId": c, "amount": "2" },
    ] });
    let apart = service.post("/bulk", bulk.clone()).await;
    let members = json!({ "index": 2, "walletId": a, "otherWalletId": c });
    apart.expect_problem(422, "different-partitions").expect_members(members);
    let mut mended = bulk;
    mended["commands"][2]["toWalletId"] = a.as_str().into();
    let done = service.post("/bulk", mended).await;
    assert!(!done.expect(200).is_replayed(), "the key was not used up");
    service.finish().await;
}

#[tokio::test]
async fn without_postgres_a_bulk_is_unavailable_as_a_whole() {
    let postgres = OwnPostgres::start().await;
    let service = Service::on(postgres.store(4).await, &Settings::default()).await;
    service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    postgres.kill_hard().await;
    let commands = json!([
        { "type": "deposit", "walletId": "a", "amount": 1, "requestId": "1" },
        { "type": "deposit", "walletId": "b", "amount": 1, "requestId": "2" },
        { "type": "deposit", "walletId": "b", "amount": -1 },
    ]);
    let away = service.post("/bulk", json!({ "commands": commands })).await;
    away.expect_problem(503, "unavailable");
    let atomic = json!({ "atomic": true, "commands": [
        { "type": "deposit", "walletId": "a", "amount": 1 },
    ] });
    service.post("/bulk", atomic).await.expect_problem(503, "unavailable");
    service.stop().await;
}
