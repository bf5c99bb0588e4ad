//! Keeps the ledger's stream below its bound.
//!
//! A stream at its bound drops one message for each one that it takes, which costs nats-server 2.9
//! more than to take it: publishing falls to a quarter, and below that with millions of subjects. To
//! drop a tenth at once takes a fifth of a second, so the oldest go in such steps before the bound is
//! reached. The bound itself stays: it holds where events come faster than the looks.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use async_nats::Client;
use tokio::time::sleep;

use super::stream::{LEDGER, jetstream};

/// How full the stream may be, in percent of its bound: at 30 MB/s the last tenth of the default
/// bound takes ten looks.
pub const FULL: u64 = 90;

/// How many of its messages, in percent, go at a time.
pub const STEP: u64 = 10;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks for ever. What fails is tried again at the next look; relays of other partitions do the
/// same, and none drops more because of it.
pub(super) async fn keep_below(client: &Client, max_bytes: i64) -> Infallible {
    let bound = u64::try_from(max_bytes).unwrap_or(u64::MAX);
    loop {
        sleep(LOOK_EVERY).await;
        match trim(client, bound).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "the stream is nearly full: its oldest messages go"),
            Err(error) => tracing::debug!(%error, "the stream cannot be looked at for now"),
        }
    }
}

/// Drops the oldest messages if the stream is nearly full; how many.
async fn trim(client: &Client, bound: u64) -> Result<u64, Box<dyn Error + Send + Sync>> {
    let stream = jetstream(client.clone()).get_stream(LEDGER.name).await?;
    let state = &stream.cached_info().state;
    if state.bytes < bound / 100 * FULL {
        return Ok(0);
    }
    let count = (state.last_sequence - state.first_sequence) / 100 * STEP;
    let purged = stream.purge().sequence(state.first_sequence + count).await?;
    Ok(purged.purged)
}
