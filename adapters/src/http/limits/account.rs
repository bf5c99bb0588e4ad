//! A caller's account: what is spent from it, and what its owner is told of it.

use std::num::NonZeroU32;

use axum::http::HeaderValue;
use axum::response::Response;

use super::budget::Taken;
use super::{Kind, Limits, POLICY, RATE_LIMIT};
use crate::http::code::Code;
use crate::http::problem::{Member, Problem};

/// Whose budget a request is charged to, and which.
#[derive(Clone)]
pub(in crate::http) struct Account {
    pub(super) limits: Limits,
    pub(super) kind: Kind,
    /// The hash of who it is.
    pub(super) caller: u64,
    /// Whether it is that of a token's subject, or that of an address.
    pub(super) is_subjects: bool,
}

impl Account {
    /// Spends one.
    pub(in crate::http) fn spend(&self) -> Left {
        self.left(self.limits.budget(self.kind).spend(self.caller))
    }

    /// Takes one for each command of a bulk, on credit, besides the one that the bulk has spent;
    /// nothing if it has no other.
    pub(in crate::http) fn owe(&self, commands: usize) -> Option<Left> {
        let more = u32::try_from(commands).ok()?.checked_sub(1).and_then(NonZeroU32::new)?;
        Some(self.left(self.limits.budget(self.kind).owe(self.caller, more)))
    }

    fn left(&self, taken: Taken) -> Left {
        Left { account: self.clone(), taken }
    }
}

/// What is left in an account after a request, or how long its owner has to wait.
pub(in crate::http) struct Left {
    account: Account,
    taken: Taken,
}

impl Left {
    /// The problem of a request that there was nothing left for.
    pub(in crate::http) fn refused(&self) -> Option<Problem> {
        let Taken::Refused { seconds } = self.taken else { return None };
        let Account { limits, kind, is_subjects, .. } = &self.account;
        let budget = limits.budget(*kind);
        let (name, rate) = (budget.name(), budget.rate().per_second);
        let whose = if *is_subjects { "the subject of this token" } else { "this address" };
        let detail = format!(
            "More {name} came from {whose} than the {rate} a second that it has: nothing was done. \
             Send the same again after the time in Retry-After, and fewer at a time; RateLimit says \
             how many are left.",
        );
        let problem = Problem::new(Code::RateLimited, detail)
            .with("budget", Member::Text(name.to_owned()))
            .with("perSecond", Member::Count(rate.get().into()));
        Some(problem.after(seconds))
    }

    /// Adds the fields to an answer. One that says already what is left knows of more that was taken.
    pub(in crate::http) fn tell(&self, mut response: Response) -> Response {
        let budget = self.account.limits.budget(self.account.kind);
        let waits = response.extensions().get::<Problem>().and_then(|problem| problem.wait);
        let (remaining, seconds) = match (waits, self.taken) {
            (Some(seconds), _) | (None, Taken::Refused { seconds }) => (0, seconds),
            (None, Taken::Left { remaining, whole_in }) => (remaining, whole_in),
        };
        let headers = response.headers_mut();
        headers.insert(POLICY, budget.policy());
        if !headers.contains_key(RATE_LIMIT) {
            let text = format!(r#""{}";r={remaining};t={seconds}"#, budget.name());
            // ASCII is always the value of a header.
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(RATE_LIMIT, value);
            }
        }
        response
    }
}
