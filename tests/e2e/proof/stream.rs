//! JetStream = journal, where JetStream still has the range.

use florin_domain::journal::RecordedEvent;
use florin_tests::nats::{OwnNats, all_published};
use florin_tests::store::Store;
use serde_json::{Value, json};

use super::{answer, ledger, problems, verify};

/// Everything is published.
async fn published(partitions: u32) -> (Store, OwnNats) {
    let (store, nats) = (ledger(partitions).await, OwnNats::start().await);
    let worker = nats.worker(&store).await;
    all_published(&store, &worker).await;
    worker.stop().await;
    (store, nats)
}

async fn beside(store: &Store, nats: &OwnNats) -> Value {
    answer(store, &["--nats-url", &nats.url()]).await
}

#[tokio::test]
async fn every_message_is_compared_and_what_is_not_there_is_no_problem() {
    for partitions in [1, 4] {
        let (store, nats) = published(partitions).await;
        let events = store.events().await;
        let found = beside(&store, &nats).await;
        assert_eq!(problems(&found), [""; 0]);
        let expected = json!({ "isThere": true, "messages": events.len(), "lacks": [] });
        assert_eq!(found["stream"], expected);
        // The oldest ones go, and one is published again: what lies between is told.
        let stream = nats.jetstream().await.get_stream("LEDGER").await.unwrap();
        stream.purge().sequence(events.len() as u64 - 1).await.unwrap();
        let again: Vec<RecordedEvent> =
            events.iter().filter(|event| event.position == 2).cloned().collect();
        nats.publish(again, "again").await;
        let found = beside(&store, &nats).await;
        assert_eq!(problems(&found), [""; 0]);
        let lacks = found["stream"]["lacks"].as_array().unwrap();
        assert_eq!(lacks.len(), partitions as usize, "{found}");
        assert_eq!(lacks[0]["ranges"][0], json!({ "from": "0-1", "to": "0-1" }), "{found}");
        let ran = verify(&store, &["--nats-url", &nats.url()]).await;
        assert!(ran.code == Some(0) && ran.out.contains("of partition 0 it lacks "), "{ran:?}");
        nats.delete_stream().await;
        let found = beside(&store, &nats).await;
        assert_eq!(
            (&found["isInOrder"], &found["stream"]["isThere"]),
            (&json!(true), &json!(false))
        );
        nats.stop().await;
    }
}

#[tokio::test]
async fn a_message_that_is_another_event_is_named_with_its_position() {
    for partitions in [1, 4] {
        let (store, nats) = published(partitions).await;
        let partition = partitions - 1;
        let events = store.events().await;
        let event = events.iter().find(|event| event.partition == partition).unwrap();
        let end = events.iter().rfind(|event| event.partition == partition).unwrap();
        // The hash is as it was, and one byte of the body is not.
        let changed = RecordedEvent { payload: event.payload.replace('}', " }"), ..event.clone() };
        let invented = RecordedEvent { position: end.position + 1, ..end.clone() };
        nats.publish([changed, invented], "forged").await;
        let expected = [
            format!("{partition}-{} JetStream has another event there", event.position),
            format!(
                "{partition}-{} JetStream has an event that the journal has not",
                end.position + 1
            ),
        ];
        assert_eq!(problems(&beside(&store, &nats).await), expected);
        nats.stop().await;
    }
}

#[tokio::test]
async fn a_message_that_is_no_event_is_told_by_its_number() {
    let (store, nats) = published(1).await;
    let count = store.events().await.len();
    let jetstream = nats.jetstream().await;
    jetstream.publish("ledger.0.x", "{}".into()).await.unwrap().await.unwrap();
    let found = problems(&beside(&store, &nats).await);
    let expected =
        format!("nowhere message {} of LEDGER: a message on ledger.0.x is no event", count + 1);
    assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
    nats.stop().await;
}

#[tokio::test]
async fn without_nats_the_stream_is_not_proved() {
    let (store, nats) = published(1).await;
    let url = nats.url();
    nats.stop().await;
    let ran = verify(&store, &["--nats-url", &url]).await;
    let expected = "florin: it could not be proved, one way or the other: NATS is away";
    assert_eq!((ran.code, ran.err.trim()), (Some(1), expected));
    let ran = verify(&store, &["--nats-url", &url, "--no-stream"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}
