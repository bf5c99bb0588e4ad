//! The server: accepts connections until it is told to stop, then finishes what it has begun.
//!
//! The loop is our own because it bounds what `axum::serve` leaves open: how many connections there
//! are, and how long a client may take to say what it wants.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::observe::REQUEST_TIMEOUT;

/// What bounds a server.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// How many connections are served at once; further ones wait in the kernel's queue.
    connections: usize,
    /// How long a connection may be without the whole head of a request, idle ones included.
    head_wait: Duration,
    /// How long requests may go on after the signal.
    shutdown_wait: Duration,
}

impl Bounds {
    /// Connections: more than any pool of clients opens, few enough to hold in 200 MB. Heads: what
    /// proxies allow. Shutdown: as long as any request may take, and a moment to write its answer.
    const SERVICE: Self = Self {
        connections: 8192,
        head_wait: Duration::from_secs(60),
        shutdown_wait: REQUEST_TIMEOUT.saturating_add(Duration::from_secs(1)),
    };
}

/// How long to wait when the system has no file descriptor for another connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until `shutdown` resolves and the requests under way have their answers.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_within(Bounds::SERVICE, listener, router, shutdown).await
}

async fn serve_within(
    bounds: Bounds,
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head_wait);
    let connections = Arc::new(Semaphore::new(bounds.connections));
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, permit) = tokio::select! {
            accepted = accept(&listener, &connections) => accepted?,
            () = &mut shutdown => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // How a connection ends is its client's affair; its requests are in the log.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(bounds.shutdown_wait, graceful.shutdown()).await.is_err() {
        tracing::warn!(target: "http", "connections still open after {:?}", bounds.shutdown_wait);
    }
    Ok(())
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and whole: there is nothing to gather them with.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(target: "http", %error, "TCP_NODELAY is not set");
                }
                return Ok((stream, permit));
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

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::{Notify, oneshot};
    use tokio::task::JoinHandle;

    use super::*;

    /// A server with one slow route, what stops it, and what ends the wait of its route.
    struct Server {
        address: SocketAddr,
        running: JoinHandle<io::Result<()>>,
        stop: oneshot::Sender<()>,
        begun: Arc<Notify>,
        finish: Arc<Notify>,
    }

    const BOUNDS: Bounds = Bounds { shutdown_wait: Duration::from_secs(10), ..Bounds::SERVICE };

    async fn server(bounds: Bounds) -> Server {
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
        let router = Router::new().route("/slow", get(slow));
        let stopped = async move { stopped.await.unwrap_or_default() };
        let running = tokio::spawn(serve_within(bounds, listener, router, stopped));
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
        let cut = tokio::time::timeout(Duration::from_secs(10), client.read_to_end(&mut answer));
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
}
