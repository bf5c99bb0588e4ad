//! What the program does with its settings, in processes of its own.

use std::path::Path;

use florin_tests::cluster::database;
use florin_tests::issuer::{Issuer, SECRET, hs256, seconds_from_now};
use florin_tests::process::{Florin, command, free_port, run};
use reqwest::{Client, StatusCode};
use serde_json::json;
use tempfile::TempDir;

/// A database that is not there: the settings are looked at first.
const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";

/// How `florin serve` ends with these settings, and what it says.
async fn refused(settings: &[(&str, &str)]) -> String {
    let mut serve = command(["serve", "--port", "0", "--database-url", NOWHERE]);
    let output = serve.envs(settings.iter().copied()).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{settings:?}: {said}");
    said
}

#[tokio::test]
async fn florin_serve_does_not_start_without_a_key() {
    let said = refused(&[]).await;
    assert!(said.starts_with("florin: there is no key to verify tokens with"), "{said}");
    for way_out in ["FLORIN_JWT_SECRET", "FLORIN_JWKS", "--auth=off"] {
        assert!(said.contains(way_out), "{said}");
    }
    let said = refused(&[("FLORIN_AUTH", "jwt"), ("FLORIN_JWT_ISSUER", "x")]).await;
    assert!(said.starts_with("florin: there is no key to verify tokens with"), "{said}");
}

#[tokio::test]
async fn florin_serve_does_not_start_with_a_key_that_is_none() {
    let said = refused(&[("FLORIN_JWT_SECRET", "a short hush-hush")]).await;
    assert!(said.starts_with("florin: FLORIN_JWT_SECRET is shorter than 32 bytes"), "{said}");
    assert!(!said.contains("hush"), "{said}");
    let said = refused(&[("FLORIN_JWKS", "/nowhere/jwks.json")]).await;
    assert!(said.contains("FLORIN_JWKS: the file cannot be read: "), "{said}");
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("jwks.json");
    for (text, complaint) in [
        ("<html>", "it is no JWKS"),
        (r#"{"keys":[]}"#, "none of its keys verifies tokens"),
        (r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#, "none of its keys verifies tokens"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = refused(&[("FLORIN_JWKS", file.to_str().unwrap())]).await;
        assert!(said.contains(complaint), "{said}");
    }
}

#[tokio::test]
async fn the_secret_is_not_shown_by_help_or_in_a_log() {
    let mut help = command(["serve", "--help"]);
    let output = help.env("FLORIN_JWT_SECRET", SECRET).output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("FLORIN_JWT_SECRET") && !said.contains(SECRET), "{said}");
}

/// The token that `florin token` prints.
async fn minted(arguments: &[&str]) -> String {
    let secret = ["--jwt-secret", SECRET];
    let ran = run(["token"].iter().chain(arguments).chain(&secret)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out.trim().to_owned()
}

#[tokio::test]
async fn florin_serve_takes_the_tokens_of_florin_token_and_of_an_issuer() {
    let urls = database().await;
    run(["migrate", "--database-admin-url", &urls.admin]).await;
    let (dir, port, issuer) = (TempDir::new().unwrap(), free_port(), Issuer::new());
    let jwks = dir.path().join("jwks.json");
    std::fs::write(&jwks, issuer.jwks().to_string()).unwrap();
    let settings = ["--auth", "jwt", "--jwt-secret", SECRET, "--jwks", jwks.to_str().unwrap()];
    let expected = ["--jwt-issuer", "me", "--jwt-audience", "florin"];
    let mut florin =
        Florin::serving(dir.path(), port, &urls.service, &[&settings[..], &expected].concat());
    let url = format!("http://127.0.0.1:{port}");
    florin.ready(&url).await;
    let status = async |token: Option<&str>| {
        let open = Client::new().post(format!("{url}/wallets")).json(&json!({}));
        let open = token.into_iter().fold(open, |open, token| open.bearer_auth(token));
        open.send().await.unwrap().status()
    };
    let grant = ["--sub", "alice", "--scope", "wallet:read wallet:write"];
    let own = minted(&[&grant[..], &expected].concat()).await;
    let claims = json!({
        "iss": "me", "aud": "florin", "sub": "alice", "scope": "wallet:write",
        "exp": seconds_from_now(60),
    });
    for token in [&own, &issuer.pair("rsa").token(&claims), &issuer.pair("ed").token(&claims)] {
        assert_eq!(status(Some(token)).await, StatusCode::CREATED);
    }
    let of_nobody = minted(&grant).await;
    let forged = hs256(b"another secret that is as long as the right one", &claims);
    for token in [None, Some(&*of_nobody), Some(&*forged), Some("garbage")] {
        assert_eq!(status(token).await, StatusCode::UNAUTHORIZED, "{token:?}");
    }
    florin.terminate().await;
    let log = florin.log();
    for secret in [SECRET, &own, &forged] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn florin_token_says_what_is_missing() {
    let ran = run(["token", "--sub", "alice"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("set FLORIN_JWT_SECRET"), "{ran:?}");
    let ran = run(["token", "--sub", "alice", "--jwt-secret", "hush-hush"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("shorter than 32 bytes") && !ran.err.contains("hush"), "{ran:?}");
}

/// A service that does not start.
async fn fails(dir: &Path, more: &[&str]) -> String {
    let mut florin = Florin::dev(dir, free_port(), more);
    assert_eq!(florin.ended().await.code(), Some(1), "{}", florin.log());
    florin.log()
}

#[tokio::test]
async fn florin_dev_is_open_to_this_machine_only() {
    let dir = TempDir::new().unwrap();
    let said = fails(dir.path(), &["--host", "0.0.0.0"]).await;
    let sentence = "florin: without authentication, florin dev listens on a loopback address only";
    assert!(said.contains(sentence), "{said}");
    let said = fails(dir.path(), &["--auth", "jwt"]).await;
    assert!(said.contains("florin: there is no key to verify tokens with"), "{said}");
    assert!(!dir.path().join("data/postgres").exists(), "before any work is done");
    let port = free_port();
    let mut florin = Florin::dev(dir.path(), port, &[]);
    florin.ready(&format!("http://127.0.0.1:{port}")).await;
    florin.terminate().await;
    assert!(florin.log().contains("whoever can connect may do everything"), "{}", florin.log());
}
