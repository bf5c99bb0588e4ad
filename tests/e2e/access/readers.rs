//! What is allowed: services downstream read, services upstream publish.

use std::time::Duration;

use async_nats::jetstream::consumer::{Consumer, pull};
use futures::StreamExt;

use super::{Guarded, Service, TAKEN};

/// How long a message may take to come.
const WAIT: Duration = Duration::from_secs(20);

impl Service {
    /// Creates the consumer of its name on a stream, and acknowledges the first message; its subject.
    async fn reads_one(&self, stream: &str) -> String {
        let stream = self.jetstream().get_stream(stream).await.unwrap();
        let durable_name = Some(self.user.clone());
        let config = pull::Config { durable_name, ..pull::Config::default() };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut batch = consumer.fetch().max_messages(1).expires(WAIT).messages().await.unwrap();
        let message = batch.next().await.unwrap().unwrap();
        message.double_ack().await.unwrap();
        message.subject.to_string()
    }
}

#[tokio::test]
async fn a_service_downstream_reads_the_ledger_by_a_consumer_of_its_own() {
    let nats = Guarded::start().await;
    let florin = nats.streams().await;
    for number in 1..=3 {
        let subject = format!("ledger.0.wallet.w-{number}.WalletOpened");
        florin.publish(subject, "{}".into()).await.unwrap().await.unwrap();
    }
    let billing = nats.service("billing").await;
    let stream = billing.jetstream().get_stream("LEDGER").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 3);
    for filter in ["", "ledger.0.wallet.w-2.>", "ledger.>"] {
        let config = pull::Config {
            durable_name: Some("billing".to_owned()),
            filter_subject: filter.to_owned(),
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let expected = if filter.contains("w-2") { 1 } else { 3 };
        let batch = consumer.fetch().max_messages(expected).expires(WAIT).messages().await.unwrap();
        let messages: Vec<_> = batch.map(Result::unwrap).collect().await;
        assert_eq!(messages.len(), expected, "of {filter:?}");
        for message in messages {
            message.double_ack().await.unwrap();
        }
        let mut again: Consumer<pull::Config> = stream.get_consumer("billing").await.unwrap();
        let info = again.info().await.unwrap();
        assert_eq!((info.num_ack_pending, info.num_pending), (0, 0), "of {filter:?}");
        stream.delete_consumer("billing").await.unwrap();
    }
    // And what is published while it listens, without a consumer.
    let mut live = billing.client.subscribe("ledger.>").await.unwrap();
    // The server has taken in the subscription when it answers what was sent after it.
    stream.get_info().await.unwrap();
    florin.publish("ledger.0.wallet.w-4.WalletOpened", "{}".into()).await.unwrap().await.unwrap();
    let message = tokio::time::timeout(WAIT, live.next()).await.unwrap().unwrap();
    assert_eq!(&*message.subject, "ledger.0.wallet.w-4.WalletOpened");
    assert_eq!(*billing.complaints.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn whoever_looks_after_the_service_reads_alerts_and_dead_letters() {
    let nats = Guarded::start().await;
    let florin = nats.streams().await;
    let people = nats.service("people").await;
    for (stream, subject) in
        [("ALERTS", "alerts.alice.largeOutflow"), ("DEAD_LETTERS", "dead-letters.stats.alice")]
    {
        florin.publish(subject, "{}".into()).await.unwrap().await.unwrap();
        assert_eq!(people.reads_one(stream).await, subject);
    }
    assert_eq!(*people.complaints.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_service_upstream_publishes_what_the_intake_takes_and_reads_the_outcomes() {
    let nats = Guarded::start().await;
    let florin = nats.streams().await;
    let payments = nats.service("payments").await;
    for subject in TAKEN {
        payments.jetstream().publish(subject, "{}".into()).await.unwrap().await.unwrap();
    }
    let intake = florin.get_stream("INTAKE").await.unwrap();
    assert_eq!(intake.cached_info().state.messages, 3);
    // And reads what became of it.
    let subject = "wallet.transactionFinalized";
    florin.publish(subject, "{}".into()).await.unwrap().await.unwrap();
    assert_eq!(payments.reads_one("OUTCOMES").await, subject);
    assert_eq!(*payments.complaints.lock().unwrap(), Vec::<String>::new());
}
