//! A client that does not take what is there for it.

use florin_adapters::live::Bounds;
use florin_domain::{Metadata, WalletId};
use florin_tests::ask::{deposit_with, request};
use florin_tests::service::Service;
use florin_tests::store::{DEADLINE, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A small queue.
const BOUNDS: Bounds = Bounds { wallet_queue: 64, ledger_queue: 64, ..Bounds::SERVICE };

/// How many deposits there are, of 4 KB each: more than queues and sockets hold (some 700), and few
/// beyond that, because a client that takes nothing for half a minute is cut off.
const DEPOSITS: usize = 1_200;

/// How many of them are in flight.
const AT_ONCE: usize = 16;

/// How many of them are made that the reader who keeps pace has not seen: half of what its queue
/// holds, so that it keeps pace on a busy machine, too.
const AHEAD: usize = 32;

/// Opens a stream that begins now, and reads nothing of it.
async fn unread(service: &Service, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // Else the kernel takes megabytes for a client that takes nothing.
    socket.set_recv_buffer_size(4_096).unwrap();
    let address = service.url().strip_prefix("http://").unwrap().parse().unwrap();
    let mut client = socket.connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    // There is an answer: it has begun.
    assert_eq!(client.peek(&mut [0]).await.unwrap(), 1);
    client
}

/// Deposits with as much metadata as there may be, one for each that is allowed.
async fn deposit_much(service: &Service, wallet: &WalletId, allowed: &Semaphore) {
    let note = [("note".to_owned(), "x".repeat(4_000).into())];
    let metadata = &Metadata::new(note.into_iter().collect()).unwrap();
    let lanes = (0..AT_ONCE).map(|_| async move {
        for _ in 0..DEPOSITS / AT_ONCE {
            allowed.acquire().await.unwrap().forget();
            let command = deposit_with(wallet, "1", Some(metadata.clone()));
            service.ledger().submit(request(command)).await.unwrap();
        }
    });
    futures::future::join_all(lanes).await;
}

/// Everything that comes until the stream ends.
async fn read_to_end(mut client: TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let read = timeout(DEADLINE, client.read_buf(&mut text)).await;
        assert!(read.expect("nothing comes").unwrap() > 0, "it breaks off");
        // The last chunk of a body.
        if text.ends_with(b"\r\n0\r\n\r\n") {
            return String::from_utf8(text).unwrap();
        }
    }
}

fn last_id(text: &str) -> &str {
    text.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap()
}

#[tokio::test]
async fn a_slow_reader_is_told_so_and_resumes_and_others_do_not_notice() {
    let service = Service::streaming(Store::postgres(1).await, BOUNDS).await;
    let alice: WalletId = "alice".parse().unwrap();
    service.post("/wallets", serde_json::json!({ "id": "alice" })).await.expect(201);
    let slow = unread(&service, "/wallets/alice/stream").await;
    let slow_too = unread(&service, "/events/stream").await;
    let mut fast = service.stream("/wallets/alice/stream", None).await;
    let allowed = Semaphore::new(AHEAD);
    let reading = async {
        for version in 2..=DEPOSITS as u64 + 1 {
            assert_eq!(fast.event().await.1["version"], version);
            allowed.add_permits(1);
        }
    };
    tokio::join!(reading, deposit_much(&service, &alice, &allowed));

    // Both at once: neither is to be cut off while the other is read.
    let (slow, slow_too) = tokio::join!(read_to_end(slow), read_to_end(slow_too));
    for (text, path) in [(slow, "/wallets/alice/stream"), (slow_too, "/events/stream")] {
        let end = text.split("event: end\n").nth(1).expect("a last event");
        assert!(end.contains(r#""code":"slow-reader""#), "{end}");
        let last = last_id(&text);
        let position: u64 = last.strip_prefix("0-").unwrap().parse().unwrap();
        assert!(position < DEPOSITS as u64, "it had everything: it was not slow");
        assert_eq!(text.matches("\nevent: FundsDeposited\n").count() as u64, position - 1);
        let mut resumed = service.stream(path, Some(last)).await;
        for expected in position + 1..=DEPOSITS as u64 + 1 {
            assert_eq!(resumed.event().await.1["position"], expected);
        }
    }
    service.finish().await;
}
