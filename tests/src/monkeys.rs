//! Monkeys that load a service through HTTP while a test does something to it.
//!
//! What a monkey asks for is in its own words: every key answered once and always the same, every
//! balance explained by the answers, the sums to the cent. Afterwards `florin verify` proves the
//! journal.

use std::cell::Cell;
use std::time::Duration;

use florin_adapters::config::BearerArgs;
use florin_adapters::monkey::{self, Counts, MonkeyArgs, Verdict};

use crate::process::run;
use crate::store::eventually;

/// Few, so that requests meet.
const WALLETS: u16 = 20;

/// How much a monkey does.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Steps in its plan.
    pub requests: u32,
    /// Steps in flight at once.
    pub concurrency: u16,
}

/// A calm run: nothing is away, and no 5xx is forgiven.
pub fn calm(url: &str, prefix: &str, effort: Effort) -> MonkeyArgs {
    MonkeyArgs {
        url: url.to_owned(),
        bearer: BearerArgs::default(),
        requests: effort.requests,
        concurrency: effort.concurrency,
        wallets: WALLETS,
        seed: None,
        prefix: Some(prefix.to_owned()),
        max_outage: Duration::from_secs(60),
        expect_no_5xx: true,
        tolerate_outages: false,
        replay: true,
        journal: None,
        verify: None,
        json: false,
    }
}

/// A run in which services come and go.
pub fn rough(url: &str, prefix: &str, effort: Effort) -> MonkeyArgs {
    MonkeyArgs { tolerate_outages: true, ..calm(url, prefix, effort) }
}

/// Fails the test with the whole report unless the run was clean and did something.
#[track_caller]
pub fn expect_clean(verdict: &Verdict) {
    assert!(verdict.is_clean(), "{verdict}");
    let outcomes = &verdict.outcomes;
    let done = [outcomes.opened, outcomes.deposits, outcomes.withdrawals, outcomes.transfers];
    assert!(done.iter().all(|count| *count > 0), "{verdict}");
    assert!(verdict.counts.replayed_keys > 0, "{verdict}");
}

/// How often a request found nobody, or somebody without a database.
pub fn troubles(counts: &Counts) -> u64 {
    counts.away + counts.broken_connections
}

/// Sends one monkey after the other, each on wallets of its own, until `what` is over; none of them
/// may find fault. Returns how often they were in trouble.
pub async fn monkeys_during(args: &MonkeyArgs, what: impl Future<Output = ()>) -> u64 {
    let done = Cell::new(false);
    let what = async {
        what.await;
        done.set(true);
    };
    let monkeys = async {
        let mut in_trouble = 0;
        for lap in 0.. {
            let prefix = args.prefix.as_ref().map(|prefix| format!("{prefix}-{lap}"));
            let verdict = monkey::run(&MonkeyArgs { prefix, ..args.clone() }).await;
            expect_clean(&verdict);
            in_trouble += troubles(&verdict.counts);
            if done.get() {
                break;
            }
        }
        in_trouble
    };
    tokio::join!(what, monkeys).1
}

/// Waits until no transfer is under way, and the journal is proved. What cannot be proved now can
/// not be proved later either, so only the transfers are waited for.
pub async fn expect_verified(database_url: &str) {
    eventually("every transfer ends, and the journal verifies", async || {
        let ran = run(["verify", "--database-url", database_url]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        if ran.out.contains(" verify; 0 transfers are under way.") { Ok(()) } else { Err(ran) }
    })
    .await;
}
