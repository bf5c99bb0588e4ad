//! The server: accepts until it is told to stop, then finishes what it has begun.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::observe::REQUEST_TIMEOUT;

/// How long requests may go on after the signal: as long as any request may take, and a moment to
/// write its answer. Clients that keep a connection open longer are cut off.
const SHUTDOWN_WAIT: Duration = REQUEST_TIMEOUT.saturating_add(Duration::from_secs(1));

/// Serves until `shutdown` resolves and the requests under way have their answers.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_within(SHUTDOWN_WAIT, listener, router, shutdown).await
}

async fn serve_within(
    wait: Duration,
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = listener.tap_io(|connection| {
        // Answers are small and whole: there is nothing to gather them with.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(target: "http", %error, "TCP_NODELAY is not set");
        }
    });
    let (begin, begun) = oneshot::channel();
    let signal = async move {
        shutdown.await;
        // Nobody listens when the server has ended by itself.
        let _ = begin.send(());
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(signal);
    let deadline = async {
        if begun.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(wait).await;
    };
    tokio::select! {
        ended = server.into_future() => ended,
        () = deadline => {
            tracing::warn!(target: "http", "connections still open after {wait:?}");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;
    use tokio::sync::Notify;
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

    async fn server(wait: Duration) -> Server {
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
        let running = tokio::spawn(serve_within(wait, listener, router, stopped));
        Server { address, running, stop, begun, finish }
    }

    #[tokio::test]
    async fn a_request_under_way_has_its_answer_before_the_server_ends() {
        let server = server(Duration::from_secs(10)).await;
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
        let server = server(Duration::from_millis(20)).await;
        let mut client = TcpStream::connect(server.address).await.unwrap();
        client.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        server.begun.notified().await;
        server.stop.send(()).unwrap();
        server.running.await.unwrap().unwrap();
    }
}
