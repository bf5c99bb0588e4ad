//! How much a caller may ask for: on for `florin serve`, off for `florin dev`, unless said otherwise.

use std::num::NonZeroU32;

use clap::{Args, ValueEnum};

use crate::http::{Limits, Rate};

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// How much a caller may ask for.
#[derive(Debug, Clone, Args)]
pub struct LimitArgs {
    /// Whether a caller may ask for so much only; not in `florin dev` unless said. A caller is the
    /// subject of a valid token, else an address. Each process counts for itself.
    #[arg(long, env = "FLORIN_RATE_LIMIT", value_name = "MODE")]
    pub rate_limit: Option<Switch>,
    /// How many reads a second a caller may send (GET, HEAD).
    #[arg(
        long,
        env = "FLORIN_READS_PER_SECOND",
        default_value_t = READS_PER_SECOND,
        value_parser = count,
        value_name = "N"
    )]
    pub reads_per_second: NonZeroU32,
    /// How many reads at once after a while without any; those of two seconds unless said.
    #[arg(long, env = "FLORIN_READS_BURST", value_parser = count, value_name = "N")]
    pub reads_burst: Option<NonZeroU32>,
    /// How many writes a second a caller may send (POST); a bulk is as many as it has commands.
    #[arg(
        long,
        env = "FLORIN_WRITES_PER_SECOND",
        default_value_t = WRITES_PER_SECOND,
        value_parser = count,
        value_name = "N"
    )]
    pub writes_per_second: NonZeroU32,
    /// How many writes at once after a while without any; those of two seconds unless said. A bulk of
    /// more is let in, and its caller then waits until the rate has made up for it.
    #[arg(long, env = "FLORIN_WRITES_BURST", value_parser = count, value_name = "N")]
    pub writes_burst: Option<NonZeroU32>,
}

/// What a company's backend reads at its busiest, and some tenth of what the smallest machine answers.
const READS_PER_SECOND: NonZeroU32 = NonZeroU32::new(5_000).unwrap();

/// As many customers of one backend who pay at the same time; some tenth of what the smallest machine
/// takes.
const WRITES_PER_SECOND: NonZeroU32 = NonZeroU32::new(1_000).unwrap();

/// A burst is what comes in as many seconds.
const BURST_SECONDS: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// More than any machine answers; nanoseconds, which the limits count in, have room for it.
const MAX_COUNT: u32 = 1_000_000;

fn count(text: &str) -> Result<NonZeroU32, String> {
    let count = text.parse().ok().filter(|count: &NonZeroU32| count.get() <= MAX_COUNT);
    count.ok_or_else(|| {
        format!("say a number from 1 to {MAX_COUNT}, or --rate-limit=off for no limits at all")
    })
}

impl LimitArgs {
    /// As the server takes them.
    pub fn limits(&self, unless_said: Switch) -> Option<Limits> {
        let rate = |per_second: NonZeroU32, burst: Option<NonZeroU32>| Rate {
            per_second,
            burst: burst.unwrap_or(per_second.saturating_mul(BURST_SECONDS)),
        };
        match self.rate_limit.unwrap_or(unless_said) {
            Switch::Off => None,
            Switch::On => Some(Limits::new(
                rate(self.reads_per_second, self.reads_burst),
                rate(self.writes_per_second, self.writes_burst),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Verb {
        #[command(flatten)]
        limits: LimitArgs,
    }

    fn read(arguments: &[&str]) -> LimitArgs {
        Verb::try_parse_from([&["verb"], arguments].concat()).unwrap().limits
    }

    #[test]
    fn a_verb_decides_unless_it_is_said() {
        for (arguments, unless_said, expected) in [
            (&[][..], Switch::On, true),
            (&[], Switch::Off, false),
            (&["--rate-limit=on"], Switch::Off, true),
            (&["--rate-limit=off"], Switch::On, false),
        ] {
            assert_eq!(read(arguments).limits(unless_said).is_some(), expected, "{arguments:?}");
        }
    }

    #[test]
    fn a_count_is_neither_nothing_nor_beyond_the_clock() {
        assert_eq!(count("1"), Ok(NonZeroU32::MIN));
        assert_eq!(count("1000000").map(NonZeroU32::get), Ok(1_000_000));
        for text in ["0", "1000001", "-1", "1.5", "", "many"] {
            assert!(count(text).unwrap_err().contains("1 to 1000000"), "{text}");
        }
    }
}
