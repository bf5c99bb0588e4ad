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
mod tally;

pub use args::MonkeyArgs;
