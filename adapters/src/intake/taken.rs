//! A message in hand, and what is done about it.

use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};

use super::letters::HEADER;
use super::read::{Asked, Malformed, read};

/// A message in hand.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) subject: String,
    pub(super) asked: Result<Asked, Malformed>,
    /// The letter that it was replayed from.
    pub(super) letter: Option<String>,
    /// What tells it from all others: its place in the stream, and when it came there, because a stream
    /// that is made anew counts anew.
    pub(super) place: String,
    /// How often it was delivered.
    pub(super) deliveries: u32,
}

impl Taken {
    /// What a message asks for, and whence it comes.
    pub(super) fn of(message: &Message) -> Self {
        let letter = message.headers.as_ref().and_then(|headers| headers.get(HEADER));
        let (place, deliveries) = match message.info() {
            Ok(info) => (
                format!("{}@{}", info.stream_sequence, info.published.unix_timestamp_nanos()),
                u32::try_from(info.delivered).unwrap_or(1),
            ),
            // It did not come from a stream; there is one letter for all such.
            Err(_) => ("nowhere".to_owned(), 1),
        };
        Self {
            subject: message.subject.to_string(),
            asked: read(message.subject.as_str(), &message.payload),
            letter: letter.map(|letter| letter.as_str().to_owned()),
            place,
            deliveries,
        }
    }
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has been dealt with.
    Done,
    /// It is in a letter, for operators.
    Aside,
    /// It is to come again, after so long.
    Later(Duration),
}

impl Fate {
    /// As the server is told.
    pub(super) fn answer(self) -> AckKind {
        match self {
            Self::Done | Self::Aside => AckKind::Ack,
            Self::Later(wait) => AckKind::Nak(Some(wait)),
        }
    }
}
