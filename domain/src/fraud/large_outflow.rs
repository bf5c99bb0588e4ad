//! Much money at once: one withdrawal or outgoing transfer of 10,000 or more.
//!
//! Each such movement is a case of its own, so each alerts: nothing is remembered. A transfer counts
//! when the money leaves, and still counts when it comes back.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::alert::Finding;
use super::amount_threshold::AmountThreshold;
use super::movement::{Kind, Movement};
use super::settings::OutOfBounds;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Settings {
    pub(super) enabled: bool,
    pub(super) freeze: bool,
    /// From which amount on.
    pub(super) amount: AmountThreshold,
}

impl Default for Settings {
    fn default() -> Self {
        let amount = AmountThreshold::everywhere(Decimal::from(10_000));
        Self { enabled: true, freeze: false, amount }
    }
}

impl Settings {
    /// An amount is within its bounds as soon as it is read.
    pub(super) fn check(&self) -> Result<(), OutOfBounds> {
        Ok(())
    }

    /// It does not look back.
    pub(super) fn window_seconds(&self) -> u32 {
        0
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {}

impl State {
    pub(super) fn observe(
        &mut self,
        settings: &Settings,
        movement: &Movement<'_>,
    ) -> Option<Finding> {
        match movement.kind {
            Kind::Withdrawal | Kind::Debit { .. } => {}
            Kind::Deposit | Kind::Credit { .. } | Kind::Refund { .. } => return None,
        }
        let (amount, currency) = (movement.amount, movement.currency);
        let threshold = settings.amount.of(currency);
        (amount >= threshold).then(|| Finding {
            evidence: vec![movement.event.position],
            sum: amount,
            reason: format!("{amount} {currency} at once, where {threshold} is large"),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::fraud::Rule;
    use crate::fraud::testing::Story;

    const RULE: Rule = Rule::LargeOutflow;

    #[test]
    fn ten_thousand_is_large_and_a_cent_less_is_not() {
        let story = Story::new()
            .withdraw(0, "9999.99")
            .withdraw(0, "10000.00")
            .debit(0, "bob", "9999.99")
            .debit(0, "bob", "10000.00");
        assert_eq!(story.positions(RULE), [2, 4]);
    }

    #[test]
    fn each_large_outflow_alerts() {
        let story = Story::new().withdraw(0, "10000.00").withdraw(0, "20000.00");
        assert_eq!(story.positions(RULE), [1, 2]);
    }

    #[test]
    fn money_that_comes_in_or_back_is_never_large() {
        let story = Story::new()
            .deposit(0, "90000.00")
            .credit(0, "bob", "90000.00")
            .refund(0, "bob", "90000.00");
        assert_eq!(story.of(RULE), []);
    }

    #[test]
    fn a_currency_may_have_a_threshold_of_its_own() {
        let amount = r#"{"default":"500","JPY":"1500000"}"#;
        let settings = format!(r#"{{"rules":{{"largeOutflow":{{"amount":{amount}}}}}}}"#);
        let of = |currency| Story::with(&settings).in_currency(currency);
        assert_eq!(of("JPY").withdraw(0, "1499999").withdraw(0, "1500000").positions(RULE), [2]);
        assert_eq!(of("USD").withdraw(0, "499.99").withdraw(0, "500.00").positions(RULE), [2]);
        assert_eq!(of("BHD").withdraw(0, "499.999").withdraw(0, "500.000").positions(RULE), [2]);
    }
}
