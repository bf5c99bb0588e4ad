//! Other services: they publish what they ask for, and read what they are told.

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::{Context, Message};
use florin_adapters::intake::contract::{FinalStatus, TransactionFinalized};
use florin_adapters::nats::stream::{INTAKE, OUTCOMES};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::nats::OwnNats;
use crate::store::eventually;

/// All of them.
#[derive(Clone)]
pub struct Upstream {
    jetstream: Context,
}

impl Upstream {
    /// Services on a NATS.
    pub async fn on(nats: &OwnNats) -> Self {
        Self { jetstream: nats.jetstream().await }
    }

    /// Publishes a message, until the stream has it: that may be once too often.
    pub async fn send(&self, subject: &str, body: &Value) {
        self.send_text(subject, &body.to_string()).await;
    }

    /// The same of any text.
    pub async fn send_text(&self, subject: &str, body: &str) {
        eventually("a message is taken", async || {
            let sent = self.jetstream.publish(subject.to_owned(), body.to_owned().into()).await;
            let sent = sent.map_err(|error| error.kind())?;
            sent.await.map(drop).map_err(|error| error.kind())
        })
        .await
    }

    /// Publishes a message once; whether the stream has it.
    pub async fn try_send(&self, subject: &str, body: &Value) -> Result<(), PublishErrorKind> {
        let sent = self.jetstream.publish(subject.to_owned(), body.to_string().into()).await;
        sent.map_err(|error| error.kind())?.await.map(drop).map_err(|error| error.kind())
    }

    /// A user signs up.
    pub async fn signup(&self, user: &str) {
        self.send("user.signup", &signup(user)).await;
    }

    /// Money comes to a user.
    pub async fn top_up(&self, transaction: &str, user: &str, amount: u64) {
        self.send("transaction.completed", &top_up(transaction, user, amount)).await;
    }

    /// Money goes from one user to another.
    pub async fn transfer(&self, transaction: &str, from: &str, to: &str, amount: u64) {
        self.send("transaction.completed", &transfer(transaction, from, to, amount)).await;
    }

    /// A transaction fails.
    pub async fn fail(&self, transaction: &str, kind: &str) {
        self.send("transaction.failed", &failure(transaction, kind)).await;
    }

    /// What the services were told, oldest first: transaction, status and reason.
    pub async fn told(&self) -> Vec<(String, FinalStatus, Option<String>)> {
        let told = self.messages().await.into_iter().map(|message| {
            let told: TransactionFinalized = serde_json::from_slice(&message.payload).unwrap();
            (told.transaction_id, told.status, told.reason)
        });
        told.collect()
    }

    /// What they were told of one transaction.
    pub async fn told_of(&self, transaction: &str) -> Vec<(FinalStatus, Option<String>)> {
        let told = self.told().await.into_iter();
        let of = told.filter(|(of, ..)| of == transaction);
        of.map(|(_, status, reason)| (status, reason)).collect()
    }

    /// Waits until they were told so often of a transaction, and returns what.
    pub async fn hears(
        &self,
        transaction: &str,
        count: usize,
    ) -> Vec<(FinalStatus, Option<String>)> {
        eventually("the services are told", async || {
            let told = self.told_of(transaction).await;
            if told.len() == count { Ok(told) } else { Err(told) }
        })
        .await
    }

    /// The messages by which they were told.
    pub async fn messages(&self) -> Vec<Message> {
        let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
        let consumer: Consumer<pull::Config> =
            match self.jetstream.create_consumer_on_stream(config, OUTCOMES.name).await {
                Ok(consumer) => consumer,
                // There is no stream yet.
                Err(_) => return Vec::new(),
            };
        let count = usize::try_from(consumer.cached_info().num_pending).unwrap();
        if count == 0 {
            return Vec::new();
        }
        let messages = consumer.fetch().max_messages(count).messages().await.unwrap();
        messages.map(|message| message.unwrap()).collect().await
    }

    /// How many messages wait to be dealt with; none when there is no stream.
    pub async fn waiting(&self) -> Option<u64> {
        let stream = self.jetstream.get_stream(INTAKE.name).await.ok()?;
        Some(stream.cached_info().state.messages)
    }

    /// How far each consumer is, to be shown where a test waits in vain: the last sequence that it was
    /// sent, up to where all is acknowledged, and how many messages wait to be sent, to be acknowledged,
    /// and how many requests for more.
    pub async fn consumers(&self) -> Vec<String> {
        let Ok(stream) = self.jetstream.get_stream(INTAKE.name).await else { return Vec::new() };
        let infos: Vec<_> = stream.consumers().collect().await;
        let told = infos.into_iter().map(|info| match info {
            Ok(info) => format!(
                "{}: {} {} {} {} {}",
                info.name,
                info.delivered.stream_sequence,
                info.ack_floor.stream_sequence,
                info.num_pending,
                info.num_ack_pending,
                info.num_waiting
            ),
            Err(error) => error.to_string(),
        });
        told.collect()
    }

    /// Waits until every message has been dealt with.
    pub async fn is_dealt_with(&self) {
        let mut left = u64::MAX;
        while left > 0 {
            // Those that a worker had in hand when it died come again after a while.
            left =
                eventually("more messages are dealt with", async || match self.waiting().await {
                    Some(now) if now < left => Ok(now),
                    waiting => Err((waiting, self.consumers().await)),
                })
                .await;
        }
    }
}

/// A user, with all that Florin is not to keep.
pub fn signup(user: &str) -> Value {
    json!({
        "id": user, "firstName": "Ada Augusta", "middleName": "King", "lastName": "Lovelace",
        "email": "ada@example.com", "emailVerifiedAt": null, "role": "user",
        "createdAt": "2026-01-31T12:00:00Z", "updatedAt": "2026-01-31T12:00:00Z",
    })
}

/// A top-up.
pub fn top_up(transaction: &str, user: &str, amount: u64) -> Value {
    json!({ "transactionId": transaction, "type": "TopUp", "userId": user, "amount": amount })
}

/// A transfer.
pub fn transfer(transaction: &str, from: &str, to: &str, amount: u64) -> Value {
    json!({
        "transactionId": transaction, "type": "Transfer", "fromUserId": from, "toUserId": to,
        "amount": amount,
    })
}

/// The failure of a transaction.
pub fn failure(transaction: &str, kind: &str) -> Value {
    json!({ "transactionId": transaction, "type": kind, "reason": "the card was refused" })
}
