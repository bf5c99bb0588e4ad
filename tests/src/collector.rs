//! A collector of traces: it takes OTLP by HTTP, and keeps every span.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message as _;

/// A span, and which service it came from.
#[derive(Debug, Clone)]
pub struct Span {
    /// `service.name`.
    pub service: String,
    /// Everything that is said of the service.
    pub resource: Vec<KeyValue>,
    /// As it came.
    pub span: proto::Span,
}

impl Span {
    /// What is done.
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// Of its trace, as hex digits.
    pub fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// Its own, as hex digits.
    pub fn span_id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// That of its parent; nothing if it has none.
    pub fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// The spans that it is linked to.
    pub fn links(&self) -> Vec<String> {
        self.span.links.iter().map(|link| hex(&link.span_id)).collect()
    }

    /// What is said of it under a name.
    pub fn attribute(&self, name: &str) -> Option<String> {
        attribute(&self.span.attributes, name)
    }
}

/// What is said under a name, as text.
pub fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    text(found.value.as_ref()?)
}

fn text(value: &AnyValue) -> Option<String> {
    let value = value.value.as_ref()?;
    if let Value::StringValue(text) = value {
        return Some(text.clone());
    }
    if let Value::IntValue(number) = value {
        return Some(number.to_string());
    }
    Some(format!("{value:?}"))
}

/// A server that keeps what it is sent. It ends with the process.
pub struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// Starts it on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&spans);
        thread::spawn(move || {
            for stream in listener.incoming() {
                // Who hangs up has sent nothing.
                if let Some(body) = stream.ok().and_then(taken) {
                    let request = ExportTraceServiceRequest::decode(&*body).unwrap();
                    kept.lock().unwrap().extend(spans_of(request));
                }
            }
        });
        Self { url, spans }
    }

    /// Where services send to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// Those of one trace.
    pub fn trace(&self, id: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.trace_id() == id).collect()
    }
}

/// The body of one request, which is answered.
fn taken(mut stream: TcpStream) -> Option<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.trim().parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes()).ok()?;
    Some(body)
}

fn spans_of(request: ExportTraceServiceRequest) -> Vec<Span> {
    let of_service = |spans: proto::ResourceSpans| {
        let resource = spans.resource.unwrap_or_default().attributes;
        let service = attribute(&resource, "service.name").unwrap_or_default();
        let all = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
        let kept = move |span| Span { service: service.clone(), resource: resource.clone(), span };
        all.map(kept).collect::<Vec<_>>()
    };
    request.resource_spans.into_iter().flat_map(of_service).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
