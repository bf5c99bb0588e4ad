//! A ledger as a file: `florin export` writes it, `florin import` reads it.
//!
//! ```text
//! {"journal":{…}}   once: version, partitions, and the head of each, with which the file must end
//! {"key":{…}}       an idempotency key, its fingerprint and its outcome
//! {"keys":{…}}      once: how many keys there were, and their digest
//! {"event":{…}}     an event, with every column that is under its hash, and the hash
//! ```
//!
//! - **Byte for byte**: payload, metadata and outcomes are written as the JSON that is stored, to the
//!   last blank. Where that is not one line with an object, they are a JSON text that holds it.
//! - **Nothing is missing unnoticed**: the chain proves what is before an event, the heads in the first
//!   line what comes after it, the digest that no key was dropped or changed.
//! - **Keys come before events**, because they have to be of the same moment as the heads: a key without
//!   its events would answer for what never happened. They are read in a transaction, which must not last
//!   as long as the events do.
//! - **A part** of the journal (`--from`, `--to`) has no keys, and cannot be imported.
//!
//! CSV ([`csv`]) holds the same in the same order, a row for each.
//!
//! Deliberately absent: whatever is not the ledger itself. Read models are folded anew; the record of
//! calls, operations, dead letters and what people decided about alerts stay where they are.

mod check;
pub mod csv;
mod jsonl;
pub mod read;
mod record;
pub mod write;

use chrono::{DateTime, Utc};
use florin_domain::journal::Hash;
use indicatif::HumanCount;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::hex::{hex, unhex};
use crate::moment::place;

/// The version of the format. A reader refuses another one.
pub const VERSION: u32 = 1;

/// The longest line that is read: many times the largest event and the outcome of the largest bulk.
pub const MAX_LINE: u64 = 16 << 20;

/// What a file begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// [`VERSION`].
    pub version: u32,
    /// How many partitions the ledger has.
    pub partitions: u32,
    /// Whether it is a part of the journal only.
    pub partial: bool,
    /// Whether keys follow.
    pub keys: bool,
    /// With which event each partition ends, in their order; a part has those partitions that it is
    /// about.
    pub heads: Vec<Head>,
}

/// With which event a partition ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Head {
    /// `<partition>-<position>`.
    pub position: String,
    /// Of that event, in hex; zeros if there is none.
    pub hash: String,
}

impl Head {
    /// Of a partition that ends so.
    pub fn new(partition: u32, position: u64, hash: &Hash) -> Self {
        Self { position: place(partition, position), hash: hex(hash) }
    }

    /// Partition, position and hash.
    pub fn parts(&self) -> Option<(u32, u64, Hash)> {
        let (partition, position) = read_place(&self.position)?;
        Some((partition, position, unhex(&self.hash)?))
    }
}

/// What the keys end with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeysEnd {
    /// How many there were.
    pub count: u64,
    /// The sha256, in hex, of the JSON of each, with a line feed after it.
    pub sha256: String,
}

/// A row of `idempotency_keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Whose it is: a wallet's, or an owner's.
    pub scope: String,
    /// The client's key.
    pub request_id: String,
    /// What was asked under it.
    pub fingerprint: [u8; 16],
    /// What became of it, as JSON as it is stored.
    pub outcome: Option<String>,
    /// The transfer whose stream tells the outcome.
    pub transfer_id: Option<Uuid>,
    /// When.
    pub recorded_at: DateTime<Utc>,
}

/// A file that is not as an export writes it.
#[derive(Debug, Error)]
#[error("line {}: {what}", HumanCount(*line))]
pub struct Broken {
    /// Where, counted from 1.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

fn read_place(text: &str) -> Option<(u32, u64)> {
    let (partition, position) = text.split_once('-')?;
    Some((partition.parse().ok()?, position.parse().ok()?))
}
