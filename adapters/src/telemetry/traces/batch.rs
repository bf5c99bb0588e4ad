//! The spans of what happens to events: thousands at once, of which a few are traced.
//!
//! A batch with traced events is a span of its own trace. What one command led to, consecutive events
//! with one trace context, is a *run*, and has a span in the trace of that command, with a link to the
//! batch's and one from there. A batch without traced events leaves no span.

use std::time::{Duration, SystemTime};

use florin_domain::event_metadata::sampled_traceparent;
use florin_domain::journal::RecordedEvent;
use florin_projections::ports::{Observer, Saved};
use opentelemetry::trace::{Span as _, SpanBuilder, SpanContext, SpanKind, Status, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;

use super::asked::messaging;
use super::context::{read, under};
use super::{Traces, traces};
use crate::nats::stream::LEDGER;

/// How many runs of a batch have a span: a hundredth of the largest batch has fifty. OpenTelemetry
/// keeps as many links of a span.
const MAX_RUNS: usize = 128;

/// What happens to the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// They are recorded in the journal.
    Append,
    /// They are sent to JetStream, until that has them.
    Publish,
    /// They are applied to a read model.
    Project {
        /// Which.
        model: &'static str,
        /// Whether JetStream delivered them, or they were read from the journal.
        is_delivered: bool,
    },
}

/// A batch under way, of which some events are traced.
#[derive(Debug)]
pub(crate) struct Batch {
    traces: Traces,
    stage: Stage,
    partition: u32,
    began: SystemTime,
    /// How many events it has.
    events: usize,
    /// The position of the last one.
    last: u64,
    runs: Vec<Run>,
}

/// Consecutive events of one trace context.
#[derive(Debug)]
struct Run {
    parent: SpanContext,
    first: u64,
    events: usize,
}

impl Batch {
    /// A batch that begins now; nothing if none of its events is traced.
    pub(crate) fn begin(stage: Stage, partition: u32, events: &[RecordedEvent]) -> Option<Self> {
        traces()?.batch(stage, partition, events)
    }

    /// The position of its last event.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// It began so long before now.
    fn lasted(self, took: Duration) -> Self {
        Self { began: self.began.checked_sub(took).unwrap_or(self.began), ..self }
    }

    /// It has ended, or come to this error.
    pub(crate) fn end(self, error: Option<&'static str>) {
        let now = SystemTime::now();
        let attributes = self.attributes();
        let size = number(self.stage.size(), self.events as u64);
        let name = format!("{} batch", self.stage.operation());
        let span = self.span(name, attributes.iter().cloned().chain([size]));
        let mut batch = self.traces.tracer.build_with_context(span, &Context::new());
        for run in &self.runs {
            let attributes = attributes.iter().cloned().chain(self.attributes_of(run));
            let span = self.span(self.stage.name(), attributes);
            let mut span = self.traces.tracer.build_with_context(span, &under(&run.parent));
            span.add_link(batch.span_context().clone(), Vec::new());
            batch.add_link(span.span_context().clone(), Vec::new());
            fail(&mut span, error);
            self.traces.end(&mut span, now);
        }
        fail(&mut batch, error);
        self.traces.end(&mut batch, now);
    }

    fn span(&self, name: String, attributes: impl IntoIterator<Item = KeyValue>) -> SpanBuilder {
        SpanBuilder::from_name(name)
            .with_kind(self.stage.kind())
            .with_start_time(self.began)
            .with_attributes(attributes)
    }
}

impl Batch {
    /// What is said of the batch and of every run.
    fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = vec![number("florin.partition", self.partition.into())];
        match self.stage {
            Stage::Append => attributes.extend([
                KeyValue::new("db.system.name", "postgresql"),
                KeyValue::new("db.operation.name", "append"),
                KeyValue::new("db.collection.name", "events"),
            ]),
            Stage::Publish => attributes.extend(messaging("publish", "send", LEDGER.name)),
            Stage::Project { model, is_delivered } => {
                attributes.push(KeyValue::new("florin.projection", model));
                match is_delivered {
                    true => attributes.extend(messaging("project", "process", LEDGER.name)),
                    false => attributes.push(KeyValue::new("db.system.name", "postgresql")),
                }
            }
        }
        attributes
    }

    /// What is said of a run besides.
    fn attributes_of(&self, run: &Run) -> Vec<KeyValue> {
        let events = number("florin.events", run.events as u64);
        let mut attributes = vec![number("florin.position", run.first), events];
        let id = || format!("{}-{}", self.partition, run.first);
        match self.stage {
            Stage::Publish | Stage::Project { is_delivered: true, .. } if run.events == 1 => {
                attributes.push(KeyValue::new("messaging.message.id", id()));
            }
            Stage::Append | Stage::Publish | Stage::Project { .. } => {}
        }
        attributes
    }
}

impl Stage {
    /// What is done, in one word.
    fn operation(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Publish => "publish",
            Self::Project { .. } => "project",
        }
    }

    /// And to what.
    fn name(self) -> String {
        let target = match self {
            Self::Append => "events",
            Self::Publish => LEDGER.name,
            Self::Project { model, .. } => model,
        };
        format!("{} {target}", self.operation())
    }

    /// The attribute that says how many events a batch has.
    fn size(self) -> &'static str {
        match self {
            Self::Append | Self::Project { is_delivered: false, .. } => "db.operation.batch.size",
            Self::Publish | Self::Project { is_delivered: true, .. } => {
                "messaging.batch.message_count"
            }
        }
    }

    fn kind(self) -> SpanKind {
        match self {
            Self::Append | Self::Project { is_delivered: false, .. } => SpanKind::Client,
            Self::Publish => SpanKind::Producer,
            Self::Project { is_delivered: true, .. } => SpanKind::Consumer,
        }
    }
}

impl Traces {
    /// See [`Batch::begin`].
    pub(super) fn batch(
        &self,
        stage: Stage,
        partition: u32,
        events: &[RecordedEvent],
    ) -> Option<Batch> {
        let runs = runs_of(events);
        let last = events.last().filter(|_| !runs.is_empty())?.position;
        let (traces, began) = (self.clone(), SystemTime::now());
        Some(Batch { traces, stage, partition, began, events: events.len(), last, runs })
    }
}

/// The first [`MAX_RUNS`] runs of traced events.
fn runs_of(events: &[RecordedEvent]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut before = None;
    for event in events {
        let traceparent = sampled_traceparent(&event.metadata);
        if let Some(context) = traceparent {
            let is_same = traceparent == before;
            if let Some(run) = runs.last_mut().filter(|_| is_same) {
                run.events += 1;
            } else if runs.len() == MAX_RUNS {
                break;
            } else {
                let run = |parent| Run { parent, first: event.position, events: 1 };
                runs.extend(read(context).map(run));
            }
        }
        before = traceparent;
    }
    runs
}

/// Positions and counts are far below 2^63.
fn number(name: &'static str, value: u64) -> KeyValue {
    KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX))
}

fn fail(span: &mut Span, error: Option<&'static str>) {
    if let Some(error) = error {
        span.set_attribute(KeyValue::new("error.type", error));
        span.set_status(Status::error(error));
    }
}

/// Leaves the spans of the read models.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProjectionTraces;

impl Observer for ProjectionTraces {
    fn saved(&self, saved: &Saved<'_>) {
        let Saved { projection: model, partition, events, is_delivered, took } = *saved;
        let stage = Stage::Project { model, is_delivered };
        if let Some(batch) = Batch::begin(stage, partition, events) {
            batch.lasted(took).end(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use florin_domain::event_metadata::EventMetadata;
    use florin_domain::journal::GENESIS;
    use opentelemetry_sdk::trace::SpanData;

    use super::super::testing::Tracing;
    use super::*;

    fn traceparent(span: u64, flags: &str) -> String {
        format!("00-{:032x}-{span:016x}-{flags}", u128::from(span) << 64)
    }

    /// An event of that position, in the trace of that number.
    fn event(position: u64, trace: Option<(u64, &str)>) -> RecordedEvent {
        let traceparent = trace.map(|(span, flags)| traceparent(span, flags).into());
        let metadata = EventMetadata { traceparent, ..EventMetadata::default() };
        RecordedEvent {
            partition: 3,
            position,
            aggregate_type: "Wallet",
            aggregate_id: "alice".into(),
            sequence: position,
            event_type: "FundsDeposited".into(),
            event_version: "1.0".to_owned(),
            payload: String::new(),
            metadata: metadata.to_json(),
            balance: None,
            recorded_at: DateTime::UNIX_EPOCH,
            hash: GENESIS,
        }
    }

    fn links(span: &SpanData) -> Vec<&SpanContext> {
        span.links.links.iter().map(|link| &link.span_context).collect()
    }

    #[test]
    fn each_run_is_a_span_in_its_own_trace_and_linked_to_that_of_the_batch() {
        let tracing = Tracing::of("0");
        let traces = [None, Some((1, "01")), Some((1, "01")), Some((2, "00")), Some((4, "01"))];
        let events: Vec<_> = (10..).zip(traces).map(|(at, trace)| event(at, trace)).collect();
        let batch = tracing.traces.batch(Stage::Append, 3, &events).unwrap();
        assert_eq!(batch.last(), 14);
        batch.end(None);
        let spans = tracing.spans();
        let [one, other, batch] = spans.as_slice() else { panic!("three spans: {spans:?}") };
        for (span, parent, position, count) in [(one, 1, 11, 2), (other, 4, 14, 1)] {
            assert_eq!(&*span.name, "append events");
            assert_eq!(u64::from_be_bytes(span.parent_span_id.to_bytes()), parent);
            assert_eq!(links(span), [&batch.span_context]);
            let expected = [number("florin.position", position), number("florin.events", count)];
            assert!(expected.iter().all(|pair| span.attributes.contains(pair)), "{span:?}");
        }
        assert_eq!((&*batch.name, batch.parent_span_id.to_bytes()), ("append batch", [0; 8]));
        assert_eq!(links(batch), [&one.span_context, &other.span_context]);
        let traces = [one, other, batch].map(|span| span.span_context.trace_id());
        assert!(traces[0] != traces[1] && traces[1] != traces[2] && traces[0] != traces[2]);
        assert!(batch.attributes.contains(&number("db.operation.batch.size", 5)));
    }

    #[test]
    fn a_batch_without_traced_events_leaves_no_span() {
        let tracing = Tracing::of("1");
        for trace in [None, Some((2, "00"))] {
            assert!(tracing.traces.batch(Stage::Publish, 0, &[event(1, trace)]).is_none());
        }
        assert!(tracing.traces.batch(Stage::Publish, 0, &[]).is_none());
        assert_eq!(tracing.spans(), []);
    }

    #[test]
    fn the_spans_of_a_batch_are_bounded_and_all_linked() {
        let tracing = Tracing::of("0");
        let events: Vec<_> = (1..=5_000).map(|at| event(at, Some((at, "01")))).collect();
        tracing.traces.batch(Stage::Publish, 0, &events).unwrap().end(None);
        let spans = tracing.spans();
        assert_eq!(spans.len(), MAX_RUNS + 1);
        assert_eq!(links(spans.last().unwrap()).len(), MAX_RUNS, "it keeps every link");
    }

    #[test]
    fn an_error_is_on_the_batch_and_on_every_run() {
        let tracing = Tracing::of("0");
        let batch = tracing.traces.batch(Stage::Append, 0, &[event(1, Some((1, "01")))]);
        batch.unwrap().end(Some("moved"));
        let is_failed = |span: &SpanData| span.status == Status::error("moved");
        assert!(tracing.spans().iter().all(is_failed));
    }

    #[test]
    fn a_projection_says_whence_it_has_its_events_and_how_long_it_took() {
        for (is_delivered, name) in [(true, "messaging.system"), (false, "db.system.name")] {
            let tracing = Tracing::of("0");
            let stage = Stage::Project { model: "balance", is_delivered };
            let batch = tracing.traces.batch(stage, 0, &[event(1, Some((1, "01")))]).unwrap();
            batch.lasted(Duration::from_millis(7)).end(None);
            let spans = tracing.spans();
            assert_eq!(&*spans[0].name, "project balance");
            assert!(spans[0].attributes.iter().any(|pair| pair.key.as_str() == name));
            let took = spans[0].end_time.duration_since(spans[0].start_time).unwrap();
            assert!(took >= Duration::from_millis(7), "{took:?}");
        }
    }

    #[test]
    fn a_key_of_a_client_is_in_no_span() {
        let tracing = Tracing::of("0");
        let mut one = event(1, None);
        let metadata = EventMetadata {
            request_id: Some("a-secret".into()),
            traceparent: Some(traceparent(1, "01").into()),
            ..EventMetadata::default()
        };
        one.metadata = Arc::clone(&metadata.to_json());
        for stage in [Stage::Append, Stage::Publish] {
            tracing.traces.batch(stage, 0, &[one.clone()]).unwrap().end(None);
        }
        let spans = format!("{:?}", tracing.spans());
        assert!(!spans.contains("a-secret") && !spans.contains("alice"), "{spans}");
    }
}
