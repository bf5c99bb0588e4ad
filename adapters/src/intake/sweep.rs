//! Has delivered anew what no consumer would deliver any more.
//!
//! A nats-server that is killed forgets what it did since it last synced (up to two minutes), of the
//! stream and of each consumer for itself. So afterwards a consumer may have behind it what lies in the
//! stream:
//!
//! - A message that was dealt with, and removed by that, is there again. It would lie there for ever,
//!   against the bound of the stream, and with the names in it.
//! - Messages were lost, and others came in their places, which nobody has dealt with.
//!
//! The two look the same. Such a consumer is made anew, and delivers all that there is: what was dealt
//! with is found dealt with, and removed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::stream::RawMessageErrorKind;
use tokio::time::sleep;

use super::taker::CONSUMERS;
use crate::nats::connect::is_connected;
use crate::nats::stream::{INTAKE, jetstream};

/// How often it is looked for: seven requests to the server.
const EVERY: Duration = Duration::from_secs(5);

/// Of each consumer, the message that it had behind it when it was looked at last: its sequence, and when
/// it came.
type Behind = HashMap<&'static str, (u64, i128)>;

/// Sweeps for ever.
pub(super) async fn run(client: &Client) -> Infallible {
    let mut behind = Behind::new();
    loop {
        sleep(EVERY).await;
        if is_connected(client).await
            && let Err(error) = sweep(client, &mut behind).await
        {
            tracing::debug!(%error, "the intake is not swept now");
        }
    }
}

/// Ends each consumer that has a message behind it for the second time: a cluster removes one a moment
/// after it was acknowledged. Whoever pulls from it finds it gone, and makes another one.
async fn sweep(client: &Client, behind: &mut Behind) -> Result<(), Box<dyn Error + Send + Sync>> {
    let stream = jetstream(client.clone()).get_stream_no_info(INTAKE.name).await?;
    let mut consumers = Vec::with_capacity(CONSUMERS.len());
    for (consumer, subject) in CONSUMERS {
        consumers.push((consumer, subject, stream.consumer_info(consumer).await?));
    }
    // Asked after them: what has come and was delivered in between leaves none of them ahead.
    let last = stream.get_info().await?.state.last_sequence;
    for (consumer, subject, info) in consumers {
        let is_ahead = info.delivered.stream_sequence > last;
        let found = match stream.get_first_raw_message_by_subject(subject, 1).await {
            Ok(found) => Some((found.sequence, found.time.unix_timestamp_nanos())),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => None,
            Err(error) => return Err(error.into()),
        };
        let found = found.filter(|(sequence, _)| *sequence <= info.ack_floor.stream_sequence);
        let before = behind.remove(consumer);
        if is_ahead || (found.is_some() && found == before) {
            stream.delete_consumer(consumer).await?;
            tracing::warn!(consumer, last, "NATS went back: what there is is delivered anew");
        } else if let Some(found) = found {
            behind.insert(consumer, found);
        }
    }
    Ok(())
}
