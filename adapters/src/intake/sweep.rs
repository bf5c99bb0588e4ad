//! Removes from the stream what was dealt with and is there all the same.
//!
//! A work queue removes a message when it is acknowledged. A nats-server that is killed forgets what it
//! removed since it last synced (up to two minutes), and finds it in its files when it comes back, while
//! its consumers know that it was acknowledged, and never deliver it again. There it would lie for ever,
//! against the bound of the stream, and with the names in it.
//!
//! It may also forget the messages themselves while a consumer knows that it has had them, and then that
//! consumer would never deliver what comes in their places: it is made anew, and delivers what there is.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::stream::RawMessageErrorKind;
use tokio::time::sleep;

use super::taker::CONSUMERS;
use crate::nats::connect::is_connected;
use crate::nats::stream::{INTAKE, jetstream};

/// How often it is looked for: four requests to the server, if there is nothing.
const EVERY: Duration = Duration::from_secs(10);

/// How many messages of a subject are removed at once: a second's work, and not all that a server lost
/// in two minutes.
const MAX_SWEPT: usize = 1_000;

/// Sweeps for ever.
pub(super) async fn run(client: &Client) -> Infallible {
    loop {
        sleep(EVERY).await;
        if is_connected(client).await
            && let Err(error) = sweep(client).await
        {
            tracing::debug!(%error, "the intake is not swept now");
        }
    }
}

/// Of each subject, what its consumer has had acknowledged without a gap. Message by message: a purge
/// lets consumers of nats-server 2.9 forget what they wait to be acknowledged, and never deliver it again.
async fn sweep(client: &Client) -> Result<(), Box<dyn Error + Send + Sync>> {
    let stream = jetstream(client.clone()).get_stream(INTAKE.name).await?;
    let (first, last, messages) = {
        let state = &stream.cached_info().state;
        (state.first_sequence, state.last_sequence, state.messages)
    };
    for (consumer, subject) in CONSUMERS {
        let info = stream.consumer_info(consumer).await?;
        if info.delivered.stream_sequence > last {
            // Whoever pulls from it finds it gone, and makes another one.
            stream.delete_consumer(consumer).await?;
            tracing::warn!(consumer, last, "NATS has lost what this consumer had: it begins anew");
            continue;
        }
        if messages == 0 {
            continue;
        }
        let acknowledged = info.ack_floor.stream_sequence;
        let (mut next, mut removed) = (first, 0);
        while next <= acknowledged && removed < MAX_SWEPT {
            let found = match stream.get_first_raw_message_by_subject(subject, next).await {
                Ok(found) => found.sequence,
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
                Err(error) => return Err(error.into()),
            };
            if found > acknowledged {
                break;
            }
            stream.delete_message(found).await?;
            (next, removed) = (found + 1, removed + 1);
        }
        if removed > 0 {
            tracing::info!(consumer, removed, "what was dealt with is removed from the intake");
        }
    }
    Ok(())
}
