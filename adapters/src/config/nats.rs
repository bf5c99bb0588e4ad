//! Which NATS, and how the streams in it are kept.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::nats::Access;
use crate::nats::stream::StreamSettings;

/// Where events are published.
#[derive(Debug, Clone, Default, Args)]
pub struct NatsArgs {
    /// The NATS server; without one, commands work and nothing is published.
    #[arg(long, env = "NATS_URL", hide_env_values = true, value_name = "URL")]
    pub nats_url: Option<String>,
    /// The credentials of a user of NATS (a file as `nsc` writes it, or with the seed of an nkey),
    /// where they are not in the URL.
    #[arg(long, env = "FLORIN_NATS_CREDENTIALS", value_name = "FILE")]
    pub nats_credentials: Option<PathBuf>,
    /// The certificates (PEM) that the one of NATS has to come from, instead of those that this machine
    /// trusts.
    #[arg(long, env = "FLORIN_NATS_CA", value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,
}

impl NatsArgs {
    /// As the client takes them.
    pub fn access(&self) -> Access {
        Access {
            url: self.nats_url.clone(),
            credentials: self.nats_credentials.clone(),
            ca: self.nats_ca.clone(),
        }
    }
}

/// How the streams of NATS JetStream are kept.
#[derive(Debug, Clone, Args)]
pub struct StreamArgs {
    /// On how many NATS servers each stream is kept.
    #[arg(
        long,
        env = "FLORIN_STREAM_REPLICAS",
        default_value_t = StreamSettings::REPLICAS,
        value_name = "N"
    )]
    pub stream_replicas: usize,
    /// For how many hours events stay in the stream; the journal keeps them for ever.
    #[arg(
        long,
        env = "FLORIN_STREAM_MAX_AGE_HOURS",
        default_value_t = StreamSettings::MAX_AGE.as_secs() / SECONDS_AN_HOUR,
        value_parser = clap::value_parser!(u64).range(1..=MAX_AGE_HOURS),
        value_name = "HOURS"
    )]
    pub stream_max_age_hours: u64,
    /// Up to how many bytes of events stay in the stream; NATS sets the space aside.
    #[arg(
        long,
        env = "FLORIN_STREAM_MAX_BYTES",
        default_value_t = StreamSettings::MAX_BYTES,
        value_parser = clap::value_parser!(i64).range(1..),
        value_name = "BYTES"
    )]
    pub stream_max_bytes: i64,
    /// For how many seconds NATS knows a message that it has already.
    #[arg(
        long,
        env = "FLORIN_STREAM_DUPLICATE_WINDOW_SECONDS",
        default_value_t = StreamSettings::DUPLICATE_WINDOW.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=MAX_WINDOW_SECONDS),
        value_name = "SECONDS"
    )]
    pub stream_duplicate_window_seconds: u64,
}

const SECONDS_AN_HOUR: u64 = 60 * 60;

/// Ten years: nanoseconds, which NATS counts in, have room for it.
const MAX_AGE_HOURS: u64 = 10 * 365 * 24;

/// A day: NATS keeps every id of that time in memory.
const MAX_WINDOW_SECONDS: u64 = 24 * SECONDS_AN_HOUR;

impl StreamArgs {
    /// As the streams take them.
    pub fn settings(&self) -> StreamSettings {
        StreamSettings {
            replicas: self.stream_replicas,
            max_age: Duration::from_secs(self.stream_max_age_hours * SECONDS_AN_HOUR),
            max_bytes: self.stream_max_bytes,
            max_messages: None,
            duplicate_window: Duration::from_secs(self.stream_duplicate_window_seconds),
        }
    }
}
