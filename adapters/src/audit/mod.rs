//! The record of calls: who sent what to the API, and what they were told.
//!
//! ```text
//! call ─▶ Entry ─┬ with the events that it leads to: postgres/append
//!                └ else: AuditLog ─batch─▶ api_audit ─▶ read
//! ```
//!
//! | file | does |
//! |---|---|
//! | `redact` | takes secrets out, before anything is kept |
//! | `log` | keeps the calls that led to no append, within a second |
//! | `read` | finds calls again, for operators |

mod log;
mod read;
mod redact;

pub use log::AuditLog;
pub use read::{AuditDesk, CallList, Filter, MAX_LIST, RecordedCall};
pub use redact::{NoName, Secrets};
