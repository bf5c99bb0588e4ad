//! Who calls, and what they may do: bearer tokens (JWT, RFC 7519 and 8725).
//!
//! ```text
//! token ─▶ remembered? ─┬ yes ──────────────────────────────┬─▶ Caller { subject, scopes }
//!                       └ no ─▶ key ─▶ signature ─▶ claims ─┘
//!                               ▲
//!            FLORIN_JWT_SECRET ─┴─ JWKS: a file, or a URL
//! ```
//!
//! | file | does |
//! |---|---|
//! | `verifier` | a token's way to its caller, and the tokens that have gone it |
//! | `keys` | the keys of a JWKS, each with the one algorithm that it is for |
//! | `jwks` | where they come from, and when they are fetched again |
//! | `claims` | what a token says, checked |
//! | `scope` | what a token allows |
//! | `secret` | a text that is never shown |
//! | `mint` | tokens for development |
//!
//! What a token says of its own key (`jwk`, `jku`, `x5c` …) is not looked at. Nothing here knows
//! routes or wallets: that is `http::guard`, and the ledger.
//!
//! Bounds: a token has [`MAX_TOKEN_BYTES`], a JWKS [`MAX_JWKS_BYTES`] and [`MAX_KEYS`]; so many tokens are
//! remembered ([`REMEMBERED_TOKENS`]); keys are fetched as seldom as [`Pace`] says.

mod claims;
mod jwks;
mod keys;
mod mint;
mod scope;
mod secret;
mod verifier;

use std::sync::Arc;

use florin_domain::Owner;
use florin_domain::ids::MAX_OWNER;
use thiserror::Error;

pub use claims::{CLOCK_LEEWAY, ClaimPath, Expected};
pub use jwks::{JwksError, MAX_JWKS_BYTES, NoSource, Pace, Source};
pub use keys::{KeysError, MAX_KEYS};
pub use mint::{DEFAULT_TTL, Grant, MAX_TTL, MintError, mint};
pub use scope::{Scope, Scopes};
pub use secret::{MIN_SECRET_BYTES, Secret};
pub use verifier::{MAX_TOKEN_BYTES, REMEMBERED_TOKENS, Verifier};

/// Whoever sends a request, as a token says that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who they are: the owner of their wallets. A token need not say so.
    pub subject: Option<Owner>,
    /// What they may do.
    pub scopes: Scopes,
}

/// Whether callers have to say who they are.
#[derive(Debug, Clone)]
pub enum Auth {
    /// No: whoever can connect may do everything.
    Off,
    /// Yes, by a token.
    Jwt(Arc<Verifier>),
}

impl Auth {
    /// With the keys that tokens are verified with, or without tokens.
    ///
    /// # Errors
    /// [`JwksError`] when there are no keys.
    pub async fn open(settings: Option<Settings>) -> Result<Self, JwksError> {
        match settings {
            None => Ok(Self::Off),
            Some(settings) => Ok(Self::Jwt(Arc::new(Verifier::open(settings).await?))),
        }
    }
}

/// How tokens are verified.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The secret of HS256, if tokens may be signed with one.
    pub secret: Option<Secret>,
    /// Where the public keys are, if tokens may be signed with their private ones.
    pub jwks: Option<Source>,
    /// What must be in a token.
    pub expected: Expected,
    /// The cookie that may carry the token where a browser asks for its user's own wallet.
    pub cookie: Option<String>,
    /// How often the JWKS is read.
    pub pace: Pace,
}

/// Why a token is not accepted, in words that may follow "The token is not accepted:".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Rejected {
    /// Not a token, or one of another kind.
    #[error("it is no signed JWT of an algorithm that is known here")]
    Malformed,
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("a token has at most {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// It asks to be read in a way that is not known here (`crit`).
    #[error("its header demands an extension (crit) that is not known here")]
    Critical,
    /// No key has its `kid`.
    #[error("it is signed with a key (kid) that its issuer has not published, or not any more")]
    UnknownKey,
    /// It does not say which of several keys it is signed with.
    #[error("its header does not say by which of several keys (kid) it is signed")]
    UnnamedKey,
    /// Its `alg` is not the one of its key.
    #[error("its algorithm (alg) is not the one that its key is for")]
    Algorithm,
    /// Somebody else signed it, or it was changed.
    #[error("its signature is not that of its key")]
    Signature,
    /// No `exp`.
    #[error("it has no time (exp) at which it expires")]
    NeverExpires,
    /// A claim of a wrong type.
    #[error("its claim {0} cannot be read")]
    Unreadable(&'static str),
    /// After `exp`.
    #[error("it has expired (exp); get a new one")]
    Expired,
    /// Before `nbf`.
    #[error("it is not valid yet (nbf)")]
    NotYet,
    /// Another `iss`.
    #[error("its issuer (iss) is not the one that is trusted here")]
    Issuer,
    /// Another `aud`.
    #[error("it is meant for another service (aud)")]
    Audience,
    /// A subject that can own no wallet.
    #[error("who it is for is not 1 to {MAX_OWNER} characters without control characters")]
    Subject,
}
