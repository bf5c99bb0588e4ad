//! A wallet of somebody else answers as if it had never been opened: byte for byte, but for the trace.

use florin_adapters::auth::{Auth, Settings, Verifier};
use florin_domain::partition_of;
use florin_tests::ask::{id, id_in};
use florin_tests::issuer::{SECRET, token};
use florin_tests::service::{Answer, Service, send};
use futures::future::join_all;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, DATE, HeaderName};
use serde_json::{Value, json};

const OWN: &str = "wallet:read wallet:write";

async fn service(partitions: u32) -> Service {
    let secret = Some(SECRET.parse().unwrap());
    let verifier = Verifier::open(Settings { secret, ..Settings::default() }).await.unwrap();
    Service::guarded(partitions, Auth::Jwt(verifier.into())).await
}

async fn post(service: &Service, token: &str, path: &str, body: Value) -> Answer {
    service.call_as(token, Method::POST, path, body).await
}

async fn get(service: &Service, token: &str, path: &str) -> Answer {
    service.call_as(token, Method::GET, path, Value::Null).await
}

/// Everything that an answer tells, but for its trace, its time, and the name that was asked for.
fn told(answer: &Answer, name: &str) -> (u16, String, Vec<(String, String)>) {
    let trace = answer.header("x-trace-id").unwrap().to_owned();
    let clean = |text: &str| text.replace(&trace, "<trace>").replace(name, "<name>");
    // How long it is follows from what is told, and from how long the name is.
    let of_text = |name: &HeaderName| name != DATE && name != CONTENT_LENGTH;
    let headers = answer.headers.iter().filter(|(name, _)| of_text(name));
    let headers = headers.map(|(name, value)| (name.to_string(), clean(value.to_str().unwrap())));
    (answer.status, clean(&answer.text), headers.collect())
}

/// A method, a path, headers and a body.
type Asked = (Method, String, Vec<(&'static str, &'static str)>, Value);

/// Commands to a wallet, many at once.
fn bulk(wallet: &str, atomic: bool) -> Value {
    let commands = [
        json!({ "type": "withdraw", "walletId": wallet, "amount": "1" }),
        json!({ "type": "transfer", "walletId": wallet, "toWalletId": wallet, "amount": "1" }),
        json!({ "type": "close", "walletId": wallet }),
    ];
    json!({ "atomic": atomic, "commands": commands })
}

/// The requests to a wallet.
fn requests(wallet: &str) -> Vec<Asked> {
    let mut requests = Vec::new();
    let reads =
        ["", "?consistency=strong", "?minPosition=1", "?at=1", "/history", "/history?page=1"];
    let more = [
        "/history?type=deposit",
        "/transactions",
        "/transactions?page=9",
        "/stats?days=3",
        "/statement",
        "/statement?format=csv",
        "/stream",
    ];
    for read in reads.into_iter().chain(more) {
        requests.push((Method::GET, format!("/wallets/{wallet}{read}"), vec![], Value::Null));
    }
    requests.push((Method::GET, format!("/idempotency/{wallet}/d-1"), vec![], Value::Null));
    let transfer = json!({ "toWalletId": "mallory", "amount": "1" });
    let between = json!({ "fromWalletId": wallet, "toWalletId": "mallory", "amount": "1" });
    let to = |verb: &str| format!("/wallets/{wallet}/{verb}");
    for (path, body) in [
        (to("withdraw"), json!({ "amount": "1" })),
        (to("withdraw"), json!({ "amount": "1000", "currency": "EUR" })),
        (to("withdraw"), json!({ "amount": "0.001" })),
        (to("transfer"), transfer),
        ("/transfers".to_owned(), between),
        (to("transfer"), json!({ "toWalletId": wallet, "amount": "1" })),
        (to("close"), json!({})),
    ] {
        // The key is the one of a deposit that the owner made, or an unknown one.
        for headers in [
            vec![],
            vec![("idempotency-key", "d-1")],
            vec![("idempotency-key", "new")],
            vec![("if-match", "\"1\"")],
            vec![("if-match", "\"2\"")],
            vec![("if-match", "*")],
        ] {
            requests.push((Method::POST, path.clone(), headers, body.clone()));
        }
    }
    // The keys of bulks are the sender's own.
    for atomic in [false, true] {
        requests.push((Method::POST, "/bulk".to_owned(), vec![], bulk(wallet, atomic)));
    }
    // It would open the unknown one, if the wallet did not have to be there.
    let there = vec![("if-match", "*"), ("idempotency-key", "d-1")];
    requests.push((Method::POST, to("deposit"), there, json!({ "amount": "5" })));
    requests
}

#[tokio::test]
async fn a_wallet_of_somebody_else_is_as_one_that_was_never_opened() {
    for partitions in [1, 4] {
        let service = service(partitions).await;
        let (alice, mallory) = (token("alice", OWN), token("mallory", OWN));
        // Another wallet of the same partition, which the read models tell the same position of.
        let partition = partition_of(&id("alice-w"), partitions);
        let unknown = id_in(partition, partitions, "never");
        let deposit = json!({ "amount": "5", "requestId": "d-1" });
        post(&service, &alice, "/wallets/alice-w/deposit", deposit).await.expect(201);
        // Nobody's, and of no owner: as foreign as alice's.
        let opener = token("company", "ledger:write");
        let nobodys = id_in(partition, partitions, "nobodys").to_string();
        post(&service, &opener, "/wallets", json!({ "id": nobodys })).await.expect(201);
        let to_nobodys = format!("/wallets/{nobodys}/deposit");
        let deposit = json!({ "amount": "5", "requestId": "d-1" });
        post(&service, &opener, &to_nobodys, deposit).await.expect(201);
        // Until the read models have both, so that what is told is as of the same position.
        for wallet in ["alice-w", &nobodys] {
            let reader = token("company", "ledger:read");
            get(&service, &reader, &format!("/wallets/{wallet}/stats")).await.expect(200);
        }
        let never = unknown.to_string();
        for foreign in ["alice-w", &nobodys] {
            let pairs = requests(foreign).into_iter().zip(requests(&never));
            for ((method, of_foreign, headers, body), (_, of_unknown, _, other)) in pairs {
                // Twice, because a key that was used would be answered another way then.
                for _ in 0..2 {
                    let ask = async |path: &str, body: &Value| {
                        let request = service.request(method.clone(), path).bearer_auth(&mallory);
                        let request = match method {
                            Method::POST => request.json(body),
                            _ => request,
                        };
                        let request = headers.iter().fold(request, |r, (n, v)| r.header(*n, *v));
                        send(request).await
                    };
                    let (one, two) =
                        (ask(&of_foreign, &body).await, ask(&of_unknown, &other).await);
                    // A bulk says it of each command.
                    let is_told = one.status == 404 || of_foreign == "/bulk";
                    assert!(is_told, "{method} {of_foreign} {headers:?} {body}: {one}");
                    let (one, two) = (told(&one, foreign), told(&two, &never));
                    assert_eq!(one, two, "{method} {of_foreign} {headers:?} {body}");
                }
            }
        }
        let own = get(&service, &alice, "/wallets/alice-w").await;
        own.expect(200).expect_members(json!({ "balance": "5.00", "version": 2 }));
        service.finish().await;
    }
}

#[tokio::test]
async fn an_id_that_is_taken_is_not_opened_by_a_stranger() {
    let service = service(1).await;
    let (alice, mallory) = (token("alice", OWN), token("mallory", OWN));
    let deposit = json!({ "amount": "5", "requestId": "d-1" });
    post(&service, &alice, "/wallets/alice-w/deposit", deposit.clone()).await.expect(201);
    let taken = post(&service, &mallory, "/wallets/alice-w/deposit", deposit).await;
    taken.expect_problem(404, "wallet-not-found");
    let open = json!({ "id": "alice-w", "requestId": "d-1" });
    let taken = post(&service, &mallory, "/wallets", open).await;
    taken.expect_problem(409, "wallet-exists");
    service.finish().await;
}

#[tokio::test]
async fn a_user_opens_wallets_for_themselves() {
    let service = service(1).await;
    let (alice, company) = (token("alice", OWN), token("company", "ledger:write"));
    let of_alice = json!({ "owner": "alice" });
    for (path, body) in [
        ("/wallets", json!({ "id": "w-1" })),
        ("/wallets", json!({ "id": "w-2", "owner": "alice" })),
        ("/wallets", json!({ "requestId": "k" })),
    ] {
        post(&service, &alice, path, body).await.expect(201).expect_members(of_alice.clone());
    }
    let foreign = post(&service, &alice, "/wallets", json!({ "id": "w-3", "owner": "bob" })).await;
    foreign.expect_problem(403, "insufficient-scope");
    assert_eq!(foreign.body["scopes"], json!(["ledger:write"]));
    // Who may command any wallet opens them for anybody, or for nobody.
    let opened = post(&service, &company, "/wallets", json!({ "id": "w-3", "owner": "bob" })).await;
    opened.expect(201).expect_members(json!({ "owner": "bob" }));
    let opened = post(&service, &company, "/wallets", json!({ "id": "w-4" })).await;
    opened.expect(201).expect_members(json!({ "owner": null }));
    // Incoming money opens a wallet as that of the one who sends it in.
    post(&service, &alice, "/wallets/w-5/deposit", json!({ "amount": "1" })).await.expect(201);
    post(&service, &company, "/wallets/w-6/deposit", json!({ "amount": "1" })).await.expect(201);
    for (wallet, owner) in [("w-5", json!("alice")), ("w-6", Value::Null)] {
        let reader = token("company", "ledger:read");
        let wallet = get(&service, &reader, &format!("/wallets/{wallet}")).await;
        wallet.expect(200).expect_members(json!({ "owner": owner }));
    }
    service.finish().await;
}

#[tokio::test]
async fn a_user_lists_their_own_wallets() {
    let service = service(2).await;
    for (name, wallets) in [("alice", ["a-1", "a-2"]), ("bob", ["b-1", "b-2"])] {
        for wallet in wallets {
            let body = json!({ "id": wallet });
            post(&service, &token(name, OWN), "/wallets", body).await.expect(201);
        }
    }
    let list = async |token: &str, query: &str| {
        let page = get(&service, token, &format!("/wallets{query}")).await;
        let wallets = page.expect(200).body["data"].as_array().unwrap().clone();
        let ids = wallets.iter().map(|wallet| wallet["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    let alice = token("alice", OWN);
    for query in ["", "?owner=alice", "?currency=USD"] {
        assert_eq!(list(&alice, query).await, ["a-1", "a-2"], "{query}");
    }
    assert_eq!(list(&alice, "?cursor=a-1").await, ["a-2"]);
    let foreign = get(&service, &alice, "/wallets?owner=bob").await;
    foreign.expect_problem(403, "insufficient-scope");
    assert_eq!(foreign.body["scopes"], json!(["ledger:read"]));
    let reader = token("company", "ledger:read");
    assert_eq!(list(&reader, "").await, ["a-1", "a-2", "b-1", "b-2"]);
    assert_eq!(list(&reader, "?owner=bob").await, ["b-1", "b-2"]);
    service.finish().await;
}

#[tokio::test]
async fn a_transfer_is_seen_from_both_of_its_ends_and_from_nowhere_else() {
    for partitions in [1, 4] {
        let service = service(partitions).await;
        let users = ["alice", "bob", "mallory"].map(|name| token(name, OWN));
        let [alice, bob, mallory] = &users;
        let from = id_in(0, partitions, "from").to_string();
        let to = id_in(partitions - 1, partitions, "to").to_string();
        for (user, wallet) in [(alice, &from), (bob, &to)] {
            let (path, deposit) = (format!("/wallets/{wallet}/deposit"), json!({ "amount": "5" }));
            post(&service, user, &path, deposit).await.expect(201);
        }
        let body = json!({ "toWalletId": to, "amount": "2", "requestId": "t-1" });
        let path = format!("/wallets/{from}/transfer");
        for _ in 0..2 {
            // What the wallet of somebody else holds is not the sender's to know.
            let sent = post(&service, alice, &path, body.clone()).await;
            sent.expect(201).expect_members(json!({ "fromBalance": "3.00", "toBalance": null }));
            assert!(sent.body["toVersion"].is_null(), "{sent}");
        }
        let sent = post(&service, &token("company", "ledger:write"), &path, body).await;
        sent.expect(201).expect_members(json!({ "fromBalance": "3.00", "toBalance": "7.00" }));
        let transfer = format!("/transfers/{}", sent.text_of("transferId"));
        let seen = get(&service, alice, &transfer).await;
        seen.expect(200).expect_members(json!({
            "fromBalance": "3.00", "toBalance": null, "requestId": "t-1",
        }));
        let seen = get(&service, bob, &transfer).await;
        seen.expect(200).expect_members(json!({
            "fromBalance": null, "toBalance": "7.00", "requestId": null, "status": "completed",
        }));
        for (user, wallet, key) in [(alice, &from, json!("t-1")), (bob, &to, Value::Null)] {
            let history = get(&service, user, &format!("/wallets/{wallet}/history")).await;
            let entry = &history.expect(200).body["data"][0];
            assert_eq!((&entry["amount"], &entry["requestId"]), (&json!("2.00"), &key), "{entry}");
        }
        let unknown = "0192f0c1-2b3c-7d4e-8f90-a1b2c3d4e5f6";
        let foreign = get(&service, mallory, &transfer).await;
        let never = get(&service, mallory, &format!("/transfers/{unknown}")).await;
        assert_eq!(
            told(&foreign, sent.text_of("transferId")),
            told(never.expect_problem(404, "transfer-not-found"), unknown)
        );
        service.finish().await;
    }
}

#[tokio::test]
async fn why_a_transfer_failed_is_told_to_its_source_only() {
    let service = service(1).await;
    let (alice, bob) = (token("alice", OWN), token("bob", OWN));
    for (user, wallet) in [(&alice, "from"), (&bob, "to")] {
        let deposit = json!({ "amount": "5" });
        post(&service, user, &format!("/wallets/{wallet}/deposit"), deposit).await.expect(201);
    }
    let body = json!({ "toWalletId": "to", "amount": "50" });
    let refused = post(&service, &alice, "/wallets/from/transfer", body).await;
    refused.expect_problem(422, "insufficient-funds");
    let transfer = format!("/transfers/{}", refused.text_of("transferId"));
    let seen = get(&service, &alice, &transfer).await;
    assert_eq!(seen.expect(200).body["reason"]["available"], "5.00");
    let seen = get(&service, &bob, &transfer).await;
    seen.expect(200).expect_members(json!({ "status": "failed", "reason": null }));
    assert!(!seen.text.contains("5.00"), "{seen}");
    service.finish().await;
}

#[tokio::test]
async fn only_who_may_command_any_wallet_freezes() {
    let service = service(1).await;
    let (alice, company) = (token("alice", OWN), token("company", "ledger:write"));
    post(&service, &alice, "/wallets", json!({ "id": "w" })).await.expect(201);
    for verb in ["freeze", "unfreeze"] {
        let path = format!("/wallets/w/{verb}");
        let refused = post(&service, &alice, &path, json!({})).await;
        refused.expect_problem(403, "insufficient-scope");
        post(&service, &company, &path, json!({})).await.expect(200);
    }
    post(&service, &alice, "/wallets/w/close", json!({})).await.expect(200);
    service.finish().await;
}

#[tokio::test]
async fn of_two_who_race_for_a_wallet_one_owns_it() {
    let service = service(4).await;
    let users = ["alice", "bob"].map(|name| (name, token(name, OWN)));
    let race = async |round: usize| {
        let path = format!("/wallets/w-{round}");
        let ask = async |n: usize| {
            let (name, token) = &users[n % 2];
            let (verb, body) = match n / 2 % 3 {
                0 => ("deposit", json!({ "amount": "2" })),
                1 => ("withdraw", json!({ "amount": "1" })),
                _ => ("transfer", json!({ "toWalletId": "away", "amount": "1" })),
            };
            (*name, post(&service, token, &format!("{path}/{verb}"), body).await)
        };
        let answers = join_all((0..12).map(ask)).await;
        let wallet = get(&service, &token("company", "ledger:read"), &path).await;
        let owner = wallet.expect(200).text_of("owner").to_owned();
        for (name, answer) in &answers {
            // The winner's may be refused for want of funds, before its first deposit as unknown.
            let is_theirs = *name == owner;
            assert!(is_theirs || answer.status == 404, "{name}, not {owner}: {answer}");
        }
        let deposited = answers.iter().filter(|(_, answer)| answer.body["type"] == "deposit");
        assert_eq!(deposited.count(), 2, "the winner's deposits of {path}");
    };
    for rounds in 0..5 {
        join_all((0..10).map(|n| race(rounds * 10 + n))).await;
    }
    service.finish().await;
}
