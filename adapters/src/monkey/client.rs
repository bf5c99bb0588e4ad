//! HTTP as a patient client speaks it: a request under a key is sent until an answer comes.
//!
//! ```text
//! order ─Call::of→ call ─exchange→ reply ─Answer::read→ answer
//!                        └─ 409, 429, 5xx, hang-up, timeout: pause, same call again ─┘
//! ```
//!
//! A 409 that asks for patience, a 429, a 5xx, a broken connection and a timeout leave the outcome
//! open, so the same call (same key, same bytes) goes out again with a growing pause, until the
//! patience of `--max-outage` is used up. Each of them is counted; which of them is an offence is
//! the [`Tally`]'s to say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
#[cfg(test)]
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, RETRY_AFTER};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::args::MonkeyArgs;
use super::offence::Offence;
use super::plan::{CURRENCY, Kind, Order};
use super::tally::{Tally, Trouble};

/// A request that takes longer has failed for its caller.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A host that does not take a connection within this is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The first pause before a call goes out again; it doubles from here.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Short enough to find a restarted service soon, whatever its `Retry-After` says.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// No answer of the contract comes near this.
const MAX_REPLY_BYTES: usize = 256 * 1_024;

/// One HTTP request, as often as it takes.
#[derive(Clone, Debug)]
pub struct Call {
    /// GET or POST.
    pub method: Method,
    /// From the base URL on, escaped.
    pub path: String,
    /// Beside those of the body.
    pub headers: Vec<(&'static str, String)>,
    /// Of the body.
    pub content_type: &'static str,
    /// As sent.
    pub body: Option<String>,
    /// A broken connection is an answer too: see [`super::flaw::Flaw::OversizedBody`].
    pub may_hang_up: bool,
}

impl Call {
    /// A GET of a path.
    pub fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            headers: Vec::new(),
            content_type: "application/json",
            body: None,
            may_hang_up: false,
        }
    }

    /// A POST of a JSON document.
    pub fn post(path: String, body: &Value) -> Self {
        Self { method: Method::POST, body: Some(body.to_string()), ..Self::get(path) }
    }

    /// The same with one more header.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The request of an order. All forms of the contract are in use: a transfer has its key in the
    /// header and the others in the body, a withdrawal has its amount as a JSON number and the
    /// others as a string. A form depends on the order only, so a copy is equal to the byte.
    pub fn of(order: &Order) -> Self {
        let Order { key, kind, amount } = order;
        let (wallet, request_id) = (&key.wallet, &key.request_id);
        match kind {
            Kind::Open => Self::post("/wallets".to_owned(), &opening(order)),
            Kind::Deposit => Self::post(
                format!("/wallets/{wallet}/deposit"),
                &json!({ "amount": amount, "currency": CURRENCY, "requestId": request_id }),
            ),
            Kind::Withdraw => Self::post(
                format!("/wallets/{wallet}/withdraw"),
                &json!({ "amount": number(*amount), "requestId": request_id }),
            ),
            Kind::Transfer { to } => Self::post(
                format!("/wallets/{wallet}/transfer"),
                &json!({ "toWalletId": to, "amount": amount }),
            )
            .with_header("idempotency-key", request_id),
        }
    }
}

fn opening(order: &Order) -> Value {
    let mut body = json!({
        "id": order.key.wallet,
        "currency": CURRENCY,
        "requestId": order.key.request_id,
    });
    if !order.amount.is_zero() {
        body["initialBalance"] = json!(order.amount);
    }
    body
}

/// The amount as a JSON number with its text kept: `12.50`, not `12.5` and no float.
fn number(amount: Decimal) -> Value {
    serde_json::from_str(&amount.to_string()).unwrap_or(Value::Null)
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Of HTTP.
    pub status: u16,
    /// The JSON body, `null` if it was none.
    pub body: Value,
    headers: HeaderMap,
}

impl Reply {
    fn header(&self, name: impl reqwest::header::AsHeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The service says that it has answered this key before.
    pub fn is_replayed(&self) -> bool {
        self.header("idempotency-replayed") == "true"
    }

    /// The version in the entity tag, without its quotes.
    pub fn etag(&self) -> &str {
        self.header(ETAG).trim_start_matches("W/").trim_matches('"')
    }

    /// A text field of the body, empty if absent.
    pub fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }

    /// The code of the problem, if the reply is a complete problem document.
    pub fn problem(&self) -> Result<&str, String> {
        if self.status < 400 {
            return Err(format!("accepted with {}", self.status));
        }
        if !self.header(CONTENT_TYPE).starts_with("application/problem+json") {
            return Err(format!("{} without application/problem+json", self.status));
        }
        if self.text("code").is_empty() || self.text("traceId").is_empty() {
            return Err(format!("{} without code and traceId", self.status));
        }
        Ok(self.text("code"))
    }

    /// Why the call has to go out again, if it has to.
    fn trouble(&self) -> Option<Trouble> {
        match self.status {
            409 if self.text("code") != "wallet-exists" => Some(Trouble::InProgress),
            429 => Some(Trouble::Throttled),
            502..=504 => Some(Trouble::Away(self.status)),
            500.. => Some(Trouble::ServerError(self.status)),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        self.header(RETRY_AFTER).parse().ok().map(Duration::from_secs)
    }
}

/// A client of one service.
pub struct Client {
    http: reqwest::Client,
    base: String,
    patience: Duration,
    tally: Arc<Tally>,
}

impl Client {
    /// A client that tries for as long as the arguments say.
    ///
    /// # Errors
    /// When the TLS of this machine cannot be set up, or the token is none.
    pub fn new(args: &MonkeyArgs, tally: Arc<Tally>) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        if let Some(token) = &args.bearer.token {
            let value = HeaderValue::from_bytes(&[b"Bearer ", token.bytes()].concat());
            let mut value = value.map_err(|_| "FLORIN_TOKEN: that is no token")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .default_headers(headers)
            .build()
            .map_err(|error| error.to_string())?;
        let base = args.url.clone();
        Ok(Self { http, base, patience: args.max_outage, tally })
    }

    /// The answer to an order and whether it was a replay; `None` if patience ran out.
    pub async fn send(&self, order: &Order) -> Option<(Answer, bool)> {
        let reply = self.exchange(&Call::of(order)).await?;
        let replayed = reply.is_replayed();
        let reply = match reply.status {
            202 => self.arrival(reply).await?,
            _ => reply,
        };
        Some((Answer::read(order, &reply), replayed))
    }

    /// Follows a transfer that was answered while its money was on the way, until it is decided.
    async fn arrival(&self, mut accepted: Reply) -> Option<Reply> {
        let path = format!("/transfers/{}", accepted.text("transferId"));
        let outcome = self.read_until(path, self.patience, answer::is_decided).await?;
        if let (Value::Object(all), Value::Object(news)) = (&mut accepted.body, outcome.body) {
            all.extend(news);
        }
        Some(accepted)
    }

    /// Reads a path until the reply is as hoped for or patience has run out; the last reply.
    pub async fn read_until(
        &self,
        path: String,
        patience: Duration,
        done: impl Fn(&Reply) -> bool,
    ) -> Option<Reply> {
        let call = Call::get(path);
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let reply = self.exchange(&call).await?;
            if done(&reply) || started.elapsed() >= patience {
                return Some(reply);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends a call until it has a definite reply; `None` if patience ran out.
    pub async fn exchange(&self, call: &Call) -> Option<Reply> {
        let mut pause = FIRST_PAUSE;
        let mut open_since = None;
        loop {
            let sent = Instant::now();
            let (trouble, asked_pause) = match self.attempt(call).await {
                Ok(reply) => match reply.trouble() {
                    None => {
                        self.tally.answered_after(sent.elapsed());
                        return Some(reply);
                    }
                    Some(trouble) => (trouble, reply.retry_after()),
                },
                Err(_) if call.may_hang_up => return None,
                Err(error) => (Trouble::Broken(root_cause(&error)), None),
            };
            self.tally.met(&trouble, &call.path);
            if open_since.get_or_insert(sent).elapsed() >= self.patience {
                self.tally.give_up(Offence::NoAnswer { to: call.path.clone() });
                return None;
            }
            tokio::time::sleep(asked_pause.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, call: &Call) -> Result<Reply, reqwest::Error> {
        let mut request =
            self.http.request(call.method.clone(), format!("{}{}", self.base, call.path));
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, call.content_type).body(body.clone());
        }
        let mut response = request.send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_REPLY_BYTES {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply {
            status: response.status().as_u16(),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            headers: response.headers().clone(),
        })
    }
}

/// The last link of an error's chain: `connection refused`, not the address for the second time.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
impl Reply {
    /// A reply as a service would send it.
    pub fn fake(status: StatusCode, body: Value) -> Self {
        let mut headers = HeaderMap::new();
        if !status.is_success() {
            headers.insert(CONTENT_TYPE, "application/problem+json".parse().unwrap());
        }
        Self { status: status.as_u16(), body, headers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monkey::plan::Key;

    fn order(kind: Kind, cents: i64) -> Order {
        let key = Key { wallet: "m-1".into(), request_id: "m-9".into() };
        Order { key, kind, amount: Decimal::new(cents, 2) }
    }

    #[test]
    fn a_number_keeps_its_zeros() {
        let call = Call::of(&order(Kind::Withdraw, 1_250));
        assert_eq!(call.body.unwrap(), r#"{"amount":12.50,"requestId":"m-9"}"#);
    }

    #[test]
    fn the_key_of_a_transfer_is_in_its_header() {
        let call = Call::of(&order(Kind::Transfer { to: "m-2".into() }, 700));
        assert_eq!(call.body.unwrap(), r#"{"amount":"7.00","toWalletId":"m-2"}"#);
        assert_eq!(call.headers, [("idempotency-key", "m-9".to_owned())]);
    }

    #[test]
    fn a_wallet_opened_empty_has_no_initial_balance() {
        let body = Call::of(&order(Kind::Open, 0)).body.unwrap();
        assert!(!body.contains("initialBalance"), "{body}");
    }

    #[test]
    fn what_leaves_the_outcome_open_is_sent_again() {
        let again = |status: u16, code: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            Reply::fake(status, json!({ "code": code })).trouble().is_some()
        };
        assert!(again(409, "request-in-progress"));
        assert!(again(429, "too-many-requests"));
        assert!(again(500, "internal"));
        assert!(again(503, "unavailable"));
        assert!(!again(409, "wallet-exists"));
        assert!(!again(422, "insufficient-funds"));
        assert!(!again(404, "wallet-not-found"));
    }
}
