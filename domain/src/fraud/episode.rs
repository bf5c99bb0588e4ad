//! When a condition that stays true alerts again.

use serde::{Deserialize, Serialize};

use super::seen::Moment;

/// The time during which a condition holds, judged at movements only.
///
/// It alerts when it comes to hold, and again only after it did not hold in between: at a judgement,
/// or because the rule's window passed without one. It alerts once within a window at most, so that
/// a condition that flickers does not flood either; one that came to hold again meanwhile alerts at
/// the first judgement after that, if it still holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Episode {
    /// The last judgement of an episode that has alerted and goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<Moment>,
    /// The last alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alerted: Option<Moment>,
}

impl Episode {
    /// Whether a judgement alerts.
    pub(super) fn alerts(&mut self, holds: bool, now: Moment, window_seconds: u32) -> bool {
        let lately = |moment: Moment| now.is_within(window_seconds, moment);
        if !holds {
            self.held = None;
        } else if self.held.is_some_and(lately) {
            self.held = Some(now);
        } else if !self.alerted.is_some_and(lately) {
            (self.held, self.alerted) = (Some(now), Some(now));
            return true;
        } else {
            self.held = None;
        }
        false
    }

    /// A judgement that cannot alert: it ends the episode when the condition does not hold.
    pub(super) fn lapses_unless(&mut self, holds: bool) {
        if !holds {
            self.held = None;
        }
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_new(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    /// At which seconds it alerts, with a window of ten.
    fn alerts(judgements: &[(i64, bool)]) -> Vec<i64> {
        let mut episode = Episode::default();
        let mut judge = |second: i64, holds| {
            let now = DateTime::from_timestamp(second, 0).unwrap().into();
            episode.alerts(holds, now, 10)
        };
        let alerting = judgements.iter().filter(|(second, holds)| judge(*second, *holds));
        alerting.map(|(second, _)| *second).collect()
    }

    #[test]
    fn a_condition_that_stays_true_alerts_once() {
        assert_eq!(alerts(&[(0, true), (5, true), (15, true), (25, true)]), [0]);
    }

    #[test]
    fn it_alerts_again_when_it_was_false_in_between() {
        assert_eq!(alerts(&[(0, true), (5, false), (11, true)]), [0, 11]);
    }

    #[test]
    fn a_window_without_a_judgement_is_false_in_between() {
        assert_eq!(alerts(&[(0, true), (10, true), (20, true)]), [0]);
        assert_eq!(alerts(&[(0, true), (11, true)]), [0, 11]);
    }

    #[test]
    fn it_alerts_once_in_a_window_and_what_waited_is_told_after_it() {
        let flicker = [(0, true), (1, false), (2, true), (3, false), (4, true), (10, true)];
        assert_eq!(alerts(&flicker), [0]);
        assert_eq!(alerts(&[&flicker[..], &[(11, true), (12, true)]].concat()), [0, 11]);
        assert_eq!(alerts(&[&flicker[..], &[(11, false), (12, true)]].concat()), [0, 12]);
    }
}
