//! Which types of events a reader wants.

use std::str::FromStr;

use florin_domain::journal::{EVENT_TYPES, RecordedEvent};
use thiserror::Error;

/// A set of event types; all of them by default, those of later versions included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Types(Option<Vec<&'static str>>);

/// A text that names something else.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no type of event: there are {list}, several with commas between",
    list = EVENT_TYPES.join(", "))]
pub struct UnknownType(String);

impl FromStr for Types {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        let known = |name: &str| {
            let found = EVENT_TYPES.iter().copied().find(|known| *known == name);
            // What a client sends is not given back at length.
            found.ok_or_else(|| UnknownType(name.chars().take(40).collect()))
        };
        // More names than there are say nothing new.
        text.split(',')
            .take(EVENT_TYPES.len())
            .map(known)
            .collect::<Result<_, _>>()
            .map(Some)
            .map(Self)
    }
}

impl Types {
    /// Their names; none where all are meant.
    pub(super) fn names(&self) -> Option<&[&'static str]> {
        self.0.as_deref()
    }

    /// Whether an event is of one of them.
    pub fn include(&self, event: &RecordedEvent) -> bool {
        self.0.as_ref().is_none_or(|types| types.contains(&&*event.event_type))
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::testing::event;
    use super::*;

    #[test]
    fn a_list_names_events_and_nothing_else() {
        let deposit = &event("alice", 1).recorded;
        assert!(Types::default().include(deposit));
        for (text, includes) in [
            ("FundsDeposited", true),
            ("WalletOpened,FundsDeposited", true),
            ("WalletOpened", false),
        ] {
            assert_eq!(text.parse::<Types>().unwrap().include(deposit), includes, "{text}");
        }
        for text in ["", "FundsDeposited,", "fundsDeposited", "x"] {
            assert!(text.parse::<Types>().is_err(), "{text}");
        }
    }
}
