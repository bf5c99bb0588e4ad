//! What every answer says to browsers: what they may do with it, and from where it may be read.
//!
//! An answer is not to be sniffed, framed, or kept where it has money in it, and runs nothing. The
//! pages of the documentation run what they bring, and nothing from elsewhere. Other sites read only
//! if their origins are configured.

use std::time::Duration;

use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_MATCH,
    LOCATION, REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::response::Response;
use thiserror::Error;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::answer::REPLAYED;
use super::key::IDEMPOTENCY_KEY;
use super::limits::{Limits, POLICY, RATE_LIMIT};
use super::live::LAST_EVENT_ID;
use super::observe::TRACE_ID;
use super::position::POSITION;
use super::prefer::{PREFER, PREFERENCE_APPLIED};
use super::tls::Tls;

/// How long a browser need not ask again whether it may: what Chrome allows at most is two hours.
const PREFLIGHT_AGE: Duration = Duration::from_secs(60 * 60);

/// How many origins there may be: each is compared with each request's.
const MAX_ORIGINS: usize = 100;

/// Of JSON, which nobody should show as a page.
const NOTHING: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'");

/// Of the documentation: its own scripts, and requests to this service. Swagger UI sets styles on
/// its elements, and has small images in its style sheets.
const OWN: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; \
     base-uri 'none'; form-action 'none'",
);

/// A year, as browsers that know of it want it at least for their lists.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// From where the service may be read by browsers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    /// From its own origin only.
    #[default]
    Own,
    /// From these as well.
    Some(Vec<HeaderValue>),
    /// From anywhere.
    Any,
}

/// What stands between the routes and the world.
#[derive(Clone, Default)]
pub struct Edge {
    /// From where browsers may read.
    pub origins: Origins,
    /// Certificate and key; without them, the service is behind something that has them.
    pub tls: Option<Tls>,
    /// How many proxies stand before the service, all of which say truly who asked them.
    pub trusted_hops: usize,
    /// How much a caller may ask for; without them, as much as they like.
    pub limits: Option<Limits>,
}

/// A text that names no origins.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no origin: say https://host or https://host:port without a path, at most \
     {MAX_ORIGINS} of them with commas between, or * for any"
)]
pub struct NoOrigin(String);

impl Origins {
    /// Reads origins with commas between, or `*`; an empty text is none.
    ///
    /// # Errors
    /// [`NoOrigin`] for the first text that is none.
    pub fn read(text: &str) -> Result<Self, NoOrigin> {
        match text.trim() {
            "" => Ok(Self::Own),
            "*" => Ok(Self::Any),
            list => {
                let origins: Result<Vec<_>, _> =
                    list.split(',').map(|text| origin(text.trim())).collect();
                let origins = origins?;
                match origins.len() {
                    0..=MAX_ORIGINS => Ok(Self::Some(origins)),
                    _ => Err(NoOrigin(list.chars().take(40).collect())),
                }
            }
        }
    }

    /// The layer that answers preflights and marks answers; none where nobody else may read.
    pub(super) fn layer(&self) -> Option<CorsLayer> {
        let allowed = match self {
            Self::Own => return None,
            Self::Some(origins) => AllowOrigin::list(origins.clone()),
            Self::Any => AllowOrigin::any(),
        };
        let taken: [HeaderName; 8] = [
            AUTHORIZATION,
            CONTENT_TYPE,
            IDEMPOTENCY_KEY,
            IF_MATCH,
            LAST_EVENT_ID,
            POSITION,
            PREFER,
            HeaderName::from_static("traceparent"),
        ];
        let told = [
            ALLOW,
            ETAG,
            LOCATION,
            RETRY_AFTER,
            POSITION,
            PREFERENCE_APPLIED,
            REPLAYED,
            TRACE_ID,
            POLICY,
            RATE_LIMIT,
        ];
        let layer = CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            .allow_headers(taken)
            .expose_headers(told)
            .max_age(PREFLIGHT_AGE);
        Some(layer)
    }
}

/// An origin as browsers write it: scheme, host and port, and nothing after.
fn origin(text: &str) -> Result<HeaderValue, NoOrigin> {
    let is_origin = |uri: &Uri| {
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"));
        let parts = scheme.zip(uri.authority());
        parts.is_some_and(|(scheme, host)| text == format!("{scheme}://{host}"))
            && !text.contains(['@', '*'])
            && !text.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    let uri: Option<Uri> = text.parse().ok().filter(is_origin);
    let value = uri.and_then(|_| HeaderValue::from_str(text).ok());
    value.ok_or_else(|| NoOrigin(text.to_owned()))
}

/// Adds to an answer what browsers are to know. One that has a policy of its own keeps it.
pub(super) fn secured(mut response: Response, is_tls: bool) -> Response {
    let headers = response.headers_mut();
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_page = kind.starts_with("text/html") && !headers.contains_key(CONTENT_SECURITY_POLICY);
    // Of the documentation: all else may have money in it.
    let is_file = ["text/css", "text/javascript", "image/"].iter().any(|of| kind.starts_with(of));
    let may_be_kept = is_page || is_file;
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(if is_page { OWN } else { NOTHING });
    if !may_be_kept {
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if is_tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, TLS_ONLY);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact() {
        let some = |list: &[&'static str]| {
            Origins::Some(list.iter().copied().map(HeaderValue::from_static).collect())
        };
        for (text, expected) in [
            ("", Origins::Own),
            ("*", Origins::Any),
            ("https://app.example", some(&["https://app.example"])),
            (
                "https://a.example, http://localhost:5173",
                some(&["https://a.example", "http://localhost:5173"]),
            ),
        ] {
            assert_eq!(Origins::read(text), Ok(expected), "{text}");
        }
        for text in [
            "app.example",
            "https://app.example/",
            "https://app.example/path",
            "https://*.example",
            "https://me@app.example",
            "https://App.example",
            "ftp://app.example",
            "null",
            "https://a.example,,https://b.example",
            "https://a.example,*",
        ] {
            assert!(Origins::read(text).is_err(), "{text}");
        }
        let many = vec!["https://a.example"; MAX_ORIGINS + 1].join(",");
        assert!(Origins::read(&many).is_err());
    }
}
