//! What a call came to that has no answer.

use serde_json::{Map, Value};
use thiserror::Error;

/// How much of an answer is shown that is no problem document: a proxy's page may be long.
const SHOWN: usize = 200;

/// Why a call has no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// What the service says.
    #[error(transparent)]
    Problem(Problem),
    /// There was no answer to any of the tries. Whether a command took effect is not known; under
    /// the same key it is safe to send again.
    #[error("no answer after {tries} tries: {cause}")]
    Unreachable {
        /// How often it was sent.
        tries: u32,
        /// What was wrong at last.
        cause: reqwest::Error,
    },
    /// The answer is not what the service's document says.
    #[error("the answer cannot be read: {0}")]
    Unreadable(#[source] serde_json::Error),
    /// An event in the answer is none.
    #[error(transparent)]
    Event(#[from] crate::event::NotAnEvent),
    /// There can be no service there.
    #[error("`{0}` is not a URL such as http://127.0.0.1:3000")]
    Url(String),
}

impl CallError {
    /// Whether the service says that this is wrong, such as `insufficient-funds`.
    pub fn is(&self, code: &str) -> bool {
        match self {
            Self::Problem(problem) => problem.is(code),
            Self::Unreachable { .. } | Self::Unreadable(_) | Self::Event(_) | Self::Url(_) => false,
        }
    }
}

/// A request that was not carried out (RFC 9457).
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{status} {code}: {detail}")]
pub struct Problem {
    /// Of HTTP.
    pub status: u16,
    /// What is wrong, by a name that does not change.
    pub code: String,
    /// What is wrong this time, and how to mend it.
    pub detail: String,
    /// To be quoted when it is reported.
    pub trace_id: Option<String>,
    /// The numbers and names of this time, such as `available`.
    pub members: Map<String, Value>,
    /// Whether it was decided earlier, under the same key.
    pub replayed: bool,
}

impl Problem {
    /// Whether it is this one.
    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// From the body of an answer; one of somebody in between is told by its beginning.
    pub(super) fn read(status: u16, body: &[u8], replayed: bool) -> Self {
        let document: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
        let Some(mut members) = document.filter(|document| document.contains_key("code")) else {
            let detail = String::from_utf8_lossy(body).chars().take(SHOWN).collect();
            let (code, trace_id, members) = (String::new(), None, Map::new());
            return Self { status, code, detail, trace_id, members, replayed };
        };
        for name in ["type", "title", "status"] {
            members.remove(name);
        }
        let mut text = |name| match members.remove(name) {
            Some(Value::String(text)) => Some(text),
            Some(_) | None => None,
        };
        let (code, detail) = (text("code").unwrap_or_default(), text("detail").unwrap_or_default());
        let trace_id = text("traceId");
        Self { status, code, detail, trace_id, members, replayed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_its_numbers_by_name() {
        let body =
            br#"{"type":"urn:florin:problem:insufficient-funds","title":"Insufficient funds",
            "status":422,"detail":"The wallet holds 5.00.","code":"insufficient-funds",
            "traceId":"4b","available":"5.00"}"#;
        let problem = Problem::read(422, body, true);
        assert!(problem.is("insufficient-funds") && problem.replayed);
        assert_eq!(problem.to_string(), "422 insufficient-funds: The wallet holds 5.00.");
        assert_eq!(Value::from(problem.members).to_string(), r#"{"available":"5.00"}"#);
        assert_eq!(problem.trace_id.as_deref(), Some("4b"));
    }

    #[test]
    fn a_page_of_a_proxy_is_told_by_its_beginning() {
        let problem = Problem::read(502, "x".repeat(900).as_bytes(), false);
        assert_eq!((problem.detail.len(), problem.code.as_str()), (SHOWN, ""));
    }
}
