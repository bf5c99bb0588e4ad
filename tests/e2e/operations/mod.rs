//! Commands whose clients do not wait: real Postgres, real NATS, and processes that are killed.
//!
//! The usual run takes seconds; with `FLORIN_LONG=1` the kills go on for two minutes.

mod answers;
mod keys;
mod kills;
mod load;
mod outages;
mod retries;
mod strangers;

use std::time::Duration;

use florin_adapters::auth::Auth;
use florin_adapters::operations::Retries;
use florin_tests::nats::OwnNats;
use florin_tests::service::{Answer, Service};
use florin_tests::store::{Store, eventually};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

/// Attempts that follow each other fast, and are few.
const FEW: Retries =
    Retries { max_attempts: 3, backoff: (Duration::from_millis(50), Duration::from_millis(100)) };

const ASYNC: (&str, &str) = ("prefer", "respond-async");

/// A service with a queue, and the NATS that it is in.
struct Queueing {
    service: Service,
    nats: OwnNats,
}

impl Queueing {
    async fn start(partitions: u32) -> Self {
        Self::with(partitions, Auth::Off, Retries::USUAL).await
    }

    async fn with(partitions: u32, auth: Auth, retries: Retries) -> Self {
        let (store, nats) = tokio::join!(Store::postgres(partitions), OwnNats::start());
        let service = Service::queueing(store, auth, &nats, retries).await;
        Self { service, nats }
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.service.post_with(path, &[ASYNC], body).await
    }

    /// Sends a command without waiting for it; what it became in the end.
    async fn carried_out(&self, path: &str, body: Value) -> Answer {
        let accepted = self.post(path, body).await;
        self.ended(&accepted).await
    }

    /// An operation once it has ended.
    async fn ended(&self, accepted: &Answer) -> Answer {
        let location = accepted.expect(202).header("location").unwrap();
        eventually("the operation ends", async || {
            let read = self.service.get(location).await;
            let is_open = ["queued", "running"].contains(&read.expect(200).text_of("state"));
            assert_eq!(read.header("retry-after"), is_open.then_some("1"), "{read}");
            assert_eq!(read.body.get("result").is_none(), is_open, "{read}");
            if is_open { Err(read) } else { Ok(read) }
        })
        .await
    }

    async fn balance(&self, wallet: &str) -> String {
        let path = format!("/wallets/{wallet}?consistency=strong");
        self.service.get(&path).await.expect(200).text_of("balance").to_owned()
    }

    /// As a role that may change the schema.
    async fn admin(&self, statement: &str) {
        let Store::Postgres(_, urls) = self.service.store() else { panic!("it is in Postgres") };
        let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
    }

    async fn finish(self) {
        self.service.finish().await;
        self.nats.stop().await;
    }
}

/// The operation completed, and with this status.
#[track_caller]
fn expect_completed(operation: &Answer, status: u16) -> &Value {
    operation.expect_members(json!({ "state": "completed" }));
    assert_eq!(operation.body["result"]["status"], status, "{operation}");
    assert!(operation.header("florin-position").is_some(), "{operation}");
    &operation.body["result"]["body"]
}

/// The operation was refused, by a problem of this status and code.
#[track_caller]
fn expect_refused<'a>(operation: &'a Answer, status: u16, code: &str) -> &'a Value {
    operation.expect_members(json!({ "state": "refused" }));
    let result = &operation.body["result"];
    assert_eq!((&result["status"], &result["problem"]["code"]), (&status.into(), &code.into()));
    assert!(result.get("body").is_none(), "{operation}");
    &result["problem"]
}
