//! The server: accepts connections until it is told to stop, then finishes what it has begun.
//!
//! The loop is our own because it bounds what `axum::serve` leaves open: how many connections there
//! are, how long a client may take to say what it wants, and how long to take what it is told.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tower::util::MapRequest;

use super::client_address::ClientAddress;
use super::edge::Edge;
use super::observe::REQUEST_TIMEOUT;
use super::tls::{RELOAD, Tls};
use super::{Api, router};

/// What bounds a server.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// How many connections are served at once; further ones wait in the kernel's queue.
    connections: usize,
    /// How long a connection may be without the whole head of a request, idle ones included.
    head_wait: Duration,
    /// How large a head may be, and how much of an answer waits for its client.
    buffer: usize,
    /// How long a client may take nothing of what is there for it.
    write_wait: Duration,
    /// How long a client may take to agree on keys.
    handshake_wait: Duration,
    /// How long requests may go on after the signal.
    shutdown_wait: Duration,
}

impl Bounds {
    /// Connections: more than any pool of clients opens, few enough to hold in 200 MB. Heads: the
    /// time that proxies allow, and the largest that they pass on; as much for each stream whose
    /// client takes nothing. Writes: longer than a phone is in a tunnel. Handshakes: two round
    /// trips, with packets lost. Shutdown: as long as any request may take, and a moment to write its
    /// answer.
    const SERVICE: Self = Self {
        connections: 8192,
        head_wait: Duration::from_secs(60),
        buffer: 32 * 1024,
        write_wait: Duration::from_secs(30),
        handshake_wait: Duration::from_secs(10),
        shutdown_wait: REQUEST_TIMEOUT.saturating_add(Duration::from_secs(1)),
    };
}

impl Bounds {
    /// Of an operator port: some scrapers and probes, whose requests may be cut off.
    const OPERATORS: Self =
        Self { connections: 64, shutdown_wait: Duration::ZERO, ..Self::SERVICE };

    /// Of what answers until there is more to be said: nobody waits for it for long.
    const PASSING: Self = Self { shutdown_wait: Duration::from_secs(1), ..Self::SERVICE };
}

/// How long to wait when the system has no file descriptor for another connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until `shutdown` resolves, the streams are told so, and the requests under way have their
/// answers.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    edge: Edge,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (router, live) = (router(api.clone(), &edge), api.live.clone());
    let shutdown = async move {
        shutdown.await;
        live.stop();
    };
    let mut following = JoinSet::new();
    if let Some(tls) = edge.tls.clone() {
        following.spawn(tls.follow(RELOAD));
    }
    serve_within(Bounds::SERVICE, listener, router, edge, shutdown).await
}

/// Serves the same listener by other routes while something is under way, and lets it go then.
///
/// # Errors
/// Those of the listener.
pub(super) async fn serve_while<T>(
    listener: &TcpListener,
    router: Router,
    edge: &Edge,
    under_way: impl Future<Output = T>,
) -> io::Result<T> {
    let (done, connections) =
        accept_while(Bounds::PASSING, listener, router, edge, under_way).await?;
    finish(Bounds::PASSING, connections).await;
    Ok(done)
}

/// Serves an operator port, until it is dropped.
///
/// # Errors
/// Those of the listener.
pub(super) async fn serve_operators(listener: TcpListener, router: Router) -> io::Result<()> {
    let for_ever = std::future::pending();
    serve_within(Bounds::OPERATORS, listener, router, Edge::default(), for_ever).await
}

async fn serve_within(
    bounds: Bounds,
    listener: TcpListener,
    router: Router,
    edge: Edge,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let ((), connections) = accept_while(bounds, &listener, router, &edge, shutdown).await?;
    drop(listener);
    finish(bounds, connections).await;
    Ok(())
}

/// Accepts connections while something is under way, and answers them; what has become of it, and the
/// connections that are open still.
async fn accept_while<T>(
    bounds: Bounds,
    listener: &TcpListener,
    router: Router,
    Edge { tls, trusted_hops, .. }: &Edge,
    under_way: impl Future<Output = T>,
) -> io::Result<(T, GracefulShutdown)> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head_wait);
    http.max_buf_size(bounds.buffer);
    let room = Arc::new(Semaphore::new(bounds.connections));
    let connections = GracefulShutdown::new();
    let mut under_way = std::pin::pin!(under_way);
    loop {
        let (stream, peer, permit) = tokio::select! {
            accepted = accept(listener, &room) => accepted?,
            done = &mut under_way => return Ok((done, connections)),
        };
        let mut stream = Box::pin(TimeoutStream::new(stream));
        stream.as_mut().set_write_timeout_pinned(Some(bounds.write_wait));
        let client = Client { peer, trusted_hops: *trusted_hops };
        let (http, router, watcher) = (http.clone(), router.clone(), connections.watcher());
        let acceptor = tls.as_ref().map(Tls::acceptor);
        tokio::spawn(async move {
            match acceptor {
                None => answer(&http, router, client, watcher, stream).await,
                Some(acceptor) => {
                    let handshake = timeout(bounds.handshake_wait, acceptor.accept(stream)).await;
                    match handshake.map_err(io::Error::from).flatten() {
                        Ok(stream) => answer(&http, router, client, watcher, stream).await,
                        Err(error) => tracing::debug!(target: "http", %error, "no handshake"),
                    }
                }
            }
            drop(permit);
        });
    }
}

/// Lets what is under way have its answer, for a bounded time.
async fn finish(bounds: Bounds, connections: GracefulShutdown) {
    if timeout(bounds.shutdown_wait, connections.shutdown()).await.is_err() {
        tracing::warn!(target: "http", "connections still open after {:?}", bounds.shutdown_wait);
    }
}

/// Answers what comes over a connection, until it ends.
async fn answer(
    http: &http1::Builder,
    router: Router,
    client: Client,
    watcher: Watcher,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let routes = MapRequest::new(router, move |request| client.sends(request));
    let service = TowerToHyperService::new(routes);
    // How a connection ends is its client's affair; its requests are in the log.
    let _ = watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await;
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
struct Client {
    peer: IpAddr,
    trusted_hops: usize,
}

impl Client {
    /// A request with the address that it comes from.
    fn sends(self, mut request: Request<Incoming>) -> Request<Incoming> {
        let address = ClientAddress::of(self.peer, self.trusted_hops, request.headers());
        request.extensions_mut().insert(address);
        request
    }
}

/// The next connection and where it comes from, once there is room for it.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and whole: there is nothing to gather them with.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(target: "http", %error, "TCP_NODELAY is not set");
                }
                return Ok((stream, peer.ip(), permit));
            }
            Err(error) => {
                tracing::warn!(target: "http", %error, "a connection is not accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::Extension;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::{Notify, oneshot};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::http::observe::{Observe, Panics};
    use crate::http::tls::testing::certificate;

    /// A server with one slow route, what stops it, and what ends the wait of its route.
    struct Server {
        address: SocketAddr,
        running: JoinHandle<io::Result<()>>,
        stop: oneshot::Sender<()>,
        begun: Arc<Notify>,
        finish: Arc<Notify>,
    }

    /// How long a request may take here.
    const REQUEST: Duration = Duration::from_secs(1);

    /// How long something may take that must happen.
    const SOON: Duration = Duration::from_secs(20);

    const BOUNDS: Bounds = Bounds { shutdown_wait: Duration::from_secs(10), ..Bounds::SERVICE };

    async fn server(bounds: Bounds) -> Server {
        server_with(bounds, Edge::default()).await
    }

    async fn server_with(bounds: Bounds, edge: Edge) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begins, finishes) = (begun.clone(), finish.clone());
        let slow = async move || {
            begins.notify_one();
            finishes.notified().await;
            "done"
        };
        // More than sockets and buffers hold.
        let long = async || vec![b'x'; 64 * 1024 * 1024];
        let echo = async |body: String| body;
        let whence = async |Extension(address): Extension<ClientAddress>| address.0.to_string();
        let router = Router::new()
            .route("/slow", get(slow))
            .route("/long", get(long))
            .route("/echo", post(echo))
            .route("/whence", get(whence))
            .layer(Observe {
                timeout: REQUEST,
                panics: Panics::default(),
                recorder: None,
                is_tls: false,
            });
        let stopped = async move { stopped.await.unwrap_or_default() };
        let running = tokio::spawn(serve_within(bounds, listener, router, edge, stopped));
        Server { address, running, stop, begun, finish }
    }

    #[tokio::test]
    async fn a_request_under_way_has_its_answer_before_the_server_ends() {
        let server = server(BOUNDS).await;
        let answer = tokio::spawn(reqwest::get(format!("http://{}/slow", server.address)));
        server.begun.notified().await;
        server.stop.send(()).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        server.finish.notify_one();
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.text().await.unwrap(), "done");
        server.running.await.unwrap().unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    #[tokio::test]
    async fn a_client_that_never_ends_does_not_hold_up_the_end() {
        let server = server(Bounds { shutdown_wait: Duration::from_millis(20), ..BOUNDS }).await;
        let mut client = TcpStream::connect(server.address).await.unwrap();
        client.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        server.begun.notified().await;
        server.stop.send(()).unwrap();
        server.running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_does_not_say_what_it_wants_is_cut_off() {
        let server = server(Bounds { head_wait: Duration::from_millis(20), ..BOUNDS }).await;
        let mut client = TcpStream::connect(server.address).await.unwrap();
        client.write_all(b"GET /slow HTTP/1.1\r\nhost:").await.unwrap();
        let mut answer = Vec::new();
        let cut = timeout(Duration::from_secs(10), client.read_to_end(&mut answer));
        cut.await.unwrap().unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_connection_beyond_the_bound_waits_for_another_to_end() {
        let server = server(Bounds { connections: 1, ..BOUNDS }).await;
        let first = TcpStream::connect(server.address).await.unwrap();
        let second = tokio::spawn(reqwest::get(format!("http://{}/other", server.address)));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!second.is_finished());
        drop(first);
        assert_eq!(second.await.unwrap().unwrap().status(), 404);
    }

    /// All that a client is told before it is cut off.
    async fn to_end(client: &mut TcpStream) -> String {
        let mut text = Vec::new();
        // How it is cut off does not matter.
        let _ = timeout(SOON, client.read_to_end(&mut text)).await.expect("it is cut off");
        String::from_utf8_lossy(&text).into_owned()
    }

    #[tokio::test]
    async fn a_handler_that_hangs_is_given_up() {
        let server = server(BOUNDS).await;
        let answer = reqwest::get(format!("http://{}/slow", server.address)).await.unwrap();
        assert_eq!(answer.status(), 503);
    }

    #[tokio::test]
    async fn a_body_that_trickles_is_given_up() {
        let server = server(BOUNDS).await;
        let mut client = TcpStream::connect(server.address).await.unwrap();
        let head = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n";
        client.write_all(head).await.unwrap();
        let (mut answer, mut body) = client.split();
        let trickling = async {
            while body.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut text = Vec::new();
        tokio::select! {
            () = trickling => {}
            read = timeout(SOON, answer.read_to_end(&mut text)) => drop(read.expect("given up")),
        }
        assert!(text.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&text));
    }

    #[tokio::test]
    async fn a_head_that_has_no_end_is_refused() {
        let server = server(BOUNDS).await;
        let mut client = TcpStream::connect(server.address).await.unwrap();
        client.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\nx: ").await.unwrap();
        client.write_all(&vec![b'x'; BOUNDS.buffer]).await.unwrap();
        assert!(to_end(&mut client).await.starts_with("HTTP/1.1 431"));
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_makes_room_for_another() {
        let write_wait = Duration::from_millis(50);
        let server = server(Bounds { connections: 1, write_wait, ..BOUNDS }).await;
        let mut deaf = TcpStream::connect(server.address).await.unwrap();
        deaf.write_all(b"GET /long HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let other = reqwest::get(format!("http://{}/other", server.address));
        assert_eq!(timeout(SOON, other).await.unwrap().unwrap().status(), 404);
    }

    #[tokio::test]
    async fn every_request_has_the_address_that_it_comes_from() {
        let client = reqwest::Client::new();
        for (trusted_hops, expected) in
            [(0, "127.0.0.1"), (1, "192.0.2.2"), (2, "192.0.2.1"), (4, "127.0.0.1")]
        {
            let server = server_with(BOUNDS, Edge { trusted_hops, ..Edge::default() }).await;
            // Over one connection, on which only the headers differ.
            for (lines, expected) in
                [(&["192.0.2.9, 192.0.2.1", "192.0.2.2"][..], expected), (&[], "127.0.0.1")]
            {
                let request = client.get(format!("http://{}/whence", server.address));
                let add = |request: reqwest::RequestBuilder, line: &&str| {
                    request.header("x-forwarded-for", *line)
                };
                let answer = lines.iter().fold(request, add).send().await.unwrap();
                let found = answer.text().await.unwrap();
                assert_eq!(found, expected, "{trusted_hops} {lines:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_handshake_that_has_no_end_makes_room_for_another() {
        let dir = tempfile::TempDir::new().unwrap();
        let handshake_wait = Duration::from_millis(50);
        let bounds = Bounds { connections: 1, handshake_wait, ..BOUNDS };
        let tls = Some(certificate(&dir, "localhost"));
        let server = server_with(bounds, Edge { tls, ..Edge::default() }).await;
        for _ in 0..2 {
            let mut client = TcpStream::connect(server.address).await.unwrap();
            client.write_all(b"\x16\x03\x01").await.unwrap();
            assert_eq!(to_end(&mut client).await, "");
        }
        // Nor does a client that speaks no TLS at all hold it up.
        let mut plain = TcpStream::connect(server.address).await.unwrap();
        plain.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert!(!to_end(&mut plain).await.starts_with("HTTP"));
    }
}
