//! Which of what arrives is the next event, which is known already, and where something is missing.
//!
//! | subscription | the next is | so a loss shows |
//! |---|---|---|
//! | to all | the next position of its partition | at the next event of the partition, always |
//! | to a wallet | the next sequence of the wallet | at the next event of the wallet, always |
//! | to a type | any later position, while the deliveries are numbered densely | at the next delivery, if it was lost on its way; not if JetStream lost it in its store |
//!
//! A page of the journal is believed: what it tells of a range is all there is.

use florin_domain::WalletId;

use crate::event::LedgerEvent;
use crate::http::EventPage;
use crate::positions::Positions;
use crate::subscription::Wanted;

/// What an event is that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was there before.
    Repeat,
    /// The next one.
    Next,
    /// Others of its partition are missing before it.
    Gap,
    /// A delivery went missing, of whatever partition; what this one is, is to be asked again when
    /// all have been looked after.
    Lost,
    /// It is not of what was subscribed to.
    Foreign,
}

/// How far a subscription is.
#[derive(Debug)]
pub(crate) struct Order {
    wanted: Wanted,
    positions: Positions,
    /// The wallet's last event, where one is subscribed to and something is known of it.
    sequence: Option<u64>,
    /// The consumer's last delivery.
    delivery: Option<u64>,
}

impl Order {
    pub(crate) fn new(wanted: Wanted, positions: Positions) -> Self {
        Self { wanted, positions, sequence: None, delivery: None }
    }

    pub(crate) fn positions(&self) -> &Positions {
        &self.positions
    }

    /// The deliveries of the consumer go on from there, if it is known.
    pub(crate) fn deliveries_after(&mut self, delivery: Option<u64>) {
        self.delivery = delivery;
    }

    /// What an event is, of a delivery of this number.
    pub(crate) fn judge(&mut self, event: &LedgerEvent, delivery: u64) -> Verdict {
        let at = self.positions.of(event.partition);
        let is_next = match &self.wanted {
            Wanted::All => event.position == at + 1,
            Wanted::Wallet(id) if is_of(event, id) => {
                self.sequence.unwrap_or(0) + 1 == event.sequence
            }
            Wanted::Type(name) if event.event_type == *name => {
                // It may be asked of one twice.
                let last = self.delivery.replace(delivery);
                if !last.is_some_and(|last| (last..=last + 1).contains(&delivery)) {
                    return Verdict::Lost;
                }
                true
            }
            Wanted::Wallet(_) | Wanted::Type(_) => return Verdict::Foreign,
        };
        match (event.position <= at, is_next) {
            (true, _) => Verdict::Repeat,
            (false, true) => Verdict::Next,
            (false, false) => Verdict::Gap,
        }
    }

    /// An event is the next one.
    pub(crate) fn take(&mut self, event: &LedgerEvent) {
        self.positions.advance(event.partition, event.position);
        if matches!(self.wanted, Wanted::Wallet(_)) {
            self.sequence = Some(event.sequence);
        }
    }

    /// Takes a page of the journal after the position there; its events that are news. None if it does
    /// not follow.
    pub(crate) fn take_page(
        &mut self,
        partition: u32,
        page: EventPage,
    ) -> Option<Vec<LedgerEvent>> {
        let after = self.positions.of(partition);
        let (first, last) = (page.events.first(), page.events.last());
        let is_dense = match &self.wanted {
            Wanted::All => {
                let count = page.events.len() as u64;
                first.is_none_or(|event| event.position == after + 1)
                    && page.next_after == after + count
                    && last.is_none_or(|event| event.position == page.next_after)
            }
            Wanted::Wallet(_) | Wanted::Type(_) => page.next_after >= after,
        };
        if !is_dense {
            return None;
        }
        page.events.iter().for_each(|event| self.take(event));
        self.positions.advance(partition, page.next_after);
        Some(page.events)
    }
}

fn is_of(event: &LedgerEvent, wallet: &WalletId) -> bool {
    event.wallet() == Some(wallet)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Fact, Stream};

    const NAMES: [&str; 2] = ["FundsDeposited", "FundsWithdrawn"];

    fn event(position: u64, wallet: usize, name: usize, sequence: u64) -> LedgerEvent {
        LedgerEvent {
            partition: 0,
            position,
            stream: Stream::Wallet(format!("w-{wallet}").parse().unwrap()),
            sequence,
            event_type: NAMES[name].into(),
            event_version: "1.0".to_owned(),
            fact: Fact::Unknown(String::new()),
            balance: None,
            recorded_at: DateTime::UNIX_EPOCH,
            request_id: None,
        }
    }

    /// A journal: so many events of two wallets, and of two types.
    fn journal() -> impl Strategy<Value = Vec<LedgerEvent>> {
        prop::collection::vec((0_usize..2, 0_usize..2), 1..60).prop_map(|events| {
            let mut sequences = BTreeMap::<usize, u64>::new();
            let numbered = (1..).zip(events);
            let recorded = numbered.map(|(position, (wallet, name))| {
                let sequence = sequences.entry(wallet).or_default();
                *sequence += 1;
                event(position, wallet, name, *sequence)
            });
            recorded.collect()
        })
    }

    fn wanted() -> impl Strategy<Value = Wanted> {
        prop_oneof![
            Just(Wanted::All),
            Just(Wanted::Wallet("w-0".parse().unwrap())),
            Just(Wanted::Type("FundsDeposited")),
        ]
    }

    fn is_wanted(event: &LedgerEvent, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::All => true,
            Wanted::Wallet(id) => is_of(event, id),
            Wanted::Type(name) => event.event_type == *name,
        }
    }

    fn page(journal: &[LedgerEvent], wanted: &Wanted, after: u64, limit: usize) -> EventPage {
        let later = journal.iter().filter(|event| event.position > after);
        let of_it = later.filter(|event| is_wanted(event, wanted));
        let events: Vec<_> = of_it.take(limit).cloned().collect();
        let end = journal.len() as u64;
        let full = events.len() == limit;
        let next_after = events.last().filter(|_| full).map_or(end, |event| event.position);
        EventPage { events, next_after, has_more: next_after < end }
    }

    proptest! {
        /// Deliveries are lost, repeated and late; each that goes missing has a number.
        #[test]
        fn whatever_is_delivered_each_event_is_taken_once_and_in_order(
            journal in journal(),
            wanted in wanted(),
            deliveries in prop::collection::vec((0_usize..60, any::<bool>()), 0..120),
            limit in 1_usize..5,
        ) {
            let of_it: Vec<_> =
                journal.iter().filter(|event| is_wanted(event, &wanted)).cloned().collect();
            let mut order = Order::new(wanted.clone(), Positions::default());
            order.deliveries_after(Some(0));
            let mut taken = Vec::new();
            let repair = |order: &mut Order, taken: &mut Vec<_>, up_to: u64| {
                while order.positions().of(0) < up_to {
                    let page = page(&journal, &wanted, order.positions().of(0), limit);
                    taken.extend(order.take_page(0, page).unwrap());
                }
            };
            // A consumer delivers in order; it begins again where it likes, and what is then lost
            // on the way has had a number.
            let (mut place, mut number) = (0, 0);
            for (jump, is_lost) in deliveries {
                place = if jump < 10 { jump.min(place) } else { place };
                let Some(event) = of_it.get(place) else { place = 0; continue };
                place += 1;
                number += 1;
                if is_lost {
                    continue;
                }
                loop {
                    match order.judge(event, number) {
                        Verdict::Next => { order.take(event); taken.push(event.clone()); }
                        Verdict::Gap => repair(&mut order, &mut taken, event.position),
                        Verdict::Lost => {
                            repair(&mut order, &mut taken, event.position);
                            continue;
                        }
                        Verdict::Repeat => {}
                        Verdict::Foreign => prop_assert!(false, "it is wanted"),
                    }
                    break;
                }
            }
            prop_assert_eq!(&taken[..], &of_it[..taken.len()], "in order, without a gap");
            repair(&mut order, &mut taken, journal.len() as u64);
            prop_assert_eq!(taken, of_it);
        }
    }

    #[test]
    fn a_page_that_does_not_follow_is_refused() {
        let mut order = Order::new(Wanted::All, Positions::default());
        let page = |events: Vec<LedgerEvent>, next_after| EventPage {
            events,
            next_after,
            has_more: false,
        };
        assert_eq!(order.take_page(0, page(vec![event(2, 0, 0, 1)], 2)), None);
        assert_eq!(order.take_page(0, page(vec![event(1, 0, 0, 1)], 3)), None);
        assert!(order.take_page(0, page(vec![event(1, 0, 0, 1)], 1)).is_some());
    }

    #[test]
    fn what_was_not_subscribed_to_is_told_apart() {
        let mut order = Order::new(Wanted::Wallet("w-0".parse().unwrap()), Positions::default());
        assert_eq!(order.judge(&event(1, 1, 0, 1), 1), Verdict::Foreign);
    }
}
