//! What a token says, checked: from when until when it holds, who issued it for whom, who its bearer
//! is, and what they may do.
//!
//! Here and not in the library that verifies the signature, because a token that is remembered is held
//! against the same rule again; and because that library takes no time with a fraction (as RFC 7519
//! allows and some issuers send) where JSON numbers keep their text, which amounts need.

use std::convert::Infallible;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use florin_domain::Owner;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Map, Value};

use super::scope::Scopes;
use super::{Caller, Rejected};

/// By how many seconds the clock of an issuer may be off: what machines without a time server drift
/// apart, and no more, because a token lives so much longer than it says.
pub const CLOCK_LEEWAY: i64 = 30;

/// What must be in a token.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Its `iss`; anybody's if not said.
    pub issuer: Option<String>,
    /// Among its `aud`; for anybody if not said.
    pub audience: Option<String>,
    /// Where it says who its bearer is.
    pub user_claim: ClaimPath,
}

/// Where a claim is: its name, or the names on the way to it with dots between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(String);

impl Default for ClaimPath {
    fn default() -> Self {
        Self("sub".to_owned())
    }
}

impl FromStr for ClaimPath {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl ClaimPath {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The claim; one whose own name has the dots goes before one on that way.
    fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        claims.get(&self.0).or_else(|| {
            let mut names = self.0.split('.');
            let first = claims.get(names.next()?)?;
            names.try_fold(first, |value, name| value.get(name))
        })
    }

    /// The claims that have just this one.
    pub(super) fn claims(&self, value: &str) -> Map<String, Value> {
        let mut names = self.0.rsplit('.').map(str::to_owned);
        let own = Map::from_iter([(names.next().unwrap_or_default(), value.into())]);
        names.fold(own, |inner, name| Map::from_iter([(name, Value::Object(inner))]))
    }
}

/// A caller, and until when the token holds that says so, in seconds of Unix time.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) caller: Caller,
    pub(super) expires: i64,
}

/// Whether a token that expires then still holds.
pub(super) fn holds(expires: i64, now: DateTime<Utc>) -> bool {
    now.timestamp() < expires.saturating_add(CLOCK_LEEWAY)
}

/// Who it is, if the token is one for here and now.
pub(super) fn check(
    claims: &Map<String, Value>,
    expected: &Expected,
    now: DateTime<Utc>,
) -> Result<Checked, Rejected> {
    let expires = claims.get("exp").ok_or(Rejected::NeverExpires)?;
    let expires = seconds(expires).ok_or(Rejected::Unreadable("exp"))?;
    if !holds(expires, now) {
        return Err(Rejected::Expired);
    }
    if let Some(begins) = claims.get("nbf") {
        let begins = seconds(begins).ok_or(Rejected::Unreadable("nbf"))?;
        if begins.saturating_sub(CLOCK_LEEWAY) > now.timestamp() {
            return Err(Rejected::NotYet);
        }
    }
    if let Some(issuer) = &expected.issuer
        && claims.get("iss").and_then(Value::as_str) != Some(issuer)
    {
        return Err(Rejected::Issuer);
    }
    if let Some(audience) = &expected.audience
        && !texts(claims.get("aud")).any(|given| given == audience)
    {
        return Err(Rejected::Audience);
    }
    let subject = expected.user_claim.find(claims).map(subject).transpose()?;
    let words = ["scope", "scp"].into_iter().flat_map(|name| texts(claims.get(name)));
    let scopes = Scopes::default().with_names(words.flat_map(str::split_whitespace));
    Ok(Checked { caller: Caller { subject, scopes }, expires })
}

/// A text, or the texts of a list.
fn texts(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let single = claim.and_then(Value::as_str);
    let several = claim.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    single.into_iter().chain(several)
}

/// A time as RFC 7519 has it: seconds, possibly with a fraction, which is dropped.
fn seconds(claim: &Value) -> Option<i64> {
    let text = claim.as_number()?.as_str();
    let seconds = text.parse().or_else(|_| Decimal::from_scientific(text)).ok()?;
    seconds.trunc().to_i64()
}

/// A text or a whole number that can be the owner of a wallet.
fn subject(claim: &Value) -> Result<Owner, Rejected> {
    let number = || claim.as_i64().map(|number| number.to_string());
    let text = claim.as_str().map(str::to_owned).or_else(number);
    text.and_then(|text| text.parse().ok()).ok_or(Rejected::Subject)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::Scope;

    const NOW: i64 = 1_800_000_000;

    fn checked(claims: &Value, expected: &Expected) -> Result<Checked, Rejected> {
        // As it is read from a token: numbers keep their text.
        let claims: Map<String, Value> = serde_json::from_str(&claims.to_string()).unwrap();
        check(&claims, expected, DateTime::from_timestamp(NOW, 0).unwrap())
    }

    fn rejected(claims: &Value) -> Rejected {
        checked(claims, &Expected::default()).unwrap_err()
    }

    fn accepted(claims: &Value) -> Caller {
        checked(claims, &Expected::default()).unwrap().caller
    }

    #[test]
    fn a_token_holds_from_nbf_until_exp_give_or_take_the_leeway() {
        for (claims, expected) in [
            (json!({}), Rejected::NeverExpires),
            (json!({ "exp": null }), Rejected::Unreadable("exp")),
            (json!({ "exp": "1900000000" }), Rejected::Unreadable("exp")),
            (json!({ "exp": NOW - CLOCK_LEEWAY }), Rejected::Expired),
            (json!({ "exp": -1 }), Rejected::Expired),
            (json!({ "exp": NOW + 9, "nbf": NOW + CLOCK_LEEWAY + 1 }), Rejected::NotYet),
            (json!({ "exp": NOW + 9, "nbf": "now" }), Rejected::Unreadable("nbf")),
        ] {
            assert_eq!(rejected(&claims), expected, "{claims}");
        }
        for claims in [
            json!({ "exp": NOW - CLOCK_LEEWAY + 1 }),
            json!({ "exp": 1_800_000_000.75 }),
            json!({ "exp": 1.9e9 }),
            json!({ "exp": i64::MAX, "nbf": NOW + CLOCK_LEEWAY }),
        ] {
            accepted(&claims);
        }
    }

    #[test]
    fn what_is_expected_must_be_there() {
        let expected = Expected {
            issuer: Some("https://id.example".to_owned()),
            audience: Some("florin".to_owned()),
            ..Expected::default()
        };
        let with = |more: Value| {
            let mut claims = json!({
                "exp": NOW + 9, "iss": "https://id.example", "aud": ["web", "florin"], "sub": "a",
            });
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            checked(&claims, &expected)
        };
        assert!(with(json!({})).is_ok() && with(json!({ "aud": "florin" })).is_ok());
        for iss in [json!(null), json!("https://id.example/"), json!(["https://id.example"])] {
            assert_eq!(with(json!({ "iss": iss })).unwrap_err(), Rejected::Issuer, "{iss}");
        }
        for aud in [json!(null), json!("florin2"), json!([]), json!(["web"]), json!(7)] {
            assert_eq!(with(json!({ "aud": aud })).unwrap_err(), Rejected::Audience, "{aud}");
        }
    }

    #[test]
    fn scopes_are_a_text_or_a_list() {
        let scopes = Scopes::default().with_names(["wallet:read", "ops"]);
        for claims in [
            json!({ "exp": NOW, "scope": "ops openid wallet:read" }),
            json!({ "exp": NOW, "scp": ["wallet:read", "ops"] }),
            json!({ "exp": NOW, "scope": "wallet:read", "scp": "ops" }),
        ] {
            assert_eq!(accepted(&claims).scopes, scopes, "{claims}");
        }
        let none = json!({ "exp": NOW, "scope": 7, "scp": { "ops": true } });
        assert_eq!(accepted(&none).scopes, Scopes::default());
        assert!(!accepted(&none).scopes.has(Scope::Ops));
    }

    #[test]
    fn the_bearer_is_where_the_configuration_says() {
        let bearer = |path: &str, claims: Value| {
            let user_claim = path.parse().unwrap();
            let expected = Expected { user_claim, ..Expected::default() };
            let checked = checked(&claims, &expected)?;
            Ok(checked.caller.subject.map(|owner| owner.as_str().to_owned()))
        };
        let claims = json!({
            "exp": NOW, "sub": "s", "user": { "id": "u" }, "number": 42, "https://a.example/id": "n",
        });
        for (path, expected) in [
            ("sub", Some("s")),
            ("user.id", Some("u")),
            ("number", Some("42")),
            ("https://a.example/id", Some("n")),
            ("user.name", None),
            ("sub.id", None),
        ] {
            let found = bearer(path, claims.clone()).unwrap();
            assert_eq!(found.as_deref(), expected, "{path}");
        }
        for bad in [json!(""), json!("a\nb"), json!("x".repeat(129)), json!({}), json!(1.5)] {
            let rejected: Rejected = bearer("sub", json!({ "exp": NOW, "sub": bad })).unwrap_err();
            assert_eq!(rejected, Rejected::Subject, "{bad}");
        }
    }

    #[test]
    fn a_claim_is_put_where_it_is_looked_for() {
        let path: ClaimPath = "user.id".parse().unwrap();
        assert_eq!(Value::Object(path.claims("u")), json!({ "user": { "id": "u" } }));
        assert_eq!(Value::Object(ClaimPath::default().claims("u")), json!({ "sub": "u" }));
    }
}
