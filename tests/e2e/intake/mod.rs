//! What other services ask for, and what they are told: real Postgres, real NATS, and processes that
//! are killed.
//!
//! The usual run takes seconds; with `FLORIN_LONG=1` the load is ten times as much.

mod crashes;
mod letters;
mod load;
mod outcomes;
mod privacy;
mod signups;
mod transactions;

use std::time::Duration;

use florin_adapters::intake::contract::FinalStatus;
use florin_adapters::intake::{Patience, Settings};
use florin_adapters::operations::Retries;
use florin_tests::nats::{OwnNats, pool};
use florin_tests::service::Service;
use florin_tests::store::{Store, eventually};
use florin_tests::upstream::Upstream;
use serde_json::Value;
use sqlx::PgPool;

/// Attempts that follow each other fast, and are few.
const FEW: Retries =
    Retries { max_attempts: 4, backoff: (Duration::from_millis(50), Duration::from_millis(200)) };

/// What the failures of tests say.
const REASON: &str = "the card was refused";

/// A service that takes messages in, and those who send them.
struct TakingIn {
    service: Service,
    nats: OwnNats,
    upstream: Upstream,
}

/// How messages are taken in where a test is not to wait for long.
fn impatient() -> Settings {
    Settings { patience: Patience { users: FEW, ledger: FEW }, ..Settings::default() }
}

impl TakingIn {
    async fn start(partitions: u32) -> Self {
        Self::with(partitions, impatient()).await
    }

    async fn with(partitions: u32, settings: Settings) -> Self {
        let (store, nats) = tokio::join!(Store::postgres(partitions), OwnNats::start());
        let service = Service::taking_in(store, &nats, settings).await;
        let upstream = Upstream::on(&nats).await;
        Self { service, nats, upstream }
    }

    fn pool(&self) -> &PgPool {
        pool(self.service.store())
    }

    /// Users sign up, and have their wallets.
    async fn users(&self, users: &[&str]) {
        for user in users {
            self.upstream.signup(user).await;
        }
        self.upstream.is_dealt_with().await;
    }

    async fn balance(&self, wallet: &str) -> String {
        let path = format!("/wallets/{wallet}?consistency=strong");
        self.service.get(&path).await.expect(200).text_of("balance").to_owned()
    }

    /// The letters of messages, as operators see them.
    async fn letters(&self) -> Vec<Value> {
        let letters = self.service.get("/dead-letters?projection=intake").await;
        letters.expect(200).body["data"].as_array().unwrap().clone()
    }

    /// Waits for one letter in a state.
    async fn letter(&self, state: &str) -> Value {
        eventually("there is one letter", async || {
            let letters = self.letters().await;
            match &letters[..] {
                [letter] if letter["state"] == state => Ok(letter.clone()),
                _ => Err(letters),
            }
        })
        .await
    }

    async fn replay(&self, letter: &Value) {
        let path = format!("/dead-letters/{}/replay", letter["id"].as_str().unwrap());
        let answer = self.service.post(&path, serde_json::json!({})).await;
        answer.expect(200).expect_members(serde_json::json!({ "outcome": "queued" }));
    }

    /// The state of a transaction, as its row has it.
    async fn state(&self, transaction: &str) -> String {
        sqlx::query_scalar("SELECT state FROM intake_transactions WHERE transaction_id = $1")
            .bind(transaction)
            .fetch_optional(self.pool())
            .await
            .unwrap()
            .unwrap_or_default()
    }

    async fn finish(self) {
        self.service.finish().await;
        self.nats.stop().await;
    }
}

/// It failed, and why.
fn failed(reason: &str) -> (FinalStatus, Option<String>) {
    (FinalStatus::Failed, Some(reason.to_owned()))
}

/// It was completed.
fn completed() -> (FinalStatus, Option<String>) {
    (FinalStatus::Completed, None)
}
