//! Money sent to many: five or more different receivers within 60 s.
//!
//! Whoever money is sent to is a receiver, whether or not the transfer comes to its end: the attempt
//! to reach many is what is suspicious. The last `count` different receivers, each with the last
//! debit to it, tell exactly: when all of them are within the window, it holds.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::alert::Finding;
use super::episode::Episode;
use super::movement::{Kind, Movement};
use super::seen::{Seen, sum};
use super::settings::{MAX_COUNT, MAX_WINDOW_SECONDS, OutOfBounds, check};
use crate::ids::WalletId;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Settings {
    pub(super) enabled: bool,
    pub(super) freeze: bool,
    /// How many different receivers alert.
    pub(super) count: u32,
    /// Within how long.
    pub(super) window_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, freeze: false, count: 5, window_seconds: 60 }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), OutOfBounds> {
        check("count", self.count, MAX_COUNT)?;
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
    /// The latest different receivers within the window and the last debit to each, oldest first,
    /// as many as the settings count.
    latest: VecDeque<(WalletId, Seen)>,
    #[serde(skip_serializing_if = "Episode::is_new")]
    episode: Episode,
}

impl State {
    pub(super) fn observe(
        &mut self,
        settings: &Settings,
        movement: &Movement<'_>,
    ) -> Option<Finding> {
        let to = match movement.kind {
            Kind::Debit { to, .. } => to,
            Kind::Deposit | Kind::Withdrawal | Kind::Credit { .. } | Kind::Refund { .. } => {
                return None;
            }
        };
        let (seen, window) = (movement.seen(), settings.window_seconds);
        let count = settings.count as usize;
        self.latest.retain(|(receiver, _)| receiver != to);
        self.latest.push_back((to.clone(), seen));
        while self.latest.len() > count
            || self.latest.front().is_some_and(|(_, first)| !seen.at.is_within(window, first.at))
        {
            self.latest.pop_front();
        }
        let holds = self.latest.len() >= count;
        self.episode.alerts(holds, seen.at, window).then(|| Finding {
            evidence: self.latest.iter().map(|(_, debit)| debit.position).collect(),
            sum: sum(self.latest.iter().map(|(_, debit)| debit.amount)),
            reason: format!("{count} different receivers within {window} s"),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::fraud::Rule;
    use crate::fraud::testing::{SECOND, Story};

    const RULE: Rule = Rule::ManyReceivers;

    fn to_four() -> Story {
        Story::new()
            .debit(0, "a", "1.00")
            .debit(SECOND, "b", "1.00")
            .debit(2 * SECOND, "c", "1.00")
            .debit(3 * SECOND, "d", "1.00")
    }

    #[test]
    fn the_fifth_receiver_within_a_minute_alerts() {
        let story = to_four().debit(60 * SECOND, "e", "2.50");
        let alert = &story.of(RULE)[0];
        assert_eq!(alert.id, "manyReceivers:0-5");
        let evidence: Vec<_> = alert.evidence.iter().map(|event| event.position).collect();
        assert_eq!(evidence, [1, 2, 3, 4, 5]);
        assert_eq!((alert.count, alert.sum.to_string().as_str()), (5, "6.50"));
        assert_eq!(alert.reason, "5 different receivers within 60 s");
    }

    #[test]
    fn a_microsecond_beyond_the_minute_is_beyond_it() {
        assert_eq!(to_four().debit(60 * SECOND + 1, "e", "1.00").of(RULE), []);
    }

    #[test]
    fn the_same_receiver_counts_once_and_is_as_late_as_its_last_debit() {
        let story = to_four().debit(4 * SECOND, "d", "1.00").debit(5 * SECOND, "a", "1.00");
        assert_eq!(story.of(RULE), []);
        // `b` is the oldest now, and its debit was a second after the first one to `a`.
        assert_eq!(story.debit(61 * SECOND, "e", "1.00").positions(RULE), [7]);
    }

    #[test]
    fn only_debits_have_receivers_and_a_refund_takes_none_back() {
        let story = to_four().credit(4 * SECOND, "e", "1.00").withdraw(4 * SECOND, "1.00").refund(
            4 * SECOND,
            "d",
            "1.00",
        );
        assert_eq!(story.of(RULE), []);
        assert_eq!(story.debit(5 * SECOND, "e", "1.00").positions(RULE), [8]);
    }

    #[test]
    fn paying_many_all_the_time_alerts_once() {
        let mut story = Story::new();
        for number in 0..500 {
            story = story.debit(number * SECOND, &format!("wallet-{}", number % 50), "1.00");
        }
        assert_eq!(story.positions(RULE), [5]);
    }
}
