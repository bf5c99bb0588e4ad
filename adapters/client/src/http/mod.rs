//! The typed client: one call, sent again under the same key until it has an answer.
//!
//! ```text
//! command + key ─▶ body, written once ─▶ try ─┬ 2xx ─▶ Answer
//!                                      ▲      ├ problem that passes, no answer at all ─┐
//!                                      └──────┼───────── wait ◀────────────────────────┘
//!                                             └ any other problem ─▶ CallError::Problem
//! ```
//!
//! A command has the key that its caller gave it, and no other one is ever made up: whatever of the
//! tries arrived, it takes effect once, and the answer is that of the first.

mod answers;
mod commands;
mod events;
mod key;
mod problem;
mod queries;
mod retry;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use florin_domain::WalletId;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

pub use answers::{
    Answer, Entry, HistoryPage, Movement, Reason, Stats, Transfer, Wallet, WalletPage,
};
pub use commands::{Money, Opening};
pub use events::{EventPage, EventQuery, MAX_PAGE};
pub use key::{Key, NoKey};
pub use problem::{CallError, Problem};
pub use retry::Retries;

use crate::positions::Positions;
use retry::{Again, Backoff};

/// What an answer is as of, and what a read is wanted to be as of.
const POSITION: &str = "florin-position";

/// How long one try may take: the service gives up a request after 15 s itself.
const TRY_WAIT: Duration = Duration::from_secs(20);

/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// A client of the service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Florin {
    http: reqwest::Client,
    url: Url,
    tokens: Option<Tokens>,
    retries: Retries,
}

/// Where the token of a request comes from.
#[derive(Clone)]
struct Tokens(Arc<dyn Fn() -> String + Send + Sync>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// A request as it is sent each time.
struct Request {
    method: Method,
    url: Url,
    body: Option<Vec<u8>>,
    at_least: Option<String>,
}

impl Florin {
    /// A client of the service at a URL, such as `http://127.0.0.1:3000`, without a token.
    ///
    /// # Errors
    /// [`CallError::Url`], and [`CallError::Unreachable`] when the client cannot be set up.
    pub fn new(url: &str) -> Result<Self, CallError> {
        let http = reqwest::Client::builder().timeout(TRY_WAIT).connect_timeout(CONNECT_WAIT);
        let http = http.build().map_err(|cause| CallError::Unreachable { tries: 0, cause })?;
        let parsed = Url::parse(url).ok().filter(|url| !url.cannot_be_a_base());
        let url = parsed.ok_or_else(|| CallError::Url(url.to_owned()))?;
        Ok(Self { http, url, tokens: None, retries: Retries::USUAL })
    }

    /// One that says who it is, by a bearer token. Tokens expire: who runs for longer than that takes
    /// [`Florin::with_tokens`].
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        let token = token.to_owned();
        self.with_tokens(move || token.clone())
    }

    /// One that says who it is, by the token that it is given for each request. It is asked often, and
    /// must not wait for anybody: it returns the newest token that the service has.
    #[must_use]
    pub fn with_tokens(self, tokens: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { tokens: Some(Tokens(Arc::new(tokens))), ..self }
    }

    /// One that tries more often, or less.
    #[must_use]
    pub fn with_retries(self, retries: Retries) -> Self {
        Self { retries, ..self }
    }

    /// The address of a route.
    fn route(&self, parts: &[&str]) -> Result<Url, CallError> {
        let mut url = self.url.clone();
        match url.path_segments_mut() {
            Ok(mut path) => drop(path.pop_if_empty().extend(parts)),
            Err(()) => return Err(CallError::Url(self.url.to_string())),
        }
        Ok(url)
    }

    fn wallet_route(&self, wallet: &WalletId, verb: &[&str]) -> Result<Url, CallError> {
        self.route(&[&["wallets", wallet.as_str()], verb].concat())
    }

    /// Sends until there is an answer.
    async fn call<T: DeserializeOwned>(&self, request: &Request) -> Result<Answer<T>, CallError> {
        let (headers, bytes) = self.exchange(request).await?;
        let value = serde_json::from_slice(&bytes).map_err(CallError::Unreadable)?;
        let replayed = headers.get("idempotency-replayed").is_some_and(|text| text == "true");
        Ok(Answer { value, positions: positions(&headers), replayed })
    }

    /// The headers and the body of the first answer that is no passing trouble.
    async fn exchange(&self, request: &Request) -> Result<(HeaderMap, Vec<u8>), CallError> {
        let mut backoff = Backoff::of(self.retries);
        loop {
            let again = match self.send(request).await {
                Ok(response) => match read(response).await? {
                    Ok(answer) => return Ok(answer),
                    Err(again) => again,
                },
                Err(cause) => Again::Unanswered(cause),
            };
            match backoff.next(&again) {
                Some(wait) => sleep(wait).await,
                None => return Err(again.given_up(backoff.tries())),
            }
        }
    }

    async fn send(&self, request: &Request) -> Result<Response, reqwest::Error> {
        let mut builder = self.http.request(request.method.clone(), request.url.clone());
        if let Some(Tokens(newest)) = &self.tokens {
            builder = builder.bearer_auth(newest());
        }
        if let Some(positions) = &request.at_least {
            builder = builder.header(POSITION, positions);
        }
        if let Some(body) = &request.body {
            builder = builder.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        builder.send().await
    }
}

/// An answer, or why to send again.
async fn read(response: Response) -> Result<Result<(HeaderMap, Vec<u8>), Again>, CallError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = match response.bytes().await {
        Ok(bytes) => bytes,
        // It broke off: as if there had been none.
        Err(cause) => return Ok(Err(Again::Unanswered(cause))),
    };
    if status.is_success() {
        return Ok(Ok((headers, bytes.into())));
    }
    let problem =
        Problem::read(status.as_u16(), &bytes, headers.contains_key("idempotency-replayed"));
    match passes(status, &problem) {
        true => Ok(Err(Again::Problem(problem, retry::after(&headers)))),
        false => Err(CallError::Problem(problem)),
    }
}

/// Whether it is of use to send the same again. (A gateway answers 502 and 504 for a service that is
/// away.)
fn passes(status: StatusCode, problem: &Problem) -> bool {
    const GATEWAY: [StatusCode; 2] = [StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT];
    const BUSY: [StatusCode; 2] = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
    GATEWAY.contains(&status) || BUSY.contains(&status) || problem.is("request-in-progress")
}

/// What an answer is as of.
fn positions(headers: &HeaderMap) -> Positions {
    let text = headers.get(POSITION).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}
