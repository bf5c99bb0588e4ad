//! The keys that tokens are verified with, each with the one algorithm that it is for.
//!
//! A key's algorithm is its own `alg`, else that of its type. A token is verified with it or not at
//! all, whatever the token says: no public key is ever taken for a secret, and `none` is no algorithm.
//!
//! What cannot verify tokens is left out: keys for encryption, secrets (a set that is published has
//! none), curves and sizes that are not known or too weak.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, Header, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::Rejected;
use super::secret::Secret;

/// How many keys a set has at most: issuers rotate between two or three.
pub const MAX_KEYS: usize = 64;

/// The sizes of RSA moduli that are taken, in bytes. Smaller ones are too weak (RFC 7518, section
/// 3.3); larger ones cost more than any issuer asks of those who verify.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// The size of a public key of Ed25519, in bytes.
const ED25519_BYTES: usize = 32;

/// Why a text is no set of keys.
#[derive(Debug, Error)]
pub enum KeysError {
    /// Not the JSON of RFC 7517.
    #[error("it is no JWKS: {0}")]
    Malformed(#[from] serde_json::Error),
    /// More than [`MAX_KEYS`].
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
    /// None that verifies a token.
    #[error("none of its keys verifies tokens: RS256, PS256, ES256, EdDSA and their kin do")]
    NoneFit,
}

/// A key, and how its tokens are verified.
#[derive(Debug, Clone)]
pub(super) struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
    validation: Validation,
}

impl Key {
    fn new(kid: Option<String>, algorithm: Algorithm, decoding: DecodingKey) -> Self {
        let mut validation = Validation::new(algorithm);
        // The signature only: `claims` checks the rest.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self { kid, algorithm, decoding, validation }
    }

    /// The key of HS256.
    pub(super) fn of_secret(secret: &Secret) -> Self {
        Self::new(None, Algorithm::HS256, DecodingKey::from_secret(secret.bytes()))
    }

    fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let is_for_signatures = match &common.public_key_use {
            None | Some(PublicKeyUse::Signature) => true,
            Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)) => false,
        };
        let operations = common.key_operations.as_ref();
        let verifies = operations.is_none_or(|all| all.contains(&KeyOperations::Verify));
        if !is_for_signatures || !verifies {
            return None;
        }
        let usual = usual_algorithm(&jwk.algorithm)?;
        let algorithm = match common.key_algorithm {
            Some(algorithm) => Algorithm::try_from(algorithm).ok()?,
            None => usual,
        };
        let decoding = DecodingKey::from_jwk(jwk).ok()?;
        // An elliptic curve has one algorithm, an RSA key any of its family.
        let fits = match usual.family() {
            AlgorithmFamily::Rsa => algorithm.family() == AlgorithmFamily::Rsa,
            AlgorithmFamily::Hmac | AlgorithmFamily::Ec | AlgorithmFamily::Ed => algorithm == usual,
        };
        let fits = fits && decoding.family() == algorithm.family();
        let kid = common.key_id.clone();
        (fits && is_sound(&decoding)).then(|| Self::new(kid, algorithm, decoding))
    }

    /// What the token says, if this key signed it.
    pub(super) fn verify(&self, token: &str) -> Result<Map<String, Value>, Rejected> {
        match jsonwebtoken::decode(token, &self.decoding, &self.validation) {
            Ok(data) => Ok(data.claims),
            Err(error) => {
                tracing::debug!(target: "auth", %error, "a token is not verified");
                Err(Rejected::Signature)
            }
        }
    }
}

/// The algorithm of keys of this type that do not name one.
fn usual_algorithm(key: &AlgorithmParameters) -> Option<Algorithm> {
    let curve = if let AlgorithmParameters::EllipticCurve(key) = key {
        &key.curve
    } else if let AlgorithmParameters::OctetKeyPair(key) = key {
        &key.curve
    } else {
        // Secrets have none, and what is to come.
        return matches!(key, AlgorithmParameters::RSA(_)).then_some(Algorithm::RS256);
    };
    let known = [
        (EllipticCurve::P256, Algorithm::ES256),
        (EllipticCurve::P384, Algorithm::ES384),
        (EllipticCurve::Ed25519, Algorithm::EdDSA),
    ];
    known.into_iter().find(|(of, _)| of == curve).map(|(_, algorithm)| algorithm)
}

/// Whether a key is of a size that is neither weak nor malformed.
fn is_sound(key: &DecodingKey) -> bool {
    match (key.kind(), key.family()) {
        (DecodingKeyKind::RsaModulusExponent { n, .. }, _) => {
            let zeros = n.iter().take_while(|byte| **byte == 0).count();
            RSA_MODULUS_BYTES.contains(&(n.len() - zeros))
        }
        (DecodingKeyKind::SecretOrDer(point), AlgorithmFamily::Ed) => point.len() == ED25519_BYTES,
        (
            DecodingKeyKind::SecretOrDer(_),
            AlgorithmFamily::Hmac | AlgorithmFamily::Rsa | AlgorithmFamily::Ec,
        ) => true,
    }
}

/// The keys of one reading of a JWKS.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Document {
    // Key by key, so that one of a kind to come does not hide the others.
    keys: Vec<Value>,
}

impl KeySet {
    /// The keys of a JWKS (RFC 7517) that verify tokens.
    pub(super) fn parse(text: &[u8]) -> Result<Self, KeysError> {
        let Document { keys } = serde_json::from_slice(text)?;
        if keys.len() > MAX_KEYS {
            return Err(KeysError::TooMany);
        }
        let fit = |key: Value| serde_json::from_value(key).ok().as_ref().and_then(Key::of_jwk);
        let keys: Vec<Key> = keys.into_iter().filter_map(fit).collect();
        if keys.is_empty() {
            return Err(KeysError::NoneFit);
        }
        Ok(Self { keys })
    }

    /// The key that a token says it is signed with.
    pub(super) fn key_of(&self, header: &Header) -> Result<&Key, Rejected> {
        let is_of = |key: &&Key| key.algorithm == header.alg;
        let Some(kid) = &header.kid else {
            let mut fit = self.keys.iter().filter(is_of);
            return match (fit.next(), fit.next()) {
                (Some(key), None) => Ok(key),
                (Some(_), Some(_)) => Err(Rejected::UnnamedKey),
                (None, _) => Err(Rejected::Algorithm),
            };
        };
        let mut named = self.keys.iter().filter(|key| key.kid.as_ref() == Some(kid)).peekable();
        if named.peek().is_none() {
            return Err(Rejected::UnknownKey);
        }
        named.find(is_of).ok_or(Rejected::Algorithm)
    }
}

#[cfg(test)]
mod tests;
