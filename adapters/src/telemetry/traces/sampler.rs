//! Which requests are traced: as their callers say, by chance, or both, by the names that OpenTelemetry has
//! for that (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

use std::str::FromStr;

use clap::ValueEnum;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use thiserror::Error;

/// How it is decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Rule {
    /// As the caller says, and of those that say nothing as many as [`Ratio`] says.
    #[default]
    #[value(name = "parentbased_traceidratio")]
    CallerOrRatio,
    /// As the caller says, and else all.
    #[value(name = "parentbased_always_on")]
    CallerOrAll,
    /// As the caller says, and else none.
    #[value(name = "parentbased_always_off")]
    CallerOrNone,
    /// As many as [`Ratio`] says, whatever callers say. It is left to chance, because a trace's id is
    /// theirs to choose.
    #[value(name = "traceidratio")]
    Ratio,
    /// All.
    #[value(name = "always_on")]
    All,
    /// None.
    #[value(name = "always_off")]
    None,
}

/// What decides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sampler {
    /// How.
    pub rule: Rule,
    /// For those rules that leave it to chance.
    pub ratio: Ratio,
}

impl Sampler {
    /// Whether a request is traced, of which its caller says that, if they say anything.
    pub(super) fn wants(self, caller: Option<bool>) -> bool {
        match self.rule {
            Rule::CallerOrRatio => caller.unwrap_or_else(|| self.ratio.hits()),
            Rule::CallerOrAll => caller.unwrap_or(true),
            Rule::CallerOrNone => caller.unwrap_or(false),
            Rule::Ratio => self.ratio.hits(),
            Rule::All => true,
            Rule::None => false,
        }
    }
}

/// How many of all requests: 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ratio(u64);

/// Not a [`Ratio`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a ratio is a number from 0 (none) to 1 (all), such as 0.01")]
pub struct NoRatio;

impl FromStr for Ratio {
    type Err = NoRatio;

    fn from_str(text: &str) -> Result<Self, NoRatio> {
        let ratio: Decimal = text.parse().map_err(|_| NoRatio)?;
        if ratio < Decimal::ZERO || ratio > Decimal::ONE {
            return Err(NoRatio);
        }
        let bound = (ratio * Decimal::from(u64::MAX)).trunc().to_u64();
        bound.map(Self).ok_or(NoRatio)
    }
}

impl Ratio {
    /// So many of so many times.
    fn hits(self) -> bool {
        self.0 == u64::MAX || rand::random::<u64>() < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_from_none_to_all() {
        assert_eq!("0".parse(), Ok(Ratio(0)));
        assert_eq!("1.0".parse(), Ok(Ratio(u64::MAX)));
        let hundredth: Ratio = "0.01".parse().unwrap();
        assert_eq!(u64::MAX / hundredth.0, 100);
        for bad in ["", "-0.1", "1.1", "many", "NaN"] {
            assert_eq!(bad.parse::<Ratio>(), Err(NoRatio), "{bad}");
        }
    }

    #[test]
    fn all_and_none_leave_nothing_to_chance() {
        assert!((0..1000).all(|_| Ratio(u64::MAX).hits()));
        assert!((0..1000).all(|_| !Ratio(0).hits()));
    }

    #[test]
    fn each_rule_is_that_of_opentelemetry() {
        let (all, none) = (Ratio(u64::MAX), Ratio(0));
        let decisions = |rule, ratio| {
            let sampler = Sampler { rule, ratio };
            [Some(true), Some(false), None].map(|caller| sampler.wants(caller))
        };
        for (rule, with_all, with_none) in [
            (Rule::CallerOrRatio, [true, false, true], [true, false, false]),
            (Rule::CallerOrAll, [true, false, true], [true, false, true]),
            (Rule::CallerOrNone, [true, false, false], [true, false, false]),
            (Rule::Ratio, [true, true, true], [false, false, false]),
            (Rule::All, [true, true, true], [true, true, true]),
            (Rule::None, [false, false, false], [false, false, false]),
        ] {
            assert_eq!(decisions(rule, all), with_all, "{rule:?} of all");
            assert_eq!(decisions(rule, none), with_none, "{rule:?} of none");
        }
    }
}
