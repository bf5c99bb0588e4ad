//! The fraud rules: a movement of a wallet goes in, alerts come out, and what must be remembered
//! for the next movement is kept in one small value.
//!
//! ```text
//! WalletEvent ─▶ Movement ─observe─▶ WalletHistory ─▶ Alerts
//!                               ▲
//!                            Settings (one file)
//! ```
//!
//! | rule | looks at | alerts when |
//! |---|---|---|
//! | `frequent_withdrawals` | withdrawals | three or more are within 60 s |
//! | `large_outflow` | withdrawals, debits | one is of 10,000 or more |
//! | `rapid_drain` | everything | 90 % of what came in is out again within ten minutes |
//! | `many_receivers` | debits | five or more different receivers are within 60 s |
//! | `round_trip` | credits, debits | money goes back to its sender within ten minutes |
//!
//! | file | holds |
//! |---|---|
//! | `rules` | the list of the rules, and what follows from it: names, settings, history |
//! | one per rule | its thresholds and defaults, what it remembers, when it alerts |
//! | `movement`, `alert` | what goes in and what comes out |
//! | `settings`, `amount_threshold` | the file of thresholds, checked as it is read |
//! | `episode` | when a condition that stays true alerts again |
//! | `seen` | a movement as it is remembered |
//!
//! **Time** is the event's: the rules see when an event was recorded and nothing else, so the same
//! events with the same settings give the same alerts whenever they are read. Two movements are
//! within a window when at most that long lies between them; exactly that long still counts. Other
//! settings may give other alerts for the past, so a change of them asks for a rebuild.
//!
//! **A refund** ([`Kind::Refund`]) is neither money coming in nor money sent back: the transfer
//! failed. It takes its debit back out of what `rapid_drain` counts. An attempt counts elsewhere
//! (whoever is asked to take money is a receiver), and an alert once given stands.
//!
//! **Bounds.** A history remembers at most [`MAX_STATE_BYTES`] of JSON, however many movements a
//! wallet has and whatever the settings are; each movement costs a bounded number of steps. What is
//! lost where a bound is met, and on which side the rule then errs, is said in the rule's file.
//!
//! **Rest.** A wallet that has not moved for longer than the longest window is as one that never
//! moved ([`Settings::window`]), so that whoever folds may forget it.
//!
//! To add a rule: one file with `Settings` (`enabled`, `freeze`, its thresholds, their `check`, its
//! `window_seconds`) and `State` (`observe`), and one line in the list in `rules`.

mod alert;
mod amount_threshold;
mod episode;
mod frequent_withdrawals;
mod large_outflow;
mod many_receivers;
mod movement;
mod rapid_drain;
mod round_trip;
mod rules;
mod seen;
mod settings;

pub use alert::{Alert, MAX_EVIDENCE};
pub use movement::{EventId, Kind, Movement, NotAnEventId};
pub use rules::{MAX_STATE_BYTES, Rule, UnknownRule, WalletHistory};
pub use settings::{Invalid, MAX_COUNT, MAX_WINDOW_SECONDS, Settings};

#[cfg(test)]
mod histories;
#[cfg(test)]
mod testing;
