use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{EncodingKey, encode};
use serde_json::json;

use super::*;

/// A private key of each kind, with the algorithm that it is usually for.
fn pairs() -> [(EncodingKey, Algorithm); 3] {
    let (rsa, random) = (KeyPair::generate(KeySize::Rsa2048).unwrap(), SystemRandom::new());
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let ed = Ed25519KeyPair::generate_pkcs8v1(&random).unwrap();
    [
        // The key itself begins after the 26 bytes that say what it is.
        (EncodingKey::from_rsa_der(&rsa.as_der().unwrap().as_ref()[26..]), Algorithm::RS256),
        (EncodingKey::from_ec_der(ec.as_ref()), Algorithm::ES256),
        (EncodingKey::from_ed_der(ed.as_ref()), Algorithm::EdDSA),
    ]
}

/// The public key, as an issuer publishes it, with more members or other ones.
fn public(key: &EncodingKey, algorithm: Algorithm, more: Value) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
    let members = jwk.as_object_mut().unwrap();
    members.remove("alg");
    let Value::Object(more) = more else { panic!("{more} has no members") };
    members.extend(more);
    jwk
}

fn set(keys: &[Value]) -> Result<KeySet, KeysError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

fn signed(key: &EncodingKey, algorithm: Algorithm, kid: Option<&str>) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, &json!({ "sub": "alice", "exp": 1 }), key).unwrap()
}

fn verified(keys: &KeySet, token: &str) -> Result<String, Rejected> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| Rejected::Malformed)?;
    let claims = keys.key_of(&header)?.verify(token)?;
    Ok(claims["sub"].as_str().unwrap().to_owned())
}

#[test]
fn a_key_verifies_the_tokens_of_its_pair() {
    for (key, algorithm) in pairs() {
        let keys = set(&[public(&key, algorithm, json!({ "kid": "k", "use": "sig" }))]).unwrap();
        for kid in [Some("k"), None] {
            let token = signed(&key, algorithm, kid);
            assert_eq!(verified(&keys, &token), Ok("alice".to_owned()), "{algorithm:?}");
            let changed = token.replacen('.', ".e", 1);
            assert_eq!(verified(&keys, &changed), Err(Rejected::Signature), "{algorithm:?}");
        }
        let stranger = signed(&key, algorithm, Some("other"));
        assert_eq!(verified(&keys, &stranger), Err(Rejected::UnknownKey));
    }
}

#[test]
fn a_key_is_for_one_algorithm() {
    let [(rsa, _), (ec, _), (ed, _)] = pairs();
    let keys = set(&[
        public(&rsa, Algorithm::RS256, json!({ "kid": "usual" })),
        public(&rsa, Algorithm::RS256, json!({ "kid": "pss", "alg": "PS256" })),
        public(&ec, Algorithm::ES256, json!({ "kid": "ec" })),
        public(&ed, Algorithm::EdDSA, json!({ "kid": "ed" })),
    ])
    .unwrap();
    for (kid, algorithm) in [("usual", Algorithm::RS256), ("pss", Algorithm::PS256)] {
        assert!(verified(&keys, &signed(&rsa, algorithm, Some(kid))).is_ok());
    }
    for (kid, algorithm) in [
        ("usual", Algorithm::PS256),
        ("usual", Algorithm::RS512),
        ("pss", Algorithm::RS256),
        ("ec", Algorithm::RS256),
        ("ed", Algorithm::RS256),
    ] {
        let token = signed(&rsa, algorithm, Some(kid));
        assert_eq!(verified(&keys, &token), Err(Rejected::Algorithm), "{kid} {algorithm:?}");
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let [(rsa, _), ..] = pairs();
    let jwk = public(&rsa, Algorithm::RS256, json!({ "kid": "k" }));
    let keys = set(std::slice::from_ref(&jwk)).unwrap();
    for secret in [jwk["n"].as_str().unwrap().to_owned(), jwk.to_string()] {
        for kid in [Some("k"), None] {
            let secret = EncodingKey::from_secret(secret.as_bytes());
            let forged = signed(&secret, Algorithm::HS256, kid);
            assert_eq!(verified(&keys, &forged), Err(Rejected::Algorithm));
        }
    }
    let none = "eyJhbGciOiJub25lIiwia2lkIjoiayJ9.eyJzdWIiOiJhbGljZSJ9.";
    assert_eq!(verified(&keys, none), Err(Rejected::Malformed));
}

#[test]
fn one_of_several_keys_must_be_named() {
    let ([(one, algorithm), ..], [(other, _), ..]) = (pairs(), pairs());
    let key = |key, kid| public(key, algorithm, json!({ "kid": kid }));
    let keys = set(&[key(&one, "one"), key(&other, "other")]).unwrap();
    assert_eq!(verified(&keys, &signed(&one, algorithm, None)), Err(Rejected::UnnamedKey));
    assert!(verified(&keys, &signed(&one, algorithm, Some("one"))).is_ok());
    let wrong = signed(&one, algorithm, Some("other"));
    assert_eq!(verified(&keys, &wrong), Err(Rejected::Signature));
}

#[test]
fn what_cannot_verify_tokens_is_left_out() {
    let [(rsa, _), (ec, _), (ed, _)] = pairs();
    let of_rsa = |more| public(&rsa, Algorithm::RS256, more);
    let left_out = [
        of_rsa(json!({ "use": "enc" })),
        of_rsa(json!({ "key_ops": ["encrypt"] })),
        of_rsa(json!({ "alg": "RSA-OAEP" })),
        of_rsa(json!({ "alg": "ES256" })),
        of_rsa(json!({ "alg": "HS256" })),
        of_rsa(json!({ "alg": "none" })),
        // 1024 bits.
        of_rsa(json!({ "n": format!("{}8", "_".repeat(170)) })),
        of_rsa(json!({ "n": "not base64!" })),
        public(&ec, Algorithm::ES256, json!({ "crv": "P-521" })),
        public(&ec, Algorithm::ES256, json!({ "crv": "secp256k1" })),
        public(&ec, Algorithm::ES256, json!({ "alg": "ES384" })),
        // Shorter than a key: a library has taken its first 32 bytes for granted.
        public(&ed, Algorithm::EdDSA, json!({ "x": "AAAA" })),
        public(&ed, Algorithm::EdDSA, json!({ "crv": "X25519" })),
        json!({ "kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA" }),
        json!({ "kty": "PQC" }),
        json!(7),
    ];
    for key in &left_out {
        assert!(matches!(set(std::slice::from_ref(key)), Err(KeysError::NoneFit)), "{key}");
    }
    let with_one = [&left_out[..], &[of_rsa(json!({ "kid": "good" }))]].concat();
    let token = signed(&rsa, Algorithm::RS256, Some("good"));
    assert!(verified(&set(&with_one).unwrap(), &token).is_ok());
}

#[test]
fn a_set_has_a_bound_and_a_shape() {
    let many = vec![json!({}); MAX_KEYS + 1];
    assert!(matches!(set(&many), Err(KeysError::TooMany)));
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>"] {
        assert!(matches!(KeySet::parse(text.as_bytes()), Err(KeysError::Malformed(_))), "{text}");
    }
}

#[test]
fn a_time_with_a_fraction_is_not_left_to_the_library() {
    let secret: Secret = "secret".parse().unwrap();
    let claims = json!({ "exp": 4_000_000_000.5 });
    let signs = EncodingKey::from_secret(secret.bytes());
    let token = encode(&Header::new(Algorithm::HS256), &claims, &signs).unwrap();
    let (key, validation) = (Key::of_secret(&secret), Validation::new(Algorithm::HS256));
    let error = jsonwebtoken::decode::<Value>(&token, &key.decoding, &validation).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::MissingRequiredClaim(name) if name == "exp"));
    assert!(key.verify(&token).is_ok());
}
