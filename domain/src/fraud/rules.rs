//! The list of the rules, and what follows from it: their names, their settings, and what is
//! remembered of a wallet.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::alert::Alert;
use super::movement::Movement;
use super::settings::{Invalid, Settings};
use super::{frequent_withdrawals, large_outflow, many_receivers, rapid_drain, round_trip};

/// The most JSON that a history becomes, whatever the settings. A tenth of that is usual; with the
/// default settings and wallet ids of 36 characters it stays below half.
pub const MAX_STATE_BYTES: usize = 8 * 1024;

macro_rules! rules {
    ($($(#[$doc:meta])* $module:ident: $variant:ident = $name:literal,)+) => {
        /// The name of a rule, the same in settings, alerts and subjects.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
            JsonSchema,
        )]
        pub enum Rule {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Rule {
            /// All rules, in the order in which they see a movement.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        /// The settings of each rule.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct Rules {
            $(#[serde(rename = $name)] pub(super) $module: $module::Settings,)+
        }

        impl Rules {
            /// Whether every setting is within its bounds.
            pub(super) fn check(&self) -> Result<(), Invalid> {
                $(self.$module.check().map_err(|wrong| Invalid {
                    rule: Rule::$variant,
                    key: wrong.key,
                    bound: wrong.bound,
                })?;)+
                Ok(())
            }

            /// How far back the enabled rules look.
            pub(super) fn window_seconds(&self) -> u32 {
                let mut longest = 0;
                $(if self.$module.enabled {
                    longest = longest.max(self.$module.window_seconds());
                })+
                longest
            }

            pub(super) fn freezes(&self, rule: Rule) -> bool {
                match rule {
                    $(Rule::$variant => self.$module.freeze,)+
                }
            }
        }

        /// What the rules remember of one wallet; [`Default`] is a wallet that never moved.
        ///
        /// As JSON it holds what the next movement may need and no more: at most
        /// [`MAX_STATE_BYTES`]. A rule that was added since it was stored starts with nothing.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct WalletHistory {
            $(
                #[serde(rename = $name, skip_serializing_if = "is_default")]
                pub(super) $module: $module::State,
            )+
        }

        impl WalletHistory {
            /// Takes the wallet's next movement in, and says which rules alert at it: each at most
            /// once. A rule that is not enabled neither sees it nor remembers anything.
            pub fn observe(&mut self, settings: &Settings, movement: &Movement<'_>) -> Vec<Alert> {
                let rules = settings.rules();
                let mut alerts = vec![];
                $(if rules.$module.enabled {
                    let finding = self.$module.observe(&rules.$module, movement);
                    alerts.extend(finding.map(|found| found.alert(Rule::$variant, movement)));
                } else {
                    self.$module = $module::State::default();
                })+
                alerts
            }
        }
    };
}

rules! {
    /// Three or more withdrawals within a minute.
    frequent_withdrawals: FrequentWithdrawals = "frequentWithdrawals",
    /// One withdrawal or outgoing transfer of 10,000 or more.
    large_outflow: LargeOutflow = "largeOutflow",
    /// Ninety percent of what came in is out again within ten minutes.
    rapid_drain: RapidDrain = "rapidDrain",
    /// Five or more different receivers within a minute.
    many_receivers: ManyReceivers = "manyReceivers",
    /// Money back to its sender within ten minutes.
    round_trip: RoundTrip = "roundTrip",
}

fn is_default<T: Default + PartialEq>(state: &T) -> bool {
    *state == T::default()
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no rule's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("there is no such rule")]
pub struct UnknownRule;

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(name: &str) -> Result<Self, UnknownRule> {
        Self::ALL.iter().copied().find(|rule| rule.as_str() == name).ok_or(UnknownRule)
    }
}
