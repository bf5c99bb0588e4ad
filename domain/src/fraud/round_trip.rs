//! Money back to its sender within ten minutes: a wallet has received money from another, and sends
//! some of it, or any other money, to that same one.
//!
//! The alert is of the wallet that sends the money back, at the debit that does so; the one that it
//! came from is named in the reason. Any amount counts from `minimum` on (all, unless set), and any
//! debit within the window after the last credit from there. A refund is no credit: whoever gets
//! money back because its transfer failed has received nothing from the other.
//!
//! A sender alerts once for as long as its money keeps coming with no more than a window between.
//!
//! Bound: [`MAX_SENDERS`] senders are remembered. Beyond it, of those that have not alerted, the one
//! that sent the least at once is forgotten (of equals the earliest). So a round trip may go unseen
//! at a wallet with many senders, but dust from many does not hide a large one. Who has alerted is
//! not forgotten before its window ends, so a wallet has that many of these alerts a window at most;
//! while all have alerted, no other sender is remembered.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::alert::Finding;
use super::amount_threshold::AmountThreshold;
use super::movement::{Kind, Movement};
use super::seen::{Moment, Seen};
use super::settings::{MAX_WINDOW_SECONDS, OutOfBounds, check};
use crate::ids::WalletId;

/// How many senders are remembered: more than send to a person's wallet within minutes, and few
/// enough to be looked through at each transfer.
pub(super) const MAX_SENDERS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Settings {
    pub(super) enabled: bool,
    pub(super) freeze: bool,
    /// Within how long after it came.
    pub(super) window_seconds: u32,
    /// From how much sent back on; any amount when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) minimum: Option<AmountThreshold>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, freeze: false, window_seconds: 600, minimum: None }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), OutOfBounds> {
        check("windowSeconds", self.window_seconds, MAX_WINDOW_SECONDS)
    }

    /// How far back it looks.
    pub(super) fn window_seconds(&self) -> u32 {
        self.window_seconds
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    senders: Vec<Sender>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sender {
    #[serde(rename = "w")]
    wallet: WalletId,
    /// When and where its last credit was.
    #[serde(rename = "c")]
    credited: (Moment, u64),
    /// The most that it sent at once.
    #[serde(rename = "m")]
    most: Decimal,
    #[serde(rename = "a", default, skip_serializing_if = "std::ops::Not::not")]
    alerted: bool,
}

impl State {
    pub(super) fn observe(
        &mut self,
        settings: &Settings,
        movement: &Movement<'_>,
    ) -> Option<Finding> {
        let (seen, window) = (movement.seen(), settings.window_seconds);
        match movement.kind {
            Kind::Deposit | Kind::Withdrawal | Kind::Refund { .. } => None,
            Kind::Credit { from } => {
                self.forget_before(seen.at, window);
                self.credit(from, seen);
                None
            }
            Kind::Debit { to, .. } => {
                self.forget_before(seen.at, window);
                let minimum = settings.minimum.as_ref();
                if minimum.is_some_and(|least| movement.amount < least.of(movement.currency)) {
                    return None;
                }
                let mut senders = self.senders.iter_mut();
                let sender = senders.find(|sender| sender.wallet == *to && !sender.alerted)?;
                sender.alerted = true;
                let (at, position) = sender.credited;
                let seconds = seen.at.seconds_since(at);
                Some(Finding {
                    evidence: vec![position, seen.position],
                    sum: movement.amount,
                    reason: format!("back to {to}, {seconds} s after money came from there"),
                })
            }
        }
    }

    fn forget_before(&mut self, now: Moment, window: u32) {
        self.senders.retain(|sender| now.is_within(window, sender.credited.0));
    }

    fn credit(&mut self, from: &WalletId, seen: Seen) {
        let credited = (seen.at, seen.position);
        if let Some(known) = self.senders.iter_mut().find(|sender| sender.wallet == *from) {
            known.credited = credited;
            known.most = known.most.max(seen.amount);
            return;
        }
        let new = Sender { wallet: from.clone(), credited, most: seen.amount, alerted: false };
        if self.senders.len() < MAX_SENDERS {
            self.senders.push(new);
            return;
        }
        let least = self.senders.iter_mut().filter(|sender| !sender.alerted);
        let least = least.min_by_key(|sender| (sender.most, sender.credited.1));
        if let Some(least) = least.filter(|least| least.most <= new.most) {
            *least = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MAX_SENDERS;
    use crate::fraud::Rule;
    use crate::fraud::testing::{SECOND, Story};

    const RULE: Rule = Rule::RoundTrip;

    #[test]
    fn money_back_to_its_sender_within_ten_minutes_alerts_at_who_sends_it_back() {
        let story = Story::new().credit(0, "alice", "100.00").debit(SECOND, "bob", "1.00").debit(
            600 * SECOND,
            "alice",
            "0.01",
        );
        let alert = &story.of(RULE)[0];
        assert_eq!((alert.id.as_str(), alert.wallet.as_str()), ("roundTrip:0-3", "wallet"));
        let evidence: Vec<_> = alert.evidence.iter().map(|event| event.position).collect();
        assert_eq!(evidence, [1, 3]);
        assert_eq!((alert.count, alert.sum.to_string().as_str()), (2, "0.01"));
        assert_eq!(alert.reason, "back to alice, 600 s after money came from there");
    }

    #[test]
    fn a_microsecond_beyond_ten_minutes_is_beyond_them() {
        let story = Story::new().credit(0, "alice", "1.00");
        assert_eq!(story.debit(600 * SECOND + 1, "alice", "1.00").of(RULE), []);
    }

    #[test]
    fn money_that_comes_after_the_debit_does_not_count() {
        let story = Story::new().debit(0, "alice", "1.00").credit(1, "alice", "1.00");
        assert_eq!(story.of(RULE), []);
    }

    #[test]
    fn a_refund_is_no_money_received() {
        let story = Story::new()
            .debit(0, "alice", "5.00")
            .refund(1, "alice", "5.00")
            .debit(2, "alice", "5.00");
        assert_eq!(story.of(RULE), []);
    }

    #[test]
    fn a_sender_alerts_once_while_its_money_keeps_coming_and_then_again() {
        let mut story = Story::new();
        for second in 0..1_000 {
            let at = second * SECOND;
            story = story.credit(at, "alice", "1.00").debit(at, "alice", "1.00");
        }
        assert_eq!(story.positions(RULE), [2]);
        let later = 1_600 * SECOND;
        story = story.credit(later, "alice", "1.00").debit(later, "alice", "1.00");
        assert_eq!(story.positions(RULE), [2, 2_002]);
    }

    #[test]
    fn each_sender_is_a_case_of_its_own() {
        let story = Story::new()
            .credit(0, "alice", "1.00")
            .credit(0, "bob", "1.00")
            .debit(0, "alice", "1.00")
            .debit(0, "bob", "1.00");
        assert_eq!(story.positions(RULE), [3, 4]);
    }

    #[test]
    fn from_which_amount_on_is_a_setting_by_currency() {
        let minimum = r#"{"default":"5","JPY":"500"}"#;
        let settings = format!(r#"{{"rules":{{"roundTrip":{{"minimum":{minimum}}}}}}}"#);
        let of = |currency| Story::with(&settings).in_currency(currency).credit(0, "alice", "900");
        let dollars = of("USD").debit(0, "alice", "4.99").debit(0, "alice", "5.00");
        assert_eq!(dollars.positions(RULE), [3]);
        let yen = of("JPY").debit(0, "alice", "499").debit(0, "alice", "500");
        assert_eq!(yen.positions(RULE), [3]);
    }

    #[test]
    fn dust_from_many_does_not_hide_a_sender() {
        let mut story = Story::new().credit(0, "alice", "100.00").credit(0, "alice", "0.01");
        for number in 0..1_000 {
            story = story.credit(1, &format!("dust-{number}"), "0.02");
        }
        // Of the dust the latest is remembered.
        story = story.debit(2, "alice", "100.00").debit(2, "dust-999", "0.01");
        assert_eq!(story.positions(RULE), [1_003, 1_004]);
        assert_eq!(story.debit(2, "dust-1", "0.01").positions(RULE), [1_003, 1_004]);
    }

    #[test]
    fn a_wallet_that_sends_back_to_everyone_alerts_a_bounded_number_of_times_a_window() {
        let mut story = Story::new();
        for number in 0..1_000 {
            let from = format!("wallet-{number}");
            story = story.credit(number, &from, "1.00").debit(number, &from, "1.00");
        }
        assert_eq!(story.of(RULE).len(), MAX_SENDERS);
        let later = 601 * SECOND;
        story = story.credit(later, "alice", "1.00").debit(later, "alice", "1.00");
        assert_eq!(story.of(RULE).len(), MAX_SENDERS + 1);
    }
}
