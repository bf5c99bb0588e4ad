//! What a rule found, and how it is told.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::movement::{EventId, Movement};
use super::rules::Rule;
use super::settings::MAX_COUNT;
use crate::contracts::schemas::{SumText, TimeText};
use crate::ids::WalletId;
use crate::money::Currency;

/// The most movements that an alert names: as many as the largest count that a rule may ask for,
/// so that only a drain, which has no count, may have had more.
pub const MAX_EVIDENCE: usize = MAX_COUNT as usize;

/// A rule's condition came to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// `<rule>:<partition>-<position>`: the same for the same event, however often it is read.
    pub id: String,
    /// Which rule.
    pub rule: Rule,
    /// Whose movements.
    pub wallet: WalletId,
    /// The movement at which the condition came to hold.
    pub event: EventId,
    /// When that was recorded.
    #[schemars(with = "TimeText")]
    pub at: DateTime<Utc>,
    /// The movements that the rule counted, oldest first, `event` among them.
    #[schemars(length(max = MAX_EVIDENCE))]
    pub evidence: Vec<EventId>,
    /// How many movements `evidence` names.
    pub count: usize,
    /// How much money the rule found moving: what left, and for a round trip what went back.
    #[schemars(with = "SumText")]
    pub sum: Decimal,
    /// The currency of `sum`.
    pub currency: Currency,
    /// The same in words, for people.
    pub reason: String,
}

/// What a rule found at a movement: what is its own in an alert.
pub(super) struct Finding {
    /// Positions, oldest first. The wallet's partition is the movement's.
    pub(super) evidence: Vec<u64>,
    pub(super) sum: Decimal,
    pub(super) reason: String,
}

impl Finding {
    pub(super) fn alert(self, rule: Rule, movement: &Movement<'_>) -> Alert {
        let event = movement.event;
        let of = |position| EventId { partition: event.partition, position };
        Alert {
            id: format!("{rule}:{event}"),
            rule,
            wallet: movement.wallet.clone(),
            event,
            at: movement.at,
            count: self.evidence.len(),
            evidence: self.evidence.into_iter().map(of).collect(),
            sum: self.sum,
            currency: movement.currency,
            reason: self.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fraud::testing::Story;

    #[test]
    fn the_json_of_an_alert_never_changes() {
        let alerts = Story::new().withdraw(0, "10000.00").alerts;
        let json = serde_json::to_string(&alerts[0]).unwrap();
        let expected = concat!(
            r#"{"id":"largeOutflow:0-1","rule":"largeOutflow","wallet":"wallet","#,
            r#""event":"0-1","at":"2023-11-14T22:13:20Z","evidence":["0-1"],"#,
            r#""count":1,"sum":"10000.00","currency":"USD","#,
            r#""reason":"10000.00 USD at once, where 10000 is large"}"#,
        );
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<crate::fraud::Alert>(&json).unwrap(), alerts[0]);
    }
}
