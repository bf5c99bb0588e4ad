//! How the connection to NATS is made: it comes by itself, now and whenever it has broken.
//!
//! | | from |
//! |---|---|
//! | as whom | the URL: `nats://user:password@host:4222`, or `nats://token@host:4222` |
//! | where answers come | `_INBOX_<user>`: an inbox that nobody else may read (`deploy/nats/server.conf`) |
//! | whether the connection is encrypted | `tls://`, or the server, which may demand it of `nats://` |
//! | whom to trust then | a file with certificates (PEM), or whom this machine trusts |

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

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
    Url(#[source] io::Error),
    /// The certificates are not there, or are none.
    #[error("{} has no certificates in PEM: {cause}", file.display())]
    Ca {
        /// Which file.
        file: PathBuf,
        /// Why.
        cause: pem::Error,
    },
    /// A certificate cannot be trusted, or there is no TLS.
    #[error("NATS cannot be spoken to by TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The client cannot be set up.
    #[error("the NATS client cannot be set up: {0}")]
    Connect(#[from] ConnectError),
}

/// A client, as whom the URL says. A server that is away is connected to when it comes. Services that
/// bring certificates of their own, or credentials, make their own client.
///
/// # Errors
/// [`NatsError`], by name.
pub async fn connect_nats(url: &str) -> Result<Client, NatsError> {
    connect(url, None).await
}

/// The same of a server whose certificate comes from an authority in this file (PEM), and no other.
///
/// # Errors
/// [`NatsError`], by name.
pub async fn connect_nats_trusting(url: &str, ca: &Path) -> Result<Client, NatsError> {
    connect(url, Some(ca)).await
}

async fn connect(url: &str, ca: Option<&Path>) -> Result<Client, NatsError> {
    let address: ServerAddr = url.parse().map_err(NatsError::Url)?;
    // The client does not take them from the URL by itself, nor would it decode them.
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let options = match (address.username().map(decoded), address.password().map(decoded)) {
        (Some(user), Some(password)) => {
            let inbox = format!("_INBOX_{user}");
            ConnectOptions::with_user_and_password(user, password).custom_inbox_prefix(inbox)
        }
        (Some(token), None) => ConnectOptions::with_token(token),
        (None, _) => ConnectOptions::new(),
    };
    let options = options
        .name("florin-client")
        .tls_client_config(tls(ca)?)
        .connection_timeout(CONNECT_WAIT)
        .ping_interval(PING_EVERY)
        .reconnect_delay_callback(reconnect_wait)
        .retry_on_initial_connect();
    Ok(options.connect(address).await?)
}

/// Always said, because a server may demand TLS; and with its cryptography, because a service may have
/// two providers of it, of which rustls would not know which to take, and panic.
fn tls(ca: Option<&Path>) -> Result<ClientConfig, NatsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(file) => {
            for certificate in certificates(file)
                .map_err(|cause| NatsError::Ca { file: file.to_owned(), cause })?
            {
                roots.add(certificate)?;
            }
        }
        // Where there are none, no certificate is trusted.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// A file of a few kilobytes, which nobody waits for.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let all: Vec<_> = CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?;
    if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) }
}

/// Doubles from one millisecond to the longest wait.
fn reconnect_wait(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt).unwrap_or(u32::MAX).min(16);
    Duration::from_millis(2_u64.pow(doublings)).min(RECONNECT_WAIT)
}
