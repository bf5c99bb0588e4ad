//! The streams: created when they are missing, and brought to the settings of this process.
//!
//! Files, the oldest messages going first when a bound is reached: a stream is a copy, and whoever is
//! behind it reads the journal. (A work queue takes no more at its bound: what it is to be told stays in
//! Postgres meanwhile, and of what others are to be told in the queue itself, which then refuses it to
//! whoever sends it.) How often nats-server syncs a file to the disk is the server's
//! setting, not the stream's: `jetstream { sync_interval: "1s" }` from 2.10 on, two minutes by default and
//! always in 2.9. What a power cut takes is read from the journal, or published again by
//! `florin relay republish`.

use std::error::Error;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{ContextBuilder, CreateStreamError};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self};

use crate::intake::contract::{
    TRANSACTION_COMPLETED, TRANSACTION_FAILED, TRANSACTION_FINALIZED, USER_SIGNUP,
};

/// The events of the ledger.
pub const LEDGER: Stream = Stream { name: "LEDGER", subjects: &["ledger.>"], kind: Kind::Log };

/// What the fraud rules found.
pub const ALERTS: Stream = Stream { name: "ALERTS", subjects: &["alerts.>"], kind: Kind::Log };

/// Events that a projection could not apply.
pub const DEAD_LETTERS: Stream =
    Stream { name: "DEAD_LETTERS", subjects: &["dead-letters.>"], kind: Kind::Log };

/// Operations that are to be carried out.
pub const OPERATIONS: Stream =
    Stream { name: "OPERATIONS", subjects: &["operations.>"], kind: Kind::Queue };

/// What other services ask for.
pub const INTAKE: Stream = Stream {
    name: "INTAKE",
    subjects: &[USER_SIGNUP, TRANSACTION_COMPLETED, TRANSACTION_FAILED],
    kind: Kind::Queue,
};

/// What became of the transactions of other services.
pub const OUTCOMES: Stream =
    Stream { name: "OUTCOMES", subjects: &[TRANSACTION_FINALIZED], kind: Kind::Log };

/// How long JetStream may take to answer a request about streams and consumers. It takes
/// milliseconds; a server that is starting answers after it has read its store.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// The most bytes of one message where their number is bounded: the most that is read of one, and its
/// headers.
pub const MAX_MESSAGE: i32 = 68 << 10;

/// A stream and what it takes.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// Its name.
    pub name: &'static str,
    /// The subjects that it keeps.
    pub subjects: &'static [&'static str],
    /// What becomes of its messages.
    pub kind: Kind,
}

/// What becomes of the messages of a stream.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// They stay for whoever reads them; at the bound the oldest go.
    Log,
    /// Each goes when somebody has dealt with it; at the bound none is taken.
    Queue,
}

impl Kind {
    fn retention(self) -> RetentionPolicy {
        match self {
            Self::Log => RetentionPolicy::Limits,
            Self::Queue => RetentionPolicy::WorkQueue,
        }
    }

    fn discard(self) -> DiscardPolicy {
        match self {
            Self::Log => DiscardPolicy::Old,
            Self::Queue => DiscardPolicy::New,
        }
    }
}

/// How streams are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSettings {
    /// On how many servers.
    pub replicas: usize,
    /// For how long; zero is for ever.
    pub max_age: Duration,
    /// Up to how many bytes; -1 is without a bound.
    pub max_bytes: i64,
    /// Up to how many messages, each of [`MAX_MESSAGE`] bytes at most; any if nobody says. A queue that
    /// is to lose nothing is bounded so: at a bound in bytes nats-server 2.9 drops old messages even
    /// where it is told to refuse new ones, because it counts a new one without what surrounds it.
    pub max_messages: Option<i64>,
    /// For how long a message of the same id counts as the same.
    pub duplicate_window: Duration,
}

impl StreamSettings {
    /// One server, which is what there is unless somebody says otherwise.
    pub const REPLICAS: usize = 1;
    /// A week: longer than a consumer is left lying broken.
    pub const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
    /// Some three million events, a few minutes at full speed: beyond that the journal is read faster
    /// than the stream. JetStream sets the space aside when it creates the stream.
    pub const MAX_BYTES: i64 = 4 << 30;
    /// Longer than an outage after which the relay publishes some messages twice; the server keeps
    /// an entry in memory for every message of that time.
    pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(30);
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            replicas: Self::REPLICAS,
            max_age: Self::MAX_AGE,
            max_bytes: Self::MAX_BYTES,
            max_messages: None,
            duplicate_window: Self::DUPLICATE_WINDOW,
        }
    }
}

/// JetStream with bounded waits.
pub(crate) fn jetstream(client: Client) -> jetstream::Context {
    ContextBuilder::new().timeout(ANSWER_WAIT).build(client)
}

/// How the stream should be.
fn wanted(stream: Stream, settings: &StreamSettings) -> Config {
    Config {
        name: stream.name.to_owned(),
        subjects: stream.subjects.iter().map(|subject| (*subject).to_owned()).collect(),
        storage: StorageType::File,
        retention: stream.kind.retention(),
        discard: stream.kind.discard(),
        num_replicas: settings.replicas,
        max_age: settings.max_age,
        max_bytes: settings.max_bytes,
        max_messages: settings.max_messages.unwrap_or(-1),
        max_message_size: if settings.max_messages.is_some() { MAX_MESSAGE } else { -1 },
        // The server wants the window to be within the age.
        duplicate_window: match settings.max_age.is_zero() {
            true => settings.duplicate_window,
            false => settings.duplicate_window.min(settings.max_age),
        },
        ..Config::default()
    }
}

/// Creates the stream, or changes its settings to these. A stream that is as it should be is left
/// alone: to update one while another client deletes it can end nats-server 2.9.
///
/// # Errors
/// What the server says: it is away, or has not that much space, or not that many replicas.
pub async fn ensure(
    client: &Client,
    stream: Stream,
    settings: &StreamSettings,
) -> Result<(), CreateStreamError> {
    let wanted = wanted(stream, settings);
    let jetstream = jetstream(client.clone());
    if is_there(&jetstream, &wanted).await {
        return Ok(());
    }
    match jetstream.create_or_update_stream(wanted.clone()).await {
        Ok(_) => Ok(()),
        // Of several at once, the server counts the space for each until one of them is created.
        Err(_) if is_there(&jetstream, &wanted).await => Ok(()),
        Err(error) => Err(error),
    }
}

async fn is_there(jetstream: &jetstream::Context, wanted: &Config) -> bool {
    let found = jetstream.get_stream(&wanted.name).await;
    found.is_ok_and(|found| is_as(&found.cached_info().config, wanted))
}

/// Whether all that is set here is as wanted; the server fills in the rest.
fn is_as(found: &Config, wanted: &Config) -> bool {
    let settings = |config: &Config| {
        let Config { num_replicas, max_age, max_bytes, max_messages, duplicate_window, .. } =
            *config;
        let kind = (config.storage, config.retention, config.discard);
        (
            config.subjects.clone(),
            kind,
            num_replicas,
            max_age,
            (max_bytes, max_messages),
            duplicate_window,
        )
    };
    settings(found) == settings(wanted)
}

/// What of a stream is not as wanted, for people.
pub(crate) fn differences(
    found: &Config,
    stream: Stream,
    settings: &StreamSettings,
) -> Vec<String> {
    let wanted = wanted(stream, settings);
    let settings = |of: &Config| {
        [
            ("subjects", format!("{:?}", of.subjects)),
            ("storage", format!("{:?}", of.storage)),
            ("retention", format!("{:?}", of.retention)),
            ("discard", format!("{:?}", of.discard)),
            ("replicas", of.num_replicas.to_string()),
            ("max_age", format!("{:?}", of.max_age)),
            ("max_bytes", of.max_bytes.to_string()),
            ("max_messages", of.max_messages.to_string()),
            ("duplicate_window", format!("{:?}", of.duplicate_window)),
        ]
    };
    let pairs = settings(found).into_iter().zip(settings(&wanted));
    pairs
        .filter(|((_, found), (_, wanted))| found != wanted)
        .map(|((name, found), (_, wanted))| format!("{name} is {found} and not {wanted}"))
        .collect()
}

/// Deletes the stream if there is nothing in it; says whether it did.
///
/// # Errors
/// What the server says.
pub(super) async fn delete_empty(
    client: &Client,
    stream: Stream,
) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let jetstream = jetstream(client.clone());
    let found = jetstream.get_stream(stream.name).await?;
    if found.cached_info().state.messages > 0 {
        return Ok(false);
    }
    Ok(jetstream.delete_stream(stream.name).await?.success)
}
