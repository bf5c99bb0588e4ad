//! TLS in front of the service, for who has no proxy to do it: TLS 1.2 and 1.3 by rustls, HTTP/1.1
//! only.
//!
//! The files are read anew every [`RELOAD`]: a certificate that was renewed serves the next
//! connection. What cannot be served is logged, and the one before goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// How often the files are read: certificates are renewed weeks before they end.
pub const RELOAD: Duration = Duration::from_secs(60);

/// How large a file may be: a chain has some 10 KB.
const MAX_FILE_BYTES: usize = 1024 * 1024;

/// What is spoken inside: `http` serves nothing else.
const PROTOCOL: &[u8] = b"http/1.1";

/// Certificate and key, as they are served now.
#[derive(Clone)]
pub struct Tls {
    files: Files,
    opened: Texts,
    config: watch::Sender<Arc<ServerConfig>>,
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// Of the certificate, and of the key.
type Texts = [Vec<u8>; 2];

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// One of the two is not given.
    #[error("FLORIN_TLS_CERT and FLORIN_TLS_KEY come together: {0} is missing")]
    Half(&'static str),
    /// A file cannot be read, or is too large.
    #[error("{}: {cause}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file has nothing that it should have.
    #[error("{} has no PEM text of a {what}: {cause}", file.display())]
    Pem {
        /// Which.
        file: PathBuf,
        /// What it should have.
        what: &'static str,
        /// Why not.
        cause: pem::Error,
    },
    /// The two do not fit, or cannot be served.
    #[error("the certificate in {} and the key in {} cannot be served together: {cause}",
        certificate.display(), key.display())]
    Unfit {
        /// Of the certificate.
        certificate: PathBuf,
        /// Of the key.
        key: PathBuf,
        /// Why not.
        cause: rustls::Error,
    },
}

impl Tls {
    /// Reads both files, if they are given.
    ///
    /// # Errors
    /// [`TlsError`], by name.
    pub fn open(certificate: Option<&Path>, key: Option<&Path>) -> Result<Option<Self>, TlsError> {
        let (certificate, key) = match (certificate, key) {
            (Some(certificate), Some(key)) => (certificate.to_owned(), key.to_owned()),
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(TlsError::Half("FLORIN_TLS_CERT")),
            (Some(_), None) => return Err(TlsError::Half("FLORIN_TLS_KEY")),
        };
        let files = Files { certificate, key };
        let opened = files.read()?;
        let config = watch::Sender::new(Arc::new(files.config(&opened)?));
        Ok(Some(Self { files, opened, config }))
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.borrow().clone())
    }

    /// Follows the files for as long as it is let.
    pub(super) async fn follow(self, every: Duration) {
        let mut served = self.opened;
        loop {
            tokio::time::sleep(every).await;
            let read = match self.files.read() {
                // Not there for a moment, or half written: it is looked at again.
                Err(error) => {
                    tracing::warn!(target: "http", %error, "the certificate is not reloaded");
                    continue;
                }
                Ok(read) if read == served => continue,
                Ok(read) => read,
            };
            match self.files.config(&read) {
                Ok(config) => {
                    self.config.send_replace(Arc::new(config));
                    served = read;
                    tracing::info!(target: "http", "the certificate is reloaded");
                }
                Err(error) => {
                    tracing::warn!(target: "http", %error, "the certificate is not reloaded");
                }
            }
        }
    }
}

impl Files {
    /// Their texts. They are small and local, so nobody waits for them.
    fn read(&self) -> Result<Texts, TlsError> {
        Ok([read(&self.certificate)?, read(&self.key)?])
    }

    fn config(&self, [certificate, key]: &Texts) -> Result<ServerConfig, TlsError> {
        let pem = |file: &Path, what, cause| TlsError::Pem { file: file.to_owned(), what, cause };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.and_then(|chain| match chain.is_empty() {
            true => Err(pem::Error::NoItemsFound),
            false => Ok(chain),
        });
        let chain = chain.map_err(|cause| pem(&self.certificate, "certificate", cause))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|cause| pem(&self.key, "private key", cause))?;
        let unfit = |cause| TlsError::Unfit {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            cause,
        };
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unfit)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let text = std::fs::read(file).and_then(|text| match text.len() {
        0..=MAX_FILE_BYTES => Ok(text),
        _ => Err(std::io::Error::other(format!("it has more than {MAX_FILE_BYTES} bytes"))),
    });
    text.map_err(|cause| TlsError::File { file: file.to_owned(), cause })
}

#[cfg(test)]
pub(super) mod testing {
    use rcgen::CertifiedKey;
    use tempfile::TempDir;

    use super::*;

    /// Writes a certificate of a name and its key into a directory.
    pub(in crate::http) fn write(dir: &TempDir, name: &str) -> [PathBuf; 2] {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let files = ["cert.pem", "key.pem"].map(|file| dir.path().join(file));
        std::fs::write(&files[0], cert.pem()).unwrap();
        std::fs::write(&files[1], signing_key.serialize_pem()).unwrap();
        files
    }

    /// A certificate of a name, served from a directory.
    pub(in crate::http) fn certificate(dir: &TempDir, name: &str) -> Tls {
        let [certificate, key] = write(dir, name);
        Tls::open(Some(&certificate), Some(&key)).unwrap().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::testing::{certificate, write};
    use super::*;

    /// Why these two files are not served.
    fn refusal(certificate: Option<&Path>, key: Option<&Path>) -> String {
        Tls::open(certificate, key).err().unwrap().to_string()
    }

    #[test]
    fn what_cannot_be_served_is_refused_by_name() {
        let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let ([certificate, key], [_, other_key]) = (write(&one, "a"), write(&other, "b"));
        let (certificate, key) = (Some(&*certificate), Some(&*key));
        assert!(Tls::open(None, None).unwrap().is_none());
        assert!(Tls::open(certificate, key).unwrap().is_some());
        assert!(refusal(certificate, None).contains("FLORIN_TLS_KEY is missing"));
        assert!(refusal(None, key).contains("FLORIN_TLS_CERT is missing"));
        let unfit = refusal(certificate, Some(&other_key));
        assert!(unfit.contains("cannot be served together"), "{unfit}");
        let swapped = refusal(key, certificate);
        assert!(swapped.contains("key.pem has no PEM text of a certificate"), "{swapped}");
        let gone = one.path().join("gone.pem");
        assert!(refusal(Some(&gone), key).contains("gone.pem: "));
        std::fs::write(&gone, vec![b'x'; MAX_FILE_BYTES + 1]).unwrap();
        assert!(refusal(Some(&gone), key).contains("more than"));
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_served_and_a_broken_one_is_not() {
        let dir = TempDir::new().unwrap();
        let tls = certificate(&dir, "old");
        let mut served = tls.config.subscribe();
        let following = tokio::spawn(tls.clone().follow(Duration::from_millis(5)));
        write(&dir, "new");
        let wait = Duration::from_secs(20);
        tokio::time::timeout(wait, served.changed()).await.unwrap().unwrap();
        served.mark_unchanged();
        std::fs::write(dir.path().join("key.pem"), "nothing").unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!served.has_changed().unwrap());
        write(&dir, "newer");
        tokio::time::timeout(wait, served.changed()).await.unwrap().unwrap();
        following.abort();
    }
}
