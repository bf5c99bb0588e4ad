use florin_domain::journal::{EVENT_TYPES, Hash};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;

/// As it is after the way through a server, which trims the values of headers.
fn received(sent: OutboundMessage) -> Message {
    let headers = sent.headers.map(|headers| {
        let trimmed = headers.iter().map(|(name, values)| {
            (name.clone(), values[0].as_str().trim().parse::<HeaderValue>().unwrap())
        });
        trimmed.collect()
    });
    Message {
        subject: sent.subject,
        reply: sent.reply,
        payload: sent.payload,
        headers,
        status: None,
        description: None,
        length: 0,
    }
}

fn header<'m>(message: &'m OutboundMessage, name: &str) -> Option<&'m str> {
    message.headers.as_ref().unwrap().get(name).map(HeaderValue::as_str)
}

fn recorded() -> impl Strategy<Value = RecordedEvent> {
    let ids = (any::<u32>(), any::<u64>(), any::<u64>());
    let names = (prop::bool::ANY, ".{1,64}", prop::sample::select(&EVENT_TYPES[..]), ".{0,9}");
    let texts = (any::<String>(), any::<String>());
    let balance = prop::option::of((any::<i64>(), 0_u32..9));
    let time = 0_i64..4_000_000_000_000_000;
    (ids, names, texts, balance, time, any::<Hash>()).prop_map(
        |(ids, names, (payload, metadata), balance, time, hash)| RecordedEvent {
            partition: ids.0,
            position: ids.1,
            aggregate_type: if names.0 { "Wallet" } else { "Transfer" },
            aggregate_id: names.1.into(),
            sequence: ids.2,
            event_type: names.2.into(),
            event_version: names.3,
            payload,
            metadata: metadata.into(),
            balance: balance.map(|(digits, scale)| Decimal::new(digits, scale)),
            recorded_at: DateTime::from_timestamp_micros(time).unwrap(),
            hash,
        },
    )
}

/// `FundsDebited`, part of the transfer [`TRANSFER`].
fn debit() -> RecordedEvent {
    RecordedEvent {
        partition: 2,
        position: 41,
        aggregate_type: "Wallet",
        aggregate_id: "alice".into(),
        sequence: 3,
        event_type: "FundsDebited".into(),
        event_version: "1.0".to_owned(),
        payload: r#"{"FundsDebited":{"amount":"1.00"}}"#.to_owned(),
        metadata: format!(
            r#"{{"requestId":"t 1","correlationId":"{TRANSFER}","traceparent":"00-{}-{}-01"}}"#,
            "a".repeat(32),
            "b".repeat(16)
        )
        .into(),
        balance: Some(Decimal::new(900, 2)),
        recorded_at: DateTime::from_timestamp_micros(1_700_000_000_000_001).unwrap(),
        hash: [0xab; 32],
    }
}

const TRANSFER: &str = "0190a6b6-7a31-7f2a-8a5d-3f1b8d3c2e11";

proptest! {
    #[test]
    fn an_event_comes_back_exactly_as_it_went(sent in recorded(), again in any::<bool>()) {
        let message = message(sent.clone(), again.then_some("again"));
        prop_assert!(message.subject.is_valid(), "{}", message.subject);
        prop_assert_eq!(event(&received(message)).unwrap(), sent);
    }
}

#[test]
fn the_subject_and_the_headers_are_what_consumers_were_promised() {
    let message = message(debit(), None);
    assert_eq!(&*message.subject, "ledger.2.wallet.alice.FundsDebited");
    assert_eq!(&*message.payload, debit().payload.as_bytes());
    let trace = format!("00-{}-{}-01", "a".repeat(32), "b".repeat(16));
    let hash = "ab".repeat(32);
    let expected = [
        ("Nats-Msg-Id", "2-41"),
        ("ce-id", "2-41"),
        ("ce-specversion", "1.0"),
        ("content-type", "application/json"),
        ("ce-source", "/florin/ledger"),
        ("ce-type", "FundsDebited"),
        ("ce-eventversion", "1.0"),
        ("ce-subject", "wallet/alice"),
        ("ce-sequence", "3"),
        ("ce-time", "2023-11-14T22:13:20.000001Z"),
        ("ce-partition", "2"),
        ("ce-position", "41"),
        ("ce-hash", &hash),
        ("ce-balance", "9.00"),
        ("ce-correlationid", TRANSFER),
        ("ce-causationid", TRANSFER),
        ("traceparent", &trace),
    ];
    for (name, value) in expected {
        assert_eq!(header(&message, name), Some(value), "{name}");
    }
    assert!(header(&message, "ce-metadata").unwrap().starts_with("{%22requestId%22:%22t%201%22"));
    assert_eq!(message.headers.unwrap().len(), expected.len() + 1, "and no others");
}

#[test]
fn what_caused_an_event_is_the_nearest_thing_known() {
    let initiated =
        RecordedEvent { aggregate_type: "Transfer", aggregate_id: TRANSFER.into(), ..debit() };
    let caused = |event| header(&message(event, None), "ce-causationid").map(ToOwned::to_owned);
    assert_eq!(caused(initiated).as_deref(), Some("t%201"), "a transfer by its request");
    let frozen = RecordedEvent { metadata: r#"{"requestId":"f"}"#.into(), ..debit() };
    assert_eq!(caused(frozen).as_deref(), Some("f"), "what is part of nothing by its request");
    assert_eq!(caused(RecordedEvent { metadata: "{}".into(), ..debit() }), None);
}

#[test]
fn published_again_it_is_another_message_and_the_same_event() {
    let again = message(debit(), Some("r1"));
    assert_eq!(header(&again, "Nats-Msg-Id"), Some("2-41-r1"));
    assert_eq!(header(&again, "ce-id"), Some("2-41"));
}

#[test]
fn a_message_of_somebody_else_is_named_and_refused() {
    let mut strange = received(message(debit(), None));
    strange.headers.as_mut().unwrap().insert("ce-position", "x");
    let refused = event(&strange).unwrap_err().to_string();
    let expected = "a message on ledger.2.wallet.alice.FundsDebited is no event of this ledger: \
                    ce-position is not a number";
    assert_eq!(refused, expected);
    let mut bare = received(message(debit(), None));
    bare.headers = None;
    assert!(event(&bare).unwrap_err().to_string().ends_with("ce-subject is missing"));
}
