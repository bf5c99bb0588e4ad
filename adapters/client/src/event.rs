//! An event as services read it, the same whether it came by the stream or by a page of the journal.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use florin_domain::journal::{Event, GENESIS, RecordedEvent, event_type_named};
use florin_domain::upcast::decode;
use florin_domain::{TransferEvent, TransferId, WalletEvent, WalletId};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

/// An event of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEvent {
    /// The ordered slice of the journal that it is in.
    pub partition: u32,
    /// Its dense offset there: 1, 2, 3 …
    pub position: u64,
    /// The wallet or transfer that it is an event of.
    pub stream: Stream,
    /// Its dense number in that stream: 1, 2, 3 …
    pub sequence: u64,
    /// The name of the fact.
    pub event_type: Cow<'static, str>,
    /// The version of the fact's shape, as it was recorded.
    pub event_version: String,
    /// What happened, in the shape of today.
    pub fact: Fact,
    /// What the wallet holds after it; transfers hold nothing.
    pub balance: Option<Decimal>,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The idempotency key of the request that it answers. Of money that came in from another wallet
    /// it is not told: it is the sender's.
    pub request_id: Option<String>,
}

/// What an event is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stream {
    /// A wallet.
    Wallet(WalletId),
    /// A transfer.
    Transfer(TransferId),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// To a wallet.
    Wallet(WalletEvent),
    /// To a transfer.
    Transfer(TransferEvent),
    /// Something that this version of the crate does not know, as JSON text. The service is newer;
    /// the event counts all the same.
    Unknown(String),
}

impl LedgerEvent {
    /// `<partition>-<position>`, which no other event has.
    pub fn id(&self) -> String {
        format!("{}-{}", self.partition, self.position)
    }

    /// The wallet, if it is an event of one.
    pub fn wallet(&self) -> Option<&WalletId> {
        match &self.stream {
            Stream::Wallet(id) => Some(id),
            Stream::Transfer(_) => None,
        }
    }
}

/// Something that is no event of this ledger.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no event of this ledger: {0}")]
pub struct NotAnEvent(pub(crate) String);

/// An event as it arrives, its texts not read yet.
pub(crate) struct Arrived {
    pub(crate) partition: u32,
    pub(crate) position: u64,
    pub(crate) stream: Stream,
    pub(crate) sequence: u64,
    pub(crate) event_type: Cow<'static, str>,
    pub(crate) event_version: String,
    /// As it is stored: the body of the fact under its name.
    pub(crate) payload: String,
    pub(crate) balance: Option<Decimal>,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) request_id: Option<String>,
}

impl From<Arrived> for LedgerEvent {
    fn from(arrived: Arrived) -> Self {
        static NOTHING: LazyLock<Arc<str>> = LazyLock::new(|| "".into());
        // Older shapes are read by the one table that the service has.
        let recorded = RecordedEvent {
            partition: arrived.partition,
            position: arrived.position,
            aggregate_type: match arrived.stream {
                Stream::Wallet(_) => "Wallet",
                Stream::Transfer(_) => "Transfer",
            },
            aggregate_id: Arc::clone(&NOTHING),
            sequence: arrived.sequence,
            event_type: arrived.event_type,
            event_version: arrived.event_version,
            payload: arrived.payload,
            metadata: Arc::clone(&NOTHING),
            balance: arrived.balance,
            recorded_at: arrived.recorded_at,
            hash: GENESIS,
        };
        let fact = match decode(&recorded) {
            Ok(Event::Wallet(event)) => Fact::Wallet(event),
            Ok(Event::Transfer(event)) => Fact::Transfer(event),
            Err(_) => Fact::Unknown(body(&recorded)),
        };
        Self {
            partition: recorded.partition,
            position: recorded.position,
            stream: arrived.stream,
            sequence: recorded.sequence,
            request_id: arrived.request_id.filter(|_| recorded.event_type != "FundsCredited"),
            event_type: recorded.event_type,
            event_version: recorded.event_version,
            fact,
            balance: recorded.balance,
            recorded_at: recorded.recorded_at,
        }
    }
}

/// What is in the payload under the name of the event; all of it, if it is of another form.
fn body(recorded: &RecordedEvent) -> String {
    #[derive(Deserialize)]
    struct Named<'a>(#[serde(borrow)] std::collections::BTreeMap<Cow<'a, str>, &'a RawValue>);

    let named: Option<Named<'_>> = serde_json::from_str(&recorded.payload).ok();
    let inner = named.and_then(|Named(named)| named.get(&*recorded.event_type).copied());
    inner.map_or_else(|| recorded.payload.clone(), |inner| inner.get().to_owned())
}

/// An event of a page of `GET /events`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Paged<'a> {
    partition: u32,
    position: u64,
    #[serde(rename = "type")]
    event_type: Cow<'a, str>,
    event_version: String,
    version: u64,
    wallet_id: Option<WalletId>,
    transfer_id: Option<TransferId>,
    #[serde(borrow)]
    payload: &'a RawValue,
    balance: Option<Decimal>,
    recorded_at: DateTime<Utc>,
    request_id: Option<String>,
}

impl TryFrom<Paged<'_>> for LedgerEvent {
    type Error = NotAnEvent;

    fn try_from(paged: Paged<'_>) -> Result<Self, NotAnEvent> {
        let stream = match (paged.wallet_id, paged.transfer_id) {
            (Some(id), None) => Stream::Wallet(id),
            (None, Some(id)) => Stream::Transfer(id),
            (Some(_), Some(_)) | (None, None) => {
                let Paged { partition, position, .. } = paged;
                return Err(NotAnEvent(format!("{partition}-{position} is of no one thing")));
            }
        };
        let event_type = event_type_named(&paged.event_type);
        let name = serde_json::Value::from(&*event_type);
        let payload = format!("{{{name}:{}}}", paged.payload.get());
        Ok(Arrived {
            partition: paged.partition,
            position: paged.position,
            stream,
            sequence: paged.version,
            event_type,
            event_version: paged.event_version,
            payload,
            balance: paged.balance,
            recorded_at: paged.recorded_at,
            request_id: paged.request_id,
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paged(text: &str) -> Result<LedgerEvent, NotAnEvent> {
        serde_json::from_str::<Paged<'_>>(text).unwrap().try_into()
    }

    const OPENED: &str = r#"{"id":"0-1","type":"WalletOpened","eventVersion":"1.0","version":1,
        "walletId":"alice","payload":{},"balance":"0.00","partition":0,"position":1,
        "recordedAt":"2026-01-31T12:00:00.000001Z"}"#;

    #[test]
    fn an_event_of_an_older_shape_is_read_as_one_of_today() {
        let event = paged(OPENED).unwrap();
        let Fact::Wallet(WalletEvent::WalletOpened { currency, .. }) = event.fact else {
            panic!("{event:?}")
        };
        assert_eq!((currency.code(), &*event.event_version), ("USD", "1.0"));
    }

    #[test]
    fn an_event_that_is_not_known_yet_counts_and_keeps_its_text() {
        let later = OPENED.replace("WalletOpened", "WalletPainted").replace("{}", r#"{"c": 1.0}"#);
        let event = paged(&later).unwrap();
        assert_eq!(event.fact, Fact::Unknown(r#"{"c": 1.0}"#.to_owned()));
        assert_eq!((&*event.event_type, event.position), ("WalletPainted", 1));
    }

    #[test]
    fn an_event_of_nothing_is_refused() {
        let nobodys = OPENED.replace("walletId", "houseId");
        assert_eq!(paged(&nobodys), Err(NotAnEvent("0-1 is of no one thing".to_owned())));
    }
}
