//! How much a caller may ask for, who that is, and what it is told.

use std::time::{Duration, Instant};

use florin_adapters::auth::Auth;
use florin_adapters::http::{Edge, Limits, Rate};
use florin_tests::cluster::database;
use florin_tests::issuer::{Issuer, claims};
use florin_tests::process::{Florin, free_port, run};
use florin_tests::service::{Answer, Service, send};
use futures::StreamExt;
use futures::stream;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How many requests are under way at once in a flood.
const AT_ONCE: usize = 16;

/// The fields of a limited answer.
const FIELDS: [&str; 2] = ["ratelimit-policy", "ratelimit"];

fn rate(per_second: u32, burst: u32) -> Rate {
    let [per_second, burst] = [per_second, burst].map(|n| n.try_into().unwrap());
    Rate { per_second, burst }
}

fn edge(reads: Rate, writes: Rate) -> Edge {
    Edge { limits: Some(Limits::new(reads, writes)), ..Edge::default() }
}

/// A service that knows its callers, and a token of each.
async fn known<const N: usize>(edge: Edge, names: [&str; N]) -> (Service, [String; N]) {
    let issuer = Issuer::new();
    let service = Service::guarded_at_edge(issuer.auth(Default::default()).await, edge).await;
    let token = |name| {
        issuer.pair("ed").token(&claims(name, "ledger:read ledger:write wallet:read", json!({})))
    };
    (service, names.map(token))
}

async fn read_as(service: &Service, token: &str) -> Answer {
    service.call_as(token, Method::GET, "/wallets/nobody", Value::Null).await
}

/// How many are served until one is not, and that one.
async fn until_refused(mut ask: impl AsyncFnMut() -> Answer) -> (usize, Answer) {
    // Each of these tests has budgets of a hundredth of that.
    for served in 0..1_000 {
        let answer = ask().await;
        if answer.status == 429 {
            return (served, answer);
        }
    }
    panic!("nothing is refused");
}

/// What is left, as an answer says.
#[track_caller]
fn left(answer: &Answer) -> u32 {
    let field = answer.header("ratelimit").unwrap();
    let (_, left) = field.split_once(";r=").unwrap();
    left.split_once(";t=").unwrap().0.parse().unwrap()
}

#[track_caller]
fn expect_refused(answer: &Answer, budget: &str) {
    answer.expect_problem(429, "rate-limited").expect_members(json!({ "budget": budget }));
    let wait = answer.seconds_to_wait();
    let field = format!(r#""{budget}";r=0;t={wait}"#);
    assert_eq!(answer.header("ratelimit"), Some(&*field), "{answer}");
    let policy = answer.header("ratelimit-policy").unwrap();
    assert!(policy.starts_with(&format!(r#""{budget}";q="#)), "{policy}");
}

#[tokio::test]
async fn a_caller_who_floods_is_told_to_wait_and_another_one_is_served() {
    let (per_second, burst) = (20, 100);
    let limits = edge(rate(per_second, burst), rate(1_000, 1_000));
    let (service, [mallory, alice]) = known(limits, ["mallory", "alice"]).await;
    let begun = Instant::now();
    let flood = stream::iter(0..10 * burst).map(|_| read_as(&service, &mallory));
    let flood = flood.buffer_unordered(AT_ONCE).collect::<Vec<Answer>>();
    let meanwhile = async {
        let mut answers = Vec::new();
        for _ in 0..burst {
            answers.push(read_as(&service, &alice).await);
        }
        answers
    };
    let (flood, meanwhile) = tokio::join!(flood, meanwhile);
    let seconds = u32::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    let policy = format!(r#""reads";q={per_second};w=1;florin-burst={burst}"#);
    for answer in &meanwhile {
        answer.expect_problem(404, "wallet-not-found");
        assert_eq!(answer.header("ratelimit-policy"), Some(&*policy));
        assert!(left(answer) < burst);
    }
    let (served, refused): (Vec<_>, Vec<_>) = flood.iter().partition(|answer| answer.status == 404);
    refused.iter().for_each(|answer| expect_refused(answer, "reads"));
    let served = u32::try_from(served.len()).unwrap();
    let most = burst + per_second * seconds;
    assert!((burst..=most).contains(&served), "{served} served, {burst} to {most} expected");
    service.finish().await;
}

#[tokio::test]
async fn who_waits_as_long_as_told_is_served_again() {
    let (service, [alice]) = known(edge(rate(1, 3), rate(1, 3)), ["alice"]).await;
    let (served, refused) = until_refused(async || read_as(&service, &alice).await).await;
    assert!(served >= 3, "{served}");
    expect_refused(&refused, "reads");
    tokio::time::sleep(Duration::from_secs(refused.seconds_to_wait())).await;
    read_as(&service, &alice).await.expect(404);
    service.finish().await;
}

#[tokio::test]
async fn reads_and_writes_have_budgets_of_their_own() {
    let (service, [alice]) = known(edge(rate(1, 5), rate(1, 3)), ["alice"]).await;
    let write = async || {
        let body = json!({ "amount": 1 });
        service.call_as(&alice, Method::POST, "/wallets/a/deposit", body).await
    };
    let first = write().await;
    first.expect(201);
    assert_eq!(first.header("ratelimit-policy"), Some(r#""writes";q=1;w=1;florin-burst=3"#));
    let (_, refused) = until_refused(write).await;
    expect_refused(&refused, "writes");
    let (served, refused) = until_refused(async || read_as(&service, &alice).await).await;
    assert!(served >= 5, "{served}");
    expect_refused(&refused, "reads");
    service.finish().await;
}

#[tokio::test]
async fn a_bulk_is_as_many_writes_as_it_has_commands_whatever_the_burst_is() {
    let (service, [alice]) = known(edge(rate(1, 5), rate(10, 20)), ["alice"]).await;
    let deposit = json!({ "type": "deposit", "walletId": "a", "amount": 1 });
    let bulk = async |commands: usize| {
        let body = json!({ "commands": vec![&deposit; commands] });
        service.call_as(&alice, Method::POST, "/bulk", body).await
    };
    let small = bulk(8).await;
    small.expect(200);
    // What time has added meanwhile is there as well.
    assert!((12..20).contains(&left(&small)), "{small}");
    let large = bulk(100).await;
    large.expect(200).expect_members(json!({ "succeeded": 100 }));
    assert_eq!(left(&large), 0);
    let refused = bulk(1).await;
    expect_refused(&refused, "writes");
    // 88 beyond the burst, ten a second.
    assert!(refused.seconds_to_wait() <= 9, "{refused}");
    let wallet = service.call_as(&alice, Method::GET, "/wallets/a?consistency=strong", json!({}));
    wallet.await.expect_members(json!({ "balance": "108.00" }));
    service.finish().await;
}

#[tokio::test]
async fn a_stream_is_one_read_whatever_it_brings() {
    let service = Service::guarded_at_edge(Auth::Off, edge(rate(1, 20), rate(1_000, 1_000))).await;
    service.post("/wallets/a/deposit", json!({ "amount": 1 })).await.expect(201);
    let before = left(&service.get("/wallets/a").await);
    let mut events = service.stream("/wallets/a/stream", Some("0-0")).await;
    for _ in 0..8 {
        service.post("/wallets/a/deposit", json!({ "amount": 1 })).await.expect(201);
        events.event().await;
    }
    let after = left(&service.get("/wallets/a").await);
    assert!(after + 2 >= before, "{before} before, {after} after a stream and a read");
    drop(events);
    service.finish().await;
}

/// Reads as a client behind a proxy.
async fn read_from(service: &Service, path: &str, forwarded: &str, token: &str) -> Answer {
    let request = service.request(Method::GET, path).header("x-forwarded-for", forwarded);
    send(if token.is_empty() { request } else { request.bearer_auth(token) }).await
}

#[tokio::test]
async fn behind_a_proxy_the_client_is_whom_the_proxy_saw_and_not_whom_it_says_it_is() {
    let edge = Edge { trusted_hops: 1, ..edge(rate(1, 5), rate(1, 5)) };
    let service = Service::guarded_at_edge(Auth::Off, edge).await;
    let ask =
        async |forwarded: String| read_from(&service, "/wallets/nobody", &forwarded, "").await;
    // Each time it says that it is somebody else.
    let mut claims = (0..).map(|n| format!("198.51.100.{n}, 192.0.2.1"));
    let (served, refused) = until_refused(async || ask(claims.next().unwrap()).await).await;
    assert!(served >= 5, "{served}");
    expect_refused(&refused, "reads");
    // Those whom it named, and other ones, have all that is theirs.
    for other in ["198.51.100.0", "198.51.100.1", "192.0.2.2", "192.0.2.1, 192.0.2.3"] {
        assert_eq!(left(&ask(other.to_owned()).await), 4, "{other}");
    }
    service.finish().await;
}

#[tokio::test]
async fn without_a_trusted_proxy_nobody_is_somebody_else() {
    let service = Service::guarded_at_edge(Auth::Off, edge(rate(1, 5), rate(1, 5))).await;
    let mut claims = (0..).map(|n| format!("198.51.100.{n}"));
    let ask = async || read_from(&service, "/wallets/nobody", &claims.next().unwrap(), "").await;
    let (served, refused) = until_refused(ask).await;
    assert!(served >= 5, "{served}");
    expect_refused(&refused, "reads");
    service.finish().await;
}

#[tokio::test]
async fn guesses_are_charged_to_their_address_and_no_subject_pays_for_them() {
    let edge = Edge { trusted_hops: 1, ..edge(rate(1, 5), rate(1, 5)) };
    let (service, [alice]) = known(edge, ["alice"]).await;
    let path = "/wallets/nobody";
    let mut guesses = ["", "a.b.c", "no-token", &alice[1..]].into_iter().cycle();
    let guess = async || {
        let answer = read_from(&service, path, "192.0.2.1", guesses.next().unwrap()).await;
        assert!(matches!(answer.status, 401 | 429), "{answer}");
        FIELDS.iter().for_each(|field| assert!(answer.header(field).is_some(), "{field}"));
        answer
    };
    let (served, refused) = until_refused(guess).await;
    assert!(served >= 5, "{served}");
    expect_refused(&refused, "reads");
    assert!(refused.text_of("detail").contains("this address"), "{refused}");
    let own = read_from(&service, path, "192.0.2.1", &alice).await;
    assert_eq!((own.status, left(&own)), (404, 4));
    read_from(&service, path, "192.0.2.2", "").await.expect_problem(401, "missing-token");
    service.finish().await;
}

#[tokio::test]
async fn what_is_no_route_is_charged_to_the_address_and_probes_and_the_document_are_free() {
    let service = Service::guarded_at_edge(Auth::Off, edge(rate(1, 5), rate(1, 5))).await;
    let status = async |method: Method, path: &str| {
        let response = service.request(method, path).send().await.unwrap();
        let is_told = FIELDS.map(|field| response.headers().contains_key(field));
        (response.status().as_u16(), is_told)
    };
    for (method, path, usual) in [(Method::GET, "/nowhere", 404), (Method::POST, "/docs", 405)] {
        let mut found = Vec::new();
        while !found.contains(&(429, [true; 2])) {
            assert!(found.len() < 1_000, "{method} {path} is not limited");
            found.push(status(method.clone(), path).await);
        }
        assert_eq!(found[0], (usual, [true; 2]), "{method} {path}");
    }
    for path in ["/livez", "/readyz", "/openapi.json", "/docs/", "/v1/livez"] {
        for _ in 0..20 {
            // It may not be ready yet.
            let (found, is_told) = status(Method::GET, path).await;
            assert!(matches!(found, 200 | 503) && is_told == [false; 2], "{path}: {found}");
        }
    }
    service.finish().await;
}

#[tokio::test]
async fn without_limits_nothing_is_told_of_them() {
    let service = Service::start(1).await;
    for answer in [service.get("/wallets/nobody").await, service.post("/wallets", json!({})).await]
    {
        for field in FIELDS {
            assert_eq!(answer.header(field), None, "{answer}");
        }
    }
    service.finish().await;
}

/// The statuses of so many reads, and whether any answer told of limits.
async fn statuses(url: &str, count: usize) -> (Vec<u16>, bool) {
    let client = Client::new();
    let (mut statuses, mut is_told) = (Vec::new(), false);
    for _ in 0..count {
        let answer = client.get(format!("{url}/wallets/nobody")).send().await.unwrap();
        statuses.push(answer.status().as_u16());
        is_told |= FIELDS.iter().any(|field| answer.headers().contains_key(*field));
    }
    (statuses, is_told)
}

#[tokio::test]
async fn florin_serve_limits_unless_it_is_told_not_to_and_florin_dev_does_not() {
    let urls = database().await;
    run(["migrate", "--database-admin-url", &urls.admin]).await;
    let dir = TempDir::new().unwrap();
    let few = ["--reads-per-second", "1", "--reads-burst", "2"];
    let [limited, unlimited, dev] = [(); 3].map(|()| free_port());
    let serve = [&["--auth", "off"], &few[..]].concat();
    let off = [&serve[..], &["--rate-limit", "off"]].concat();
    for (mut florin, port, is_limited) in [
        (Florin::limited(dir.path(), limited, &urls.service, &serve), limited, true),
        (Florin::limited(dir.path(), unlimited, &urls.service, &off), unlimited, false),
        (Florin::dev(dir.path(), dev, &few), dev, false),
    ] {
        let url = format!("http://127.0.0.1:{port}");
        florin.ready(&url).await;
        let (statuses, is_told) = statuses(&url, 50).await;
        assert_eq!(statuses[..2], [404; 2]);
        assert_eq!((statuses.contains(&429), is_told), (is_limited, is_limited), "{statuses:?}");
        florin.terminate().await;
    }
}

#[tokio::test]
async fn limits_that_are_none_are_refused_with_what_would_be_right() {
    for (argument, complaint) in [
        ("--reads-per-second=0", "a number from 1 to 1000000"),
        ("--writes-per-second=2000000", "a number from 1 to 1000000"),
        ("--writes-burst=many", "a number from 1 to 1000000"),
        ("--rate-limit=maybe", "possible values: on, off"),
        ("--trusted-hops=17", "17 is not in 0..=16"),
    ] {
        let ran =
            run(["serve", "--auth=off", "--database-url=postgres://a@127.0.0.1:1/b", argument]);
        let ran = ran.await;
        assert_eq!(ran.code, Some(2), "{argument}: {ran:?}");
        assert!(ran.err.contains(complaint), "{argument}: {}", ran.err);
    }
}
