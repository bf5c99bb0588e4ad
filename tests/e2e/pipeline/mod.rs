//! The pipeline, disturbed from outside: processes are killed, the stream is deleted, NATS is away,
//! messages come twice and anyhow. Afterwards everything is as if nothing had been.
//!
//! The usual run takes seconds; with `FLORIN_LONG=1` two minutes each.

mod kills;
mod nats_away;
mod redelivery;
mod stream_deleted;
mod takeover;

use std::time::Duration;

use florin_tests::length::short_or_long;
use florin_tests::monkeys::Effort;
use tokio::time::Instant;
use uuid::Uuid;

/// Modest: what is tested is what happens besides. Short, so that a test ends soon after it.
const EFFORT: Effort = Effort { requests: 300, concurrency: 8 };

/// How long a disturbance goes on, besides that it happens a few times.
struct Time {
    began: Instant,
    length: Duration,
}

impl Time {
    fn begin() -> Self {
        Self {
            began: Instant::now(),
            length: short_or_long(Duration::ZERO, Duration::from_secs(120)),
        }
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= self.length
    }
}

/// A seed for what happens at random; `FLORIN_SEED` repeats that of a failed test, which shows it.
fn seed() -> u64 {
    let given = std::env::var("FLORIN_SEED").ok().map(|text| text.parse().unwrap());
    // Not zero, which is the seed of nothing but zeros.
    let seed = given.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().1);
    eprintln!("FLORIN_SEED={seed}");
    seed
}
