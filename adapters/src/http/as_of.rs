//! A service whose read models stand still: it shows the ledger as it was, and takes no commands.
//!
//! Routes that are answered from the read models alone are served as always. All others are about the
//! ledger as it is, and would be taken for something that they are not: they are refused.

use axum::extract::State;
use axum::routing::{MethodRouter, get, post};
use utoipa::openapi::Paths;

use super::Api;
use super::code::Code;
use super::problem::Problem;
use crate::moment::listed;

/// As of when the read models stand still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsOf {
    /// The schema that they are in.
    pub schema: String,
    /// Where they are, by partition.
    pub positions: Vec<(u32, u64)>,
}

impl AsOf {
    /// What whoever asks for something else is told.
    pub(super) fn refused(&self) -> Problem {
        Problem::new(
            Code::ReadOnly,
            format!(
                "This service shows the ledger as it was at {} (schema {}): it takes no commands, and \
                 answers from the read models alone. Ask the service of the ledger itself.",
                listed(&self.positions),
                self.schema
            ),
        )
    }
}

/// In place of a route that is about the ledger as it is.
pub(super) fn closed(paths: &Paths) -> MethodRouter<Api> {
    let is_read = paths.paths.values().all(|path| path.post.is_none());
    if is_read { get(refuse) } else { post(refuse) }
}

/// Says that a command is not taken here.
pub(super) async fn refuse(State(api): State<Api>) -> Problem {
    // It is put in place of a route only where there is such a moment.
    api.as_of.as_ref().map_or_else(Problem::internal, AsOf::refused)
}
