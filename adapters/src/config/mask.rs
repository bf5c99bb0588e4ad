//! What of a setting may be shown: of a URL all but what lets somebody in, of another secret nothing.
//! In doubt it is not shown.

use reqwest::Url;

/// What is shown instead.
const MASK: &str = "***";

/// Where a name without a password is a name. In other URLs with secrets, it is a token.
const NAMES_ALONE: [&str; 2] = ["postgres", "postgresql"];

/// Parameters of a URL that let nobody in.
const HARMLESS: [&str; 7] =
    ["host", "port", "user", "dbname", "sslmode", "options", "application_name"];

/// The value as it may be shown.
pub(super) fn mask(value: &str, is_secret: bool) -> String {
    match Url::parse(value) {
        Ok(url) if url.has_host() => mask_url(value, url, is_secret),
        Ok(_) | Err(_) if is_secret => MASK.to_owned(),
        Ok(_) | Err(_) => value.to_owned(),
    }
}

/// As it was written where there is nothing to hide: reading it may have changed it a little.
fn mask_url(written: &str, mut url: Url, is_secret: bool) -> String {
    let mut is_masked = false;
    if url.password().is_some() {
        is_masked |= url.set_password(Some(MASK)).is_ok();
    } else if is_secret && !url.username().is_empty() && !NAMES_ALONE.contains(&url.scheme()) {
        is_masked |= url.set_username(MASK).is_ok();
    }
    if url.query_pairs().any(|(name, _)| !HARMLESS.contains(&&*name)) {
        url.set_query(Some(MASK));
        is_masked = true;
    }
    // A password with a # in it, which should have been %23, ends up here.
    if url.fragment().is_some() {
        url.set_fragment(Some(MASK));
        is_masked = true;
    }
    if is_masked { url.to_string() } else { written.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_everything_is_shown_but_what_lets_somebody_in() {
        for (value, expected) in [
            ("postgres://florin:hush@db:5432/florin", "postgres://florin:***@db:5432/florin"),
            ("postgres://florin@db/florin?sslmode=require", ""),
            ("postgres://florin@db/florin?password=hush", "postgres://florin@db/florin?***"),
            ("postgres://florin:1#hush@db/florin", "postgres://florin:1#***"),
            ("nats://hush@127.0.0.1:4222", "nats://***@127.0.0.1:4222"),
            ("tls://florin:hush@nats:4222", "tls://florin:***@nats:4222"),
            ("nats://127.0.0.1:4222", ""),
        ] {
            let expected = if expected.is_empty() { value } else { expected };
            assert_eq!(mask(value, true), expected);
        }
    }

    #[test]
    fn of_another_secret_nothing_is_shown() {
        for value in ["hush", "", "host=db password=hush", "postgres://florin:hu/sh@db", "a:b"] {
            assert_eq!(mask(value, true), "***", "{value}");
        }
    }

    #[test]
    fn what_is_no_secret_is_shown_as_it_was_written() {
        for value in ["info,http=warn", "8080", "", "./data", "https://a.example,https://b.example"]
        {
            assert_eq!(mask(value, false), value);
        }
        let jwks = "https://user:hush@keys.example/jwks";
        assert_eq!(mask(jwks, false), "https://user:***@keys.example/jwks");
    }
}
