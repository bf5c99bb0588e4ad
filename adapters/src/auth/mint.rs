//! Tokens for development, signed with the secret: for trying a service out, and for tests of clients.

use chrono::{DateTime, Duration, Utc};
use florin_domain::Owner;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use thiserror::Error;

use super::claims::Expected;
use super::secret::{MIN_SECRET_BYTES, Secret};

/// For how many seconds a token holds when nobody says: an hour of trying out.
pub const DEFAULT_TTL: u32 = 60 * 60;

/// The most seconds that one holds: a month. What runs for longer gets its tokens from an issuer.
pub const MAX_TTL: u32 = 30 * 24 * 60 * 60;

/// Whom a token is for, and what it allows.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Who its bearer is.
    pub subject: Owner,
    /// What they may do, as it will stand in the token.
    pub scope: String,
    /// For how many seconds.
    pub ttl: u32,
}

/// Why there is no token.
#[derive(Debug, Error)]
pub enum MintError {
    /// A service would not take the secret either.
    #[error("FLORIN_JWT_SECRET is shorter than {MIN_SECRET_BYTES} bytes: set a longer one")]
    ShortSecret,
    /// The library does not sign it.
    #[error("the token is not signed: {0}")]
    Unsigned(#[from] jsonwebtoken::errors::Error),
}

/// A token that a service accepts which has this secret and expects this.
///
/// # Errors
/// [`MintError`].
pub fn mint(
    secret: &Secret,
    expected: &Expected,
    grant: &Grant,
    now: DateTime<Utc>,
) -> Result<String, MintError> {
    if !secret.is_long_enough() {
        return Err(MintError::ShortSecret);
    }
    let subject = grant.subject.as_str();
    let mut claims = expected.user_claim.claims(subject);
    claims.insert("sub".to_owned(), subject.into());
    claims.insert("scope".to_owned(), grant.scope.as_str().into());
    claims.insert("iat".to_owned(), now.timestamp().into());
    let expires = now + Duration::seconds(grant.ttl.min(MAX_TTL).into());
    claims.insert("exp".to_owned(), expires.timestamp().into());
    for (name, value) in [("iss", &expected.issuer), ("aud", &expected.audience)] {
        if let Some(value) = value {
            claims.insert(name.to_owned(), value.as_str().into());
        }
    }
    let key = EncodingKey::from_secret(secret.bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}
