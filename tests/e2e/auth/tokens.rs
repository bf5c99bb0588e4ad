//! Every kind of token at every route: none that is wrong gets in, each that is right does.

use florin_adapters::auth::Settings;
use florin_tests::issuer::{
    AUDIENCE, Issuer, Kind, Pair, SECRET, claims, expected, hs256, seconds_from_now, token,
};
use florin_tests::service::{Answer, Service, send};
use florin_tests::store::eventually;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Operation, SCOPES, operations};

/// What each operation needs: any of the scopes, or no token.
const NEEDS: &[(&str, &str)] = &[
    ("open_wallet", "wallet:write ledger:write"),
    ("list_wallets", "wallet:read ledger:read"),
    ("get_wallet", "wallet:read ledger:read"),
    ("get_history", "wallet:read ledger:read"),
    ("get_transactions", "wallet:read ledger:read"),
    ("get_stats", "wallet:read ledger:read"),
    ("deposit", "wallet:write ledger:write"),
    ("withdraw", "wallet:write ledger:write"),
    ("transfer", "wallet:write ledger:write"),
    ("transfer_between", "wallet:write ledger:write"),
    ("freeze", "ledger:write"),
    ("unfreeze", "ledger:write"),
    ("close", "wallet:write ledger:write"),
    ("get_transfer", "wallet:read ledger:read"),
    ("get_statement", "wallet:read ledger:read"),
    ("stream_wallet", "wallet:read ledger:read"),
    ("bulk", "wallet:write ledger:write"),
    ("get_key", "wallet:read ledger:read"),
    ("get_operation", "wallet:read ledger:read"),
    ("get_free_key", "wallet:read ledger:read"),
    ("list_events", "ledger:read"),
    ("stream_events", "ledger:read"),
    ("get_trial_balance", "ledger:read"),
    ("get_users_wallet", ""),
    ("list_alerts", "ops"),
    ("get_alert", "ops"),
    ("get_call", "ops"),
    ("list_calls", "ops"),
    ("acknowledge_alert", "ops"),
    ("dismiss_alert", "ops"),
    ("get_projections", "ops"),
    ("list_dead_letters", "ops"),
    ("get_dead_letter", "ops"),
    ("replay_dead_letter", "ops"),
    ("discard_dead_letter", "ops"),
];

async fn service(issuer: &Issuer) -> Service {
    let settings = Settings { expected: expected(), ..Settings::default() };
    Service::guarded(1, issuer.auth(settings).await).await
}

async fn ask(service: &Service, operation: &Operation, prefix: &str, token: &str) -> Answer {
    let path = format!("{prefix}{}", operation.path);
    service.call_as(token, operation.method.clone(), &path, json!({})).await
}

#[test]
fn every_operation_needs_what_it_should() {
    let needs = |id: &str| NEEDS.iter().find(|(of, _)| *of == id);
    for operation in operations() {
        let expected = needs(&operation.id).map(|(_, scopes)| *scopes);
        let documented = operation.scopes.map(|scopes| scopes.join(" "));
        assert_eq!(documented.as_deref(), expected, "{}", operation.id);
        let is_public =
            ["get_livez", "get_readyz", "get_document", "get_messages"].contains(&&*operation.id);
        assert_eq!(expected.is_none(), is_public, "{}", operation.id);
    }
}

/// Tokens that would allow everything, if each were not wrong in one way.
fn wrong_tokens(issuer: &Issuer) -> Vec<(&'static str, String)> {
    let with = |more: Value| claims("alice", &SCOPES.join(" "), more);
    let (good, rsa) = (with(json!({})), issuer.pair("rsa"));
    let public = rsa.public();
    let changed = {
        let parts: Vec<String> = rsa.token(&good).split('.').map(str::to_owned).collect();
        let other = rsa.token(&with(json!({ "sub": "mallory" })));
        format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2])
    };
    let unsigned = |alg: &str| {
        // {"alg":"…","kid":"rsa"} and the claims, and no signature.
        let header = match alg {
            "none" => "eyJhbGciOiJub25lIiwia2lkIjoicnNhIn0",
            _ => "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9",
        };
        format!("{header}.{}.", rsa.token(&good).split('.').nth(1).unwrap())
    };
    vec![
        ("expired", rsa.token(&with(json!({ "exp": seconds_from_now(-60) })))),
        ("without an end", rsa.token(&with(json!({ "exp": null })))),
        ("not yet valid", rsa.token(&with(json!({ "nbf": seconds_from_now(60) })))),
        ("of another issuer", rsa.token(&with(json!({ "iss": "https://evil.example.com" })))),
        ("of no issuer", rsa.token(&with(json!({ "iss": null })))),
        ("for another audience", rsa.token(&with(json!({ "aud": "another" })))),
        ("for no audience", rsa.token(&with(json!({ "aud": null })))),
        ("of another key", Pair::new("rsa", Kind::Rsa).token(&good)),
        ("of another curve's key", Pair::new("ec", Kind::Ec).token(&good)),
        ("of another secret", hs256(b"a secret that nobody here knows of", &good)),
        ("of an unknown kid", Pair::new("new", Kind::Ec).token(&good)),
        ("of a kid of another algorithm", Pair::new("rsa", Kind::Ed).token(&good)),
        ("unsigned", unsigned("none")),
        ("with its signature taken off", unsigned("RS256")),
        ("signed with the public key", hs256(public.to_string().as_bytes(), &good)),
        ("signed with the modulus", hs256(public["n"].as_str().unwrap().as_bytes(), &good)),
        ("changed", changed),
        ("of a nameless length", rsa.token(&with(json!({ "sub": "x".repeat(129) })))),
        ("too long", rsa.token(&with(json!({ "more": "x".repeat(8 * 1024) })))),
        ("garbage", "garbage".to_owned()),
        ("empty parts", "..".to_owned()),
        ("nothing", String::new()),
    ]
}

#[tokio::test]
async fn no_wrong_token_gets_in_anywhere() {
    let issuer = Issuer::new();
    let service = service(&issuer).await;
    let tokens = wrong_tokens(&issuer);
    for operation in operations().iter().filter(|operation| operation.scopes.is_some()) {
        for (what, token) in &tokens {
            let answer = ask(&service, operation, "", token).await;
            answer.expect_problem(401, "invalid-token");
            let challenge = answer.header("www-authenticate").unwrap();
            assert_eq!(challenge, r#"Bearer realm="florin", error="invalid_token""#, "{what}");
            assert!(!answer.text.contains(token.as_str()) || token.is_empty(), "{what}: {answer}");
        }
        let path = &operation.path;
        let answer = service.call(operation.method.clone(), path).await;
        answer.expect_problem(401, "missing-token");
        assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer realm="florin""#));
        let basic = service.request(operation.method.clone(), path).basic_auth("a", Some("b"));
        send(basic).await.expect_problem(401, "invalid-token");
    }
    service.finish().await;
}

#[tokio::test]
async fn every_prefix_is_guarded() {
    let issuer = Issuer::new();
    let service = service(&issuer).await;
    for operation in operations().iter().filter(|operation| operation.scopes.is_some()) {
        let mut paths = vec![format!("/v1{}", operation.path)];
        if let Some(rest) = operation.path.strip_prefix("/wallets") {
            paths.extend([format!("/wallet{rest}"), format!("/v1/wallet{rest}")]);
        }
        for path in paths {
            let answer = service.call(operation.method.clone(), &path).await;
            answer.expect_problem(401, "missing-token");
        }
    }
    for path in ["/wallets/transfer", "/wallet/transfer", "/v1/wallets/transfer"] {
        for method in [Method::GET, Method::HEAD, Method::POST] {
            assert_eq!(service.call(method, path).await.status, 401, "{path}");
        }
    }
    assert_eq!(service.call(Method::HEAD, "/wallets").await.status, 401);
    service.finish().await;
}

#[tokio::test]
async fn what_is_nobodys_needs_no_token() {
    let issuer = Issuer::new();
    let service = service(&issuer).await;
    for path in ["/livez", "/readyz", "/openapi.json", "/asyncapi.json", "/v1/livez"] {
        assert_ne!(service.get(path).await.status, 401, "{path}");
        // Nor is one looked at.
        let answer = service.call_as("garbage", Method::GET, path, Value::Null).await;
        assert_ne!(answer.status, 401, "{path}");
    }
    assert!(service.page("/docs/").await.contains("swagger-ui"));
    service.get("/nowhere").await.expect_problem(404, "not-found");
    service.call(Method::DELETE, "/wallets").await.expect_problem(405, "method-not-allowed");
    service.finish().await;
}

#[tokio::test]
async fn each_scope_gets_in_where_it_should_and_nowhere_else() {
    let issuer = Issuer::new();
    let service = service(&issuer).await;
    for operation in operations() {
        let Some(scopes) = operation.scopes.as_ref().filter(|scopes| !scopes.is_empty()) else {
            continue;
        };
        for scope in SCOPES {
            let answer = ask(&service, &operation, "", &token("alice", scope)).await;
            let id = &operation.id;
            if scopes.iter().any(|one| one == scope) {
                assert!(![401, 403].contains(&answer.status), "{id} with {scope}: {answer}");
                continue;
            }
            answer.expect_problem(403, "insufficient-scope");
            assert_eq!(answer.body["scopes"], json!(scopes), "{id} with {scope}");
            let challenge = answer.header("www-authenticate").unwrap();
            let least = format!(r#"error="insufficient_scope", scope="{}""#, scopes[0]);
            assert!(challenge.ends_with(&least), "{challenge}");
        }
        // All the others together do not let in either.
        let others = SCOPES.into_iter().filter(|scope| !scopes.iter().any(|one| one == scope));
        let others = others.collect::<Vec<_>>().join(" ");
        let answer = ask(&service, &operation, "", &token("alice", &others)).await;
        answer.expect_problem(403, "insufficient-scope");
    }
    service.finish().await;
}

#[tokio::test]
async fn a_token_of_every_kind_of_key_gets_in_everywhere() {
    let issuer = Issuer::new();
    let service = service(&issuer).await;
    let all = claims("alice", &SCOPES.join(" "), json!({}));
    let in_a_list = claims("alice", "", json!({ "scp": SCOPES, "aud": AUDIENCE, "nbf": 0 }));
    let tokens = [
        hs256(SECRET.as_bytes(), &all),
        issuer.pair("rsa").token(&all),
        issuer.pair("ec").token(&all),
        issuer.pair("ed").token(&all),
        issuer.pair("ed").token(&in_a_list),
    ];
    for token in &tokens {
        for operation in operations() {
            for prefix in ["", "/v1"] {
                let answer = ask(&service, &operation, prefix, token).await;
                let id = &operation.id;
                assert!(![401, 403].contains(&answer.status), "{id}: {answer}");
            }
        }
    }
    service.finish().await;
}

#[tokio::test]
async fn a_token_that_was_taken_once_is_not_taken_when_it_has_expired() {
    let issuer = Issuer::new();
    let service = service(&issuer).await;
    // The leeway is over in five seconds.
    let short = claims("alice", "ledger:read", json!({ "exp": seconds_from_now(-25) }));
    let token = issuer.pair("ec").token(&short);
    service.call_as(&token, Method::GET, "/wallets", Value::Null).await.expect(200);
    eventually("the token has expired", async || {
        let answer = service.call_as(&token, Method::GET, "/wallets", Value::Null).await;
        match answer.status {
            401 => Ok(()),
            status => Err(status.to_string()),
        }
    })
    .await;
    service.finish().await;
}
