//! How the connection to NATS is made. Commands do not need it: a server that is away is connected to
//! when it comes back.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectError, ConnectOptions, ServerAddr};
use thiserror::Error;
use tokio::time::timeout;

/// How long one attempt to connect takes at most.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// The longest wait between two attempts: how late a server that came back is noticed at most.
const RECONNECT_WAIT: Duration = Duration::from_secs(1);

/// How often a silent connection is pinged. The third ping without an answer ends it.
const PING_EVERY: Duration = Duration::from_secs(5);

/// How long a client that was made just now is given to connect before its server counts as away.
const FIRST_CONNECT_WAIT: Duration = Duration::from_secs(1);

/// Why there is no client.
#[derive(Debug, Error)]
pub enum NatsError {
    /// The URL is malformed.
    #[error("NATS_URL is not a URL such as nats://user:password@host:4222: {0}")]
    Url(#[source] std::io::Error),
    /// The client cannot be set up.
    #[error("the NATS client cannot be set up: {0}")]
    Connect(#[from] ConnectError),
}

/// A client that connects by itself now and whenever the connection breaks; none without a URL.
///
/// # Errors
/// [`NatsError`], by name. A server that is away is none.
pub async fn connect(url: Option<&str>) -> Result<Option<Client>, NatsError> {
    let Some(url) = url else { return Ok(None) };
    let address: ServerAddr = url.parse().map_err(NatsError::Url)?;
    // The client does not take them from the URL by itself.
    let options = match (address.username(), address.password()) {
        (Some(user), Some(password)) => {
            ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
        }
        (Some(token), None) => ConnectOptions::with_token(token.to_owned()),
        (None, _) => ConnectOptions::new(),
    };
    let options = options
        .name("florin")
        .connection_timeout(CONNECT_WAIT)
        .ping_interval(PING_EVERY)
        .reconnect_delay_callback(reconnect_wait)
        .retry_on_initial_connect();
    Ok(Some(options.connect(address).await?))
}

/// Whether there is a connection. What is asked without one waits until there is.
pub(crate) async fn is_connected(client: &Client) -> bool {
    if client.connection_state() == State::Pending {
        // Answered as soon as the connection is made; how it ends is seen below.
        let _ = timeout(FIRST_CONNECT_WAIT, client.flush()).await;
    }
    client.connection_state() == State::Connected
}

/// Doubles from one millisecond to the longest wait.
fn reconnect_wait(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt).unwrap_or(u32::MAX).min(16);
    Duration::from_millis(2_u64.pow(doublings)).min(RECONNECT_WAIT)
}
