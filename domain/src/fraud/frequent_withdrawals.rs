//! Many withdrawals in a short time: three or more within 60 s.
//!
//! The last `count` withdrawals tell exactly: when all of them are within the window, it holds.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::alert::Finding;
use super::episode::Episode;
use super::movement::{Kind, Movement};
use super::seen::{Seen, sum};
use super::settings::{MAX_COUNT, MAX_WINDOW_SECONDS, OutOfBounds, check};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Settings {
    pub(super) enabled: bool,
    pub(super) freeze: bool,
    /// How many withdrawals alert.
    pub(super) count: u32,
    /// Within how long.
    pub(super) window_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, freeze: false, count: 3, window_seconds: 60 }
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
    /// The latest within the window, oldest first, as many as the settings count.
    latest: VecDeque<Seen>,
    #[serde(skip_serializing_if = "Episode::is_new")]
    episode: Episode,
}

impl State {
    pub(super) fn observe(
        &mut self,
        settings: &Settings,
        movement: &Movement<'_>,
    ) -> Option<Finding> {
        match movement.kind {
            Kind::Withdrawal => {}
            Kind::Deposit | Kind::Debit { .. } | Kind::Credit { .. } | Kind::Refund { .. } => {
                return None;
            }
        }
        let (seen, window) = (movement.seen(), settings.window_seconds);
        let count = settings.count as usize;
        self.latest.push_back(seen);
        while self.latest.len() > count
            || self.latest.front().is_some_and(|first| !seen.at.is_within(window, first.at))
        {
            self.latest.pop_front();
        }
        let holds = self.latest.len() >= count;
        self.episode.alerts(holds, seen.at, window).then(|| Finding {
            evidence: self.latest.iter().map(|withdrawal| withdrawal.position).collect(),
            sum: sum(self.latest.iter().map(|withdrawal| withdrawal.amount)),
            reason: format!("{count} withdrawals within {window} s"),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::fraud::Rule;
    use crate::fraud::testing::{SECOND, Story};

    const RULE: Rule = Rule::FrequentWithdrawals;

    #[test]
    fn the_third_withdrawal_within_a_minute_alerts() {
        let story = Story::new().withdraw(0, "1.00").withdraw(SECOND, "2.00");
        assert_eq!(story.of(RULE), []);
        let story = story.withdraw(60 * SECOND, "3.50");
        let alert = &story.of(RULE)[0];
        assert_eq!(alert.id, "frequentWithdrawals:0-3");
        assert_eq!(
            alert.evidence.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["0-1", "0-2", "0-3"]
        );
        assert_eq!((alert.count, alert.sum.to_string().as_str()), (3, "6.50"));
        assert_eq!(alert.reason, "3 withdrawals within 60 s");
    }

    #[test]
    fn a_microsecond_beyond_the_minute_is_beyond_it() {
        let story = Story::new().withdraw(0, "1.00").withdraw(SECOND, "1.00");
        assert_eq!(story.withdraw(60 * SECOND + 1, "1.00").of(RULE), []);
    }

    #[test]
    fn only_withdrawals_count() {
        let story = Story::new()
            .withdraw(0, "1.00")
            .deposit(1, "1.00")
            .debit(2, "bob", "1.00")
            .credit(3, "bob", "1.00")
            .refund(4, "bob", "1.00")
            .withdraw(5, "1.00");
        assert_eq!(story.of(RULE), []);
    }

    #[test]
    fn more_of_the_same_alerts_once_and_a_new_series_again() {
        let mut story = Story::new();
        for second in 0..200 {
            story = story.withdraw(second * 10 * SECOND, "1.00");
        }
        assert_eq!(story.positions(RULE), [3]);
        let later = 10_000 * SECOND;
        story = story.withdraw(later, "1.00").withdraw(later, "1.00").withdraw(later, "1.00");
        assert_eq!(story.positions(RULE), [3, 203]);
    }

    #[test]
    fn an_alert_that_waited_for_the_window_to_pass_names_the_latest() {
        let tenths = [0, 0, 600, 605, 606, 607, 1_205];
        let tell = |story: Story, tenth| story.withdraw(tenth * SECOND / 10, "1.00");
        let story = tenths.into_iter().fold(Story::new(), tell);
        assert_eq!(story.positions(RULE), [3, 7]);
        let evidence: Vec<_> = story.of(RULE)[1].evidence.iter().map(|at| at.position).collect();
        assert_eq!(evidence, [5, 6, 7]);
    }

    #[test]
    fn count_and_window_are_settings() {
        let settings = r#"{"rules":{"frequentWithdrawals":{"count":2,"windowSeconds":5}}}"#;
        let story = Story::with(settings).withdraw(0, "1.00").withdraw(6 * SECOND, "1.00");
        assert_eq!(story.of(RULE), []);
        assert_eq!(story.withdraw(11 * SECOND, "1.00").positions(RULE), [3]);
    }

    #[test]
    fn a_count_of_one_alerts_again_after_a_silent_window() {
        let settings = r#"{"rules":{"frequentWithdrawals":{"count":1}}}"#;
        let story = Story::with(settings)
            .withdraw(0, "1.00")
            .withdraw(60 * SECOND, "1.00")
            .withdraw(120 * SECOND + 1, "1.00");
        assert_eq!(story.positions(RULE), [1, 3]);
    }
}
