//! One trace from a request to every read model, as a collector has it.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use florin_adapters::nats::stream::LEDGER;
use florin_domain::event_metadata::EventMetadata;
use florin_tests::collector::{Collector, Span, attribute};
use florin_tests::store::eventually;
use serde_json::json;

use super::Told;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// What happens to each event, and in which service.
const FOLLOWING: [(&str, &str); 6] = [
    ("append events", "florin-api"),
    ("publish LEDGER", "florin-worker"),
    ("project balance", "florin-worker"),
    ("project history", "florin-worker"),
    ("project stats", "florin-worker"),
    ("project fraud", "florin-worker"),
];

fn traceparent(trace: &str) -> String {
    format!("00-{trace}-{CALLER}-01")
}

/// The spans of a trace, once it has these.
async fn trace_with(collector: &Collector, trace: &str, names: &[&str]) -> Vec<Span> {
    eventually("the trace is whole", async || {
        let spans = collector.trace(trace);
        let has = |name: &&str| spans.iter().any(|span| span.name() == *name);
        if names.iter().all(has) {
            return Ok(spans);
        }
        Err(spans.into_iter().map(|span| span.span.name).collect::<Vec<_>>())
    })
    .await
}

/// Every span, once those are among them that the trace is linked to.
async fn with_batches(collector: &Collector, spans: &[Span]) -> Vec<Span> {
    let links: Vec<String> = spans.iter().flat_map(Span::links).collect();
    eventually("the batches are there", async || {
        let all = collector.spans();
        let is_there = |link: &String| all.iter().any(|span| span.span_id() == *link);
        if links.iter().all(is_there) { Ok(all) } else { Err(all.len()) }
    })
    .await
}

fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name() == name).collect();
    let [one] = found[..] else { panic!("{} spans are {name}", found.len()) };
    one
}

async fn traced(collector: &Collector, ratio: &str) -> Told {
    let both = ["--otlp-endpoint", collector.url(), "--trace-ratio", ratio];
    Told::start(&both, &["--auth", "off"], &["--intake", "on"]).await
}

#[tokio::test]
async fn one_trace_shows_a_deposit_from_its_request_to_every_read_model() {
    let collector = Collector::start();
    let told = traced(&collector, "0").await;
    let opened = told.post("/wallets/alice/deposit", &[], json!({ "amount": 1 })).await;
    opened.expect(201);
    let headers = [("traceparent", &*traceparent(TRACE))];
    let body = json!({ "amount": 5, "requestId": "a-key-of-alice" });
    let answer = told.post("/wallets/alice/deposit", &headers, body).await;
    assert_eq!(answer.expect(201).header("x-trace-id"), Some(TRACE));

    let asked = "POST /wallets/{id}/deposit";
    let names: Vec<&str> = FOLLOWING.iter().map(|(name, _)| *name).chain([asked]).collect();
    let spans = trace_with(&collector, TRACE, &names).await;
    assert_eq!(spans.len(), names.len(), "{spans:?}");
    let request = one(&spans, asked);
    assert_eq!((&*request.parent(), &*request.service), (CALLER, "florin-api"));
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/wallets/{id}/deposit"),
        ("http.response.status_code", "201"),
    ] {
        assert_eq!(request.attribute(name).as_deref(), Some(value), "{name}");
    }
    for name in ["service.version", "service.instance.id"] {
        assert!(attribute(&request.resource, name).is_some(), "{name}");
    }
    let all = with_batches(&collector, &spans).await;
    for (name, service) in FOLLOWING {
        let span = one(&spans, name);
        assert_eq!((span.parent(), &*span.service), (request.span_id(), service), "{name}");
        assert_eq!(span.attribute("florin.position").as_deref(), Some("3"), "{name}");
        let [link] = &span.links()[..] else { panic!("{name} has one link") };
        let batch = all.iter().find(|other| other.span_id() == *link).unwrap();
        assert!(batch.name().ends_with(" batch") && batch.trace_id() != TRACE, "{batch:?}");
        assert!(batch.links().contains(&span.span_id()), "{name} is linked from there, too");
        assert!(batch.span.start_time_unix_nano <= batch.span.end_time_unix_nano);
    }
    let append = one(&spans, "append events");
    assert_eq!(append.attribute("db.system.name").as_deref(), Some("postgresql"));
    let publish = one(&spans, "publish LEDGER");
    for (name, value) in [
        ("messaging.system", "nats"),
        ("messaging.operation.type", "send"),
        ("messaging.message.id", "0-3"),
    ] {
        assert_eq!(publish.attribute(name).as_deref(), Some(value), "{name}");
    }

    // What is stored, and sent to others, is the context of the request's own span.
    let messages = told.nats.messages(0).await;
    let headers: Vec<Option<&str>> = messages
        .iter()
        .map(|message| Some(message.headers.as_ref()?.get("traceparent")?.as_str()))
        .collect();
    let own = format!("00-{TRACE}-{}-01", request.span_id());
    assert_eq!(headers, [None, None, Some(&*own)]);
    let events = told.nats.events(0).await;
    let kept = EventMetadata::read(&events[2].metadata).traceparent;
    assert_eq!(kept.as_deref(), Some(&*own));

    let text = format!("{all:?}");
    for private in ["alice", "a-key-of"] {
        assert!(!text.contains(private), "{private} is in {text}");
    }
    told.finish().await;
}

#[tokio::test]
async fn what_is_carried_out_later_goes_on_with_the_trace_of_who_asked() {
    let collector = Collector::start();
    let told = traced(&collector, "0").await;
    let headers = [("traceparent", &*traceparent(TRACE)), ("prefer", "respond-async")];
    let accepted = told.post("/wallets/alice/deposit", &headers, json!({ "amount": 5 })).await;
    accepted.expect(202);
    let asked = "POST /wallets/{id}/deposit";
    let names = [asked, "process OPERATIONS", "append events", "project balance"];
    let spans = trace_with(&collector, TRACE, &names).await;
    let request = one(&spans, asked);
    let process = one(&spans, "process OPERATIONS");
    assert_eq!(process.parent(), request.span_id());
    for name in ["append events", "project balance"] {
        assert_eq!(one(&spans, name).parent(), process.span_id(), "{name}");
    }

    let other = TRACE.replace('4', "5");
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", traceparent(&other).as_str());
    let jetstream = told.nats.jetstream().await;
    eventually("a message is taken", async || {
        let body = florin_tests::upstream::signup("bob").to_string();
        let sent = jetstream.publish_with_headers("user.signup", headers.clone(), body.into());
        sent.await.map_err(|error| error.kind())?.await.map(drop).map_err(|error| error.kind())
    })
    .await;
    let names = ["process INTAKE", "append events", "project stats"];
    let spans = trace_with(&collector, &other, &names).await;
    let process = one(&spans, "process INTAKE");
    assert_eq!(process.parent(), CALLER);
    for name in ["append events", "project stats"] {
        assert_eq!(one(&spans, name).parent(), process.span_id(), "{name}");
    }
    told.finish().await;
}

#[tokio::test]
async fn a_caller_who_is_not_heeded_has_nothing_traced_now_or_later() {
    let collector = Collector::start();
    let sampler = ["--otlp-endpoint", collector.url(), "--trace-sampler", "always_off"];
    let told = Told::start(&sampler, &["--auth", "off"], &[]).await;
    let headers = [("traceparent", &*traceparent(TRACE))];
    let answer = told.post("/wallets/alice/deposit", &headers, json!({ "amount": 5 })).await;
    assert_eq!(answer.expect(201).header("x-trace-id"), Some(TRACE), "it is the same trace");
    let jetstream = told.nats.jetstream().await;
    eventually("both events are published", async || {
        let stream = jetstream.get_stream(LEDGER.name).await.map_err(|error| error.to_string())?;
        let messages = stream.cached_info().state.messages;
        if messages == 2 { Ok(()) } else { Err(format!("{messages} are")) }
    })
    .await;
    let events = told.nats.events(0).await;
    let kept = EventMetadata::read(&events[1].metadata).traceparent;
    assert_eq!(kept, Some(format!("00-{TRACE}-{CALLER}-00").into()));
    told.finish().await;
    // What is left of spans was exported when the processes stopped.
    assert!(collector.spans().is_empty(), "{:?}", collector.spans());
}

#[tokio::test]
async fn a_collector_that_is_away_neither_slows_nor_stops_anything() {
    // It takes connections, and then nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let both = ["--otlp-endpoint", &url, "--trace-ratio", "1"];
    let mut told = Told::start(&both, &["--auth", "off"], &[]).await;
    let begun = Instant::now();
    for number in 0..200 {
        let body = json!({ "amount": 1, "requestId": format!("k-{number}") });
        let answer = told.post("/wallets/alice/deposit", &[], body).await;
        answer.expect(201);
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "200 deposits take {took:?}");
    told.stop().await;
    let log = told.api.log();
    assert!(log.contains("spans did not come to the collector"), "{log}");
    told.finish_servers().await;
}
