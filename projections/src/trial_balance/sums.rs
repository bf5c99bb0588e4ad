//! Sums by currency, and how one is led to another.

use std::collections::BTreeMap;

use florin_domain::Currency;
use rust_decimal::Decimal;

use super::{Figures, TrialBalanceError};

/// What the wallets of a currency are, as the model `balance` has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) wallets: i64,
    pub(super) balances: Decimal,
}

/// What has moved in a currency, as the model `stats` has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) deposited: Decimal,
    pub(super) withdrawn: Decimal,
    /// By transfers, without what came back.
    pub(super) sent: Decimal,
    pub(super) received: Decimal,
}

/// Both, or the change of both over a range of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) held: Held,
    pub(super) moved: Moved,
}

/// In which direction a range of events lies from where the sums are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The sums lack it.
    Forth,
    /// The sums have it, and should not.
    Back,
    /// It is not on the way.
    Aside,
}

impl Way {
    /// From a position to another one, over a range that lies before, between or behind them.
    pub(super) fn between(base: u64, wanted: u64, (from, to): (u64, u64)) -> Self {
        if base <= from && to <= wanted {
            Self::Forth
        } else if wanted <= from && to <= base {
            Self::Back
        } else {
            Self::Aside
        }
    }

    fn lead(self, sum: Decimal, change: Decimal) -> Option<Decimal> {
        match self {
            Self::Forth => sum.checked_add(change),
            Self::Back => sum.checked_sub(change),
            Self::Aside => Some(sum),
        }
    }
}

impl Sums {
    fn led(self, change: &Self, [held, moved]: [Way; 2]) -> Option<Self> {
        let (a, b) = (self.moved, change.moved);
        let wallets = match held {
            Way::Forth => self.held.wallets.checked_add(change.held.wallets)?,
            Way::Back => self.held.wallets.checked_sub(change.held.wallets)?,
            Way::Aside => self.held.wallets,
        };
        Some(Self {
            held: Held { wallets, balances: held.lead(self.held.balances, change.held.balances)? },
            moved: Moved {
                deposited: moved.lead(a.deposited, b.deposited)?,
                withdrawn: moved.lead(a.withdrawn, b.withdrawn)?,
                sent: moved.lead(a.sent, b.sent)?,
                received: moved.lead(a.received, b.received)?,
            },
        })
    }

    /// In the scale of the currency: sums of Postgres lose their last zeros.
    fn figures(self, currency: Currency) -> Option<Figures> {
        let Self { held, moved } = self;
        let in_flight = moved.sent.checked_sub(moved.received)?;
        let expected = moved.deposited.checked_sub(moved.withdrawn)?;
        let difference = expected.checked_sub(held.balances)?.checked_sub(in_flight)?;
        let scaled = |mut value: Decimal| {
            value.rescale(currency.decimals());
            value
        };
        Some(Figures {
            currency,
            wallets: u64::try_from(held.wallets).unwrap_or(0),
            balances: scaled(held.balances),
            in_flight: scaled(in_flight),
            deposited: scaled(moved.deposited),
            withdrawn: scaled(moved.withdrawn),
            difference: scaled(difference),
        })
    }
}

/// Sums of every currency that there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ByCurrency(BTreeMap<Currency, Sums>);

impl ByCurrency {
    /// Adds to the sums of a currency.
    pub(super) fn count(
        &mut self,
        currency: Currency,
        change: &Sums,
    ) -> Result<(), TrialBalanceError> {
        self.lead(currency, change, [Way::Forth; 2])
    }

    /// Leads the sums over a range: what the wallets are in one way, what has moved in another.
    pub(super) fn add(&mut self, change: &Self, ways: [Way; 2]) -> Result<(), TrialBalanceError> {
        change.0.iter().try_for_each(|(currency, change)| self.lead(*currency, change, ways))
    }

    fn lead(
        &mut self,
        currency: Currency,
        change: &Sums,
        ways: [Way; 2],
    ) -> Result<(), TrialBalanceError> {
        let sums = self.0.entry(currency).or_default();
        *sums = sums.led(change, ways).ok_or(TrialBalanceError::TooLarge(currency))?;
        Ok(())
    }

    /// The figures of the currencies in which a wallet was opened.
    pub(super) fn figures(&self) -> Result<Vec<Figures>, TrialBalanceError> {
        let is_used = |sums: &Sums| *sums != Sums::default();
        let used = self.0.iter().filter(|(_, sums)| is_used(sums));
        used.map(|(currency, sums)| {
            sums.figures(*currency).ok_or(TrialBalanceError::TooLarge(*currency))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(wallets: i64, balances: i64, deposited: i64) -> Sums {
        Sums {
            held: Held { wallets, balances: balances.into() },
            moved: Moved { deposited: deposited.into(), ..Moved::default() },
        }
    }

    #[test]
    fn a_range_is_added_taken_away_or_left_out() {
        for (base, wanted, range, way) in [
            (0, 9, (0, 9), Way::Forth),
            (3, 9, (3, 5), Way::Forth),
            (3, 9, (0, 3), Way::Aside),
            (3, 9, (9, 12), Way::Aside),
            (9, 3, (5, 9), Way::Back),
            (9, 3, (9, 12), Way::Aside),
            (4, 4, (4, 9), Way::Aside),
        ] {
            assert_eq!(Way::between(base, wanted, range), way, "{base} to {wanted}: {range:?}");
        }
    }

    #[test]
    fn what_is_held_and_what_has_moved_are_led_apart() {
        let mut all = ByCurrency::default();
        all.count(Currency::USD, &sums(2, 70, 100)).unwrap();
        let mut change = ByCurrency::default();
        change.count(Currency::USD, &sums(1, 30, 40)).unwrap();
        all.add(&change, [Way::Forth, Way::Aside]).unwrap();
        assert_eq!(all.0[&Currency::USD], sums(3, 100, 100));
        all.add(&change, [Way::Back, Way::Back]).unwrap();
        assert_eq!(all.0[&Currency::USD], sums(2, 70, 60));
    }

    #[test]
    fn figures_are_in_the_scale_of_their_currency_and_say_what_is_missing() {
        let mut all = ByCurrency::default();
        all.count(Currency::USD, &sums(2, 70, 100)).unwrap();
        all.count("JPY".parse().unwrap(), &Sums::default()).unwrap();
        let figures = all.figures().unwrap();
        assert_eq!(figures.len(), 1, "{figures:?}");
        assert_eq!(figures[0].difference.to_string(), "30.00");
    }

    #[test]
    fn sums_that_pass_what_a_decimal_holds_are_an_error() {
        let mut all = ByCurrency::default();
        let most = Sums { held: Held { wallets: 1, balances: Decimal::MAX }, ..Sums::default() };
        all.count(Currency::USD, &most).unwrap();
        let error = all.count(Currency::USD, &most).unwrap_err();
        assert!(matches!(error, TrialBalanceError::TooLarge(_)), "{error}");
    }
}
