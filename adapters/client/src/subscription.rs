//! Which events a service wants, and under which name.

use std::fmt;
use std::str::FromStr;

use florin_domain::WalletId;
use florin_domain::journal::{EVENT_TYPES, event_type_named};
use thiserror::Error;

/// The longest name of a subscription: it is the name of a consumer in JetStream, too.
pub const MAX_NAME: usize = 64;

/// Why there is no such subscription.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoSubscription {
    /// The name.
    #[error("a subscription's name is 1 to {MAX_NAME} letters, digits, `_` or `-`")]
    Name,
    /// The type of event.
    #[error("`{0}` is no type of event")]
    Type(String),
}

/// The name of a subscription: a durable consumer in JetStream has it, and the rows in which a
/// service saves its positions. One service has one for each thing that it does with events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = NoSubscription;

    fn from_str(text: &str) -> Result<Self, NoSubscription> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let is_name = !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(good);
        if is_name { Ok(Self(text.to_owned())) } else { Err(NoSubscription::Name) }
    }
}

/// What is subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Every event of the ledger.
    All,
    /// Those of one wallet. The legs of its transfers are among them, the transfers' own are not.
    Wallet(WalletId),
    /// Those of one type.
    Type(&'static str),
}

/// A durable subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its name.
    pub name: Name,
    /// To what.
    pub wanted: Wanted,
}

impl Subscription {
    /// To every event of the ledger.
    ///
    /// # Errors
    /// [`NoSubscription::Name`].
    pub fn to_all(name: &str) -> Result<Self, NoSubscription> {
        Ok(Self { name: name.parse()?, wanted: Wanted::All })
    }

    /// To the events of one wallet, whether there is one yet or not.
    ///
    /// # Errors
    /// [`NoSubscription::Name`].
    pub fn to_wallet(name: &str, wallet: WalletId) -> Result<Self, NoSubscription> {
        Ok(Self { name: name.parse()?, wanted: Wanted::Wallet(wallet) })
    }

    /// To the events of one type, such as `FundsDeposited`.
    ///
    /// # Errors
    /// [`NoSubscription`].
    pub fn to_type(name: &str, event_type: &str) -> Result<Self, NoSubscription> {
        let known = EVENT_TYPES.iter().copied().find(|known| *known == event_type);
        let event_type =
            known.ok_or_else(|| NoSubscription::Type(event_type_named(event_type).into_owned()))?;
        Ok(Self { name: name.parse()?, wanted: Wanted::Type(event_type) })
    }
}

impl Wanted {
    /// The subjects of these events; none for all that the stream has. (With a filter, nats-server 2.9
    /// creates a consumer by a walk through all subjects.)
    pub(crate) fn filter(&self) -> String {
        match self {
            Self::All => String::new(),
            Self::Wallet(id) => format!("ledger.*.wallet.{id}.*"),
            Self::Type(event_type) => format!("ledger.*.*.*.{event_type}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_has_a_name_that_jetstream_takes_and_a_type_that_there_is() {
        for name in ["", "a b", "a.b", "a*", &"x".repeat(65)] {
            assert_eq!(Subscription::to_all(name), Err(NoSubscription::Name), "{name:?}");
        }
        let painted = Subscription::to_type("billing", "WalletPainted").unwrap_err();
        assert_eq!(painted.to_string(), "`WalletPainted` is no type of event");
        let deposits = Subscription::to_type("billing", "FundsDeposited").unwrap();
        assert_eq!(deposits.wanted.filter(), "ledger.*.*.*.FundsDeposited");
        let alice = Subscription::to_wallet("billing", "alice".parse().unwrap()).unwrap();
        assert_eq!(alice.wanted.filter(), "ledger.*.wallet.alice.*");
    }
}
