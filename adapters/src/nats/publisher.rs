//! Publishes positions in order, many in flight, and knows up to where all are acknowledged.
//!
//! ```text
//! send ─▶ window (bounded in messages and bytes) ─▶ server
//!            └─ collect ◀─ one inbox for all acknowledgements ◀─┘
//! ```
//!
//! An acknowledgement comes to `<inbox>.<position>`: there is one subscription for all messages, and
//! neither a task nor a channel for each. `send` and `collect` are polled side by side by one task; a
//! failure of either ends both, and the caller begins again from what was acknowledged.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::client::traits::Publisher as _;
use async_nats::connection::State;
use async_nats::message::OutboundMessage;
use async_nats::{Client, Message, PublishError, StatusCode, SubscribeError, Subscriber};
use futures::{FutureExt, StreamExt};
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

/// How many messages are in flight at most: at 25,000 a second, what the server may take 160 ms to
/// acknowledge. It is also what is published twice after a failure.
pub const MAX_IN_FLIGHT: usize = 4_096;

/// How many bytes of payloads are in flight at most; a payload has 4 KiB of metadata at most and is
/// usually 200 bytes, so that the other bound comes first.
pub const MAX_BYTES_IN_FLIGHT: usize = 8 << 20;

/// How long the oldest message in flight may stay without an acknowledgement. The server takes
/// milliseconds, and seconds when its disk is busy.
pub const ACK_WAIT: Duration = Duration::from_secs(5);

/// How often the connection and the age of the oldest message are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why publishing ended.
#[derive(Debug, Error)]
pub enum PublishFailure {
    /// There is no connection.
    #[error("NATS is away")]
    Away,
    /// No stream takes the subject.
    #[error("no stream takes the events")]
    NoStream,
    /// The server refused a message.
    #[error("JetStream refuses an event: {0}")]
    Refused(String),
    /// The oldest message is not acknowledged.
    #[error("JetStream has not acknowledged position {position} within {ACK_WAIT:?}")]
    Silent {
        /// Of the oldest message.
        position: u64,
    },
    /// The message cannot be sent.
    #[error("a message cannot be sent: {0}")]
    Send(#[from] PublishError),
    /// The inbox cannot be listened to.
    #[error("acknowledgements cannot be listened to: {0}")]
    Subscribe(#[from] SubscribeError),
}

/// Publishes the positions of one partition.
pub struct Publisher {
    client: Client,
    inbox: String,
    window: Mutex<Window>,
    room: Notify,
    acknowledged: watch::Sender<u64>,
}

/// Where the acknowledgements of a [`Publisher`] come in.
pub struct Acknowledgements(Subscriber);

impl Publisher {
    /// A publisher whose first message will be of the position after this one.
    ///
    /// # Errors
    /// [`PublishFailure::Subscribe`].
    pub async fn after(
        client: Client,
        position: u64,
    ) -> Result<(Self, Acknowledgements), PublishFailure> {
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(format!("{inbox}.*")).await?;
        let publisher = Self {
            client,
            inbox,
            window: Mutex::new(Window::after(position)),
            room: Notify::new(),
            acknowledged: watch::channel(position).0,
        };
        Ok((publisher, Acknowledgements(subscriber)))
    }

    /// The last position up to which every message is acknowledged, as it moves.
    pub fn acknowledged(&self) -> watch::Receiver<u64> {
        self.acknowledged.subscribe()
    }

    /// Sends the message of the next position; waits while too much is in flight.
    ///
    /// # Errors
    /// [`PublishFailure::Send`].
    pub async fn send(&self, mut message: OutboundMessage) -> Result<(), PublishFailure> {
        let bytes = message.payload.len();
        let position = loop {
            if let Some(position) = self.window().push(bytes) {
                break position;
            }
            self.room.notified().await;
        };
        message.reply = Some(format!("{}.{position}", self.inbox).into());
        Ok(self.client.publish_message(message).await?)
    }

    /// Takes acknowledgements in for ever; ends when publishing cannot go on.
    ///
    /// # Errors
    /// [`PublishFailure`], by name.
    pub async fn collect(
        &self,
        Acknowledgements(inbox): &mut Acknowledgements,
    ) -> Result<Infallible, PublishFailure> {
        loop {
            match timeout(LOOK_EVERY, inbox.next()).await {
                Ok(Some(answer)) => {
                    self.take(&answer)?;
                    // What has come meanwhile is taken at once: one wake-up for many.
                    while let Some(Some(answer)) = inbox.next().now_or_never() {
                        self.take(&answer)?;
                    }
                    self.settle();
                }
                Ok(None) => return Err(PublishFailure::Away),
                Err(_) => {}
            }
            self.check()?;
        }
    }

    fn take(&self, answer: &Message) -> Result<(), PublishFailure> {
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(PublishFailure::NoStream);
        }
        let ack: Answer = serde_json::from_slice(&answer.payload)
            .map_err(|error| PublishFailure::Refused(error.to_string()))?;
        if let Some(error) = ack.error {
            return Err(PublishFailure::Refused(error.description));
        }
        let position = answer.subject.rsplit('.').next().and_then(|text| text.parse().ok());
        if let Some(position) = position {
            self.window().acknowledge(position);
        }
        Ok(())
    }

    /// Lets go of what is acknowledged without a gap.
    fn settle(&self) {
        let settled = self.window().settle();
        if let Some(position) = settled {
            self.acknowledged.send_replace(position);
            self.room.notify_one();
        }
    }

    fn check(&self) -> Result<(), PublishFailure> {
        if self.client.connection_state() != State::Connected {
            return Err(PublishFailure::Away);
        }
        match self.window().stalled(Instant::now()) {
            Some(position) => Err(PublishFailure::Silent { position }),
            None => Ok(()),
        }
    }

    /// The lock is held for moments only, and nothing in them can leave the window half changed.
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server answers to a message.
#[derive(Deserialize)]
struct Answer {
    error: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    description: String,
}

/// The messages in flight: consecutive positions, acknowledged in any order.
struct Window {
    /// Everything up to this position is acknowledged.
    settled: u64,
    in_flight: VecDeque<InFlight>,
    bytes: usize,
    /// Since when the oldest one is the oldest.
    since: Instant,
}

struct InFlight {
    bytes: usize,
    is_acknowledged: bool,
}

impl Window {
    fn after(position: u64) -> Self {
        let in_flight = VecDeque::with_capacity(MAX_IN_FLIGHT);
        Self { settled: position, in_flight, bytes: 0, since: Instant::now() }
    }

    /// The next position, if there is room for its message. A message that is larger than the bound
    /// goes alone.
    fn push(&mut self, bytes: usize) -> Option<u64> {
        let is_full = self.in_flight.len() >= MAX_IN_FLIGHT
            || (self.bytes + bytes > MAX_BYTES_IN_FLIGHT && !self.in_flight.is_empty());
        if is_full {
            return None;
        }
        if self.in_flight.is_empty() {
            self.since = Instant::now();
        }
        self.bytes += bytes;
        self.in_flight.push_back(InFlight { bytes, is_acknowledged: false });
        Some(self.settled + self.in_flight.len() as u64)
    }

    /// Notes an acknowledgement; one of a position that is not in flight says nothing.
    fn acknowledge(&mut self, position: u64) {
        let index = position.checked_sub(self.settled + 1).and_then(|i| usize::try_from(i).ok());
        if let Some(message) = index.and_then(|index| self.in_flight.get_mut(index)) {
            message.is_acknowledged = true;
        }
    }

    /// Drops the acknowledged messages up to the first gap; the last position before it, if new.
    fn settle(&mut self) -> Option<u64> {
        let before = self.settled;
        while let Some(InFlight { bytes, is_acknowledged: true }) = self.in_flight.front() {
            self.settled += 1;
            self.bytes -= bytes;
            self.in_flight.pop_front();
        }
        (self.settled > before).then(|| {
            self.since = Instant::now();
            self.settled
        })
    }

    /// The oldest position, if it has been the oldest for too long.
    fn stalled(&self, now: Instant) -> Option<u64> {
        let is_stalled = !self.in_flight.is_empty() && now > self.since + ACK_WAIT;
        is_stalled.then_some(self.settled + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_acknowledged_without_a_gap_is_settled() {
        let mut window = Window::after(10);
        assert_eq!((0..4).map(|_| window.push(1)).collect::<Vec<_>>(), [11, 12, 13, 14].map(Some));
        window.acknowledge(12);
        window.acknowledge(14);
        assert_eq!(window.settle(), None, "11 is open");
        window.acknowledge(11);
        assert_eq!(window.settle(), Some(12));
        window.acknowledge(13);
        assert_eq!(window.settle(), Some(14));
        assert_eq!((window.settle(), window.bytes), (None, 0));
        assert_eq!(window.push(1), Some(15));
    }

    #[test]
    fn acknowledgements_of_other_positions_change_nothing() {
        let mut window = Window::after(10);
        window.push(1);
        for other in [0, 10, 12, u64::MAX] {
            window.acknowledge(other);
        }
        assert_eq!(window.settle(), None);
    }

    #[test]
    fn messages_and_bytes_in_flight_are_bounded() {
        let mut window = Window::after(0);
        assert!((0..MAX_IN_FLIGHT).all(|_| window.push(1).is_some()));
        assert_eq!(window.push(1), None);
        let mut window = Window::after(0);
        assert_eq!(window.push(MAX_BYTES_IN_FLIGHT + 1), Some(1), "alone it may go");
        assert_eq!(window.push(1), None);
        window.acknowledge(1);
        assert_eq!(window.settle(), Some(1));
        assert_eq!(window.push(1), Some(2));
    }

    #[test]
    fn a_message_that_is_never_acknowledged_is_noticed() {
        let mut window = Window::after(0);
        window.push(1);
        window.push(1);
        window.acknowledge(2);
        window.settle();
        let later = window.since + ACK_WAIT;
        assert_eq!(window.stalled(later), None);
        assert_eq!(window.stalled(later + LOOK_EVERY), Some(1));
        window.acknowledge(1);
        window.settle();
        assert_eq!(window.stalled(later + LOOK_EVERY), None, "nothing is in flight");
    }
}
