//! How the connection to NATS is made: it comes by itself, now and whenever it has broken.

use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectOptions, ServerAddr};
use thiserror::Error;

/// How long one attempt to connect takes at most.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// The longest wait between two attempts: how late a server that came back is noticed at most.
const RECONNECT_WAIT: Duration = Duration::from_secs(1);

/// How often a silent connection is pinged. The third ping without an answer ends it.
const PING_EVERY: Duration = Duration::from_secs(5);

/// Why there is no client.
#[derive(Debug, Error)]
pub enum NatsError {
    /// The URL is malformed.
    #[error("not a URL such as nats://user:password@host:4222: {0}")]
    Url(#[source] std::io::Error),
    /// The client cannot be set up.
    #[error("the NATS client cannot be set up: {0}")]
    Connect(#[from] ConnectError),
}

/// A client, with the user and the password, or the token, that the URL has. A server that is away is
/// connected to when it comes. Services that bring certificates or credentials make their own client.
///
/// # Errors
/// [`NatsError`], by name.
pub async fn connect_nats(url: &str) -> Result<Client, NatsError> {
    let address: ServerAddr = url.parse().map_err(NatsError::Url)?;
    let options = match (address.username(), address.password()) {
        (Some(user), Some(password)) => {
            ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
        }
        (Some(token), None) => ConnectOptions::with_token(token.to_owned()),
        (None, _) => ConnectOptions::new(),
    };
    let options = options
        .name("florin-client")
        .connection_timeout(CONNECT_WAIT)
        .ping_interval(PING_EVERY)
        .reconnect_delay_callback(reconnect_wait)
        .retry_on_initial_connect();
    Ok(options.connect(address).await?)
}

/// Doubles from one millisecond to the longest wait.
fn reconnect_wait(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt).unwrap_or(u32::MAX).min(16);
    Duration::from_millis(2_u64.pow(doublings)).min(RECONNECT_WAIT)
}
