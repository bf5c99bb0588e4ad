//! Bringing what a source delivers into order.

use std::collections::VecDeque;

use florin_domain::journal::RecordedEvent;

/// What comes next after a position.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// These events, without a gap.
    Run(Vec<RecordedEvent>),
    /// First so many others, which the source has not delivered.
    Hole(u64),
    /// Nothing more.
    End,
}

/// The events of one delivery, each once, in order.
#[derive(Debug)]
pub(super) struct Delivery(VecDeque<RecordedEvent>);

impl Delivery {
    /// Sorts; what is of another partition is not ours.
    pub(super) fn new(mut events: Vec<RecordedEvent>, partition: u32) -> Self {
        events.retain(|event| event.partition == partition);
        events.sort_by_key(|event| event.position);
        events.dedup_by_key(|event| event.position);
        Self(events.into())
    }

    /// Drops what is known already; gives what follows it.
    pub(super) fn after(&mut self, known: u64) -> Next {
        while self.0.front().is_some_and(|event| event.position <= known) {
            self.0.pop_front();
        }
        let Some(first) = self.0.front() else { return Next::End };
        if first.position != known + 1 {
            return Next::Hole(first.position - known - 1);
        }
        let positions = self.0.iter().map(|event| event.position);
        let length = positions.zip(known + 1..).take_while(|(is, next)| is == next).count();
        Next::Run(self.0.drain(..length).collect())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use florin_domain::journal::GENESIS;

    use super::*;

    fn event(partition: u32, position: u64) -> RecordedEvent {
        RecordedEvent {
            partition,
            position,
            aggregate_type: "Wallet",
            aggregate_id: "alice".into(),
            sequence: position,
            event_type: "FundsDeposited".into(),
            event_version: "1.0".to_owned(),
            payload: String::new(),
            metadata: "{}".into(),
            balance: None,
            recorded_at: DateTime::UNIX_EPOCH,
            hash: GENESIS,
        }
    }

    fn run(next: Next) -> Vec<u64> {
        let Next::Run(events) = next else { panic!("no run: {next:?}") };
        events.iter().map(|event| event.position).collect()
    }

    #[test]
    fn what_is_reordered_and_doubled_comes_once_and_in_order() {
        let events = [4, 3, 5, 3, 2, 4].map(|position| event(0, position));
        let mut delivery = Delivery::new(events.into(), 0);
        assert_eq!(run(delivery.after(2)), [3, 4, 5]);
        assert_eq!(delivery.after(5), Next::End);
    }

    #[test]
    fn a_hole_is_seen_before_a_run_and_within_it() {
        let mut delivery = Delivery::new([3, 4, 8].map(|position| event(0, position)).into(), 0);
        assert_eq!(delivery.after(0), Next::Hole(2));
        assert_eq!(run(delivery.after(2)), [3, 4]);
        assert_eq!(delivery.after(4), Next::Hole(3));
        assert_eq!(run(delivery.after(7)), [8]);
    }

    #[test]
    fn what_somebody_else_applied_meanwhile_is_dropped() {
        let mut delivery = Delivery::new([1, 2, 3].map(|position| event(0, position)).into(), 0);
        assert_eq!(delivery.after(9), Next::End);
    }

    #[test]
    fn events_of_another_partition_are_not_ours() {
        let mut delivery = Delivery::new(vec![event(1, 1), event(0, 1)], 0);
        let Next::Run(events) = delivery.after(0) else { panic!("no run") };
        assert_eq!(events, [event(0, 1)]);
    }
}
