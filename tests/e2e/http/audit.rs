//! Every POST is on record: with its events, or within a second.

use std::time::Duration;

use florin_application::Settings;
use florin_tests::issuer::{Issuer, claims};
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::service::{Answer, Service};
use florin_tests::store::{Store, eventually};
use florin_tests::watch::pool_of;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// The newest call that passes a filter, once there is one.
async fn newest(service: &Service, filter: &str) -> Value {
    eventually("the call is on record", async || {
        let page = service.get(&format!("/audit?limit=1&{filter}")).await;
        let page = page.expect(200).body.clone();
        if page["data"][0].is_object() { Ok(page["data"][0].clone()) } else { Err(page) }
    })
    .await
}

/// How many calls are on record.
async fn count(store: &Store) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM api_audit").fetch_one(pool_of(store)).await.unwrap()
}

/// The calls that the events of a wallet name.
async fn named(pool: &PgPool, wallet: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT metadata ->> 'auditId' FROM events WHERE aggregate_id = $1 ORDER BY position",
    )
    .bind(wallet)
    .fetch_all(pool)
    .await
    .unwrap()
}

fn trace_of(answer: &Answer) -> String {
    answer.header("x-trace-id").unwrap().to_owned()
}

#[tokio::test]
async fn a_command_is_on_record_with_its_events() {
    let service = Service::start(1).await;
    let headers = [("authorization", "Bearer secret"), ("cookie", "jwt=secret"), ("x-app", "shop")];
    let body = json!({ "amount": "5.00", "metadata": { "order": "4711" } });
    let path = "/v1/wallets/alice/deposit?channel=web";
    let answer = service.post_with(path, &headers, body.clone()).await;
    answer.expect(201);
    let ids = named(pool_of(service.store()), "alice").await;
    assert!(ids.len() == 2 && ids[0] == ids[1], "opened and paid by one call: {ids:?}");
    // At once: it was committed with them.
    let call = service.get(&format!("/audit/{}", ids[0])).await;
    call.expect(200).expect_members(json!({
        "id": ids[0],
        "method": "POST",
        "url": path,
        "body": body.to_string(),
        "bodyBytes": body.to_string().len(),
        "client": "127.0.0.1",
        "subject": null,
        "status": 201,
        "traceId": trace_of(&answer),
    }));
    let headers = &call.body["headers"];
    assert_eq!(headers["x-app"], "shop");
    assert_eq!(headers["authorization"], "[redacted]");
    assert_eq!(headers["cookie"], "[redacted]");
    assert!(!call.text.contains("secret"), "{call}");
    service.finish().await;
}

#[tokio::test]
async fn what_leads_to_no_event_is_on_record_soon() {
    let service = Service::start(1).await;
    let deposit = json!({ "amount": 5, "requestId": "k" });
    service.post("/wallets/alice/deposit", deposit.clone()).await.expect(201);
    let large = json!({ "amount": 5, "note": "x".repeat(70_000) });
    for (path, body, status) in [
        ("/wallets/alice/deposit", deposit.clone(), 201),
        ("/wallets/alice/withdraw", json!({ "amount": 9 }), 422),
        ("/wallets/alice/withdraw", json!({ "amount": 9, "requestId": "kept" }), 422),
        ("/wallets/alice/deposit", json!({ "amount": -1 }), 400),
        ("/wallets/alice/deposit", large, 413),
        ("/wallets/alice/deposit?note=\u{e9}", json!("\0"), 400),
        ("/nowhere", json!({}), 404),
        ("/wallets/alice/history", json!({}), 405),
        ("/bulk", json!({ "commands": [{ "type": "deposit" }] }), 200),
        ("/bulk", json!({ "commands": [] }), 400),
    ] {
        let answer = service.post(path, body.clone()).await;
        answer.expect(status);
        let trace = trace_of(&answer);
        let call = eventually("the call is on record", async || {
            let page = service.get("/audit").await.body;
            let mut calls = page["data"].as_array().unwrap().iter();
            calls.find(|call| call["traceId"] == trace.as_str()).cloned().ok_or(page.clone())
        })
        .await;
        assert_eq!(call["status"], status, "{call}");
        assert!(call["url"].as_str().unwrap().starts_with(path.split('?').next().unwrap()));
        if status != 413 && status != 404 && status != 405 {
            assert_eq!(call["body"], body.to_string(), "{call}");
        }
    }
    // GETs are not.
    assert_eq!(count(service.store()).await, 11);
    service.finish().await;
}

#[tokio::test]
async fn a_transfer_that_ends_later_is_recorded_as_it_was_told() {
    let service = Service::start(4).await;
    let (a, b) = (florin_tests::ask::id_in(0, 4, "a"), florin_tests::ask::id_in(3, 4, "b"));
    service.post(&format!("/wallets/{a}/deposit"), json!({ "amount": 5 })).await.expect(201);
    let path = format!("/wallets/{a}/transfer");
    // When its debit is appended, it is not known yet.
    let answer = service.post(&path, json!({ "toWalletId": b, "amount": 2 })).await;
    answer.expect(201);
    eventually("the status is the one that was told", async || {
        let call = newest(&service, "path=/wallets/a-").await;
        if call["status"] == 201 && call["url"] == path.as_str() { Ok(()) } else { Err(call) }
    })
    .await;
    assert_eq!(count(service.store()).await, 2);
    service.finish().await;
}

#[tokio::test]
async fn a_bulk_is_one_call_whose_beginning_is_kept() {
    let service = Service::start(1).await;
    let deposit =
        |n: usize| json!({ "type": "deposit", "walletId": format!("w-{n}"), "amount": 1 });
    let commands: Vec<Value> = (0..500).map(deposit).collect();
    let body = json!({ "commands": commands });
    service.post("/bulk", body.clone()).await.expect(200);
    let ids = named(pool_of(service.store()), "w-499").await;
    let call = service.get(&format!("/audit/{}", ids[0])).await;
    call.expect(200).expect_members(json!({ "status": 200, "bodyBytes": body.to_string().len() }));
    let kept = call.text_of("body");
    assert!(kept.len() == 16 * 1024 && body.to_string().starts_with(kept));
    assert_eq!(count(service.store()).await, 1);
    service.finish().await;
}

#[tokio::test]
async fn callers_are_named_and_strangers_recorded_without_what_they_sent() {
    let issuer = Issuer::new();
    let service = Service::guarded(1, issuer.auth(Default::default()).await).await;
    let token = |who: &str, scope: &str| issuer.pair("ed").token(&claims(who, scope, json!({})));
    let (alice, olga) = (token("alice", "wallet:write"), token("olga", "ops"));
    let body = json!({ "amount": 5 });
    let path = "/wallets/alice/deposit";
    service.call_as(&alice, Method::POST, path, body.clone()).await.expect(201);
    service.call_as("a.b.c", Method::POST, path, body.clone()).await.expect(401);
    service.call_as(&olga, Method::POST, path, body.clone()).await.expect(403);
    let listed = eventually("all are on record", async || {
        let page = service.call_as(&olga, Method::GET, "/audit", Value::Null).await;
        let calls = page.expect(200).body["data"].as_array().unwrap().clone();
        if calls.len() == 3 { Ok(calls) } else { Err(calls) }
    })
    .await;
    let told =
        |call: &Value| (call["status"].clone(), call["subject"].clone(), call["body"].clone());
    assert_eq!(
        listed.iter().map(told).collect::<Vec<_>>(),
        [
            (json!(403), json!("olga"), json!(null)),
            (json!(401), json!(null), json!(null)),
            (json!(201), json!("alice"), json!(body.to_string())),
        ]
    );
    // Not for those whose calls they are.
    service.call_as(&alice, Method::GET, "/audit", Value::Null).await.expect(403);
    service.finish().await;
}

#[tokio::test]
async fn calls_are_found_by_who_from_where_what_when_and_how_it_ended() {
    let service = Service::start(1).await;
    let pool = pool_of(service.store());
    let at = "2026-01-31T12:00:00Z";
    for (n, subject, client, url, status) in [
        (0, Some("alice"), "192.0.2.1", "/wallets/a/deposit", 201),
        (1, Some("alice"), "2001:db8::1", "/wallets/b/deposit", 422),
        (2, None, "192.0.2.1", "/bulk", 401),
        (3, Some("bob"), "192.0.2.2", "/wallets/a/withdraw", 201),
    ] {
        let millis = 1_769_860_800_000_u64 + n * 1000;
        let id = Uuid::from_u128((u128::from(millis) << 80) | 0x7000_8000_0000_0000_0000);
        sqlx::query(
            "INSERT INTO api_audit (id, received_at, method, url, headers, body_bytes, client,
                                    subject, trace_id, status)
             VALUES ($1, $2::timestamptz + make_interval(secs => $3), 'POST', $4, '{}', 0, $5::inet,
                     $6, repeat('0', 32), $7)",
        )
        .bind(id)
        .bind(at.parse::<chrono::DateTime<chrono::Utc>>().unwrap())
        .bind(f64::from(u32::try_from(n).unwrap()))
        .bind(url)
        .bind(client)
        .bind(subject)
        .bind(status)
        .execute(pool)
        .await
        .unwrap();
    }
    let all = ["/wallets/a/withdraw", "/bulk", "/wallets/b/deposit", "/wallets/a/deposit"];
    for (filter, expected) in [
        ("", &[0, 1, 2, 3][..]),
        ("subject=alice", &[2, 3]),
        ("client=192.0.2.1", &[1, 3]),
        ("client=2001:0db8::0001", &[2]),
        ("path=/wallets/a", &[0, 3]),
        ("status=201&subject=bob", &[0]),
        ("from=2026-01-31T12:00:01Z", &[0, 1, 2]),
        ("from=2026-01-31T12:00:00.999500Z&to=2026-01-31T12:00:03Z", &[1, 2]),
        ("to=2026-01-31T12:00:00Z", &[]),
        ("subject=nobody", &[]),
    ] {
        let page = service.get(&format!("/audit?{filter}")).await;
        let found = page.expect(200).body["data"].as_array().unwrap().clone();
        let urls: Vec<&str> = found.iter().map(|call| call["url"].as_str().unwrap()).collect();
        let expected: Vec<&str> = expected.iter().map(|n| all[*n]).collect();
        assert_eq!(urls, expected, "{filter}");
    }
    for (filter, parameter) in [
        ("client=home", "client"),
        ("status=99", "status"),
        ("status=ok", "status"),
        ("from=now", "from"),
        ("cursor=x", "cursor"),
        ("limit=201", "limit"),
        ("subject=%00", "subject"),
        ("path=wallets", "path"),
        ("path=/%C3%A9", "path"),
    ] {
        let answer = service.get(&format!("/audit?{filter}")).await;
        answer.expect_problem(400, "invalid-parameter");
        assert_eq!(answer.body["parameter"], parameter);
    }
    service.get("/audit/x").await.expect_problem(400, "invalid-call-id");
    service.get(&format!("/audit/{}", Uuid::nil())).await.expect_problem(404, "call-not-found");
    service.finish().await;
}

#[tokio::test]
async fn pages_come_to_the_end_however_rare_what_is_asked_for() {
    let service = Service::start(1).await;
    sqlx::query(
        "INSERT INTO api_audit (id, received_at, method, url, headers, body_bytes, trace_id, status)
         SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, now(), 'POST',
                '/bulk', '{}', 0, repeat('0', 32), CASE n % 15000 WHEN 7 THEN 503 ELSE 200 END
           FROM generate_series(1, 50000) n",
    )
    .execute(pool_of(service.store()))
    .await
    .unwrap();
    for (filter, limit, expected, least_pages) in [
        ("status=503", 50, 4, 3),
        ("status=503", 1, 4, 4),
        ("status=404", 50, 0, 3),
        ("", 200, 50_000, 250),
    ] {
        let (mut found, mut pages, mut cursor) = (0, 0, String::new());
        loop {
            let page = service.get(&format!("/audit?{filter}&limit={limit}{cursor}")).await;
            found += page.expect(200).body["data"].as_array().unwrap().len();
            pages += 1;
            let Some(next) = page.body["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found, expected, "{filter} by {limit}");
        assert!(pages >= least_pages && pages < least_pages + 5, "{pages} pages of {filter}");
    }
    service.finish().await;
}

#[tokio::test]
async fn what_is_named_a_secret_is_not_kept() {
    let service = Service::keeping_secret("x-api-key,cardNumber").await;
    let body = json!({ "amount": 1, "metadata": { "cardNumber": "hidden", "order": "1" } });
    let headers = [("x-api-key", "hidden")];
    let path = "/wallets/alice/deposit?cardNumber=hidden";
    service.post_with(path, &headers, body).await.expect(201);
    let call = newest(&service, "status=201").await;
    let text = call.to_string();
    assert!(!text.contains("hidden"), "{text}");
    let kept: Value = serde_json::from_str(call["body"].as_str().unwrap()).unwrap();
    assert_eq!(kept["metadata"], json!({ "cardNumber": "[redacted]", "order": "1" }));
    service.finish().await;
}

#[tokio::test]
async fn a_caller_who_leaves_is_on_record() {
    let service = Service::start(1).await;
    let pool = pool_of(service.store());
    // The append waits for this.
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM partitions FOR UPDATE").execute(&mut *lock).await.unwrap();
    let request = service.request(Method::POST, "/wallets/alice/deposit");
    let request = request.header("content-type", "application/json").body(r#"{"amount":1}"#);
    request.timeout(Duration::from_millis(300)).send().await.unwrap_err();
    assert_eq!(newest(&service, "status=499").await["body"], r#"{"amount":1}"#);
    lock.rollback().await.unwrap();
    // What they asked for happens, and does not hide that they left.
    eventually("the deposit is made", async || match named(pool, "alice").await {
        ids if ids.len() == 2 => Ok(()),
        ids => Err(ids),
    })
    .await;
    assert_eq!(count(service.store()).await, 1);
    assert_eq!(newest(&service, "path=/wallets/alice/deposit").await["status"], 499);
    service.finish().await;
}

#[tokio::test]
async fn while_postgres_is_away_calls_wait_to_be_recorded() {
    let postgres = OwnPostgres::start().await;
    let service = Service::on(postgres.store(1).await, &Settings::default()).await;
    let path = "/wallets/alice/deposit";
    service.post(path, json!({ "amount": 1 })).await.expect(201);
    postgres.kill_hard().await;
    service.post(path, json!({ "amount": 2 })).await.expect_problem(503, "unavailable");
    service.post(path, json!({ "amount": "x" })).await.expect_problem(400, "invalid-amount");
    postgres.restart().await;
    let statuses = eventually("all are on record", async || {
        let page = service.get("/audit").await;
        let calls = page.body["data"].as_array().cloned().unwrap_or_default();
        if calls.len() == 3 { Ok(calls) } else { Err(page) }
    })
    .await;
    let statuses: Vec<&Value> = statuses.iter().map(|call| &call["status"]).collect();
    assert_eq!(statuses, [400, 503, 201]);
    service.finish().await;
    postgres.stop().await;
}

#[tokio::test]
async fn a_record_is_not_changed_nor_removed_by_the_service() {
    let service = Service::start(1).await;
    service.post("/wallets/alice/deposit", json!({ "amount": 1 })).await.expect(201);
    for statement in
        ["UPDATE api_audit SET body = ''", "DELETE FROM api_audit", "TRUNCATE api_audit"]
    {
        let refused = sqlx::query(statement).execute(pool_of(service.store())).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code().map(Into::into));
        assert_eq!(code, Some("42501".to_owned()), "{statement}");
    }
    service.finish().await;
}
