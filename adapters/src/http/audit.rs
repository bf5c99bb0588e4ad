//! A call as it is recorded: every POST has a ticket, from its first byte to its answer.
//!
//! ```text
//! observe ─▶ Ticket ─ guard: subject ─ call: body read ─▶ Audit ─▶ ledger, with the command
//!    └──────── status ─▶ AuditLog, unless the ledger has recorded it with that status
//! ```
//!
//! A body is copied as it is read, up to a bound: what is refused before that is recorded without.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use florin_application::audit::{Audit, AuditRow, Call, Entry};
use florin_application::command::Outcome;
use futures::TryStreamExt;
use uuid::Uuid;

use super::answer;
use super::client_address::ClientAddress;
use super::code::Code;
use super::trace::TraceId;
use crate::audit::{AuditLog, Secrets};
use crate::auth::Caller;

/// How much of a body is kept: three times what a command with the largest metadata has. Of a bulk it
/// is the first hundred commands.
const MAX_KEPT_BODY: usize = 16 * 1024;

/// Records calls.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// Where calls go that lead to no append.
    pub log: AuditLog,
    /// What is taken out of them.
    pub secrets: Arc<Secrets>,
}

impl Recorder {
    /// A ticket for what is to be recorded, and the request with it.
    pub(super) fn admit(&self, request: Request, trace: TraceId) -> (Option<Ticket>, Request) {
        if request.method() != Method::POST {
            return (None, request);
        }
        let ticket = Ticket(Arc::new(Draft {
            recorder: self.clone(),
            id: Uuid::now_v7(),
            received_at: Utc::now(),
            url: self.secrets.url(request.uri()),
            headers: self.secrets.headers(request.headers()),
            client: request.extensions().get().map(|ClientAddress(address)| *address),
            trace,
            subject: OnceLock::new(),
            body: Mutex::default(),
            entry: OnceLock::new(),
        }));
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(ticket.clone());
        let seen = ticket.clone();
        let copied = body.into_data_stream().inspect_ok(move |chunk| seen.body().see(chunk));
        (Some(ticket), Request::from_parts(parts, Body::from_stream(copied)))
    }
}

/// The record of a call, as far as it has come.
#[derive(Debug, Clone)]
pub(super) struct Ticket(Arc<Draft>);

#[derive(Debug)]
struct Draft {
    recorder: Recorder,
    id: Uuid,
    received_at: DateTime<Utc>,
    url: String,
    headers: String,
    client: Option<IpAddr>,
    trace: TraceId,
    subject: OnceLock<String>,
    body: Mutex<Seen>,
    entry: OnceLock<Arc<Entry>>,
}

/// What was read of a body.
#[derive(Debug, Default)]
struct Seen {
    kept: Vec<u8>,
    bytes: u64,
}

impl Seen {
    fn see(&mut self, chunk: &[u8]) {
        let room = MAX_KEPT_BODY - self.kept.len();
        self.kept.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
        self.bytes += chunk.len() as u64;
    }

    /// As text that Postgres keeps.
    fn text(&self, secrets: &Secrets) -> Option<String> {
        let is_whole = self.bytes == self.kept.len() as u64;
        let text = || String::from_utf8_lossy(&self.kept).replace('\0', "\u{fffd}");
        (self.bytes > 0).then(|| secrets.body(text(), is_whole))
    }
}

impl Ticket {
    fn body(&self) -> MutexGuard<'_, Seen> {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes who calls.
    pub(super) fn is_of(&self, caller: &Caller) {
        if let Some(subject) = &caller.subject {
            // The first one stays: a call has one guard.
            let _ = self.0.subject.set(subject.as_str().to_owned());
        }
    }

    /// The entry, from now on as it is.
    fn entry(&self) -> &Arc<Entry> {
        let draft = &*self.0;
        draft.entry.get_or_init(|| {
            let seen = self.body();
            Arc::new(Entry::new(Call {
                id: draft.id,
                received_at: draft.received_at,
                method: Method::POST.as_str().to_owned(),
                url: draft.url.clone(),
                headers: draft.headers.clone(),
                body: seen.text(&draft.recorder.secrets),
                body_bytes: seen.bytes,
                client: draft.client.map(|address| address.to_string()),
                subject: draft.subject.get().cloned(),
                trace_id: draft.trace.as_str().to_owned(),
            }))
        })
    }

    /// For the ledger, once the body is read; answered with these statuses.
    pub(super) fn audit(&self, status: fn(&Outcome) -> u16, is_of_many: bool) -> Audit {
        Audit::Due { entry: Arc::clone(self.entry()), status, is_of_many }
    }

    /// Records the call, unless the ledger has. One that was abandoned may be recorded by the ledger
    /// with what it came to, and then stays so. Who asks for more than they may is not recorded: the
    /// record would be as good a way to overload the ledger as what they asked for.
    pub(super) fn close(&self, status: u16, is_answered: bool) {
        if status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        let entry = self.entry();
        let is_recorded = match entry.kept_as() {
            Some(kept) => kept == status || !is_answered,
            None => false,
        };
        if !is_recorded {
            let row = AuditRow { entry: Arc::clone(entry), status, is_shared: true };
            self.0.recorder.log.record(row);
        }
    }
}

/// The status of a command that opens a wallet.
pub(super) fn of_opening(outcome: &Outcome) -> u16 {
    status(outcome, true)
}

/// The status of any other command to wallets.
pub(super) fn of_command(outcome: &Outcome) -> u16 {
    status(outcome, false)
}

fn status(outcome: &Outcome, opens: bool) -> u16 {
    match outcome {
        Outcome::Accepted(receipt) => answer::status(receipt, opens).as_u16(),
        Outcome::Refused(refused) => Code::from(&refused.refusal).status().as_u16(),
    }
}

/// The status of independent commands, whatever becomes of each.
pub(super) fn of_each(_: &Outcome) -> u16 {
    StatusCode::OK.as_u16()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_body_is_kept_and_all_of_it_counted() {
        let secrets = Secrets::read("").unwrap();
        let mut seen = Seen::default();
        assert_eq!(seen.text(&secrets), None);
        seen.see(b"{\"a\":\0");
        seen.see(b"1}");
        assert_eq!(seen.text(&secrets).unwrap(), "{\"a\":\u{fffd}1}");
        seen.see(&vec![b' '; MAX_KEPT_BODY]);
        seen.see(b"more");
        assert_eq!(seen.text(&secrets).unwrap().len(), MAX_KEPT_BODY + 2, "U+FFFD has three bytes");
        assert_eq!(seen.bytes, 8 + MAX_KEPT_BODY as u64 + 4);
    }
}
