//! The typed client: what it is answered, what it is told is wrong, and what it does when answers are
//! lost on their way.

use std::ffi::OsStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use florin_adapters::auth::Settings;
use florin_client::{CallError, Florin, Key, Money, Opening, Positions, Retries};
use florin_domain::wallet::Status;
use florin_domain::{WalletId, transfer::Phase};
use florin_tests::guest::Guest;
use florin_tests::issuer::{AUDIENCE, ISSUER, Issuer, expected};
use florin_tests::service::Service;
use florin_tests::store::eventually;
use rust_decimal::Decimal;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

fn id(text: &str) -> WalletId {
    text.parse().unwrap()
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn amount(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn money(text: &str) -> Money {
    Money::of(amount(text))
}

/// Quick to try again, so that a test is.
const QUICK: Retries = Retries {
    tries: 20,
    first_wait: Duration::from_millis(1),
    longest_wait: Duration::from_millis(100),
};

#[tokio::test]
async fn every_command_and_every_query_is_answered_in_types() {
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let florin = Florin::new(&format!("{}/v1/", service.url())).unwrap();
        let (alice, bob) = (id("alice"), id("bob"));
        let opening = Opening {
            initial_balance: Some(amount("5")),
            owner: Some("user-1".parse().unwrap()),
            metadata: Some(serde_json::from_value(json!({ "n": 7 })).unwrap()),
            ..Opening::of(alice.clone())
        };
        let opened = florin.open(&opening, &key("o")).await.unwrap().value;
        assert_eq!((opened.balance, opened.version), (amount("5.00"), 2));
        let deposited = florin.deposit(&alice, &money("10"), &key("d")).await.unwrap();
        assert_eq!((deposited.value.balance, deposited.replayed), (amount("15.00"), false));
        let again = florin.deposit(&alice, &money("10"), &key("d")).await.unwrap();
        assert!(again.replayed && again.value == deposited.value, "{again:?}");
        let withdrawn = florin.withdraw(&alice, &money("1"), &key("w")).await.unwrap();
        assert_eq!(withdrawn.value.balance, amount("14.00"));
        let sent = florin.transfer(&alice, &bob, &money("4"), &key("t")).await.unwrap();
        assert_eq!(sent.value.from_balance, Some(amount("10.00")));
        let transfer = eventually("the transfer ends", async || {
            let now = florin.transfer_now(sent.value.transfer_id).await.unwrap().value;
            if now.status == Phase::Completed { Ok(now) } else { Err(now) }
        })
        .await;
        assert_eq!((transfer.to_wallet_id, transfer.to_balance), (bob.clone(), Some(amount("4"))));

        let wallet = florin.wallet(&alice, &sent.positions).await.unwrap();
        assert_eq!((wallet.value.balance, &wallet.value.status), (amount("10"), &Status::Active));
        assert_eq!(wallet.value.metadata, opening.metadata);
        let place = wallet.positions.of(wallet.value.partition);
        assert!(place >= sent.positions.of(wallet.value.partition));
        let now = florin.wallet_now(&alice).await.unwrap().value;
        assert_eq!((now.version, now.position), (wallet.value.version, wallet.value.position));
        let history = florin.history(&alice, None, &sent.positions).await.unwrap().value;
        assert_eq!((history.data.len(), &history.data[0].counterparty), (4, &Some(bob.clone())));
        let stats = florin.stats(&alice, &sent.positions).await.unwrap().value;
        assert_eq!(stats.total_transferred_out, amount("4"));
        let all = florin.wallets(None, 1, &Positions::default()).await.unwrap().value;
        assert_eq!((all.data.len(), all.next_cursor.as_deref()), (1, Some("alice")));
        let rest = florin.wallets(all.next_cursor.as_deref(), 1, &Positions::default()).await;
        assert_eq!(rest.unwrap().value.data[0].id, bob);

        let frozen = florin.freeze(&bob, Some(&"asked".parse().unwrap()), &key("f")).await;
        assert_eq!(frozen.unwrap().value.status, Status::Frozen);
        let thawed = florin.unfreeze(&bob, None, &key("u")).await.unwrap();
        assert_eq!(thawed.value.status, Status::Active);
        florin.withdraw(&bob, &money("4"), &key("e")).await.unwrap();
        let closed = florin.close(&bob, None, &key("c")).await.unwrap();
        assert_eq!(closed.value.status, Status::Closed);
        service.finish().await;
    }
}

#[tokio::test]
async fn what_is_refused_is_told_by_code_and_numbers_and_is_not_sent_again() {
    let service = Service::start(1).await;
    let florin = Florin::new(service.url()).unwrap();
    let alice = id("alice");
    florin.deposit(&alice, &money("5"), &key("d")).await.unwrap();
    let error = florin.withdraw(&alice, &money("7.25"), &key("w")).await.unwrap_err();
    assert!(error.is("insufficient-funds"));
    let CallError::Problem(problem) = error else { panic!("{error}") };
    assert_eq!((problem.status, problem.replayed), (422, false));
    assert_eq!(problem.members["available"], json!("5.00"));
    assert_eq!(problem.trace_id.map(|trace| trace.len()), Some(32));
    let again = florin.withdraw(&alice, &money("7.25"), &key("w")).await.unwrap_err();
    let CallError::Problem(again) = again else { panic!("{again}") };
    assert!(again.replayed, "under its key it was decided");
    let nobody = florin.wallet(&id("nobody"), &Positions::default()).await.unwrap_err();
    assert!(nobody.is("wallet-not-found"));
    service.finish().await;
}

/// In front of a service: the first connections are cut when the service has answered, before the
/// client hears of it.
struct Lossy {
    url: String,
    cut: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Lossy {
    async fn start(service: &Service, cuts: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let behind = service.url().strip_prefix("http://").unwrap().to_owned();
        let cut = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&cut);
        let accepting = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut service = TcpStream::connect(&behind).await.unwrap();
                if count.load(Ordering::Relaxed) < cuts {
                    let mut bytes = vec![0; 64 * 1024];
                    let read = client.read(&mut bytes).await.unwrap_or(0);
                    service.write_all(&bytes[..read]).await.unwrap();
                    // Only when there is an answer has it taken effect.
                    assert!(service.read(&mut bytes).await.unwrap() > 0);
                    count.fetch_add(1, Ordering::Relaxed);
                } else {
                    tokio::spawn(async move {
                        let _ = copy_bidirectional(&mut client, &mut service).await;
                    });
                }
            }
        });
        Self { url, cut, accepting }
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[tokio::test]
async fn a_command_whose_answers_are_lost_is_sent_again_and_takes_effect_once() {
    const CUTS: usize = 5;
    let service = Service::start(1).await;
    let lossy = Lossy::start(&service, CUTS).await;
    let florin = Florin::new(&lossy.url).unwrap().with_retries(QUICK);
    let (alice, bob) = (id("alice"), id("bob"));
    let paid = florin.deposit(&alice, &money("10"), &key("d")).await.unwrap();
    assert_eq!(lossy.cut.load(Ordering::Relaxed), CUTS);
    assert!(paid.replayed, "the answer is that of the first");
    let wallet = florin.wallet(&alice, &paid.positions).await.unwrap().value;
    assert_eq!((wallet.balance, wallet.version), (amount("10"), 2), "it was paid once");
    drop(lossy);

    let gone = Florin::new("http://127.0.0.1:1").unwrap();
    let gone = gone.with_retries(Retries { tries: 3, ..QUICK });
    let error = gone.transfer(&alice, &bob, &money("1"), &key("t")).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { tries: 3, .. }), "{error}");
    assert!(matches!(Florin::new("alice"), Err(CallError::Url(_))));
    service.finish().await;
}

#[tokio::test]
async fn who_may_not_is_told_so_and_who_may_has_a_token() {
    let issuer = Issuer::new();
    let settings = Settings { expected: expected(), ..Settings::default() };
    let service = Service::guarded(1, issuer.auth(settings).await).await;
    let token = |scope: &str| {
        let claims = json!({
            "sub": "billing", "scope": scope, "iss": ISSUER, "aud": AUDIENCE,
            "exp": chrono::Utc::now().timestamp() + 3_600,
        });
        issuer.pair("ed").token(&claims)
    };
    let florin = Florin::new(service.url()).unwrap();
    assert!(florin.heads().await.unwrap_err().is("missing-token"));
    let writes = florin.clone().with_token(&token("ledger:write"));
    writes.deposit(&id("alice"), &money("1"), &key("d")).await.unwrap();
    assert!(writes.heads().await.unwrap_err().is("insufficient-scope"));
    let reads = florin.clone().with_token(&token("ledger:read"));
    assert_eq!(reads.heads().await.unwrap().to_string(), "0-2");
    // The newest one each time.
    let newest = Arc::new(Mutex::new("expired".to_owned()));
    let tokens = Arc::clone(&newest);
    let renewed = florin.with_tokens(move || tokens.lock().unwrap().clone());
    assert!(renewed.heads().await.unwrap_err().is("invalid-token"));
    *newest.lock().unwrap() = token("ledger:read");
    assert_eq!(renewed.heads().await.unwrap().to_string(), "0-2");
    service.finish().await;
}

#[tokio::test]
async fn the_example_pays_an_order_once() {
    let (service, dir) = (Service::start(1).await, TempDir::new().unwrap());
    let florin = Florin::new(service.url()).unwrap();
    florin.deposit(&id("alice"), &money("20"), &key("d")).await.unwrap();
    let log = dir.path().join("command.log");
    for (order, said) in [
        ("1", "paid; 7.50 USD are left"),
        ("1", "paid before; 7.50 USD are left"),
        ("2", "not paid: 422 insufficient-funds"),
    ] {
        let program = OsStr::new(env!("CARGO_BIN_EXE_command"));
        let environment = [("FLORIN_URL", service.url())];
        let mut guest = Guest::start(&log, program, &[OsStr::new(order)], &environment);
        eventually("it ends", async || if guest.has_ended() { Ok(()) } else { Err(()) }).await;
        let log = guest.log();
        assert!(log.lines().last().unwrap_or_default().starts_with(said), "{log}");
    }
    service.finish().await;
}
