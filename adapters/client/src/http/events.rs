//! Pages of the journal: what repairs a subscription, and begins one.

use serde::Deserialize;

use super::answers::Answer;
use super::problem::CallError;
use super::queries::get;
use super::{Florin, positions};
use crate::event::{LedgerEvent, Paged};
use crate::positions::Positions;
use crate::subscription::Wanted;

/// The most events of a page, as the service has it.
pub const MAX_PAGE: u32 = 1_000;

/// Which page.
#[derive(Debug, Clone, Copy)]
pub struct EventQuery<'a> {
    /// Of which events.
    pub wanted: &'a Wanted,
    /// Of which partition.
    pub partition: u32,
    /// After which of its positions.
    pub after: u64,
    /// How many at most: 1 to [`MAX_PAGE`].
    pub limit: u32,
}

/// A page of events, by position. The [`Answer`] says where the journal ended in every partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<LedgerEvent>,
    /// Up to where the page tells everything that was asked for: what the next one is after.
    pub next_after: u64,
    /// Whether the journal goes on there.
    pub has_more: bool,
}

impl Florin {
    /// A page of the journal.
    ///
    /// # Errors
    /// [`CallError`]; `invalid-parameter` after a position that the journal does not have.
    pub async fn events(&self, query: EventQuery<'_>) -> Result<Answer<EventPage>, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page<'a> {
            #[serde(borrow)]
            data: Vec<Paged<'a>>,
            next_after: u64,
            has_more: bool,
        }

        let EventQuery { wanted, partition, after, limit } = query;
        let (wallet, event_type) = match wanted {
            Wanted::All => (None, None),
            Wanted::Wallet(id) => (Some(id.as_str()), None),
            Wanted::Type(name) => (None, Some(*name)),
        };
        let texts = [partition.to_string(), after.to_string(), limit.to_string()];
        let [partition, after, limit] = texts.each_ref().map(|text| Some(&**text));
        let parameters = [
            ("partition", partition),
            ("after", after),
            ("limit", limit),
            ("wallet", wallet),
            ("type", event_type),
        ];
        let request = get(self.route(&["events"])?, &parameters, &Positions::default());
        let (headers, bytes) = self.exchange(&request).await?;
        let page: Page<'_> = serde_json::from_slice(&bytes).map_err(CallError::Unreadable)?;
        let events = page.data.into_iter().map(LedgerEvent::try_from).collect::<Result<_, _>>()?;
        let value = EventPage { events, next_after: page.next_after, has_more: page.has_more };
        Ok(Answer { value, positions: positions(&headers), replayed: false })
    }

    /// Where the journal ends now, in every partition that the ledger has.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn heads(&self) -> Result<Positions, CallError> {
        let wanted = Wanted::All;
        let query = EventQuery { wanted: &wanted, partition: 0, after: 0, limit: 1 };
        Ok(self.events(query).await?.positions)
    }
}
