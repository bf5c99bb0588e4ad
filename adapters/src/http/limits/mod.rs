//! How much a caller may ask for: a budget of reads and one of writes, so that whoever floods the
//! service is told to wait, and everybody else is served as ever.
//!
//! ```text
//! request ─▶ guard ─▶ whose account? ─▶ spend 1 ─┬ there is some ─▶ route ─▶ answer, RateLimit
//!            a valid token: its subject          │   └ a bulk: owe what it has besides
//!            none, or a bad one: the address     └ there is none ─▶ 429, Retry-After
//! ```
//!
//! | what | how |
//! |---|---|
//! | algorithm | a bucket that fills evenly (GCRA), by `governor` |
//! | caller | the subject of a valid token; else the client's address, of IPv6 the /64, which is one household's or one machine's |
//! | reads, writes | by method, safe or not; a stream is one read, when it is opened |
//! | bulk | as many writes as it has commands: let in while there is one write left, and the others are owed |
//! | not limited | `Access::Public`: probes and the document |
//! | memory | [`callers`]: a bound on how many are known |
//!
//! That a bulk owes makes one of any size possible whatever the burst is, and the rate of commands
//! holds all the same: until the debt is paid by time, nothing else of the caller is let in.
//!
//! Budgets are of one process. Deliberately absent: budgets of all processes together, which would cost
//! every request a way to a common place.
//!
//! Source of the fields: draft-ietf-httpapi-ratelimit-headers-10.

mod account;
mod budget;
mod callers;

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use self::budget::Budget;
use super::client_address::ClientAddress;
use crate::auth::Caller;

pub(super) use self::account::{Account, Left};

/// The field that says how much a caller may ask for.
pub(super) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The field that says what is left of it.
pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// How much of something a caller may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// As many a second, evenly.
    pub per_second: NonZeroU32,
    /// As many at once, after a while without any.
    pub burst: NonZeroU32,
}

/// The budgets of all callers.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    /// With keys of this process: nobody can choose an address or a name that shares the account of
    /// another one.
    hasher: RandomState,
    reads: Budget,
    writes: Budget,
}

/// Of what a budget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reads,
    Writes,
}

impl Kind {
    fn of(method: &Method) -> Self {
        if method.is_safe() { Self::Reads } else { Self::Writes }
    }
}

/// By what a caller is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Whose<'c> {
    Subject(&'c str),
    Address(Ipv4Addr),
    /// The first half of an IPv6 address.
    Network([u16; 4]),
}

impl<'c> Whose<'c> {
    fn of(caller: Option<&'c Caller>, address: ClientAddress) -> Self {
        match (caller.and_then(|caller| caller.subject.as_ref()), address.0) {
            (Some(subject), _) => Self::Subject(subject.as_str()),
            (None, IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Self::Network([a, b, c, d])
            }
            (None, IpAddr::V4(address)) => Self::Address(address),
        }
    }
}

impl Limits {
    /// Of which every caller may ask for as much.
    #[must_use]
    pub fn new(reads: Rate, writes: Rate) -> Self {
        Self(Arc::new(Inner {
            hasher: RandomState::new(),
            reads: Budget::new("reads", reads),
            writes: Budget::new("writes", writes),
        }))
    }

    /// What a request is charged to: its caller's account, if that is known; else its address's.
    pub(super) fn account(&self, request: &Request, caller: Option<&Caller>) -> Account {
        // Without a server there are no addresses, and one account for all.
        let nowhere = ClientAddress(IpAddr::from([0; 4]));
        let address = request.extensions().get().copied().unwrap_or(nowhere);
        let whose = Whose::of(caller, address);
        let is_subjects = matches!(whose, Whose::Subject(_));
        Account {
            limits: self.clone(),
            kind: Kind::of(request.method()),
            caller: self.0.hasher.hash_one(whose),
            is_subjects,
        }
    }

    fn budget(&self, kind: Kind) -> &Budget {
        match kind {
            Kind::Reads => &self.0.reads,
            Kind::Writes => &self.0.writes,
        }
    }
}

/// Charges a request that has no route to its address.
pub(super) async fn charge(
    State(limits): State<Option<Limits>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(limits) = limits else { return next.run(request).await };
    let left = limits.account(&request, None).spend();
    match left.refused() {
        Some(problem) => left.tell(problem.into_response()),
        None => left.tell(next.run(request).await),
    }
}

#[cfg(test)]
mod tests;
