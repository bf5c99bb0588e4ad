//! A checkpoint: where every partition was at a time, with the hash that it had there, and somebody's
//! signature. Kept elsewhere, it shows that the journal was neither shortened nor rewritten since: who
//! may write into the database can make a chain that holds, and not one with the same hashes.
//!
//! It is a JSON document:
//!
//! ```json
//! { "format": "florin-checkpoint-1", "time": "2026-01-31T12:00:00.000000Z",
//!   "partitions": [{ "partition": 0, "position": 123, "hash": "<64 hex digits>" }],
//!   "publicKey": "<64 hex digits>", "signature": "<128 hex digits>" }
//! ```
//!
//! What is signed, by Ed25519 (RFC 8032), is this text, which the document says in other words: lines
//! that end with `\n`, the first one the format, the second one the time in UTC and microseconds as
//! above, then `<partition> <position> <hash>` for each partition, in their order, each once.
//!
//! The public key lies beside its signature for convenience: only whoever has it from elsewhere knows
//! whose it is. Without a signature, `publicKey` and `signature` are not there.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use chrono::{DateTime, SecondsFormat, Utc};
use florin_domain::journal::{GENESIS, Hash};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use crate::hex::{hex, unhex};

/// How it is written. Another number is another format.
const FORMAT: &str = "florin-checkpoint-1";

/// How many bytes of a file are read at most: a checkpoint of 1,024 partitions has a hundred kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// What the text of a key begins with; else it is DER.
const PEM: &[u8] = b"-----BEGIN";

/// What the DER of an Ed25519 public key begins with, before its 32 bytes. Source: RFC 8410, section 4.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The end of a partition at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Which.
    pub partition: u32,
    /// Its last position; 0 if it was empty.
    pub position: u64,
    /// The hash there.
    pub hash: Hash,
}

/// What was so at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// When.
    pub time: DateTime<Utc>,
    /// The partitions, in their order.
    pub anchors: Vec<Anchor>,
    signature: Option<Signature>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signature {
    public_key: [u8; 32],
    signature: [u8; 64],
}

/// Who says that it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Voucher {
    /// Whoever has the key that was given.
    Key(String),
    /// Whoever has the key that is in the checkpoint itself: nobody vouches for it.
    OwnKey(String),
    /// Nobody: it is not signed.
    Nobody,
}

/// A file that is of no use here.
#[derive(Debug, Error)]
#[error("{}: {why}", file.display())]
pub struct NoUse {
    file: PathBuf,
    why: Why,
}

#[derive(Debug, Error)]
enum Why {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is larger than any checkpoint or key")]
    TooLarge,
    #[error("it is no checkpoint: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is a checkpoint of another format, `{0}`: this program knows `{FORMAT}`")]
    Format(String),
    #[error("it is no checkpoint: {0}")]
    Malformed(&'static str),
    #[error(
        "it is no Ed25519 private key (PKCS#8, PEM or DER), such as \
         `openssl genpkey -algorithm ed25519` writes"
    )]
    PrivateKey,
    #[error(
        "it is no Ed25519 public key (PEM or DER), such as `openssl pkey -pubout` makes of a private \
         one"
    )]
    PublicKey,
    #[error("nobody has signed it, so there is nothing that the key could show")]
    Unsigned,
    #[error("its signature is not that of the key, or it was changed since")]
    Forged,
    #[error("there is a file of that name already, which is not written over")]
    Exists,
}

/// The document.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    format: String,
    time: DateTime<Utc>,
    partitions: Vec<Row>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    partition: u32,
    position: u64,
    hash: String,
}

impl Checkpoint {
    /// Of these partitions, in their order; not signed yet.
    pub fn new(time: DateTime<Utc>, anchors: Vec<Anchor>) -> Self {
        // As exactly as it is written.
        let time = DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time);
        Self { time, anchors, signature: None }
    }

    /// Signs it with the key in a file.
    ///
    /// # Errors
    /// [`NoUse`]: the file is not there, or holds no such key.
    pub fn sign(&mut self, key: &Path) -> Result<(), NoUse> {
        let no_use = |why| NoUse { file: key.to_owned(), why };
        let bytes = read(key).map_err(no_use)?;
        let pair = private_key(&bytes).ok_or_else(|| no_use(Why::PrivateKey))?;
        let signed = pair.sign(self.text().as_bytes());
        let public_key = pair.public_key().as_ref().try_into();
        let signature = signed.as_ref().try_into();
        let (Ok(public_key), Ok(signature)) = (public_key, signature) else {
            return Err(no_use(Why::PrivateKey));
        };
        self.signature = Some(Signature { public_key, signature });
        Ok(())
    }

    /// The JSON document.
    ///
    /// # Errors
    /// None that can happen: it is made of texts and numbers.
    pub fn document(&self) -> Result<String, serde_json::Error> {
        let row = |anchor: &Anchor| Row {
            partition: anchor.partition,
            position: anchor.position,
            hash: hex(&anchor.hash),
        };
        let text = serde_json::to_string_pretty(&Document {
            format: FORMAT.to_owned(),
            time: self.time,
            partitions: self.anchors.iter().map(row).collect(),
            public_key: self.signature.map(|signed| hex(&signed.public_key)),
            signature: self.signature.map(|signed| hex(&signed.signature)),
        })?;
        Ok(format!("{text}\n"))
    }

    /// Writes the document into a new file.
    ///
    /// # Errors
    /// [`NoUse`]: also when there is such a file, for an old checkpoint proves more than a new one.
    pub fn write(&self, file: &Path) -> Result<(), NoUse> {
        let no_use = |why| NoUse { file: file.to_owned(), why };
        let text = self.document().map_err(|error| no_use(error.into()))?;
        let mut options = std::fs::OpenOptions::new();
        let opened = options.write(true).create_new(true).open(file);
        let mut opened =
            opened.map_err(|error| match error.kind() == io::ErrorKind::AlreadyExists {
                true => no_use(Why::Exists),
                false => no_use(error.into()),
            })?;
        io::Write::write_all(&mut opened, text.as_bytes()).map_err(|error| no_use(error.into()))
    }

    /// Reads the document in a file, and checks its signature: by the key in another file, or by the
    /// one that it carries.
    ///
    /// # Errors
    /// [`NoUse`]: a file is not what it should be, or the signature is not of that key.
    pub fn open(file: &Path, key: Option<&Path>) -> Result<(Self, Voucher), NoUse> {
        let no_use = |why| NoUse { file: file.to_owned(), why };
        let bytes = read(file).map_err(no_use)?;
        let checkpoint = Self::parse(&bytes).map_err(no_use)?;
        let given = match key {
            None => None,
            Some(key) => {
                let no_key = |why| NoUse { file: key.to_owned(), why };
                let bytes = read(key).map_err(no_key)?;
                Some(public_key(&bytes).ok_or_else(|| no_key(Why::PublicKey))?)
            }
        };
        let voucher = checkpoint.vouched(given).map_err(no_use)?;
        Ok((checkpoint, voucher))
    }

    fn parse(bytes: &[u8]) -> Result<Self, Why> {
        /// Read first, so that another format is told as such, whatever it has.
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        let head: Head = serde_json::from_slice(bytes)?;
        if head.format != FORMAT {
            return Err(Why::Format(head.format));
        }
        let document: Document = serde_json::from_slice(bytes)?;
        let anchor = |row: &Row| {
            let hash = unhex(&row.hash)?;
            Some(Anchor { partition: row.partition, position: row.position, hash })
        };
        let anchors: Option<Vec<Anchor>> = document.partitions.iter().map(anchor).collect();
        let anchors = anchors.ok_or(Why::Malformed("a hash has 64 hexadecimal digits"))?;
        if !anchors.is_sorted_by(|a, b| a.partition < b.partition) {
            return Err(Why::Malformed("each partition is there once, in their order"));
        }
        let signature = match (document.public_key, document.signature) {
            (None, None) => None,
            (Some(key), Some(signature)) => match (unhex(&key), unhex(&signature)) {
                (Some(public_key), Some(signature)) => Some(Signature { public_key, signature }),
                (_, _) => {
                    return Err(Why::Malformed("key or signature are not as long as such are"));
                }
            },
            (Some(_), None) | (None, Some(_)) => {
                return Err(Why::Malformed("key and signature come together"));
            }
        };
        Ok(Self { signature, ..Self::new(document.time, anchors) })
    }

    fn vouched(&self, given: Option<[u8; 32]>) -> Result<Voucher, Why> {
        let signed = match (self.signature, given) {
            (Some(signed), _) => signed,
            (None, Some(_)) => return Err(Why::Unsigned),
            (None, None) => return Ok(Voucher::Nobody),
        };
        let key = given.unwrap_or(signed.public_key);
        let verified =
            UnparsedPublicKey::new(&ED25519, key).verify(self.text().as_bytes(), &signed.signature);
        match (verified, given) {
            (Err(_), _) => Err(Why::Forged),
            (Ok(()), Some(key)) => Ok(Voucher::Key(hex(&key))),
            (Ok(()), None) => Ok(Voucher::OwnKey(hex(&key))),
        }
    }

    /// What is signed.
    fn text(&self) -> String {
        let time = self.time.to_rfc3339_opts(SecondsFormat::Micros, true);
        let mut text = format!("{FORMAT}\n{time}\n");
        for Anchor { partition, position, hash } in &self.anchors {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{partition} {position} {}", hex(hash));
        }
        text
    }
}

impl Anchor {
    /// An empty partition has nothing that could be another one, but for its hash.
    pub fn is_of_nothing(&self) -> bool {
        self.position == 0 && self.hash == GENESIS
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Why> {
    match std::fs::metadata(file)?.len() {
        0..=MAX_BYTES => Ok(std::fs::read(file)?),
        _ => Err(Why::TooLarge),
    }
}

fn private_key(bytes: &[u8]) -> Option<Ed25519KeyPair> {
    match bytes.starts_with(PEM) {
        true => {
            let der = PrivatePkcs8KeyDer::from_pem_slice(bytes).ok()?;
            Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()
        }
        false => Ed25519KeyPair::from_pkcs8(bytes).ok(),
    }
}

fn public_key(bytes: &[u8]) -> Option<[u8; 32]> {
    match bytes.starts_with(PEM) {
        true => {
            let der = SubjectPublicKeyInfoDer::from_pem_slice(bytes).ok()?;
            der.strip_prefix(&SPKI)?.try_into().ok()
        }
        false => bytes.strip_prefix(&SPKI)?.try_into().ok(),
    }
}

#[cfg(test)]
mod tests;
