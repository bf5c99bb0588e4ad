//! HTTP: parses a request, asks the ledger one thing, renders the answer.
//!
//! ```text
//! request ─▶ observe ─▶ guard ──────▶ routes/<endpoint> ─┬ POST ─▶ submit ─▶ Ledger
//!            trace id   token, limits  path, call, fields └ GET ─▶ position ─▶ Reads
//! response ◀─ problem ◀────── answer, refusal, wallets, history … ◀────────┘
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `routes` | the route table, one endpoint per file |
//! | `guard` | who gets in where, and of which wallets they may ask |
//! | `limits` | how much a caller may ask for |
//! | `call`, `fields`, `number`, `key`, `if_match`, `path`, `position` | a request, checked part by part |
//! | `query` | the parameters of a query, checked one by one |
//! | `submit`, `answer` | outcomes as JSON |
//! | `prefer`, `operations` | commands whose clients do not wait, and what became of them |
//! | `bulk` | many commands in one body, and what became of each |
//! | `wallets`, `history`, `stats` | the read models of wallets: what is asked of them, and as JSON |
//! | `statement` | a wallet's statement, as JSON, CSV or a page to be printed |
//! | `trial_balance` | whether the money adds up, as JSON |
//! | `kept` | what is on record for a key, as JSON |
//! | `negotiate` | which of several media types an answer has |
//! | `live` | streams of events: what is asked of them, and as server-sent events |
//! | `events` | pages of events: what is asked of them, and as JSON |
//! | `standings` | how far the read models are, as JSON |
//! | `alerts` | the alerts of the fraud rules: what is asked of them, and as JSON |
//! | `dead_letters` | what read models could not apply: what is asked of it, and as JSON |
//! | `audit`, `calls` | the record of each POST; what is asked of it, and as JSON |
//! | `code`, `refusal`, `problem` | what can be wrong: one status table, one way to say it |
//! | `openapi` | the document of all this |
//! | `observe`, `trace` | trace id, timeout, panics, one log line per request |
//! | `client_address` | from where a request comes, behind proxies too |
//! | `as_of` | a service that shows the ledger as it was, and takes no commands |
//! | `edge` | what browsers are told, and from where they may read |
//! | `health`, `serve`, `tls` | readiness, and the server |
//! | `operator` | figures and probes, on a port of their own |
//!
//! Bounds: a head has 32 KiB (431), a body 64 KiB (413) and a bulk 2 MiB, a request 15 s (503), a
//! shutdown one second more. A stream is answered within the time of a request, and goes on. `serve`
//! bounds connections.
//!
//! Deliberately absent: rules about wallets. A write that is well formed goes to the ledger, with the
//! owner in whose name it is; a read to [`Reads`], whose rows say whose they are.

mod alerts;
mod answer;
mod as_of;
mod audit;
mod bulk;
mod call;
mod calls;
mod client_address;
mod code;
pub(crate) mod dead_letters;
mod edge;
mod events;
mod fields;
mod guard;
mod health;
pub(crate) mod history;
mod if_match;
mod kept;
mod key;
mod limits;
mod live;
mod negotiate;
pub(crate) mod number;
mod observe;
pub mod openapi;
mod operations;
mod operator;
mod path;
mod position;
mod prefer;
mod problem;
mod query;
pub(crate) mod refusal;
mod routes;
mod serve;
mod standings;
mod starting;
mod statement;
mod stats;
mod submit;
mod tls;
mod trace;
mod trial_balance;
pub(crate) mod wallets;

use std::ops::Deref;
use std::sync::Arc;

use florin_application::Ledger;

use crate::audit::AuditDesk;
use crate::auth::Auth;
use crate::dead_letters::DeadLetterDesk;
use crate::fraud::FraudDesk;
use crate::live::Live;
use crate::operations::OperationDesk;
use crate::reads::Reads;
use crate::reports::ReportDesk;

pub use as_of::AsOf;
pub use audit::Recorder;
pub use bulk::BulkRoom;
pub use edge::{Edge, NoOrigin, Origins};
pub use health::{Dependencies, Health, Missing};
pub use limits::{Limits, Rate};
pub use observe::Panics;
pub use operator::{Beyond, Operator};
pub use routes::router;
pub use serve::serve;
pub use starting::answer_while_opening;
pub use tls::{Tls, TlsError};

/// What the endpoints share. Cheap to clone, as every request does several times.
#[derive(Clone)]
pub struct Api(Arc<ApiParts>);

impl From<ApiParts> for Api {
    fn from(parts: ApiParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Api {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.0
    }
}

/// What an [`Api`] is made of.
pub struct ApiParts {
    /// Where commands go.
    pub ledger: Ledger,
    /// Where reads are answered.
    pub reads: Reads,
    /// Where events are streamed from.
    pub live: Live,
    /// Where commands go whose clients do not wait.
    pub operations: OperationDesk,
    /// Whether a deposit opens a wallet that was never opened.
    pub auto_open: bool,
    /// Where alerts are reviewed.
    pub fraud: FraudDesk,
    /// Where dead letters are looked after.
    pub dead_letters: DeadLetterDesk,
    /// Where reports of the past are made.
    pub reports: ReportDesk,
    /// Whether callers have to say who they are.
    pub auth: Auth,
    /// How many requests ended in a panic.
    pub panics: Panics,
    /// What `/readyz` asks.
    pub health: Arc<dyn Health>,
    /// Where calls on record are looked up.
    pub calls: AuditDesk,
    /// By whom calls are recorded, where they are.
    pub recorder: Option<Recorder>,
    /// How many bulks are in memory.
    pub bulks: BulkRoom,
    /// As of when the read models stand still, where they do: then nothing else is served.
    pub as_of: Option<AsOf>,
}

#[cfg(test)]
mod tests;
