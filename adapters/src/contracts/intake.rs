//! What other services ask of Florin by messages, on `INTAKE`, and what they are told, on `OUTCOMES`.
//! What deals with both is [`crate::intake`].

use async_nats::HeaderMap;
use chrono::DateTime;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::json;

use super::channel::{Channel, Example, Header, Message, Way, fixed, text};
use super::notices::{EXAMPLE_TIME, TIME, example};
use crate::intake::contract::{
    FinalStatus, TRANSACTION_COMPLETED, TRANSACTION_FAILED, TRANSACTION_FINALIZED,
    TransactionCompleted, TransactionFailed, TransactionFinalized, TransactionKind, USER_SIGNUP,
    UserSignup,
};
use crate::intake::outcomes::{SOURCE, told};
use crate::nats::stream::{INTAKE, OUTCOMES};

const SIGNUP_TEXT: &str = "\
A user has signed up: the wallet of that id is opened, once. A message may have more fields, such as \
names and addresses, which are neither read nor kept.";

const COMPLETED_TEXT: &str = "\
The instruction to move the money of a transaction. It is carried out once for each `transactionId`, \
however often it is sent; what became of it is told on `wallet.transactionFinalized`. A user who is not \
known yet is waited for.";

const FAILED_TEXT: &str = "\
What that transaction did is taken back by events of its own; if it did nothing, it does nothing from \
now on. Whichever of completed and failed comes first.";

const FINALIZED_TEXT: &str = "\
What became of a transaction: one message each, and a second one, `Failed`, for one that was completed \
and then reversed. Published at least once, always under the same id.";

/// What comes in.
pub(super) fn taken(generator: &mut SchemaGenerator) -> Result<Vec<Channel>, serde_json::Error> {
    let completed = TransactionCompleted::Transfer {
        transaction_id: "tx-4711".to_owned(),
        from_user_id: "alice".to_owned(),
        to_user_id: "bob".to_owned(),
        amount: serde_json::from_value(json!(12.5))?,
    };
    let failed = TransactionFailed {
        transaction_id: "tx-4711".to_owned(),
        kind: Some(TransactionKind::Transfer),
        reason: Some("the order was cancelled".to_owned()),
    };
    Ok(vec![
        channel("userSignup", "Signups", SIGNUP_TEXT, USER_SIGNUP, Way::In, {
            let of = UserSignup { id: "alice".to_owned() };
            incoming(generator, "UserSignup", "A user has signed up.", USER_SIGNUP, &of)?
        }),
        channel(
            "transactionCompleted",
            "Instructions",
            COMPLETED_TEXT,
            TRANSACTION_COMPLETED,
            Way::In,
            {
                let summary = "A transaction is to move its money.";
                incoming(
                    generator,
                    "TransactionCompleted",
                    summary,
                    TRANSACTION_COMPLETED,
                    &completed,
                )?
            },
        ),
        channel("transactionFailed", "Reversals", FAILED_TEXT, TRANSACTION_FAILED, Way::In, {
            let summary = "A transaction is to have moved nothing.";
            incoming(generator, "TransactionFailed", summary, TRANSACTION_FAILED, &failed)?
        }),
    ])
}

/// What goes out.
pub(super) fn outcomes(generator: &mut SchemaGenerator) -> Result<Channel, serde_json::Error> {
    let at = DateTime::from_timestamp_micros(EXAMPLE_TIME).unwrap_or_default();
    let reason = Some("insufficient-funds".to_owned());
    let outcome = (1, "tx-4711".to_owned(), FinalStatus::Failed.name().to_owned(), reason, at);
    let message = Message {
        name: "TransactionFinalized",
        version: None,
        summary: "A transaction of another service has come to its end.".to_owned(),
        subject: TRANSACTION_FINALIZED.to_owned(),
        headers: headers(),
        payload: TransactionFinalized::json_schema(generator),
        example: example(&told(&outcome, 41))?,
    };
    let (key, title) = ("transactionFinalized", "Outcomes");
    Ok(channel(key, title, FINALIZED_TEXT, TRANSACTION_FINALIZED, Way::Out, message))
}

fn channel(
    key: &'static str,
    title: &'static str,
    description: &'static str,
    address: &'static str,
    way: Way,
    message: Message,
) -> Channel {
    let stream = match way {
        Way::In => INTAKE,
        Way::Out => OUTCOMES,
    };
    let messages = vec![message];
    Channel { key, title, description, address, parameters: Vec::new(), way, stream, messages }
}

/// Headers are not read.
fn incoming<T: JsonSchema + Serialize>(
    generator: &mut SchemaGenerator,
    name: &'static str,
    summary: &str,
    subject: &str,
    example: &T,
) -> Result<Message, serde_json::Error> {
    Ok(Message {
        name,
        version: None,
        summary: summary.to_owned(),
        subject: subject.to_owned(),
        headers: Vec::new(),
        payload: T::json_schema(generator),
        example: Example::of(subject, &HeaderMap::new(), &serde_json::to_vec(example)?)?,
    })
}

fn headers() -> Vec<Header> {
    vec![
        text("Nats-Msg-Id", "As ce-id.", "^[!-~]+$"),
        text(
            "Nats-Expected-Last-Sequence",
            "Where the stream had to end when it was published; of no use to readers.",
            "^[0-9]+$",
        ),
        text(
            "ce-id",
            "`<transactionId>:<status>`, percent-encoded: the same, however often it is published.",
            "^[!-~]+:(Completed|Failed)$",
        ),
        fixed("ce-specversion", "The version of CloudEvents.", "1.0"),
        fixed("content-type", "What the payload is.", "application/json"),
        fixed("ce-source", "What tells it.", SOURCE),
        fixed("ce-type", "What it is.", TRANSACTION_FINALIZED),
        text("ce-subject", "Which transaction, percent-encoded.", "^transaction/[!-~]+$"),
        text("ce-time", "When it came to be: RFC 3339 in UTC, with microseconds.", TIME),
    ]
}
