//! What is recorded of the calls that commands come by: who asked for what, when, and what they were
//! told.
//!
//! ```text
//! call ─▶ Entry ─with the command─▶ Audit ─with its events, in one append─▶ AuditRow
//!              └─ of what leads to no append, by whoever took the call ───▶ AuditRow
//! ```
//!
//! The metadata of every event name the entry of its call. An entry is kept with the first append
//! that has events or a key of its call; [`Entry::kept_as`] tells whoever took the call that there is
//! nothing left to record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::command::Outcome;

/// A call, in the words of the protocol that it came by. Secrets are taken out before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which, ordered by time (UUID v7).
    pub id: Uuid,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// What was to be done: `POST`.
    pub method: String,
    /// With what.
    pub url: String,
    /// A JSON object of texts by name.
    pub headers: String,
    /// The beginning of what was sent, if anything was read of it.
    pub body: Option<String>,
    /// How many bytes all of it has, as far as it was read.
    pub body_bytes: u64,
    /// The address that it came from.
    pub client: Option<String>,
    /// Who asked, where they had to say it.
    pub subject: Option<String>,
    /// By which the answer and the log line are found.
    pub trace_id: String,
}

/// A call, and whether it is kept.
#[derive(Debug)]
pub struct Entry {
    /// The call.
    pub call: Call,
    /// With which status; 0 while it is not.
    kept: AtomicU16,
}

impl Entry {
    /// One that is not kept yet.
    pub fn new(call: Call) -> Self {
        Self { call, kept: AtomicU16::new(0) }
    }

    /// With which status the entry was kept, if it was.
    pub fn kept_as(&self) -> Option<u16> {
        Some(self.kept.load(Ordering::Acquire)).filter(|status| *status != 0)
    }

    fn keep(&self, status: u16) {
        self.kept.store(status, Ordering::Release);
    }
}

/// The record of the call that a command came by.
#[derive(Debug, Clone)]
pub enum Audit {
    /// To be kept with what the command leads to.
    Due {
        /// The call.
        entry: Arc<Entry>,
        /// The status that the protocol has for an outcome.
        status: fn(&Outcome) -> u16,
        /// Whether the call has more commands than this one.
        is_of_many: bool,
    },
    /// Kept when the command was accepted, to be carried out later.
    Kept(Uuid),
}

impl Audit {
    /// Of which call it is.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Due { entry, .. } => entry.call.id,
            Self::Kept(id) => *id,
        }
    }
}

/// An entry as it is kept.
#[derive(Debug, Clone)]
pub struct AuditRow {
    /// The call.
    pub entry: Arc<Entry>,
    /// What the caller is told, as a status of the protocol.
    pub status: u16,
    /// Whether other appends may keep it too, of which the first does. Another entry that is kept
    /// already is met only if its caller was not waited for.
    pub is_shared: bool,
}

impl AuditRow {
    /// Notes that it is kept.
    pub fn kept(&self) {
        self.entry.keep(self.status);
    }
}

/// Where a command comes from; kept with its events.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The W3C trace context that it is part of.
    pub traceparent: Option<Arc<str>>,
    /// The record of the call, where calls are recorded.
    pub audit: Option<Audit>,
}
