//! Postgres away: what clients are told, and that all is well when it is back.

use florin_application::Settings;
use florin_tests::ask::id_in;
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::service::Service;
use florin_tests::store::eventually;
use serde_json::json;

async fn until_ready(service: &Service) {
    eventually("the service is ready", async || {
        let ready = service.get("/readyz").await;
        if ready.status == 200 { Ok(()) } else { Err(ready) }
    })
    .await;
}

#[tokio::test]
async fn without_postgres_the_service_says_so_and_recovers_by_itself() {
    for partitions in [1, 4] {
        let postgres = OwnPostgres::start().await;
        let service = Service::on(postgres.store(partitions).await, &Settings::default()).await;
        let (a, b) = (id_in(0, partitions, "a"), id_in(partitions - 1, partitions, "b"));
        let path = format!("/wallets/{a}/deposit");
        let money = |key: &str| json!({ "amount": 5, "requestId": key });
        let kept = service.post(&path, money("before")).await;
        kept.expect(201);
        // Else the read models may be missing as well, which have not caught up yet.
        until_ready(&service).await;

        postgres.kill_hard().await;
        let sent = json!({ "toWalletId": b, "amount": 1, "requestId": "sent" });
        for (path, body) in [
            (path.clone(), money("during")),
            (format!("/wallets/{a}/withdraw"), json!({ "amount": 1, "requestId": "out" })),
            (format!("/wallets/{a}/transfer"), sent.clone()),
            (format!("/wallets/{a}/freeze"), json!({ "requestId": "frozen" })),
            ("/wallets".to_owned(), json!({ "requestId": "new" })),
        ] {
            let away = service.post(&path, body).await;
            away.expect_problem(503, "unavailable");
            assert_eq!(away.body.as_object().unwrap().len(), 6, "no cause, no members: {away}");
        }
        for path in [format!("/wallets/{a}"), format!("/transfers/{}", uuid::Uuid::nil())] {
            service.get(&path).await.expect_problem(503, "unavailable");
        }
        let ready = service.get("/readyz").await;
        let missing = json!({ "missing": ["postgres"] });
        ready.expect_problem(503, "unavailable").expect_members(missing);
        service.get("/livez").await.expect(200);
        // What is malformed needs no journal to be refused.
        service.post(&path, json!({})).await.expect_problem(400, "missing-field");

        postgres.restart().await;
        let after = eventually("the service recovers by itself", async || {
            let answer = service.post(&path, money("during")).await;
            if answer.status == 201 { Ok(answer) } else { Err(answer) }
        })
        .await;
        assert_eq!(after.text_of("balance"), "10.00");
        let again = service.post(&path, money("before")).await;
        assert!(again.is_replayed() && again.text == kept.text, "{again}");
        let sent = service.post(&format!("/wallets/{a}/transfer"), sent).await;
        assert_eq!(sent.expect(201).text_of("fromBalance"), "9.00");
        until_ready(&service).await;
        service.finish().await;
        postgres.stop().await;
    }
}
