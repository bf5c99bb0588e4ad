//! Where the public keys come from: a JWKS in a file or at a URL, kept in memory.
//!
//! | it is read | why |
//! |---|---|
//! | at the start | without keys nobody gets in: a URL is waited for, a file must be there |
//! | every [`Pace::max_age`] | a key that its issuer withdraws is not trusted for longer |
//! | when a token names a key that is not known | its issuer has just begun to use a new one |
//!
//! Never more often than [`Pace::min_interval`], whatever tokens name. What cannot be read leaves the
//! keys as they are.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};

use super::keys::{KeySet, KeysError};

/// The largest JWKS: several times the largest set with certificates in it.
pub const MAX_JWKS_BYTES: usize = 256 * 1024;

/// How long an issuer may take to answer: the requests that need the new key wait for it.
const FETCH_WAIT: Duration = Duration::from_secs(5);

/// The first and the longest wait for an issuer that is away at the start.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How often a JWKS is read.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// After this time it is read again.
    pub max_age: Duration,
    /// Before this time it is not, even if a token names a key that is not known.
    pub min_interval: Duration,
}

impl Default for Pace {
    /// Issuers publish a key long before they use it and withdraw it in hours, so minutes do; and
    /// whoever invents names of keys causes six requests a minute.
    fn default() -> Self {
        Self { max_age: Duration::from_secs(600), min_interval: Duration::from_secs(10) }
    }
}

/// Where a JWKS is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url(Url),
}

impl FromStr for Source {
    type Err = NoSource;

    fn from_str(text: &str) -> Result<Self, NoSource> {
        match text.starts_with("http://") || text.starts_with("https://") {
            true => text.parse().map(Self::Url).map_err(|_| NoSource),
            false => Ok(Self::File(text.into())),
        }
    }
}

/// A text that begins like a URL and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a JWKS is in a file, or at a URL such as https://id.example.com/jwks.json")]
pub struct NoSource;

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum JwksError {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    File(#[from] io::Error),
    /// The URL does not answer.
    #[error("the URL does not answer: {0}")]
    Url(#[source] reqwest::Error),
    /// It answers with something else.
    #[error("the URL answers with {0}")]
    Status(StatusCode),
    /// It is larger than [`MAX_JWKS_BYTES`].
    #[error("it is larger than {MAX_JWKS_BYTES} bytes")]
    TooLarge,
    /// It is no set of keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl From<reqwest::Error> for JwksError {
    /// Without the URL, which may have a password in it.
    fn from(error: reqwest::Error) -> Self {
        Self::Url(error.without_url())
    }
}

/// The keys of one reading, and what they were read from.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) keys: KeySet,
    /// Another number than that of any other reading.
    pub(super) number: u64,
    text: Vec<u8>,
}

/// The keys of a source.
#[derive(Debug)]
pub(super) struct Jwks {
    reader: Reader,
    pace: Pace,
    current: RwLock<Arc<Reading>>,
    /// When it was last tried to read it. Held while that goes on, so that one does it for all.
    tried: Mutex<Instant>,
}

/// The task that reads again in time; it ends with this.
#[derive(Debug)]
pub(super) struct Keeping(JoinHandle<()>);

impl Drop for Keeping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Jwks {
    /// The keys, read for the first time, and what reads them again.
    pub(super) async fn open(
        source: Source,
        pace: Pace,
    ) -> Result<(Arc<Self>, Keeping), JwksError> {
        let reader = Reader::new(source)?;
        let text = reader.first().await?;
        let reading = Reading { keys: KeySet::parse(&text)?, number: 1, text };
        let (current, tried) = (RwLock::new(Arc::new(reading)), Mutex::new(Instant::now()));
        let jwks = Arc::new(Self { reader, pace, current, tried });
        let keeping = tokio::spawn(keep(Arc::downgrade(&jwks), pace.max_age));
        Ok((jwks, Keeping(keeping)))
    }

    pub(super) fn current(&self) -> Arc<Reading> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The keys after those of that reading, if it is time to look for them; else the same.
    pub(super) async fn after(&self, number: u64) -> Arc<Reading> {
        let mut tried = self.tried.lock().await;
        if self.current().number == number && tried.elapsed() >= self.pace.min_interval {
            *tried = Instant::now();
            self.read_again().await;
        }
        self.current()
    }

    async fn read_again(&self) {
        match self.reader.read().await {
            Ok(text) if text == self.current().text => {}
            Ok(text) => match KeySet::parse(&text) {
                Ok(keys) => {
                    let number = self.current().number + 1;
                    let reading = Arc::new(Reading { keys, number, text });
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = reading;
                    tracing::info!(target: "auth", "the keys of the JWKS have changed");
                }
                Err(cause) => tracing::warn!(target: "auth", %cause, "the JWKS is not taken"),
            },
            Err(cause) => tracing::warn!(target: "auth", %cause, "the JWKS is not read"),
        }
    }
}

/// Reads again and again, for as long as somebody wants the keys.
async fn keep(jwks: Weak<Jwks>, max_age: Duration) {
    loop {
        sleep(max_age).await;
        let Some(jwks) = jwks.upgrade() else { return };
        let mut tried = jwks.tried.lock().await;
        *tried = Instant::now();
        jwks.read_again().await;
    }
}

/// Whether the host of a URL is this machine.
fn is_here(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_JWKS_BYTES as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Reads a JWKS.
#[derive(Debug)]
enum Reader {
    File(PathBuf),
    Url(Client, Url),
}

impl Reader {
    fn new(source: Source) -> Result<Self, JwksError> {
        Ok(match source {
            Source::File(path) => Self::File(path),
            Source::Url(url) => {
                let host = url.host_str().unwrap_or_default();
                if url.scheme() == "http" && !is_here(host) {
                    tracing::warn!(target: "auth", host, "the JWKS is fetched without TLS");
                }
                // Whom to trust is for the configuration to say, not for an answer.
                let client = Client::builder().timeout(FETCH_WAIT).redirect(Policy::none());
                Self::Url(client.build()?, url)
            }
        })
    }

    /// For the first time: a URL that does not answer yet is waited for.
    async fn first(&self) -> Result<Vec<u8>, JwksError> {
        let mut wait = BACKOFF.0;
        loop {
            match self.read().await {
                Err(cause @ (JwksError::Url(_) | JwksError::Status(_))) => {
                    tracing::warn!(target: "auth", %cause, "waiting for the JWKS");
                    sleep(wait).await;
                    wait = (wait * 2).min(BACKOFF.1);
                }
                read => return read,
            }
        }
    }

    async fn read(&self) -> Result<Vec<u8>, JwksError> {
        let mut text = Vec::new();
        match self {
            Self::File(path) => {
                let path = path.clone();
                let reading = spawn_blocking(move || read_file(&path));
                text = reading.await.map_err(io::Error::other)??;
            }
            Self::Url(client, url) => {
                let mut answer = client.get(url.clone()).send().await?;
                if answer.status() != StatusCode::OK {
                    return Err(JwksError::Status(answer.status()));
                }
                while text.len() <= MAX_JWKS_BYTES
                    && let Some(more) = answer.chunk().await?
                {
                    text.extend_from_slice(&more);
                }
            }
        }
        match text.len() <= MAX_JWKS_BYTES {
            true => Ok(text),
            false => Err(JwksError::TooLarge),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_url_or_a_file() {
        let url = "https://id.example.com/jwks.json";
        assert_eq!(url.parse(), Ok(Source::Url(url.parse().unwrap())));
        for file in ["jwks.json", "/etc/florin/jwks.json", "ftp://a/b", "https:/a"] {
            assert_eq!(file.parse(), Ok(Source::File(file.into())), "{file}");
        }
        assert_eq!("https://".parse::<Source>(), Err(NoSource));
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for here in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in ["id.example.com", "10.0.0.1", "localhost.example.com", "[::2]", ""] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }

    #[tokio::test]
    async fn what_is_said_of_a_url_has_no_password() {
        let source = "http://florin:hush@127.0.0.1:1/jwks.json".parse().unwrap();
        let error = Reader::new(source).unwrap().read().await.unwrap_err();
        assert!(matches!(error, JwksError::Url(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}
