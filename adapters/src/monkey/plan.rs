//! The plan: what a run will send, drawn from a seed before anything is sent.
//!
//! In: seed, prefix, sizes. Out: the orders that open the pool, and the steps to play on it. The
//! same seed and prefix give the same plan; what the service answers has no part in it, so a run
//! that failed can be played again.
//!
//! | share | step |
//! |---|---|
//! | 10 % | an order sent several times at once (a transfer six times) |
//! | 5 % | an order of earlier in the plan, again |
//! | 3 % | bad input |
//! | 1 % | an order, then its key with another amount |
//! | 1 % | an order under the key of another wallet's: keys belong to their wallet |
//! | rest | an order, once |
//!
//! An order is a deposit, a withdrawal or a transfer, a third each, of 1.00 to 11.00.

use std::fmt;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::flaw::{Flaw, Probe};

/// All money of a run is of one currency, so that one sum must come out.
pub const CURRENCY: &str = "USD";
/// The smallest and the largest amount, in cents.
const AMOUNTS: std::ops::RangeInclusive<i64> = 100..=1_100;
/// Every fourth wallet is left for its first money to open: concurrent first deposits have lost
/// updates elsewhere.
const UNOPENED_EVERY: u16 = 4;
/// A transfer sent six times at once is the case that made money in an older system.
const COPIES_OF_A_TRANSFER: usize = 6;
/// Two or three copies of the rest are enough to contend.
const COPIES: std::ops::RangeInclusive<usize> = 2..=3;

/// An idempotency key as the contract scopes it: it belongs to a wallet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// The wallet in the path, the source of a transfer.
    pub wallet: String,
    /// The client's part.
    pub request_id: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.request_id, self.wallet)
    }
}

/// One money command under its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Under which key.
    pub key: Key,
    /// What to do.
    pub kind: Kind,
    /// With how much; zero only when a wallet is opened empty.
    pub amount: Decimal,
}

/// What an order does to its wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Opens it with the amount as initial balance.
    Open,
    /// Adds to it.
    Deposit,
    /// Takes from it.
    Withdraw,
    /// Moves from it to another wallet.
    Transfer {
        /// The target.
        to: String,
    },
}

/// One entry of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send it.
    Once(Order),
    /// Send so many copies at once.
    AtOnce(Order, usize),
    /// Send an order of earlier in the plan again.
    Again(Order),
    /// Send it, and when it is answered its key with another amount.
    Mismatched(Order),
    /// Send what must be refused.
    Bad(Probe),
}

/// What a run will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Sent first; the steps count on these wallets.
    pub openings: Vec<Order>,
    /// Sent in this order, many at a time.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Draws `requests` steps over `wallets` wallets (at least two).
    pub fn draw(seed: u64, prefix: &str, wallets: u16, requests: u32) -> Self {
        let mut draw =
            Draw { rng: StdRng::seed_from_u64(seed), prefix, wallets, orders: Vec::new() };
        let openings = (0..wallets).filter(|n| is_opened(*n)).map(|n| draw.opening(n)).collect();
        let steps = (0..requests).map(|n| draw.step(n)).collect();
        Self { openings, steps }
    }
}

fn is_opened(wallet: u16) -> bool {
    wallet % UNOPENED_EVERY != UNOPENED_EVERY - 1
}

struct Draw<'a> {
    rng: StdRng,
    prefix: &'a str,
    wallets: u16,
    /// All orders so far, for the steps that come back to one.
    orders: Vec<Order>,
}

impl Draw<'_> {
    fn opening(&mut self, wallet: u16) -> Order {
        let amount = if self.rng.random_ratio(1, 5) { Decimal::ZERO } else { self.amount() };
        let key = self.key(wallet, format!("{}-open-{wallet}", self.prefix));
        Order { key, kind: Kind::Open, amount }
    }

    fn step(&mut self, n: u32) -> Step {
        match self.rng.random_range(0..100) {
            0..10 => {
                let order = self.order(n);
                let copies = match order.kind {
                    Kind::Transfer { .. } => COPIES_OF_A_TRANSFER,
                    Kind::Open | Kind::Deposit | Kind::Withdraw => self.rng.random_range(COPIES),
                };
                Step::AtOnce(order, copies)
            }
            10..15 if !self.orders.is_empty() => {
                let earlier = self.rng.random_range(0..self.orders.len());
                Step::Again(self.orders[earlier].clone())
            }
            15..18 => Step::Bad(self.probe(n)),
            18 => Step::Mismatched(self.order(n)),
            19 => Step::Once(self.order_under_a_shared_key(n)),
            _ => Step::Once(self.order(n)),
        }
    }

    fn order(&mut self, n: u32) -> Order {
        let wallet = self.rng.random_range(0..self.wallets);
        self.order_on(wallet, format!("{}-{n}", self.prefix))
    }

    fn order_on(&mut self, wallet: u16, request_id: String) -> Order {
        let kind = match self.rng.random_range(0..3) {
            0 => Kind::Deposit,
            1 => Kind::Withdraw,
            _ => {
                let other = self.other_than(wallet);
                Kind::Transfer { to: self.wallet(other) }
            }
        };
        let key = self.key(wallet, request_id);
        let order = Order { key, kind, amount: self.amount() };
        self.orders.push(order.clone());
        order
    }

    /// An order on another wallet that has the request id of the order before it. An id is shared
    /// by two wallets at most, so that no wallet meets it twice.
    fn order_under_a_shared_key(&mut self, n: u32) -> Order {
        let wallet = self.rng.random_range(0..self.wallets);
        let id = match &self.orders[..] {
            [.., before, last] if before.key.request_id != last.key.request_id => &last.key,
            [only] => &only.key,
            [] | [.., _, _] => return self.order(n),
        };
        if id.wallet == self.wallet(wallet) {
            return self.order(n);
        }
        self.order_on(wallet, id.request_id.clone())
    }

    fn probe(&mut self, n: u32) -> Probe {
        let flaw = Flaw::ALL[self.rng.random_range(0..Flaw::ALL.len())];
        // The first wallet of each four is an opened one: a probe must not be the first to touch a
        // wallet.
        let wallet = self.rng.random_range(0..self.wallets) / UNOPENED_EVERY * UNOPENED_EVERY;
        Probe { flaw, key: self.key(wallet, format!("{}-{n}", self.prefix)) }
    }

    fn amount(&mut self) -> Decimal {
        Decimal::new(self.rng.random_range(AMOUNTS), 2)
    }

    fn other_than(&mut self, wallet: u16) -> u16 {
        (wallet + self.rng.random_range(1..self.wallets)) % self.wallets
    }

    fn wallet(&self, n: u16) -> String {
        format!("{}-{n}", self.prefix)
    }

    fn key(&self, wallet: u16, request_id: String) -> Key {
        Key { wallet: self.wallet(wallet), request_id }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn plan(seed: u64) -> Plan {
        Plan::draw(seed, "m", 20, 5_000)
    }

    fn orders(plan: &Plan) -> impl Iterator<Item = &Order> {
        plan.openings.iter().chain(plan.steps.iter().filter_map(|step| match step {
            Step::Once(order)
            | Step::AtOnce(order, _)
            | Step::Again(order)
            | Step::Mismatched(order) => Some(order),
            Step::Bad(_) => None,
        }))
    }

    #[test]
    fn the_same_seed_and_prefix_give_the_same_plan() {
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
        assert_ne!(plan(7), Plan::draw(7, "n", 20, 5_000));
    }

    #[test]
    fn a_key_has_one_order() {
        let plan = plan(7);
        let mut by_key = HashMap::new();
        for order in orders(&plan) {
            assert_eq!(by_key.entry(&order.key).or_insert(order), &order);
        }
    }

    #[test]
    fn some_request_ids_are_shared_by_two_wallets() {
        let plan = plan(7);
        let mut wallets = HashMap::<_, Vec<_>>::new();
        for order in orders(&plan) {
            let of_id = wallets.entry(&order.key.request_id).or_default();
            if !of_id.contains(&&order.key.wallet) {
                of_id.push(&order.key.wallet);
            }
        }
        assert!(wallets.values().any(|of_id| of_id.len() == 2));
        assert!(wallets.values().all(|of_id| of_id.len() <= 2));
    }

    #[test]
    fn amounts_are_between_one_and_eleven_and_no_transfer_goes_to_itself() {
        for order in orders(&plan(7)).filter(|order| order.kind != Kind::Open) {
            assert!(order.amount >= Decimal::ONE && order.amount <= Decimal::new(1_100, 2));
            assert_ne!(order.kind, Kind::Transfer { to: order.key.wallet.clone() });
        }
    }

    #[test]
    fn every_kind_of_step_has_its_share() {
        let plan = plan(7);
        let share = |is: fn(&Step) -> bool| plan.steps.iter().filter(|step| is(step)).count();
        let is_near = |found: usize, percent: usize| found.abs_diff(percent * 50) < 100;
        assert!(is_near(share(|step| matches!(step, Step::AtOnce(..))), 10));
        assert!(is_near(share(|step| matches!(step, Step::Again(_))), 5));
        assert!(is_near(share(|step| matches!(step, Step::Bad(_))), 3));
        assert!(is_near(share(|step| matches!(step, Step::Mismatched(_))), 1));
        assert!(share(|step| matches!(step, Step::AtOnce(_, COPIES_OF_A_TRANSFER))) > 100);
    }

    #[test]
    fn bad_input_aims_at_opened_wallets_only() {
        let plan = plan(7);
        for step in &plan.steps {
            if let Step::Bad(probe) = step {
                let aim = &probe.key.wallet;
                assert!(plan.openings.iter().any(|order| order.key.wallet == *aim), "{aim}");
            }
        }
    }

    #[test]
    fn the_smallest_pool_will_do() {
        let plan = Plan::draw(7, "m", 2, 2_000);
        assert_eq!((plan.openings.len(), plan.steps.len()), (2, 2_000));
    }
}
