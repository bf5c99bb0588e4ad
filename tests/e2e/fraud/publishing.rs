use std::collections::BTreeMap;
use std::sync::Arc;

use florin_adapters::dev::{DataDir, Port, PrivateNats};
use florin_adapters::nats::outbox::{BATCH, Outbox};
use florin_adapters::nats::{self, stream::StreamSettings};
use florin_domain::fraud::Alert;
use florin_projections::{dead_letters, fraud};
use florin_tests::ask::{deposit, id, withdraw};
use florin_tests::store::eventually;
use florin_tests::watch::Watch;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A NATS for one test alone: streams have the same names in every ledger.
struct Server {
    nats: PrivateNats,
    // After the server, which writes there to its end.
    _dir: TempDir,
}

/// What a stream holds of one message.
struct Kept {
    subject: String,
    id: String,
    body: Value,
}

impl Server {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let home = DataDir::open(dir.path()).unwrap();
        Self { nats: PrivateNats::start(&home, Port::Any).await.unwrap(), _dir: dir }
    }

    /// Everything in a stream, in order.
    async fn kept(&self, stream: &str) -> Vec<Kept> {
        let jetstream = self.nats.jetstream().await.unwrap();
        let stream = jetstream.get_stream(stream).await.unwrap();
        let mut kept = Vec::new();
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let id = message.headers.get("Nats-Msg-Id").unwrap().to_string();
            assert_eq!(message.headers.get("ce-id").unwrap().as_str(), id);
            let body = serde_json::from_slice(&message.payload).unwrap();
            kept.push(Kept { subject: message.subject.to_string(), id, body });
        }
        kept
    }
}

/// An outbox at work, until it is dropped as by `kill -9`.
struct Working(JoinHandle<()>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn start(watch: &Watch, server: &Server) -> Working {
    let client = nats::connect(Some(&server.nats.url())).await.unwrap().unwrap();
    let outbox = Outbox::new(watch.pool().clone(), client, StreamSettings::default());
    let outbox = Arc::new(outbox);
    Working(tokio::spawn(async move { match outbox.run().await {} }))
}

async fn all_published(watch: &Watch) {
    eventually("everything is published", async || {
        let alerts = fraud::publish::unpublished(watch.pool(), 10).await.unwrap().len();
        let letters = dead_letters::unpublished(watch.pool(), 10).await.unwrap().len();
        if alerts + letters == 0 { Ok(()) } else { Err((alerts, letters)) }
    })
    .await;
}

/// Dead letters of alice's first events, as a batch sets them aside.
async fn letters(admin: &mut PgConnection, positions: std::ops::RangeInclusive<i64>) {
    sqlx::query(
        "INSERT INTO dead_letters (projection, partition, position, wallet_id, error, attempts)
         SELECT 'stats', 0, p, 'alice', 'by a test', 3 FROM generate_series($1, $2) AS p",
    )
    .bind(positions.start())
    .bind(positions.end())
    .execute(admin)
    .await
    .unwrap();
}

#[tokio::test]
async fn every_alert_and_dead_letter_is_published_once_with_its_id() {
    let (watch, server) = (Watch::new(1).await, Server::start().await);
    let alice = id("alice");
    watch.adopt("[rules.largeOutflow]\namount = { default = \"1\" }\n").await;
    watch.accepted(deposit(&alice, "1000000")).await;
    for _ in 0..BATCH + 10 {
        watch.accepted(withdraw(&alice, "1")).await;
    }
    watch.fold().await;
    letters(&mut watch.admin().await, 1..=2).await;
    let _working = start(&watch, &server).await;
    all_published(&watch).await;
    let mut alerts = watch.alerts().await;
    alerts.reverse();
    assert!(alerts.len() > BATCH as usize, "more than one batch");
    let kept = server.kept("ALERTS").await;
    let published: BTreeMap<&str, &Kept> = kept.iter().map(|kept| (&*kept.id, kept)).collect();
    assert_eq!((published.len(), kept.len()), (alerts.len(), alerts.len()), "once each");
    for alert in &alerts {
        let kept = published[&*alert.id];
        assert_eq!(kept.subject, format!("alerts.alice.{}", alert.rule));
        assert_eq!(&serde_json::from_value::<Alert>(kept.body.clone()).unwrap(), alert);
    }
    let positions =
        kept.iter().map(|kept| kept.body["event"].as_str().unwrap()[2..].parse::<u64>());
    assert!(positions.map(Result::unwrap).is_sorted(), "in the order of the events");
    let letters = server.kept("DEAD_LETTERS").await;
    let ids: Vec<_> = letters.iter().map(|kept| (&*kept.id, &*kept.subject)).collect();
    let subject = "dead-letters.stats.alice";
    assert_eq!(ids, [("stats:0:1", subject), ("stats:0:2", subject)]);
    assert_eq!(letters[0].body["error"], "by a test");
    assert!(letters[0].body["payload"]["WalletOpened"].is_object(), "{}", letters[0].body);
}

#[tokio::test]
async fn a_crash_before_the_record_publishes_again_under_the_same_id() {
    let (watch, server) = (Watch::new(1).await, Server::start().await);
    let working = start(&watch, &server).await;
    watch.large_outflow(&id("alice")).await;
    watch.fold().await;
    letters(&mut watch.admin().await, 1..=1).await;
    all_published(&watch).await;
    drop(working);
    // As it would be, had the process died after the acknowledgements.
    let forget = "DELETE FROM published_messages; UPDATE fraud_alerts SET published_at = NULL;
                  UPDATE dead_letters SET published_at = NULL";
    sqlx::raw_sql(forget).execute(&mut watch.admin().await).await.unwrap();
    let _working = start(&watch, &server).await;
    all_published(&watch).await;
    // JetStream knew the ids.
    assert_eq!(server.kept("ALERTS").await.len(), 1);
    assert_eq!(server.kept("DEAD_LETTERS").await.len(), 1);
    let on_record: Vec<String> =
        sqlx::query_scalar("SELECT message_id FROM published_messages ORDER BY 1")
            .fetch_all(watch.pool())
            .await
            .unwrap();
    assert_eq!(on_record, ["largeOutflow:0-3", "stats:0:1"]);
}

/// Whoever folds the alert anew takes from the record what the row tells: both change together.
#[tokio::test]
async fn an_alert_is_marked_as_published_in_the_moment_in_which_it_is_put_on_record() {
    let (watch, server) = (Watch::new(1).await, Server::start().await);
    watch.large_outflow(&id("alice")).await;
    watch.fold().await;
    let mut admin = watch.admin().await;
    let mut lock = admin.begin().await.unwrap();
    sqlx::query("LOCK TABLE fraud_alerts IN SHARE MODE").execute(&mut *lock).await.unwrap();
    let _working = start(&watch, &server).await;
    eventually("the outbox waits to mark the alert", async || {
        let waiting = "SELECT count(*) FROM pg_locks
                        WHERE relation = 'fraud_alerts'::regclass AND NOT granted";
        match sqlx::query_scalar::<_, i64>(waiting).fetch_one(watch.pool()).await.unwrap() {
            0 => Err("nobody waits"),
            _ => Ok(()),
        }
    })
    .await;
    assert_eq!(server.kept("ALERTS").await.len(), 1, "it is published");
    let on_record = "SELECT count(*) FROM published_messages";
    let on_record: i64 = sqlx::query_scalar(on_record).fetch_one(watch.pool()).await.unwrap();
    assert_eq!(on_record, 0);
    lock.rollback().await.unwrap();
    all_published(&watch).await;
    assert_eq!(server.kept("ALERTS").await.len(), 1);
}

#[tokio::test]
async fn a_fold_from_nothing_publishes_nothing_again_even_to_an_empty_stream() {
    let (watch, server) = (Watch::new(1).await, Server::start().await);
    let working = start(&watch, &server).await;
    watch.large_outflow(&id("alice")).await;
    watch.fold().await;
    all_published(&watch).await;
    drop(working);
    server.nats.jetstream().await.unwrap().delete_stream("ALERTS").await.unwrap();
    watch.empty().await;
    watch.fold().await;
    // One that a fold made beside the live table, before the live one was published.
    let race = "UPDATE fraud_alerts SET published_at = NULL";
    sqlx::query(race).execute(watch.pool()).await.unwrap();
    watch.large_outflow(&id("bob")).await;
    watch.fold().await;
    let _working = start(&watch, &server).await;
    all_published(&watch).await;
    let ids: Vec<String> = server.kept("ALERTS").await.into_iter().map(|kept| kept.id).collect();
    assert_eq!(ids, ["largeOutflow:0-6"]);
}

#[tokio::test]
async fn with_nats_away_alerts_wait_and_none_is_lost() {
    let (watch, server) = (Watch::new(1).await, Server::start().await);
    let _working = start(&watch, &server).await;
    watch.large_outflow(&id("before")).await;
    watch.fold().await;
    all_published(&watch).await;
    server.nats.kill_hard().await;
    for number in 0..3 {
        watch.large_outflow(&id(&format!("during-{number}"))).await;
        watch.fold().await;
    }
    assert_eq!(fraud::publish::unpublished(watch.pool(), 10).await.unwrap().len(), 3);
    server.nats.restart().await.unwrap();
    all_published(&watch).await;
    let ids: Vec<String> = server.kept("ALERTS").await.into_iter().map(|kept| kept.id).collect();
    assert_eq!(ids, [3, 6, 9, 12].map(|position| format!("largeOutflow:0-{position}")));
    // And a stream that is gone is made again.
    server.nats.jetstream().await.unwrap().delete_stream("ALERTS").await.unwrap();
    watch.large_outflow(&id("after")).await;
    watch.fold().await;
    all_published(&watch).await;
    assert_eq!(server.kept("ALERTS").await.len(), 1);
}
