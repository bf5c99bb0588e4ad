//! What is counted and timed where it happens: once a request, once a command, once a batch.
//!
//! Each function does nothing while nobody takes figures.

use std::time::Duration;

use axum::http::Method;
use florin_application::Observer;
use florin_application::SubmitError;
use florin_application::command::{Answer, Outcome};
use florin_application::journal::AppendError;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter};

use super::instruments;
use super::series::Series;
use crate::http::refusal;

/// In seconds: those that the semantic conventions advise, and finer ones below, where a command that
/// is alone takes 0.3 ms.
const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5,
    10.0,
];

/// In commands or events: up to what a batch holds, five events a transfer.
const SIZES: [f64; 12] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0];

/// What is recorded to.
pub(super) struct Instruments {
    requests: Histogram<f64>,
    requests_of: Series<RequestLabels, BoundHistogram<f64>>,
    panics: Counter<u64>,
    commands: Counter<u64>,
    commands_of: Series<CommandLabels, BoundCounter<u64>>,
    appends: Histogram<f64>,
    append_commands: Histogram<u64>,
    append_events: Histogram<u64>,
    cache_hits: Counter<u64>,
    cache_misses: Counter<u64>,
    redeliveries: Counter<u64>,
    audit_lost: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        let counter = |name, unit, description| {
            meter.u64_counter(name).with_unit(unit).with_description(description).build()
        };
        let seconds = |name, description| {
            let seconds = meter.f64_histogram(name).with_unit("s").with_description(description);
            seconds.with_boundaries(SECONDS.to_vec()).build()
        };
        let sizes = |name, unit, description| {
            let sizes = meter.u64_histogram(name).with_unit(unit).with_description(description);
            sizes.with_boundaries(SIZES.to_vec()).build()
        };
        let instruments = Self {
            requests: seconds(
                "http.server.request.duration",
                "How long requests took until the head of their answer, by method, route and \
                 status (499: the client left).",
            ),
            requests_of: Series::default(),
            panics: counter(
                "florin.http.panics",
                "{panic}",
                "Requests that ended in a panic: each is a defect.",
            ),
            commands: counter(
                "florin.commands",
                "{command}",
                "What clients were told of their commands, by kind, outcome and reason. An atomic \
                 bulk counts as one.",
            ),
            commands_of: Series::default(),
            appends: seconds(
                "florin.append.duration",
                "How long appends to the journal took, by outcome (moved: another process wrote \
                 first, and the batch is decided again).",
            ),
            append_commands: sizes(
                "florin.append.commands",
                "{command}",
                "How many commands went into the journal together.",
            ),
            append_events: sizes(
                "florin.append.events",
                "{event}",
                "How many events went into the journal together.",
            ),
            cache_hits: counter(
                "florin.balance_cache.hits",
                "{read}",
                "Reads of a wallet that were answered from memory.",
            ),
            cache_misses: counter(
                "florin.balance_cache.misses",
                "{read}",
                "Reads of a wallet that asked Postgres.",
            ),
            redeliveries: counter(
                "florin.jetstream.redeliveries",
                "{message}",
                "Messages that JetStream delivered again, by consumer.",
            ),
            audit_lost: counter(
                "florin.audit.lost",
                "{call}",
                "Calls that are not on record, because more came than could be kept.",
            ),
        };
        instruments.begin();
        instruments
    }

    /// What has not happened yet has happened no times, which is not the same as not being known.
    fn begin(&self) {
        for counter in [&self.panics, &self.cache_hits, &self.cache_misses, &self.audit_lost] {
            counter.add(0, &[]);
        }
    }
}

/// A request that was answered, or left.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    /// The template; none where there is no such route.
    pub(crate) route: Option<&'a str>,
    pub(crate) status: u16,
    /// What was wrong.
    pub(crate) code: Option<&'static str>,
    pub(crate) is_tls: bool,
}

/// In what requests of a route differ.
#[derive(Clone, Copy, PartialEq)]
struct RequestLabels {
    status: u16,
    method: &'static str,
    /// What was wrong with the service.
    error: Option<&'static str>,
    is_tls: bool,
    has_route: bool,
}

/// Counts a request, and how long it took.
pub(crate) fn request(request: &Request<'_>, took: Duration) {
    let Some(instruments) = instruments() else { return };
    let labels = RequestLabels {
        status: request.status,
        method: method(request.method),
        error: request.code.filter(|_| request.status >= 500),
        is_tls: request.is_tls,
        has_route: request.route.is_some(),
    };
    let bind = || instruments.requests.bind(&labels.named(request.route));
    let series = instruments.requests_of.of(request.route.unwrap_or_default(), labels, bind);
    series.record(took.as_secs_f64());
}

impl RequestLabels {
    /// By the semantic conventions of HTTP servers.
    fn named(self, route: Option<&str>) -> Vec<KeyValue> {
        let mut labels = vec![
            KeyValue::new("http.request.method", self.method),
            KeyValue::new("url.scheme", if self.is_tls { "https" } else { "http" }),
            KeyValue::new("http.response.status_code", i64::from(self.status)),
        ];
        labels.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
        labels.extend(self.error.map(|code| KeyValue::new("error.type", code)));
        labels
    }
}

/// A method as a label: one of those that there are, since a client may send any.
fn method(method: &Method) -> &'static str {
    let names = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"];
    names.into_iter().find(|name| *name == method.as_str()).unwrap_or("_OTHER")
}

/// Counts a panic in a request.
pub(crate) fn panicked() {
    if let Some(instruments) = instruments() {
        instruments.panics.add(1, &[]);
    }
}

/// Counts a read of a wallet.
pub(crate) fn wallet_read(from_memory: bool) {
    let Some(instruments) = instruments() else { return };
    match from_memory {
        true => instruments.cache_hits.add(1, &[]),
        false => instruments.cache_misses.add(1, &[]),
    }
}

/// Counts messages that came again; none of them says that the consumer is there.
pub(crate) fn redelivered(consumer: &str, messages: u64) {
    if let Some(instruments) = instruments() {
        let consumer = KeyValue::new("consumer", consumer.to_owned());
        instruments.redeliveries.add(messages, &[consumer]);
    }
}

/// Whether what is asked for costs something, and so is asked for by who records it alone.
pub(crate) fn is_on() -> bool {
    instruments().is_some()
}

/// Counts calls that are not on record.
pub(crate) fn audit_lost(calls: u64) {
    if let Some(instruments) = instruments() {
        instruments.audit_lost.add(calls, &[]);
    }
}

/// Counts an append, and how long it took.
pub(crate) fn append(appended: &Result<(), AppendError>, took: Duration) {
    let Some(instruments) = instruments() else { return };
    let outcome = match appended {
        Ok(()) => "appended",
        Err(AppendError::Moved) => "moved",
        Err(AppendError::KeyTaken) => "key-taken",
        Err(AppendError::Rejected(_)) => "rejected",
        Err(AppendError::Unavailable(_)) => "unavailable",
    };
    instruments.appends.record(took.as_secs_f64(), &[KeyValue::new("outcome", outcome)]);
}

/// Counts what the ledger does.
#[derive(Debug, Clone, Copy)]
pub struct CountCommands;

/// In what answers to commands of a kind differ.
#[derive(Clone, Copy, PartialEq)]
struct CommandLabels {
    outcome: &'static str,
    reason: Option<&'static str>,
}

impl CommandLabels {
    fn named(self, kind: &'static str) -> Vec<KeyValue> {
        let mut labels =
            vec![KeyValue::new("command", kind), KeyValue::new("outcome", self.outcome)];
        labels.extend(self.reason.map(|reason| KeyValue::new("reason", reason)));
        labels
    }
}

impl Observer for CountCommands {
    fn answered(&self, kind: &'static str, answer: &Result<Answer, SubmitError>) {
        let Some(instruments) = instruments() else { return };
        let labels = told(answer);
        let bind = || instruments.commands.bind(&labels.named(kind));
        instruments.commands_of.of(kind, labels, bind).add(1);
    }

    fn appended(&self, commands: usize, events: usize) {
        let Some(instruments) = instruments() else { return };
        let count = |count| u64::try_from(count).unwrap_or(u64::MAX);
        instruments.append_commands.record(count(commands), &[]);
        instruments.append_events.record(count(events), &[]);
    }
}

/// What became of a command in a word, and why.
fn told(answer: &Result<Answer, SubmitError>) -> CommandLabels {
    let (outcome, reason) = match answer {
        Ok(Answer { replayed: true, .. }) => ("replayed", None),
        Ok(Answer { outcome: Outcome::Accepted(_), .. }) => ("accepted", None),
        Ok(Answer { outcome: Outcome::Refused(refused), .. }) => {
            ("refused", Some(refusal::code(&refused.refusal)))
        }
        Err(error) => match error {
            // The same command may do once the client has looked.
            SubmitError::InProgress
            | SubmitError::KeyReused
            | SubmitError::VersionMismatch { .. }
            | SubmitError::Apart { .. } => ("conflict", Some(refusal::trouble(error))),
            SubmitError::Busy | SubmitError::Unavailable | SubmitError::Rejected => {
                ("failed", Some(refusal::trouble(error)))
            }
        },
    };
    CommandLabels { outcome, reason }
}
