//! How the connection to NATS is made. Commands do not need it: a server that is away is connected to
//! when it comes back.
//!
//! | | from |
//! |---|---|
//! | which server, and as whom | the URL: `nats://user:password@host:4222`, or `nats://token@host:4222` |
//! | as whom, without a password | a file with credentials (a JWT and its key), or with an nkey's seed |
//! | whether the connection is encrypted | `tls://`, or the server, which may demand it of `nats://` |
//! | whom to trust then | a file with certificates (PEM), or whom this machine trusts |

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectError, ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::time::timeout;
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

/// How long a client that was made just now is given to connect before its server counts as away.
const FIRST_CONNECT_WAIT: Duration = Duration::from_secs(1);

/// How a file of credentials begins that has more in it than an nkey's seed.
const CREDENTIALS: &str = "-----BEGIN NATS USER JWT-----";

/// How a seed of a user's nkey begins.
const USER_SEED: &str = "SU";

/// Which server, and as whom.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Where the server is, with name and password, or a token, where it wants them; none without.
    pub url: Option<String>,
    /// A file with credentials, or with an nkey's seed.
    pub credentials: Option<PathBuf>,
    /// The certificates of whom to trust (PEM), instead of those that this machine trusts.
    pub ca: Option<PathBuf>,
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum NatsError {
    /// The URL is malformed.
    #[error("NATS_URL is not a URL such as nats://user:password@host:4222: {0}")]
    Url(#[source] io::Error),
    /// The credentials are not there, or are none.
    #[error("FLORIN_NATS_CREDENTIALS: {}: {cause}", file.display())]
    Credentials {
        /// Which file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The certificates are not there, or are none.
    #[error("FLORIN_NATS_CA: {} has no certificates in PEM: {cause}", file.display())]
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

/// As [`connect_as`], with what the URL says alone.
///
/// # Errors
/// Those of [`connect_as`].
pub async fn connect(url: Option<&str>) -> Result<Option<Client>, NatsError> {
    connect_as(&Access { url: url.map(ToOwned::to_owned), ..Access::default() }).await
}

/// A client that connects by itself now and whenever the connection breaks; none without a URL.
///
/// # Errors
/// [`NatsError`], by name. A server that is away is none.
pub async fn connect_as(access: &Access) -> Result<Option<Client>, NatsError> {
    let Some(url) = &access.url else { return Ok(None) };
    let address: ServerAddr = url.parse().map_err(NatsError::Url)?;
    let options = match &access.credentials {
        Some(file) => credentials(file)
            .map_err(|cause| NatsError::Credentials { file: file.clone(), cause })?,
        None => of_url(&address),
    };
    let options = options
        .name("florin")
        .tls_client_config(tls(access.ca.as_deref())?)
        .connection_timeout(CONNECT_WAIT)
        .ping_interval(PING_EVERY)
        .reconnect_delay_callback(reconnect_wait)
        .retry_on_initial_connect();
    Ok(Some(options.connect(address).await?))
}

/// The client does not take them from the URL by itself, nor would it decode them.
fn of_url(address: &ServerAddr) -> ConnectOptions {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match (address.username().map(decoded), address.password().map(decoded)) {
        (Some(user), Some(password)) => ConnectOptions::with_user_and_password(user, password),
        (Some(token), None) => ConnectOptions::with_token(token),
        (None, _) => ConnectOptions::new(),
    }
}

/// A file of a few hundred bytes, which nobody waits for.
fn credentials(file: &Path) -> io::Result<ConnectOptions> {
    let text = std::fs::read_to_string(file)?;
    match text.trim() {
        text if text.contains(CREDENTIALS) => ConnectOptions::with_credentials(text),
        seed if seed.starts_with(USER_SEED) => Ok(ConnectOptions::with_nkey(seed.to_owned())),
        _ => Err(io::Error::other("it has neither credentials nor the seed of a user's nkey")),
    }
}

/// How TLS is spoken, trusting those whose certificates are in a file, or those that this machine
/// trusts. Always said, because a server may demand TLS; and said here, because there are two providers
/// of cryptography in the program, of which the client would not know which to take.
///
/// # Errors
/// [`NatsError::Ca`], [`NatsError::Tls`].
pub fn tls(ca: Option<&Path>) -> Result<ClientConfig, NatsError> {
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

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let all: Vec<_> = CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?;
    if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) }
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

#[cfg(test)]
mod tests {
    use rcgen::CertifiedKey;
    use tempfile::TempDir;

    use super::*;

    /// Why there is no client for these files.
    async fn refusal(credentials: Option<PathBuf>, ca: Option<PathBuf>) -> String {
        let url = Some("tls://127.0.0.1:1".to_owned());
        connect_as(&Access { url, credentials, ca }).await.err().unwrap().to_string()
    }

    #[tokio::test]
    async fn files_that_are_not_what_they_should_be_are_told_of_by_name() {
        let dir = TempDir::new().unwrap();
        let (gone, other) = (dir.path().join("gone"), dir.path().join("other"));
        std::fs::write(&other, "something").unwrap();
        let refused = refusal(Some(gone.clone()), None).await;
        assert!(refused.starts_with("FLORIN_NATS_CREDENTIALS: ") && refused.contains("gone"));
        let refused = refusal(Some(other.clone()), None).await;
        assert!(refused.ends_with("nor the seed of a user's nkey"), "{refused}");
        for file in [gone, other] {
            let refused = refusal(None, Some(file)).await;
            assert!(refused.starts_with("FLORIN_NATS_CA: "), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_seed_and_a_certificate_make_a_client() {
        let dir = TempDir::new().unwrap();
        let (seed, ca) = (dir.path().join("seed"), dir.path().join("ca.pem"));
        // One of nobody: it is in the documentation of NATS.
        let of_nobody = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n";
        std::fs::write(&seed, of_nobody).unwrap();
        let CertifiedKey { cert, .. } =
            rcgen::generate_simple_self_signed(vec!["nats".to_owned()]).unwrap();
        std::fs::write(&ca, cert.pem()).unwrap();
        let url = Some("tls://127.0.0.1:1".to_owned());
        let access = Access { url, credentials: Some(seed), ca: Some(ca) };
        assert!(connect_as(&access).await.unwrap().is_some());
        assert!(connect(None).await.unwrap().is_none());
    }
}
