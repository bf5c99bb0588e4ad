//! `GET /api/v1/wallet/user`, as the clients of an older system ask for it.

use florin_adapters::auth::{Expected, Settings};
use florin_tests::issuer::{AUDIENCE, ISSUER, Issuer, SECRET, claims, hs256, token};
use florin_tests::service::{Answer, Service, send};
use reqwest::Method;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/wallet/user";

/// As such a system is configured.
async fn service(issuer: &Issuer) -> Service {
    let expected = Expected {
        issuer: Some(ISSUER.to_owned()),
        audience: Some(AUDIENCE.to_owned()),
        user_claim: "user.id".parse().unwrap(),
    };
    let settings = Settings { expected, cookie: Some("jwt".to_owned()), ..Settings::default() };
    Service::guarded(2, issuer.auth(settings).await).await
}

/// A token of the user, which allows nothing by scope.
fn of_user(issuer: &Issuer, user: &str) -> String {
    let more = json!({ "sub": "session-1", "scope": null, "user": { "id": user } });
    issuer.pair("rsa").token(&claims("", "", more))
}

async fn open(service: &Service, body: Value) {
    let company = json!({ "sub": "company" });
    let token = hs256(SECRET.as_bytes(), &claims("", "ledger:write", company));
    service.call_as(&token, Method::POST, "/wallets", body).await.expect(201);
}

async fn ask(service: &Service, token: &str) -> Answer {
    service.call_as(token, Method::GET, PATH, Value::Null).await
}

#[tokio::test]
async fn a_user_reads_their_own_wallet() {
    let issuer = Issuer::new();
    let service = service(&issuer).await;
    for body in [
        json!({ "id": "w-1", "owner": "u-1", "initialBalance": "12.50" }),
        json!({ "id": "u-2", "initialBalance": "5" }),
        json!({ "id": "u-3", "owner": "somebody else" }),
        json!({ "id": "a-wallet", "owner": "u-4" }),
        json!({ "id": "u-4", "owner": "u-4" }),
        json!({ "id": "u-5" }),
        json!({ "id": "w-5", "owner": "u-5" }),
        json!({ "id": "w-6", "owner": "eve@example.com", "currency": "JPY" }),
    ] {
        open(&service, body).await;
    }
    for (user, wallet, balance) in [
        ("u-1", "w-1", "12.50"),
        ("u-2", "u-2", "5.00"),
        ("u-4", "u-4", "0.00"),
        ("u-5", "w-5", "0.00"),
        ("eve@example.com", "w-6", "0"),
    ] {
        let answer = ask(&service, &of_user(&issuer, user)).await;
        answer.expect(200).expect_members(json!({
            "id": wallet, "userId": user, "balance": balance,
        }));
        assert_eq!(answer.body.as_object().unwrap().len(), 5, "{answer}");
        assert!(answer.text_of("createdAt") <= answer.text_of("updatedAt"));
    }
    for user in ["u-3", "u-7", "nobody@example.com"] {
        let answer = ask(&service, &of_user(&issuer, user)).await;
        answer.expect_problem(404, "wallet-not-found");
        assert_eq!(answer.body["userId"], user);
    }
    service.finish().await;
}

#[tokio::test]
async fn a_cookie_carries_the_token_here_and_nowhere_else() {
    let issuer = Issuer::new();
    let service = service(&issuer).await;
    open(&service, json!({ "id": "u-1", "owner": "u-1" })).await;
    let more = json!({ "user": { "id": "u-1" } });
    let token = issuer.pair("ed").token(&claims("", "wallet:read ledger:write", more));
    let with = async |method: Method, path: &str, cookie: &str| {
        send(service.request(method, path).header("cookie", cookie)).await
    };
    let cookie = format!("theme=dark; jwt={token}");
    let answer = with(Method::GET, PATH, &cookie).await;
    answer.expect(200).expect_members(json!({ "id": "u-1" }));
    for cookie in ["theme=dark", &format!("token={token}")] {
        with(Method::GET, PATH, cookie).await.expect_problem(401, "missing-token");
    }
    with(Method::GET, PATH, "jwt=garbage").await.expect_problem(401, "invalid-token");
    // A page of somebody else cannot make a browser move money.
    for (method, path) in [(Method::GET, "/wallets/u-1"), (Method::POST, "/wallets/u-1/freeze")] {
        with(method, path, &cookie).await.expect_problem(401, "missing-token");
    }
    service.finish().await;
}

#[tokio::test]
async fn a_token_that_names_no_user_has_no_wallet() {
    let issuer = Issuer::new();
    let service = service(&issuer).await;
    // Not in `user.id`, where this service looks.
    for token in [token("u-1", "wallet:read"), token("u-1", "ledger:read")] {
        ask(&service, &token).await.expect_problem(401, "invalid-token");
    }
    let list = async |scope: &str| {
        service.call_as(&token("u-1", scope), Method::GET, "/wallets", Value::Null).await
    };
    list("wallet:read").await.expect_problem(401, "invalid-token");
    list("ledger:read").await.expect(200);
    service.finish().await;
}

#[tokio::test]
async fn without_authentication_there_is_no_user() {
    let service = Service::start(1).await;
    service.get(PATH).await.expect_problem(401, "missing-token");
    service.finish().await;
}
