//! Whoever issues tokens: a secret and a pair of keys of every kind, born with the test; and where the
//! public ones are published.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use florin_adapters::auth::{Auth, Expected, Pace, Settings, Verifier};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// The issuer that services trust.
pub const ISSUER: &str = "https://id.example.com";

/// Whom its tokens are for.
pub const AUDIENCE: &str = "florin";

/// The secret of HS256.
pub const SECRET: &str = "a secret of the tests, which is long enough";

/// A kind of key.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Of 2048 bits, for RS256.
    Rsa,
    /// On P-256, for ES256.
    Ec,
    /// On Ed25519, for EdDSA.
    Ed,
}

/// A private key, by its name.
pub struct Pair {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

/// Its keys.
pub struct Issuer {
    pairs: Vec<Pair>,
}

impl Pair {
    /// A new one.
    pub fn new(kid: &str, kind: Kind) -> Self {
        let (kid, random) = (kid.to_owned(), SystemRandom::new());
        let (algorithm, key) = match kind {
            Kind::Rsa => {
                let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
                // The key itself begins after the 26 bytes that say what it is.
                let key = EncodingKey::from_rsa_der(&key.as_der().unwrap().as_ref()[26..]);
                (Algorithm::RS256, key)
            }
            Kind::Ec => {
                let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let key = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
                (Algorithm::ES256, EncodingKey::from_ec_der(key.as_ref()))
            }
            Kind::Ed => {
                let key = Ed25519KeyPair::generate_pkcs8v1(&random).unwrap();
                (Algorithm::EdDSA, EncodingKey::from_ed_der(key.as_ref()))
            }
        };
        Self { kid, algorithm, key }
    }

    /// The public key, as it is published.
    pub fn public(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.clone());
        serde_json::to_value(jwk).unwrap()
    }

    /// A token of this key.
    pub fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).unwrap()
    }
}

impl Issuer {
    /// One with a key of every kind: `rsa`, `ec` and `ed`.
    pub fn new() -> Self {
        let kinds = [("rsa", Kind::Rsa), ("ec", Kind::Ec), ("ed", Kind::Ed)];
        Self { pairs: kinds.map(|(kid, kind)| Pair::new(kid, kind)).into() }
    }

    /// One of its keys.
    pub fn pair(&self, kid: &str) -> &Pair {
        self.pairs.iter().find(|pair| pair.kid == kid).unwrap()
    }

    /// Its public keys.
    pub fn jwks(&self) -> Value {
        jwks(self.pairs.iter())
    }

    /// What verifies its tokens, of every kind.
    pub async fn auth(&self, more: Settings) -> Auth {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jwks.json");
        std::fs::write(&file, self.jwks().to_string()).unwrap();
        let settings = Settings {
            secret: Some(SECRET.parse().unwrap()),
            jwks: Some(file.to_str().unwrap().parse().unwrap()),
            ..more
        };
        // The file is read when this returns.
        Auth::Jwt(Arc::new(Verifier::open(settings).await.unwrap()))
    }
}

impl Default for Issuer {
    fn default() -> Self {
        Self::new()
    }
}

/// What the services of the tests expect of a token.
pub fn expected() -> Expected {
    Expected {
        issuer: Some(ISSUER.to_owned()),
        audience: Some(AUDIENCE.to_owned()),
        ..Expected::default()
    }
}

/// Public keys as a document.
pub fn jwks<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Value {
    json!({ "keys": pairs.map(Pair::public).collect::<Vec<_>>() })
}

/// So many seconds from now, in Unix time.
pub fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

/// What a good token says, with more claims or other ones; `null` leaves one out.
pub fn claims(subject: &str, scope: &str, more: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": [AUDIENCE, "another"], "sub": subject, "scope": scope,
        "exp": seconds_from_now(600),
    });
    let members = claims.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    claims
}

/// A good token of the secret.
pub fn token(subject: &str, scope: &str) -> String {
    hs256(SECRET.as_bytes(), &claims(subject, scope, json!({})))
}

/// A token of any secret.
pub fn hs256(secret: &[u8], claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// An HTTP server for one document, which changes, fails, and counts who asks.
pub struct Publisher {
    url: String,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
}

impl Publisher {
    /// Publishes keys. It ends with the process.
    pub fn start(keys: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new((200, keys.to_string())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (answers, count) = (Arc::clone(&answer), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                count.fetch_add(1, Ordering::SeqCst);
                let (status, body) = answers.lock().unwrap().clone();
                let length = body.len();
                let head = format!("HTTP/1.1 {status} _\r\ncontent-length: {length}\r\n");
                // Who has enough of a document that is too large hangs up.
                let _ = write!(stream, "{head}connection: close\r\n\r\n{body}");
            }
        });
        Self { url, answer, asked }
    }

    /// Answers with something else from now on.
    pub fn answer(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// What verifies the tokens of these keys.
    pub async fn auth(&self, pace: Pace) -> Auth {
        let jwks = Some(self.url.parse().unwrap());
        let settings = Settings { jwks, pace, expected: expected(), ..Settings::default() };
        Auth::Jwt(Arc::new(Verifier::open(settings).await.unwrap()))
    }
}
