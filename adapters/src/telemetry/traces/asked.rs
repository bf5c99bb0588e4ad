//! The spans of what asks for commands: a request, an operation that is carried out, a message of
//! another service. Theirs is the context that is stored with the events.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use axum::http::Method;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanContext, SpanKind, Status, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;
use uuid::Uuid;

use super::context::{read, under, written};
use super::{Traces, traces};

/// The methods that the semantic conventions name; others are `_OTHER`.
const METHODS: [Method; 9] = [
    Method::CONNECT,
    Method::DELETE,
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::PATCH,
    Method::POST,
    Method::PUT,
    Method::TRACE,
];

/// The first status that is the service's own fault.
const SERVER_ERROR: u16 = 500;

/// The span of something that is traced; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Asked {
    traces: Traces,
    span: Span,
}

impl Asked {
    /// The span of a request, if it is traced.
    pub(crate) fn request(
        caller: Option<&str>,
        method: &Method,
        route: Option<&str>,
    ) -> Option<Self> {
        traces()?.request(caller, method, route)
    }

    /// The span of what is carried out for somebody who asked for it earlier, if that was traced.
    pub(crate) fn later(asked: AskedFor, traceparent: Option<&str>) -> Option<Self> {
        traces()?.later(asked, traceparent)
    }

    /// The trace's id, as 32 hex digits.
    pub(crate) fn trace_id(&self) -> String {
        self.span.span_context().trace_id().to_string()
    }

    /// What is stored with the events of its commands.
    pub(crate) fn traceparent(&self) -> Arc<str> {
        written(self.span.span_context()).into()
    }

    /// It was answered with a status, and with a problem of that code.
    pub(crate) fn answered(mut self, status: u16, code: Option<&'static str>) {
        self.span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if let Some(code) = code {
            self.span.set_attribute(KeyValue::new("florin.problem", code));
        }
        if status >= SERVER_ERROR {
            self.span.set_attribute(KeyValue::new("error.type", status.to_string()));
            self.span.set_status(Status::error(code.unwrap_or_default()));
        }
    }

    /// It came to this error.
    pub(crate) fn failed(mut self, error: &'static str) {
        self.span.set_attribute(KeyValue::new("error.type", error));
        self.span.set_status(Status::error(error));
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.traces.end(&mut self.span, SystemTime::now());
    }
}

/// What is carried out later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskedFor {
    /// The stream that it was told by.
    pub(crate) stream: &'static str,
    /// Its id there, where that is no user's.
    pub(crate) message: Option<Uuid>,
}

impl Traces {
    /// See [`Asked::request`].
    pub(super) fn request(
        &self,
        caller: Option<&str>,
        method: &Method,
        route: Option<&str>,
    ) -> Option<Asked> {
        let parent = caller.and_then(read);
        if !self.sampler.wants(parent.as_ref().map(SpanContext::is_sampled)) {
            return None;
        }
        let method = if METHODS.contains(method) { method.as_str() } else { "_OTHER" };
        let verb = if method == "_OTHER" { "HTTP" } else { method };
        let name = route.map_or_else(|| verb.to_owned(), |route| format!("{verb} {route}"));
        let method = KeyValue::new("http.request.method", method.to_owned());
        let route = route.map(|route| KeyValue::new("http.route", route.to_owned()));
        let attributes = [method].into_iter().chain(route);
        let span =
            SpanBuilder::from_name(name).with_kind(SpanKind::Server).with_attributes(attributes);
        let parent = parent.as_ref().map_or_else(Context::new, under);
        Some(self.asked(span, &parent))
    }

    /// See [`Asked::later`].
    pub(super) fn later(&self, asked: AskedFor, traceparent: Option<&str>) -> Option<Asked> {
        let parent = traceparent.and_then(read).filter(|parent| parent.is_sampled())?;
        let AskedFor { stream, message } = asked;
        let id = message.map(|id| KeyValue::new("messaging.message.id", id.to_string()));
        let attributes = messaging("process", "process", stream).into_iter().chain(id);
        let span = SpanBuilder::from_name(format!("process {stream}"))
            .with_kind(SpanKind::Consumer)
            .with_attributes(attributes);
        Some(self.asked(span, &under(&parent)))
    }

    fn asked(&self, span: SpanBuilder, parent: &Context) -> Asked {
        let span = self.tracer.build_with_context(span, parent);
        Asked { traces: self.clone(), span }
    }

    /// Ends a span, as of a moment.
    pub(super) fn end(&self, span: &mut Span, at: SystemTime) {
        self.delivery.ended();
        span.end_with_timestamp(at);
    }
}

/// What is said of everything that goes by NATS.
pub(super) fn messaging(
    name: &'static str,
    kind: &'static str,
    stream: impl Into<Cow<'static, str>>,
) -> [KeyValue; 4] {
    [
        KeyValue::new("messaging.system", "nats"),
        KeyValue::new("messaging.operation.name", name),
        KeyValue::new("messaging.operation.type", kind),
        KeyValue::new("messaging.destination.name", stream.into()),
    ]
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::SpanId;

    use super::super::testing::Tracing;
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNWANTED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn attribute(span: &opentelemetry_sdk::trace::SpanData, name: &str) -> Option<String> {
        let found = span.attributes.iter().find(|pair| pair.key.as_str() == name)?;
        Some(found.value.to_string())
    }

    #[test]
    fn a_request_is_traced_as_its_caller_says_and_else_by_chance() {
        for (ratio, unsaid) in [("0", false), ("1", true)] {
            let tracing = Tracing::of(ratio);
            let is_traced = |caller| tracing.traces.request(caller, &Method::GET, None).is_some();
            assert_eq!(is_traced(None), unsaid, "{ratio}");
            assert!(is_traced(Some(PARENT)) && !is_traced(Some(UNWANTED)), "{ratio}");
        }
    }

    #[test]
    fn a_request_is_a_span_in_the_trace_of_its_caller() {
        let tracing = Tracing::of("0");
        let route = Some("/wallets/{id}/deposit");
        let asked = tracing.traces.request(Some(PARENT), &Method::POST, route).unwrap();
        assert_eq!(asked.trace_id(), TRACE);
        let own = read(&asked.traceparent()).unwrap();
        asked.answered(503, Some("unavailable"));
        let spans = tracing.spans();
        let [span] = spans.as_slice() else { panic!("one span: {spans:?}") };
        assert_eq!(span.span_context.span_id(), own.span_id(), "what is stored names it");
        assert!(own.is_sampled() && own.trace_id().to_string() == TRACE);
        assert_eq!(span.parent_span_id, SpanId::from_hex("00f067aa0ba902b7").unwrap());
        assert_eq!(
            (&*span.name, &span.span_kind),
            ("POST /wallets/{id}/deposit", &SpanKind::Server)
        );
        for (name, value) in [
            ("http.request.method", "POST"),
            ("http.route", "/wallets/{id}/deposit"),
            ("http.response.status_code", "503"),
            ("error.type", "503"),
        ] {
            assert_eq!(attribute(span, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(span.status, Status::error("unavailable"));
    }

    #[test]
    fn a_method_that_nobody_knows_is_not_told_on() {
        let tracing = Tracing::of("1");
        let method: Method = "ALICE".parse().unwrap();
        tracing.traces.request(None, &method, None).unwrap().answered(405, None);
        let spans = tracing.spans();
        assert_eq!(&*spans[0].name, "HTTP");
        assert_eq!(attribute(&spans[0], "http.request.method").as_deref(), Some("_OTHER"));
        assert_eq!(spans[0].status, Status::Unset, "it is the caller's fault");
    }

    #[test]
    fn what_is_carried_out_later_is_traced_only_if_the_asking_was() {
        let tracing = Tracing::of("1");
        let asked = AskedFor { stream: "OPERATIONS", message: Some(Uuid::from_u128(7)) };
        for untraced in [None, Some(UNWANTED), Some("nonsense")] {
            assert!(tracing.traces.later(asked, untraced).is_none());
        }
        let later = tracing.traces.later(asked, Some(PARENT)).unwrap();
        assert_eq!(later.trace_id(), TRACE);
        later.failed("no-outcome");
        let spans = tracing.spans();
        assert_eq!(
            (&*spans[0].name, &spans[0].span_kind),
            ("process OPERATIONS", &SpanKind::Consumer)
        );
        assert_eq!(attribute(&spans[0], "error.type").as_deref(), Some("no-outcome"));
    }
}
