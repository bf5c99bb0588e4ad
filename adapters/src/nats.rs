//! NATS, to which the journal is published. Commands do not need it: a server that is away is
//! connected to when it comes back.

use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectOptions, ServerAddr};
use thiserror::Error;

/// How long one attempt to connect takes at most.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

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
    let options =
        options.name("florin").connection_timeout(CONNECT_WAIT).retry_on_initial_connect();
    Ok(Some(options.connect(address).await?))
}
