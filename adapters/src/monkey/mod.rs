//! `florin monkey`: a black-box stress test that anyone can point at a deployment.
//!
//! It knows the HTTP contract and nothing else of the service.
//!
//! ```text
//! seed ─plan→ steps ─client→ service ─answer→ history ─model→ books ─check→ verdict
//! ```
//!
//! | file | |
//! |---|---|
//! | `args` | the command line |
//! | `plan`, `flaw` | what is sent, drawn beforehand from the seed; what must be refused |
//! | `client`, `answer` | HTTP with patience; what a reply says |
//! | `history` | what was sent and answered, in order; `--journal` and `--verify` |
//! | `model`, `check` | the oracle: a pure fold of the history, and the laws that it must obey |
//! | `session` | one run: workers that play the plan, replay it, and read the wallets |
//! | `tally`, `offence`, `verdict` | what is counted, what can be wrong, the report |
//!
//! Every money request carries a key, so an outcome that is unknown (5xx, hang-up, timeout) becomes
//! known by sending it again. A run is clean if every answer is one of the contract, and all of
//! them together and the wallets at the end make sense; how a service does it is not asked.

mod answer;
mod args;
mod check;
mod client;
mod flaw;
mod history;
mod model;
mod offence;
mod plan;
mod session;
mod tally;
mod verdict;

use std::time::Instant;

pub use args::MonkeyArgs;
pub use offence::{Offence, Suspicion};
pub use plan::Key;
pub use tally::Counts;
pub use verdict::{Latency, Outcomes, Verdict};

use plan::Plan;
use session::Session;
use verdict::Title;

/// Plays a plan on the service, or verifies the journal of earlier runs, and judges.
pub async fn run(args: &MonkeyArgs) -> Verdict {
    let started = Instant::now();
    let session = match Session::begin(args) {
        Ok(session) => session,
        Err(why) => return Verdict::not_begun(Title::of(args, None, started), why),
    };
    let plan = if args.verify.is_some() {
        session.settle().await;
        None
    } else {
        let seed = args.seed.unwrap_or_else(rand::random);
        let prefix = args.prefix.clone().unwrap_or_else(fresh_prefix);
        session.play(Plan::draw(seed, &prefix, args.wallets, args.requests)).await;
        Some((seed, prefix))
    };
    let readings = session.readings().await;
    if args.replay || args.verify.is_some() {
        session.replay(&readings).await;
    }
    session.follow_transfers().await;
    session.verdict(&readings, Title::of(args, plan, started))
}

/// Unlike any other run's, so that a ledger with data will do.
fn fresh_prefix() -> String {
    format!("monkey-{:08x}", rand::random::<u32>())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn nowhere() -> MonkeyArgs {
        MonkeyArgs {
            // The discard port: nothing listens.
            bearer: Default::default(),
            url: "http://127.0.0.1:9".to_owned(),
            requests: 10,
            concurrency: 4,
            wallets: 4,
            seed: Some(1),
            prefix: Some("m".to_owned()),
            max_outage: Duration::from_millis(20),
            expect_no_5xx: true,
            tolerate_outages: true,
            replay: true,
            journal: None,
            verify: None,
            json: false,
        }
    }

    #[tokio::test]
    async fn a_service_that_never_answers_is_an_offence_and_not_a_hang() {
        let verdict = tokio::spawn(async { run(&nowhere()).await }).await.unwrap();
        assert!(!verdict.is_clean());
        assert!(matches!(verdict.offences[0], Offence::NoAnswer { .. }), "{verdict}");
        assert!(verdict.counts.broken_connections > 0);
    }

    #[tokio::test]
    async fn a_journal_that_is_not_there_is_an_offence() {
        let args = MonkeyArgs { verify: Some("/nowhere/journal".into()), ..nowhere() };
        let verdict = run(&args).await;
        assert!(matches!(&verdict.offences[..], [Offence::Setup { .. }]), "{verdict}");
        assert_eq!(verdict.json()["clean"], false);
    }
}
