//! The OpenAPI document: what every route takes and answers, put together from the routes themselves.
//!
//! ```text
//! routes/<endpoint> ─ #[utoipa::path] ─┐
//! answers, queries ── derived schemas ─┼─▶ routes::table ─▶ document ─▶ /openapi.json, /docs
//! problems ────────── per row ─────────┘
//! ```
//!
//! A route is served because it is in the table, and it cannot be in the table without being in the
//! document. The tests of the service hold every answer against it.

pub(super) mod bodies;
pub(super) mod parameters;
pub(super) mod problems;
pub(super) mod types;

use utoipa::openapi::header::Header;
use utoipa::openapi::info::{Info, License};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{OpenApi, OpenApiBuilder, Paths, Ref, RefOr};

use super::code::Code;
use super::guard::Access;
use super::routes::{self, Row};

/// What the API is, for who reads the document first.
const DESCRIPTION: &str = "\
An event-sourced wallet ledger. Amounts are decimals as strings; a write is safe to send again with \
the same `Idempotency-Key` (or `requestId`), and takes effect once.\n\n\
Every answer says in `Florin-Position` what it is as of, and every read takes that position back as \
`minPosition`: it then waits until the read model is there. What goes wrong is told as \
`application/problem+json` with a stable `code`.\n\n\
Every route also answers under `/v1`, and those of wallets with `/wallet` for `/wallets`.";

const TRACE_ID: &str = "X-Trace-Id";

const CHALLENGE: &str = "WWW-Authenticate";

const RETRY_AFTER: &str = "Retry-After";

const POLICY: &str = "RateLimit-Policy";

const RATE_LIMIT: &str = "RateLimit";

/// The name of the security scheme.
const BEARER: &str = "bearer";

/// What a token is like, and what it allows.
const TOKENS: &str = "\
A JWT with `exp` and `sub`, and what it allows in `scope` (or `scp`). `wallet:read` and `wallet:write` \
are for the wallets whose `owner` is the `sub`: all others are as if they had never been opened. \
`ledger:read` and `ledger:write` are for any wallet, `ops` is for looking after the service. Of the \
scopes that an operation lists, one is enough.";

/// What a caller may ask for.
const POLICY_TEXT: &str = "\
How much a caller may send: `reads` or `writes`, `q` of them in `w` seconds, and `florin-burst` at once \
after a while without any. Absent where nothing is limited.";

/// What is left of it.
const RATE_LIMIT_TEXT: &str = "\
What the caller has left: `r` more reads or writes at once, and in `t` seconds the whole burst again; \
where it is 429, the next one. Absent where nothing is limited.";

const TAGS: [(&str, &str); 6] = [
    ("wallets", "Open, fund, freeze and close wallets, and read them."),
    ("transfers", "Money from one wallet to another."),
    ("bulk", "Many commands at once."),
    ("events", "The journal itself, as it grows."),
    ("fraud", "What the fraud rules found, and what people decided about it."),
    ("operations", "What became of what was sent, and how the service and its read models are."),
];

/// The document of all routes.
#[must_use]
pub fn document() -> OpenApi {
    let mut paths = Paths::new();
    let mut components = ComponentsBuilder::new()
        .schemas_from_iter(problems::schemas())
        .schemas_from_iter(types::schemas())
        .header(TRACE_ID, header("Quote it when you report a problem."))
        .header(CHALLENGE, header("What is missing for getting in (RFC 6750)."))
        .header(RETRY_AFTER, header("After how many seconds the same may be sent again."))
        .header(POLICY, header(POLICY_TEXT))
        .header(RATE_LIMIT, header(RATE_LIMIT_TEXT))
        .security_scheme(BEARER, bearer());
    for Row { endpoint: (schemas, own, _), access, problems, .. } in routes::table() {
        for (path, mut item) in own.paths {
            let operations = [&mut item.get, &mut item.post].into_iter().flatten();
            operations.for_each(|operation| complete(operation, access, &problems));
            match paths.paths.get_mut(&path) {
                Some(known) => known.merge_operations(item),
                None => drop(paths.paths.insert(path, item)),
            }
        }
        components = components.schemas_from_iter(schemas);
    }
    let tags = TAGS.map(|(name, text)| {
        let mut tag = Tag::new(name);
        tag.description = Some(text.to_owned());
        tag
    });
    OpenApiBuilder::new()
        .info(info())
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(tags))
        .build()
}

/// The document as text, in an order that is always the same.
///
/// # Errors
/// None for this document, whose keys are all texts.
pub fn text() -> Result<String, serde_json::Error> {
    document().to_pretty_json().map(|text| text + "\n")
}

fn info() -> Info {
    let mut info = Info::new("Florin", env!("CARGO_PKG_VERSION"));
    info.description = Some(DESCRIPTION.to_owned());
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    info
}

fn header(description: &str) -> Header {
    let mut header = Header::new(types::text());
    header.description = Some(description.to_owned());
    header
}

fn bearer() -> SecurityScheme {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
    SecurityScheme::Http(bearer.description(Some(TOKENS)).build())
}

/// Adds who gets in, what every answer has, and what can go wrong.
fn complete(operation: &mut Operation, access: Access, codes: &[Code]) {
    operation.security = Some(security(access));
    let responses = &mut operation.responses.responses;
    responses.extend(problems::responses(codes));
    for (status, response) in responses {
        if let RefOr::T(response) = response {
            let mut put = |name: &str| {
                let header = Ref::new(format!("#/components/headers/{name}"));
                response.headers.insert(name.to_owned(), RefOr::Ref(header));
            };
            put(TRACE_ID);
            if matches!(status.as_str(), "401" | "403") {
                put(CHALLENGE);
            }
            if access != Access::Public {
                put(POLICY);
                put(RATE_LIMIT);
            }
            if status == "429" {
                put(RETRY_AFTER);
            }
        }
    }
}

/// What lets in; of several, one is enough.
fn security(access: Access) -> Vec<SecurityRequirement> {
    let token = |scopes: &[&str]| SecurityRequirement::new(BEARER, scopes.iter().copied());
    match access {
        Access::Public => vec![],
        Access::Anybody => vec![token(&[])],
        Access::Wallets { .. } | Access::Only(_) => {
            access.scopes().into_iter().map(|scope| token(&[scope.as_str()])).collect()
        }
    }
}
