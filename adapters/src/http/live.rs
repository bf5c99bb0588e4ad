//! Live events as server-sent events: what is asked of a stream, and how it looks.
//!
//! ```text
//! : after 0-12,1-7                            where it begins; whoever reconnects sends this id
//! id: 0-12,1-7
//!
//! id: 0-13,1-7                                what the client has when it has this event
//! event: FundsDeposited
//! data: {"id":"0-13","type":"FundsDeposited", … }
//!
//! : quiet                                     after some silence, with what is known by then
//! id: 0-15,1-9
//!
//! event: end                                  why it is over; the last id stays, so it is resumed
//! data: {"code":"slow-reader","detail":"…"}
//! ```
//!
//! An id names a position in each partition that the stream is about, so that it is resumed exactly
//! where it broke off. Source of the format:
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ops::Range;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::Response;
use florin_application::journal::JournalError;
use florin_domain::WalletId;
use florin_domain::event_metadata::EventMetadata;
use florin_domain::journal::RecordedEvent;
use futures::stream::unfold;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::Time;
use super::code::Code;
use super::openapi::types;
use super::position::as_of;
use super::problem::{Member, Problem};
use super::query::{invalid, parameters, parsed};
use crate::live::{End, Full, LiveEvent, Step, Stream, Types, Wanted};
use crate::moment::{Positions, listed, place};

/// What a client that reconnects says it has.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Says to nginx that it is to pass on what comes at once.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How long clients wait before they reconnect, in milliseconds: less than a process takes to start
/// anew, and long enough that thousands do not come at once all the time.
const RETRY_MILLIS: u64 = 2_000;

/// From where on a stream is wanted, as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct WalletParameters {
    /// As the header `Last-Event-ID`, which counts if both are there.
    #[param(value_type = Option<String>, example = "0-17")]
    last_event_id: Option<String>,
}

/// Which events are wanted, as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventParameters {
    /// Of these types, with commas between.
    #[serde(rename = "type")]
    #[param(value_type = Option<String>, example = "FundsDeposited,FundsWithdrawn")]
    types: Option<String>,
    /// Of this wallet, whether there is one yet or not.
    #[param(value_type = Option<types::WalletName>)]
    wallet: Option<String>,
    /// Of this partition.
    #[param(value_type = Option<u32>)]
    partition: Option<String>,
    /// As the header `Last-Event-ID`, which counts if both are there.
    #[param(value_type = Option<String>, example = "0-17")]
    last_event_id: Option<String>,
}

/// What is wanted, and what the client has of it.
#[derive(Debug)]
pub(super) struct Wish {
    wanted: Wanted,
    last: Option<Last>,
}

/// What a client has, and by which name it said so.
#[derive(Debug)]
struct Last {
    positions: Vec<u64>,
    of: (&'static str, &'static str),
}

impl Wish {
    /// The events of one wallet.
    pub(super) fn of_wallet(
        api: &Api,
        id: WalletId,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Self, Problem> {
        let WalletParameters { last_event_id } = parameters(uri)?;
        let partition = api.reads.partition_of(&id);
        let partitions = partition..partition + 1;
        let last = Last::of(headers, last_event_id.as_deref(), &partitions)?;
        let wanted = Wanted { wallet: Some(id), partitions, types: Types::default() };
        Ok(Self { wanted, last })
    }

    /// The events of the ledger, or of a part of it.
    pub(super) fn of_events(api: &Api, uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        let given: EventParameters = parameters(uri)?;
        let wanted = wanted(api, given.types, given.wallet, given.partition)?;
        let last = Last::of(headers, given.last_event_id.as_deref(), &wanted.partitions)?;
        Ok(Self { wanted, last })
    }
}

/// Which events are wanted, of what is written in a query.
pub(super) fn wanted(
    api: &Api,
    types: Option<String>,
    wallet: Option<String>,
    partition: Option<String>,
) -> Result<Wanted, Problem> {
    let all = api.live.partitions();
    let wallet: Option<WalletId> = parsed("wallet", wallet)?;
    let named: Option<u32> = parsed("partition", partition)?;
    if let Some(partition) = named.filter(|partition| *partition >= all) {
        let why = format_args!("there is no partition {partition}: say 0 to {}", all - 1);
        return Err(invalid("partition", why));
    }
    let lies = wallet.as_ref().map(|wallet| api.reads.partition_of(wallet));
    let partitions = match (named, lies) {
        (Some(named), Some(lies)) if named != lies => {
            let why = format_args!("the wallet lies in partition {lies}: leave it out");
            return Err(invalid("partition", why));
        }
        (Some(one), _) | (None, Some(one)) => one..one + 1,
        (None, None) => 0..all,
    };
    let types = parsed("type", types)?.unwrap_or_default();
    Ok(Wanted { wallet, partitions, types })
}

impl Last {
    /// The header counts: a client that reconnects sends it, and the query as it was at first.
    fn of(
        headers: &HeaderMap,
        parameter: Option<&str>,
        partitions: &Range<u32>,
    ) -> Result<Option<Self>, Problem> {
        let header = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
        // A client that has no id sends an empty one, or none.
        let header = header.filter(|text| !text.is_empty());
        let (text, of) = match (header, parameter) {
            (Some(text), _) => (text, ("header", "Last-Event-ID")),
            (None, Some(text)) => (text, ("parameter", "lastEventId")),
            (None, None) => return Ok(None),
        };
        let named: Result<Positions, _> = text.parse();
        match named.ok().and_then(|named| named.of_each(partitions.clone())) {
            Some(positions) => Ok(Some(Self { positions, of })),
            None => Err(wrong(of, &format!("say a position in {}", each(partitions)))),
        }
    }
}

/// What an id of a stream about these partitions must name.
fn each(partitions: &Range<u32>) -> String {
    let first = partitions.start;
    match partitions.len() {
        1 => format!("partition {first}, such as {first}-17, or {first}-0 for all events"),
        _ => format!(
            "each of the partitions {first} to {}, as the last id had it: <partition>-<position>, \
             with commas between; position 0 means all events",
            partitions.end - 1
        ),
    }
}

fn wrong((member, name): (&'static str, &'static str), why: &str) -> Problem {
    Problem::new(Code::InvalidParameter, format!("`{name}`: {why}."))
        .with(member, Member::Text(name.to_owned()))
}

/// Opens a stream. It begins after what the client has, or else now.
pub(super) async fn open(api: &Api, wish: Wish) -> Result<Response, Problem> {
    let now = api.live.now().await.map_err(|error| unfollowed(&error))?;
    let partitions = wish.wanted.partitions.clone();
    let ends: Vec<u64> =
        partitions.clone().filter_map(|number| now.get(number as usize).copied()).collect();
    let begins = match wish.last {
        None => ends,
        Some(Last { positions, of }) => {
            let ahead = positions.iter().zip(&ends).any(|(has, end)| has > end);
            if ahead {
                let end = listed(&pairs(&partitions, &ends));
                return Err(wrong(
                    of,
                    &format!("no event is there yet: the journal ends at {end}"),
                ));
            }
            positions
        }
    };
    let stream = api.live.open(wish.wanted, &begins, &now).map_err(|full| too_many(&full))?;
    Ok(response(stream, &pairs(&partitions, &begins)))
}

/// The journal cannot be read now.
pub(super) fn unfollowed(error: &JournalError) -> Problem {
    tracing::warn!(target: "http", %error, "the journal cannot be followed");
    Problem::unfollowed()
}

fn pairs(partitions: &Range<u32>, positions: &[u64]) -> Vec<(u32, u64)> {
    partitions.clone().zip(positions.iter().copied()).collect()
}

fn too_many(full: &Full) -> Problem {
    Problem::new(
        Code::TooManyStreams,
        "This process has as many streams as it serves at once: come again after the time in \
         Retry-After, or read from another process.",
    )
    .with("streams", Member::Count(full.streams as u64))
}

fn response(stream: Stream, begins: &[(u32, u64)]) -> Response {
    let writer = Writer { stream, positions: begins.to_vec(), has: Has::Nothing, events: 0 };
    let body = unfold(writer, async |mut writer| {
        let text = writer.next().await?;
        Some((Ok::<_, Infallible>(text), writer))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    as_of(response, begins)
}

/// How far a stream has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Has {
    Nothing,
    Beginning,
    End(&'static str),
}

/// Writes a stream.
struct Writer {
    stream: Stream,
    /// What the client has, by partition.
    positions: Vec<(u32, u64)>,
    has: Has,
    events: u64,
}

impl Writer {
    /// The next piece of the body; none when it is over.
    async fn next(&mut self) -> Option<Bytes> {
        let mut text = Vec::new();
        match self.has {
            Has::Nothing => {
                self.has = Has::Beginning;
                let positions = listed(&self.positions);
                text.extend(format!(": after {positions}\nretry: {RETRY_MILLIS}\n").bytes());
                self.write_id(&mut text);
                text.push(b'\n');
            }
            Has::Beginning => match self.stream.next().await {
                Step::Events(events) => {
                    events.iter().for_each(|event| self.write(event, &mut text))
                }
                Step::Quiet(positions) => {
                    text.extend(b": quiet\n");
                    for (partition, position) in positions {
                        self.set(partition, position);
                    }
                    self.write_id(&mut text);
                    text.push(b'\n');
                }
                Step::End(end) => {
                    let why = why(end);
                    self.has = Has::End(why.code);
                    write_named("end", &why, &mut text);
                }
            },
            Has::End(_) => return None,
        }
        Some(text.into())
    }

    fn write(&mut self, event: &LiveEvent, text: &mut Vec<u8>) {
        self.events += 1;
        self.set(event.recorded.partition, event.recorded.position);
        self.write_id(text);
        text.extend_from_slice(event.text.get_or_init(|| event_text(&event.recorded)));
    }

    fn set(&mut self, partition: u32, position: u64) {
        for (of, at) in &mut self.positions {
            if *of == partition {
                *at = position.max(*at);
            }
        }
    }

    fn write_id(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(b"id: ");
        text.extend_from_slice(listed(&self.positions).as_bytes());
        text.push(b'\n');
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let end = match self.has {
            Has::Nothing | Has::Beginning => "client-left",
            Has::End(code) => code,
        };
        tracing::info!(target: "http", events = self.events, end, "stream");
    }
}

/// The data of the last event.
#[derive(Debug, Serialize)]
struct EndAnswer {
    code: &'static str,
    detail: &'static str,
}

fn why(end: End) -> EndAnswer {
    let (code, detail) = match end {
        End::Slow => (
            "slow-reader",
            "Events came faster than they were taken. Connect again with the last id: what you \
             missed is read from the journal.",
        ),
        End::Stopping => (
            "shutting-down",
            "This process stops. Connect again with the last id: another one goes on.",
        ),
        End::Aged => ("too-old", "A stream lasts for some hours. Connect again with the last id."),
    };
    EndAnswer { code, detail }
}

/// An event of the journal. One of a wallet has `walletId` and `balance`, one of a transfer has
/// `transferId`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveEvent)]
pub(super) struct EventAnswer<'a> {
    /// `<partition>-<position>`.
    #[schema(value_type = types::EventName)]
    id: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    /// Of the shape of the payload.
    event_version: &'a str,
    /// The number of the event in its wallet or transfer, which has this version after it.
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::WalletName>)]
    wallet_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::Id>)]
    transfer_id: Option<&'a str>,
    #[schema(value_type = types::AnyJson)]
    payload: &'a RawValue,
    /// What the wallet holds after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::Amount>)]
    balance: Option<Decimal>,
    partition: u32,
    position: u64,
    recorded_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::RequestKey>)]
    request_id: Option<Cow<'a, str>>,
}

impl<'a> From<&'a RecordedEvent> for EventAnswer<'a> {
    fn from(event: &'a RecordedEvent) -> Self {
        let metadata = EventMetadata::read(&event.metadata);
        let id = Some(&*event.aggregate_id);
        let is_of_wallet = event.aggregate_type == "Wallet";
        Self {
            id: place(event.partition, event.position),
            event_type: &event.event_type,
            event_version: &event.event_version,
            version: event.sequence,
            wallet_id: id.filter(|_| is_of_wallet),
            transfer_id: id.filter(|_| !is_of_wallet),
            payload: payload(event),
            balance: event.balance,
            partition: event.partition,
            position: event.position,
            recorded_at: Time(event.recorded_at),
            // Of money that came in, the key is that of whoever sent it.
            request_id: metadata.request_id.filter(|_| event.event_type != "FundsCredited"),
        }
    }
}

/// Name and data of an event, the same for all who read it; its id is the reader's own.
fn event_text(event: &RecordedEvent) -> Bytes {
    let mut text = Vec::new();
    write_named(&event.event_type, &EventAnswer::from(event), &mut text);
    text.into()
}

/// Writes a name and data.
fn write_named(name: &str, data: &impl Serialize, text: &mut Vec<u8>) {
    // Texts, numbers and JSON that is JSON already always have a JSON text.
    let mut data = serde_json::to_vec(data).unwrap_or_default();
    // Line breaks end a field here; in JSON they only stand between tokens.
    data.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    for part in [b"event: ", name.as_bytes(), b"\ndata: ", &data, b"\n\n"] {
        text.extend_from_slice(part);
    }
}

/// What is in the payload under the name of the event; all of it, if it is of another form.
fn payload(event: &RecordedEvent) -> &RawValue {
    #[derive(Deserialize)]
    struct Named<'a>(#[serde(borrow)] std::collections::BTreeMap<&'a str, &'a RawValue>);

    let named: Option<Named<'_>> = serde_json::from_str(&event.payload).ok();
    let inner = named.and_then(|Named(named)| named.get(&*event.event_type).copied());
    let whole = || serde_json::from_str(&event.payload).unwrap_or(RawValue::NULL);
    inner.unwrap_or_else(whole)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use florin_domain::journal::GENESIS;
    use serde_json::{Value, json};

    use super::*;

    fn event(event_type: &'static str, payload: &str) -> RecordedEvent {
        RecordedEvent {
            partition: 3,
            position: 7,
            aggregate_type: "Wallet",
            aggregate_id: "alice".into(),
            sequence: 2,
            event_type: event_type.into(),
            event_version: "1.0".to_owned(),
            payload: payload.to_owned(),
            metadata: r#"{"requestId":"k"}"#.into(),
            balance: Some(Decimal::new(1250, 2)),
            recorded_at: DateTime::UNIX_EPOCH,
            hash: GENESIS,
        }
    }

    /// The data of an event, which are one line.
    fn data(event: &RecordedEvent) -> Value {
        let text = event_text(event);
        let lines: Vec<&str> = std::str::from_utf8(&text).unwrap().lines().collect();
        let [name, data, ""] = lines[..] else { panic!("{lines:?}") };
        assert_eq!(name, format!("event: {}", event.event_type));
        serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap()
    }

    #[test]
    fn an_event_is_written_in_two_lines_whatever_is_in_it() {
        let stored = "{\"FundsDeposited\":{\r\n \"amount\": \"1.00\",\n\"a\":\"b\\nc\"}}";
        let data = data(&event("FundsDeposited", stored));
        assert_eq!(data["payload"], json!({ "amount": "1.00", "a": "b\nc" }));
        assert_eq!((&data["balance"], &data["requestId"]), (&json!("12.50"), &json!("k")));
    }

    #[test]
    fn an_event_of_another_form_is_told_as_it_is() {
        for stored in [r#"{"FundsBlessed":1,"more":2}"#, "[1]", "7"] {
            let data = data(&event("FundsDeposited", stored));
            assert_eq!(data["payload"].to_string(), stored);
        }
    }
}
