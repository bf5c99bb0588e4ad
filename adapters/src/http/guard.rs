//! Who gets in where: every route names its [`Access`], and a request is let in by the scopes of its
//! token.
//!
//! | access | lets in | who may ask of |
//! |---|---|---|
//! | [`Access::Public`] | everybody | nothing that anybody owns |
//! | [`Access::Anybody`] | every valid token, in a cookie too | their own wallet |
//! | [`Access::Wallets`] | a `wallet:` scope, or a `ledger:` scope | their own wallets, or any |
//! | [`Access::Only`] | that scope | any wallet |
//!
//! Behind who comes in, [`limits`](super::limits) counts: what came with a valid token is charged to its
//! subject, and all else to its address, so that guesses are few.
//!
//! What a request may ask of goes with it as its [`Reach`]. Whose a wallet is, the guard does not know:
//! the ledger decides that with the command, and a read model's row says it.
//!
//! Source of the challenges in `WWW-Authenticate`: RFC 6750, section 3.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use florin_application::command::WalletState;
use florin_domain::Owner;
use florin_projections::balance::WalletRow;

use super::audit::Ticket;
use super::code::Code;
use super::limits::{Account, Limits};
use super::problem::{Member, Problem};
use crate::auth::{Auth, Caller, Rejected, Scope};

/// Who gets in at a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody, without a token.
    Public,
    /// Whoever has a valid token, whatever it allows.
    Anybody,
    /// Who may do this to their own wallets, or to any.
    Wallets {
        /// The scope for one's own.
        own: Scope,
        /// The scope for any.
        any: Scope,
    },
    /// Who has this scope.
    Only(Scope),
}

impl Access {
    /// Where a wallet is read.
    pub(super) const READ: Self = Self::Wallets { own: Scope::WalletRead, any: Scope::LedgerRead };

    /// Where a wallet is commanded.
    pub(super) const WRITE: Self =
        Self::Wallets { own: Scope::WalletWrite, any: Scope::LedgerWrite };

    /// Each of the scopes that let in.
    pub(super) fn scopes(self) -> Vec<Scope> {
        match self {
            Self::Public | Self::Anybody => vec![],
            Self::Wallets { own, any } => vec![own, any],
            Self::Only(scope) => vec![scope],
        }
    }

    /// What can be wrong with whoever comes.
    pub(super) fn problems(self) -> &'static [Code] {
        match self {
            Self::Public => &[],
            Self::Anybody => &[Code::MissingToken, Code::InvalidToken, Code::RateLimited],
            Self::Wallets { .. } | Self::Only(_) => &[
                Code::MissingToken,
                Code::InvalidToken,
                Code::InsufficientScope,
                Code::RateLimited,
            ],
        }
    }

    /// What a caller may ask of, if they get in.
    fn reach(self, caller: &Caller) -> Result<Reach, Problem> {
        match self {
            Self::Public | Self::Anybody => Ok(Reach::Nothing),
            Self::Only(scope) if caller.scopes.has(scope) => Ok(Reach::Any),
            Self::Wallets { any, .. } if caller.scopes.has(any) => Ok(Reach::Any),
            Self::Wallets { own, .. } if caller.scopes.has(own) => {
                caller.subject.clone().map(Reach::Own).ok_or_else(nobody)
            }
            Self::Only(_) | Self::Wallets { .. } => Err(insufficient(
                &self.scopes(),
                "The token does not allow this: ask its issuer for a scope in `scopes`.",
            )),
        }
    }
}

/// Of which wallets a request may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    /// Of none.
    Nothing,
    /// Of those of this owner. All others are as if they had never been opened.
    Own(Owner),
    /// Of any.
    Any,
}

impl Reach {
    /// In whose name a command is given, if it is in anybody's.
    pub(super) fn owner(&self) -> Result<Option<&Owner>, Problem> {
        match self {
            Self::Any => Ok(None),
            Self::Own(owner) => Ok(Some(owner)),
            Self::Nothing => Err(unguarded()),
        }
    }

    /// Whether a wallet of this owner may be asked of.
    pub(super) fn covers(&self, owner: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Own(own) => owner == Some(own.as_str()),
            Self::Nothing => false,
        }
    }

    /// Whether this wallet may be.
    pub(super) fn covers_state(&self, state: &WalletState) -> bool {
        self.covers(state.account.owner.as_ref().map(Owner::as_str))
    }

    /// Whether this wallet may be.
    pub(super) fn covers_row(&self, row: &WalletRow) -> bool {
        self.covers(row.owner.as_deref())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Reach {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(unguarded)
    }
}

/// A route that asks what the guard did not say: a defect, which lets nobody in.
fn unguarded() -> Problem {
    tracing::error!(target: "http", "a route reads wallets and is not guarded for that");
    Problem::internal()
}

/// What a route is guarded by.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) auth: Auth,
    pub(super) access: Access,
    pub(super) limits: Option<Limits>,
}

/// Lets a request in, with its [`Reach`] and its [`Caller`], or not.
pub(super) async fn admit(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    let known = guard.known(request.headers()).await;
    let caller = known.as_ref().ok().and_then(Option::as_deref);
    if let (Some(caller), Some(ticket)) = (caller, request.extensions().get::<Ticket>()) {
        ticket.is_of(caller);
    }
    let Some(account) = guard.account(&request, caller) else {
        return guard.pass(known, request, next).await;
    };
    let left = account.spend();
    if let Some(problem) = left.refused() {
        return left.tell(problem.into_response());
    }
    if request.method() == Method::POST {
        // A bulk is charged for more, once it is read.
        request.extensions_mut().insert(account);
    }
    left.tell(guard.pass(known, request, next).await)
}

impl Guard {
    /// Who comes, where somebody has to be known.
    async fn known(&self, headers: &HeaderMap) -> Result<Option<Arc<Caller>>, Problem> {
        let Auth::Jwt(verifier) = &self.auth else { return Ok(None) };
        if self.access == Access::Public {
            return Ok(None);
        }
        let cookie = verifier.cookie().filter(|_| self.access == Access::Anybody);
        let token = token(headers, cookie)?;
        verifier.verify(token).await.map(Some).map_err(rejected)
    }

    /// What the request is charged to.
    fn account(&self, request: &Request, caller: Option<&Caller>) -> Option<Account> {
        let limits = self.limits.as_ref().filter(|_| self.access != Access::Public)?;
        Some(limits.account(request, caller))
    }

    /// Lets who comes in, as far as they may go.
    async fn pass(
        &self,
        known: Result<Option<Arc<Caller>>, Problem>,
        mut request: Request,
        next: Next,
    ) -> Response {
        let admitted = known.and_then(|caller| Ok((self.reach(caller.as_deref())?, caller)));
        match admitted {
            Ok((reach, caller)) => {
                request.extensions_mut().insert(reach);
                if let Some(caller) = caller {
                    request.extensions_mut().insert(caller);
                }
                next.run(request).await
            }
            Err(problem) => problem.into_response(),
        }
    }

    /// What who comes may ask of.
    fn reach(&self, caller: Option<&Caller>) -> Result<Reach, Problem> {
        match (caller, self.access) {
            (Some(caller), access) => access.reach(caller),
            // Nobody has to be known.
            (None, Access::Public | Access::Anybody) => Ok(Reach::Nothing),
            (None, Access::Wallets { .. } | Access::Only(_)) => Ok(Reach::Any),
        }
    }
}

/// The token of a request: in `Authorization`, else in the cookie.
fn token<'r>(headers: &'r HeaderMap, cookie: Option<&str>) -> Result<&'r str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return cookie.and_then(|name| in_cookie(headers, name)).ok_or_else(missing);
    };
    let bearer = bearer(value).filter(|_| values.next().is_none());
    bearer.ok_or_else(|| {
        Problem::new(
            Code::InvalidToken,
            "Authorization is sent once, as `Bearer` and the token: correct it.",
        )
    })
}

/// What follows `Bearer`, whose case is free.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The value of a cookie, with quotes or without. Source: RFC 6265, section 4.2.
fn in_cookie<'r>(headers: &'r HeaderMap, name: &str) -> Option<&'r str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(given, _)| given.trim() == name).map(|(_, value)| value).next()?;
    Some(value.trim().trim_matches('"'))
}

fn missing() -> Problem {
    Problem::new(
        Code::MissingToken,
        "This needs a token: send Authorization: Bearer and a token of your issuer.",
    )
}

fn rejected(why: Rejected) -> Problem {
    Problem::new(Code::InvalidToken, format!("The token is not accepted: {why}."))
}

/// A token that does not say whose wallets are the caller's own.
pub(super) fn nobody() -> Problem {
    Problem::new(
        Code::InvalidToken,
        "The token does not say who its bearer is: ask its issuer for that claim.",
    )
}

/// The scopes of a token do not suffice; each of these would.
pub(super) fn insufficient(scopes: &[Scope], detail: &'static str) -> Problem {
    let names = scopes.iter().map(|scope| scope.as_str()).collect();
    Problem::new(Code::InsufficientScope, detail).with("scopes", Member::Names(names))
}

/// The challenge that a problem is answered with, if it is one of those.
pub(super) fn challenge(problem: &Problem) -> Option<HeaderValue> {
    if problem.code == Code::MissingToken {
        return Some(HeaderValue::from_static(r#"Bearer realm="florin""#));
    }
    if problem.code == Code::InvalidToken {
        return Some(HeaderValue::from_static(r#"Bearer realm="florin", error="invalid_token""#));
    }
    if problem.code != Code::InsufficientScope {
        return None;
    }
    // The least of the scopes that suffice; a list would mean all of them.
    let least = problem.members.iter().find_map(|(_, member)| match member {
        Member::Names(scopes) => scopes.first().copied(),
        Member::Text(_) | Member::Count(_) | Member::Flag(_) => None,
    });
    let scope = least.unwrap_or_default();
    let text = format!(r#"Bearer realm="florin", error="insufficient_scope", scope="{scope}""#);
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Scopes;

    fn headers(sent: &[(&str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&str, &str)| {
            (name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap())
        };
        sent.iter().map(header).collect()
    }

    fn found(sent: &[(&str, &str)], cookie: Option<&str>) -> Result<String, Code> {
        token(&headers(sent), cookie).map(str::to_owned).map_err(|problem| problem.code)
    }

    #[test]
    fn a_token_is_that_of_the_one_authorization() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
            assert_eq!(found(&[("authorization", value)], None), Ok("a.b.c".to_owned()));
        }
        for value in ["Basic a", "Bearer", "a.b.c", "Bearera.b.c", ""] {
            let found = found(&[("authorization", value)], Some("jwt"));
            assert_eq!(found, Err(Code::InvalidToken), "{value}");
        }
        let twice = [("authorization", "Bearer a"), ("authorization", "Bearer a")];
        assert_eq!(found(&twice, None), Err(Code::InvalidToken));
        assert_eq!(found(&[], None), Err(Code::MissingToken));
    }

    #[test]
    fn a_cookie_carries_a_token_where_it_may() {
        let sent = [("cookie", "a=1; jwt=x.y.z; b=2"), ("cookie", "c=3")];
        assert_eq!(found(&sent, Some("jwt")), Ok("x.y.z".to_owned()));
        assert_eq!(found(&[("cookie", "jwt=\"x.y.z\"")], Some("jwt")), Ok("x.y.z".to_owned()));
        assert_eq!(found(&sent, Some("wt")), Err(Code::MissingToken));
        assert_eq!(found(&sent, None), Err(Code::MissingToken));
        let both = [("cookie", "jwt=x.y.z"), ("authorization", "Bearer a.b.c")];
        assert_eq!(found(&both, Some("jwt")), Ok("a.b.c".to_owned()));
    }

    fn reach(access: Access, subject: Option<&str>, scopes: &[&str]) -> Result<Reach, Code> {
        let scopes = Scopes::default().with_names(scopes.iter().copied());
        let subject = subject.map(|subject| subject.parse().unwrap());
        access.reach(&Caller { subject, scopes }).map_err(|problem| problem.code)
    }

    #[test]
    fn a_scope_reaches_as_far_as_it_says() {
        let own = Ok(Reach::Own("alice".parse().unwrap()));
        for (access, scopes, expected) in [
            (Access::READ, &["wallet:read"][..], own.clone()),
            (Access::READ, &["ledger:read"], Ok(Reach::Any)),
            (Access::READ, &["wallet:read", "ledger:read"], Ok(Reach::Any)),
            (Access::READ, &["wallet:write", "ledger:write"], Err(Code::InsufficientScope)),
            (Access::WRITE, &["wallet:write"], own),
            (Access::WRITE, &["ledger:write"], Ok(Reach::Any)),
            (Access::WRITE, &["wallet:read", "ledger:read"], Err(Code::InsufficientScope)),
            (Access::Only(Scope::Ops), &["ops"], Ok(Reach::Any)),
            (Access::Only(Scope::Ops), &["ledger:write"], Err(Code::InsufficientScope)),
            (Access::Anybody, &[], Ok(Reach::Nothing)),
        ] {
            assert_eq!(reach(access, Some("alice"), scopes), expected, "{access:?} {scopes:?}");
        }
    }

    #[test]
    fn who_has_no_name_owns_nothing() {
        assert_eq!(reach(Access::READ, None, &["wallet:read"]), Err(Code::InvalidToken));
        assert_eq!(reach(Access::READ, None, &["ledger:read"]), Ok(Reach::Any));
        let alice = Reach::Own("alice".parse().unwrap());
        assert!(alice.covers(Some("alice")) && !alice.covers(Some("bob")) && !alice.covers(None));
        assert!(Reach::Any.covers(None) && !Reach::Nothing.covers(Some("alice")));
    }

    #[test]
    fn a_challenge_names_the_least_scope() {
        let problem = insufficient(&Access::READ.scopes(), "no");
        let expected = r#"Bearer realm="florin", error="insufficient_scope", scope="wallet:read""#;
        assert_eq!(challenge(&problem).unwrap(), expected);
        assert_eq!(challenge(&missing()).unwrap(), r#"Bearer realm="florin""#);
        assert_eq!(challenge(&Problem::internal()), None);
    }
}
