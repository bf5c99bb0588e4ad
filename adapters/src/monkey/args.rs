//! The command line of `florin monkey`, with a bound on everything that could run away.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::BearerArgs;

/// The plan and the history of a run are held in memory.
const MAX_REQUESTS: i64 = 1_000_000;
/// Each step in flight may hold six connections; more than this runs out of file descriptors.
const MAX_CONCURRENCY: i64 = 1_024;
/// A pool beyond this spreads the plan so thin that nothing contends.
const MAX_WALLETS: i64 = 10_000;
/// Leaves room for `-<wallet>-nobody` within the 64 characters of a wallet id.
const MAX_PREFIX_LENGTH: usize = 40;
/// Nobody waits longer than this for one service to come back.
const MAX_OUTAGE: Duration = Duration::from_secs(3_600);

/// Stress a ledger from outside with random money, duplicates, retries and bad input, check every
/// answer against a model, then every balance and the sums.
#[derive(Debug, Clone, clap::Args)]
pub struct MonkeyArgs {
    /// Where the service listens.
    #[arg(long, default_value = "http://127.0.0.1:3000", value_parser = base_url)]
    pub url: String,

    /// Who asks.
    #[command(flatten)]
    pub bearer: BearerArgs,

    /// Steps in the plan; duplicates and retries come on top.
    #[arg(long, default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=MAX_REQUESTS))]
    pub requests: u32,

    /// Steps in flight at once.
    #[arg(long, default_value_t = 100,
          value_parser = clap::value_parser!(u16).range(1..=MAX_CONCURRENCY))]
    pub concurrency: u16,

    /// Wallets in the pool; every fourth is not opened, its first money does that.
    #[arg(long, default_value_t = 20,
          value_parser = clap::value_parser!(u16).range(2..=MAX_WALLETS))]
    pub wallets: u16,

    /// Seed of the plan; random (and printed) if absent. Same seed and prefix, same plan.
    #[arg(long)]
    pub seed: Option<u64>,

    /// Start of every wallet id and key; random if absent, so that a ledger with data will do.
    #[arg(long, value_parser = prefix)]
    pub prefix: Option<String>,

    /// How long one request is tried again (same key) before it is given up: 60s, 500ms, 2m.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub max_outage: Duration,

    /// Count any 5xx as an offence.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, default_missing_value = "true")]
    pub expect_no_5xx: bool,

    /// Accept 502 to 504 and broken connections, for runs in which the service is killed;
    /// the books must still be right at the end.
    #[arg(long)]
    pub tolerate_outages: bool,

    /// After the run, send every key again: same answers, nothing moves.
    #[arg(long)]
    pub replay: bool,

    /// Append every request and its answer to FILE as JSON lines, for a later `--verify`.
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,

    /// Instead of a new run: check the service against the journal of earlier runs, key by key.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["journal", "seed", "prefix"])]
    pub verify: Option<PathBuf>,

    /// Print the verdict as one JSON document.
    #[arg(long)]
    pub json: bool,
}

fn base_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" => Ok(text.trim_end_matches('/').to_owned()),
        other => Err(format!("http or https, not {other}")),
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > MAX_PREFIX_LENGTH || !text.chars().all(plain) {
        return Err(format!("1 to {MAX_PREFIX_LENGTH} of A-Z a-z 0-9 _ -"));
    }
    Ok(text.to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = digits.parse().map_err(|_| "a number with a unit: 60s".to_owned())?;
    let duration = match &text[digits.len()..] {
        "ms" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        "m" => Duration::from_secs(count.saturating_mul(60)),
        unit => return Err(format!("unit ms, s or m, not {unit:?}")),
    };
    if duration > MAX_OUTAGE {
        return Err(format!("at most {}s", MAX_OUTAGE.as_secs()));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        monkey: MonkeyArgs,
    }

    fn parse(line: &str) -> Result<MonkeyArgs, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.monkey)
    }

    #[test]
    fn the_defaults_are_a_thousand_requests_a_hundred_at_a_time() {
        let args = parse("monkey").unwrap();
        assert_eq!((args.requests, args.concurrency, args.wallets), (1_000, 100, 20));
        assert_eq!(args.max_outage, Duration::from_secs(60));
        assert!(args.expect_no_5xx && !args.tolerate_outages && !args.replay);
    }

    #[test]
    fn a_trailing_slash_of_the_url_is_dropped() {
        assert_eq!(parse("monkey --url http://ledger:80/").unwrap().url, "http://ledger:80");
    }

    #[test]
    fn the_check_for_5xx_can_be_switched_off() {
        assert!(!parse("monkey --expect-no-5xx=false").unwrap().expect_no_5xx);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        for line in [
            "monkey --wallets 1",
            "monkey --concurrency 0",
            "monkey --requests 1000001",
            "monkey --prefix a/b",
            "monkey --max-outage 2h",
            "monkey --max-outage 61m",
            "monkey --url ftp://ledger",
            "monkey --verify a --journal b",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
