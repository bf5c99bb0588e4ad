//! A token's way to its caller, and the tokens that have gone it.
//!
//! A client sends the same token with every request, so a token that was verified is remembered until
//! it expires or the keys change: by its hash, so that no token is kept in memory.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use florin_application::Clock as _;
use jsonwebtoken::{Algorithm, Header, decode_header};
use lru::LruCache;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::claims::{Checked, Expected, check, holds};
use super::jwks::{Jwks, JwksError, Keeping};
use super::keys::Key;
use super::{Caller, Rejected, Settings};
use crate::clock::SystemClock;

/// The longest token: proxies allow as much for all the headers of a request.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How many tokens are remembered, some 200 bytes each: those of as many users at a time. One that was
/// forgotten is verified again.
pub const REMEMBERED_TOKENS: NonZeroUsize = NonZeroUsize::new(32_768).unwrap();

/// A token that was verified.
#[derive(Debug)]
struct Known {
    caller: Arc<Caller>,
    expires: i64,
    /// By the keys of which reading; 0 by the secret, which stays.
    reading: u64,
}

/// Verifies tokens.
pub struct Verifier {
    secret: Option<Key>,
    jwks: Option<(Arc<Jwks>, Keeping)>,
    expected: Expected,
    cookie: Option<String>,
    known: Mutex<LruCache<[u8; 32], Known>>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("expected", &self.expected).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Gets the keys; waits for a URL that does not answer yet.
    ///
    /// # Errors
    /// [`JwksError`] when there are none.
    pub async fn open(settings: Settings) -> Result<Self, JwksError> {
        let Settings { secret, jwks, expected, cookie, pace } = settings;
        let jwks = match jwks {
            Some(source) => Some(Jwks::open(source, pace).await?),
            None => None,
        };
        let secret = secret.as_ref().map(Key::of_secret);
        let known = Mutex::new(LruCache::new(REMEMBERED_TOKENS));
        Ok(Self { secret, jwks, expected, cookie, known })
    }

    /// The cookie that may carry a token.
    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// Who sends this token.
    ///
    /// # Errors
    /// [`Rejected`] says why it is nobody.
    pub async fn verify(&self, token: &str) -> Result<Arc<Caller>, Rejected> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Rejected::TooLong);
        }
        let (hash, now) = (Sha256::digest(token).into(), SystemClock.now());
        if let Some(caller) = self.remembered(&hash, now) {
            return Ok(caller);
        }
        let header = decode_header(token).map_err(|_| Rejected::Malformed)?;
        if header.crit.is_some() {
            return Err(Rejected::Critical);
        }
        let (claims, reading) = self.signed(token, &header).await?;
        let Checked { caller, expires } = check(&claims, &self.expected, now)?;
        let caller = Arc::new(caller);
        let known = Known { caller: Arc::clone(&caller), expires, reading };
        self.known().put(hash, known);
        Ok(caller)
    }

    /// What the token says, and by the keys of which reading it was verified.
    async fn signed(
        &self,
        token: &str,
        header: &Header,
    ) -> Result<(Map<String, Value>, u64), Rejected> {
        if header.alg == Algorithm::HS256
            && let Some(secret) = &self.secret
        {
            return Ok((secret.verify(token)?, 0));
        }
        let (jwks, _) = self.jwks.as_ref().ok_or(Rejected::Algorithm)?;
        let mut reading = jwks.current();
        if let Err(Rejected::UnknownKey) = reading.keys.key_of(header) {
            reading = jwks.after(reading.number).await;
        }
        Ok((reading.keys.key_of(header)?.verify(token)?, reading.number))
    }

    fn remembered(&self, hash: &[u8; 32], now: DateTime<Utc>) -> Option<Arc<Caller>> {
        let current = self.jwks.as_ref().map(|(jwks, _)| jwks.current().number);
        let mut tokens = self.known();
        let known = tokens.get(hash)?;
        let is_by_known_keys = known.reading == 0 || Some(known.reading) == current;
        if is_by_known_keys && holds(known.expires, now) {
            return Some(Arc::clone(&known.caller));
        }
        tokens.pop(hash);
        None
    }

    fn known(&self) -> std::sync::MutexGuard<'_, LruCache<[u8; 32], Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use florin_domain::Owner;
    use jsonwebtoken::{EncodingKey, encode};
    use serde_json::json;

    use super::*;
    use crate::auth::{Grant, Scope, mint};

    const SECRET: &str = "a secret of the tests, which is long enough";

    async fn verifier() -> Verifier {
        let secret = Some(SECRET.parse().unwrap());
        Verifier::open(Settings { secret, ..Settings::default() }).await.unwrap()
    }

    fn signed(header: &Header, expires_in: i64) -> String {
        let exp = SystemClock.now().timestamp() + expires_in;
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        encode(header, &json!({ "sub": "alice", "exp": exp }), &key).unwrap()
    }

    fn remembered(verifier: &Verifier) -> usize {
        verifier.known().len()
    }

    #[tokio::test]
    async fn a_token_that_was_minted_is_taken() {
        let subject: Owner = "alice".parse().unwrap();
        let scope = "wallet:read ops".to_owned();
        let grant = Grant { subject: subject.clone(), scope, ttl: 60 };
        let expected = Expected {
            issuer: Some("me".to_owned()),
            audience: Some("florin".to_owned()),
            user_claim: "user.id".parse().unwrap(),
        };
        let secret = SECRET.parse().unwrap();
        let token = mint(&secret, &expected, &grant, SystemClock.now()).unwrap();
        let settings = Settings { secret: Some(secret), expected, ..Settings::default() };
        let caller = Verifier::open(settings).await.unwrap().verify(&token).await.unwrap();
        assert_eq!(caller.subject, Some(subject));
        let has = |scope| caller.scopes.has(scope);
        assert!(has(Scope::WalletRead) && has(Scope::Ops) && !has(Scope::LedgerRead));
    }

    #[tokio::test]
    async fn what_was_verified_is_remembered_and_nothing_else() {
        let verifier = verifier().await;
        let good = signed(&Header::new(Algorithm::HS256), 60);
        let first = verifier.verify(&good).await.unwrap();
        assert!(Arc::ptr_eq(&first, &verifier.verify(&good).await.unwrap()));
        for bad in
            [signed(&Header::new(Algorithm::HS256), -60), good.replace('.', ".."), "x".into()]
        {
            verifier.verify(&bad).await.unwrap_err();
        }
        assert_eq!(remembered(&verifier), 1);
        // Nor is it remembered for longer than it holds.
        let later = SystemClock.now() + chrono::Duration::seconds(120);
        let hash = Sha256::digest(&good).into();
        assert!(verifier.remembered(&hash, later).is_none());
        assert_eq!(remembered(&verifier), 0);
    }

    #[tokio::test]
    async fn a_header_may_name_its_key_and_may_demand_nothing() {
        let verifier = verifier().await;
        let header = Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::HS256) };
        verifier.verify(&signed(&header, 60)).await.unwrap();
        let header = Header { crit: Some(vec!["b64".to_owned()]), ..header };
        let demanding = verifier.verify(&signed(&header, 60)).await.unwrap_err();
        assert_eq!(demanding, Rejected::Critical);
        let stronger = signed(&Header::new(Algorithm::HS512), 60);
        assert_eq!(verifier.verify(&stronger).await.unwrap_err(), Rejected::Algorithm);
    }

    #[tokio::test]
    async fn a_verifier_does_not_show_its_secret() {
        let secret: crate::auth::Secret = SECRET.parse().unwrap();
        let settings = Settings { secret: Some(secret.clone()), ..Settings::default() };
        let shown = format!("{secret:?} {settings:?} {:?}", verifier().await);
        assert!(!shown.contains("secret of the tests"), "{shown}");
    }
}
