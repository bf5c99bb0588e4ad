use florin_application::Settings;
use florin_tests::ask::{deposit, id, request, withdraw};
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::projecting::reader;
use florin_tests::service::{Answer, Service};
use florin_tests::store::eventually;
use serde_json::{Value, json};

/// A service, and three wallets with a large outflow: the alerts are at 3, 6 and 9.
async fn service() -> Service {
    let service = Service::start(1).await;
    find(&service, &["w0", "w1", "w2"]).await;
    service
}

async fn find(service: &Service, wallets: &[&str]) {
    for wallet in wallets {
        for command in [deposit(&id(wallet), "1000000"), withdraw(&id(wallet), "10000")] {
            service.ledger().submit(request(command)).await.unwrap();
        }
    }
    judged(service).await;
}

/// Waits until the rules have seen the whole journal.
async fn judged(service: &Service) {
    let head = reader(service.store()).head(0).await.unwrap();
    eventually("the rules have seen the whole journal", async || {
        let answer = service.get(&format!("/fraud/alerts?minPosition={head}")).await;
        if answer.status == 200 { Ok(()) } else { Err(answer) }
    })
    .await;
}

fn ids(answer: &Answer) -> Vec<&str> {
    let data = answer.expect(200).body["data"].as_array().unwrap();
    data.iter().map(|alert| alert["id"].as_str().unwrap()).collect()
}

async fn post(service: &Service, alert: &str, verb: &str, body: Value) -> Answer {
    service.post(&format!("/fraud/alerts/{alert}/{verb}"), body).await
}

#[tokio::test]
async fn alerts_are_read_by_page_by_filter_and_by_id() {
    let service = service().await;
    let all = ["largeOutflow:0-9", "largeOutflow:0-6", "largeOutflow:0-3"];
    for prefix in ["", "/v1"] {
        let list = service.get(&format!("{prefix}/fraud/alerts")).await;
        assert_eq!(ids(&list), all);
        list.expect_members(json!({ "nextCursor": null, "hasMore": false }));
        assert_eq!(list.header("florin-position"), Some("0-9"));
    }
    let page = service.get("/fraud/alerts?limit=2").await;
    assert_eq!(ids(&page), all[..2]);
    let rest = format!("/fraud/alerts?limit=2&cursor={}", page.text_of("nextCursor"));
    let rest = service.get(&rest).await;
    assert_eq!((ids(&rest), &rest.body["hasMore"]), (vec![all[2]], &json!(false)));
    let alert = service.get("/fraud/alerts/largeOutflow:0-6").await;
    alert.expect(200).expect_members(json!({
        "id": "largeOutflow:0-6", "rule": "largeOutflow", "walletId": "w1", "state": "open",
        "reason": "10000.00 USD at once, where 10000 is large", "count": 1, "sum": "10000.00",
        "currency": "USD", "event": "0-6", "partition": 0, "position": 6, "evidence": ["0-6"],
        "decisions": [], "publishedAt": null,
    }));
    let at = alert.text_of("at");
    for (query, expected) in [
        ("wallet=w0".to_owned(), &all[2..]),
        ("rule=roundTrip".to_owned(), &[]),
        ("rule=largeOutflow&state=open&wallet=w2&colour=red".to_owned(), &all[..1]),
        ("state=dismissed".to_owned(), &[]),
        (format!("from={at}"), &all[..2]),
        (format!("to={at}"), &all[2..]),
    ] {
        let list = service.get(&format!("/fraud/alerts?{query}")).await;
        assert_eq!(ids(&list), expected, "{query}");
    }
    service.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_query_is_named() {
    let service = Service::start(1).await;
    for (query, parameter) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=1.x", "cursor"),
        ("wallet=a%20b", "wallet"),
        ("rule=luck", "rule"),
        ("state=closed", "state"),
        ("from=yesterday", "from"),
        ("to=2026-13-01T00:00:00Z", "to"),
    ] {
        let answer = service.get(&format!("/fraud/alerts?{query}")).await;
        answer.expect_problem(400, "invalid-parameter");
        assert_eq!(answer.text_of("parameter"), parameter, "{query}");
    }
    let twice = service.get("/fraud/alerts?limit=1&limit=2").await;
    twice.expect_problem(400, "invalid-parameter");
    service.finish().await;
}

#[tokio::test]
async fn an_alert_is_acknowledged_and_dismissed_with_who_and_why() {
    let service = service().await;
    let alert = "largeOutflow:0-3";
    let body = json!({ "by": "olga", "reason": "I call them" });
    let first = post(&service, alert, "acknowledge", body.clone()).await;
    first.expect(200).expect_members(json!({ "id": alert, "state": "acknowledged" }));
    let decision = &first.body["decisions"][0];
    assert_eq!((&decision["by"], &decision["reason"]), (&body["by"], &body["reason"]));
    assert!(!first.is_replayed());
    let again = post(&service, alert, "acknowledge", body.clone()).await;
    assert!(again.expect(200).is_replayed() && again.text == first.text, "{again}");
    let other = post(&service, alert, "acknowledge", json!({ "by": "oleg" })).await;
    let known = json!({ "state": "acknowledged", "by": "olga" });
    other.expect_problem(409, "alert-decided").expect_members(known);
    let dismissed = post(&service, alert, "dismiss", body.clone()).await;
    dismissed.expect(200).expect_members(json!({ "state": "dismissed" }));
    assert_eq!(dismissed.body["decisions"].as_array().unwrap().len(), 2);
    let late = json!({ "by": "oleg", "reason": "me too" });
    post(&service, alert, "dismiss", late).await.expect_problem(409, "alert-decided");
    let list = service.get("/fraud/alerts?state=dismissed").await;
    assert_eq!(ids(&list), [alert]);
    // Without a reason, one may look after an alert; to clear a wallet asks for one.
    let who = json!({ "by": "olga" });
    post(&service, "largeOutflow:0-6", "acknowledge", who.clone()).await.expect(200);
    let why = post(&service, "largeOutflow:0-6", "dismiss", who).await;
    why.expect_problem(400, "missing-field").expect_members(json!({ "field": "reason" }));
    service.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_decision_is_named() {
    let service = service().await;
    let good = json!({ "by": "olga", "reason": "a car" });
    for verb in ["acknowledge", "dismiss"] {
        let unknown = post(&service, "largeOutflow:0-4", verb, good.clone()).await;
        unknown
            .expect_problem(404, "alert-not-found")
            .expect_members(json!({ "alertId": "largeOutflow:0-4" }));
        post(&service, "4711", verb, good.clone()).await.expect_problem(400, "invalid-alert-id");
        for (body, code, field) in [
            (json!({ "reason": "a car" }), "missing-field", "by"),
            (json!({ "by": "", "reason": "a car" }), "invalid-operator", "by"),
            (json!({ "by": 7, "reason": "a car" }), "invalid-operator", "by"),
            (json!({ "by": "olga", "reason": "x".repeat(257) }), "invalid-reason", "reason"),
        ] {
            let answer = post(&service, "largeOutflow:0-3", verb, body).await;
            answer.expect_problem(400, code).expect_members(json!({ "field": field }));
        }
        let path = format!("/fraud/alerts/largeOutflow:0-3/{verb}");
        service.post_text(&path, "{").await.expect_problem(400, "malformed-json");
        service.get(&path).await.expect_problem(405, "method-not-allowed");
    }
    service.get("/fraud/alerts/x").await.expect_problem(400, "invalid-alert-id");
    service.get("/fraud/alerts/luck:0-1").await.expect_problem(404, "alert-not-found");
    let untouched = service.get("/fraud/alerts/largeOutflow:0-3").await;
    untouched.expect_members(json!({ "state": "open", "decisions": [] }));
    service.finish().await;
}

#[tokio::test]
async fn without_postgres_the_desk_says_so() {
    let postgres = OwnPostgres::start().await;
    let service = Service::on(postgres.store(1).await, &Settings::default()).await;
    find(&service, &["w0"]).await;
    postgres.kill_hard().await;
    for path in ["/fraud/alerts", "/fraud/alerts/largeOutflow:0-3"] {
        service.get(path).await.expect_problem(503, "unavailable");
    }
    let body = json!({ "by": "olga", "reason": "a car" });
    let away = post(&service, "largeOutflow:0-3", "dismiss", body.clone()).await;
    away.expect_problem(503, "unavailable");
    postgres.restart().await;
    eventually("the desk is back", async || {
        let answer = service.get("/fraud/alerts").await;
        if answer.status == 200 { Ok(()) } else { Err(answer) }
    })
    .await;
    // A fold does not wait for the disk: what the crash took back is folded again.
    judged(&service).await;
    post(&service, "largeOutflow:0-3", "dismiss", body).await.expect(200);
    service.finish().await;
    postgres.stop().await;
}
