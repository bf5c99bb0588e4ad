//! How messages of other services are taken in: off for `florin worker`, on for `florin dev`, unless said
//! otherwise. Whoever may publish there moves money, so that nobody has it without having said so.

use clap::Args;
use florin_domain::{Currency, RequestedAmount};
use rust_decimal::Decimal;
use thiserror::Error;

use super::Switch;
use crate::intake::{Patience, Settings};

/// How messages of other services are taken in.
#[derive(Debug, Clone, Args)]
pub struct IntakeArgs {
    /// Whether signups and transactions of other services are taken in from NATS (the stream INTAKE);
    /// not in `florin worker` unless said. Whoever may publish there moves money.
    #[arg(long, env = "FLORIN_INTAKE", value_name = "MODE")]
    pub intake: Option<Switch>,
    /// What the wallet that a signup opens has at first.
    #[arg(long, env = "FLORIN_INTAKE_INITIAL_BALANCE", default_value = "0", value_name = "AMOUNT")]
    pub intake_initial_balance: String,
    /// The currency of the wallet that a signup opens.
    #[arg(
        long,
        env = "FLORIN_INTAKE_CURRENCY",
        default_value = "USD",
        value_parser = currency,
        value_name = "CODE"
    )]
    pub intake_currency: Currency,
    /// How many messages of other services wait at most; beyond it NATS takes no more, and the sender
    /// is told.
    #[arg(
        long,
        env = "FLORIN_INTAKE_MAX_MESSAGES",
        default_value_t = Settings::MAX_MESSAGES,
        value_parser = clap::value_parser!(i64).range(1..),
        value_name = "N"
    )]
    pub intake_max_messages: i64,
}

/// What wallets open with is no amount.
#[derive(Debug, Error)]
#[error("FLORIN_INTAKE_INITIAL_BALANCE: {0}")]
pub struct InitialError(String);

fn currency(code: &str) -> Result<Currency, String> {
    code.parse().map_err(|why: florin_domain::money::MoneyError| why.to_string())
}

impl IntakeArgs {
    /// As a worker takes them; nothing where no messages are taken in.
    ///
    /// # Errors
    /// [`InitialError`] for what wallets cannot open with.
    pub fn settings(&self, unless_said: Switch) -> Result<Option<Settings>, InitialError> {
        let settings = Settings {
            initial: self.initial()?,
            currency: self.intake_currency,
            max_messages: self.intake_max_messages,
            patience: Patience::USUAL,
        };
        Ok(match self.intake.unwrap_or(unless_said) {
            Switch::On => Some(settings),
            Switch::Off => None,
        })
    }

    fn initial(&self) -> Result<Option<RequestedAmount>, InitialError> {
        let text = &self.intake_initial_balance;
        if text.parse::<Decimal>().is_ok_and(|amount| amount.is_zero()) {
            return Ok(None);
        }
        let wrong = |why: &dyn std::fmt::Display| InitialError(why.to_string());
        let amount: RequestedAmount = text.parse().map_err(|why| wrong(&why))?;
        amount.in_currency(self.intake_currency).map_err(|why| wrong(&why))?;
        Ok(Some(amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(initial: &str, currency: &str) -> IntakeArgs {
        IntakeArgs {
            intake: Some(Switch::On),
            intake_initial_balance: initial.to_owned(),
            intake_currency: currency.parse().unwrap(),
            intake_max_messages: Settings::MAX_MESSAGES,
        }
    }

    #[test]
    fn wallets_open_with_an_amount_of_their_currency_or_with_nothing() {
        let initial = |text, currency| {
            let settings = args(text, currency).settings(Switch::Off)?.unwrap();
            Ok::<_, InitialError>(settings.initial.map(RequestedAmount::value))
        };
        assert_eq!(initial("0.00", "USD").unwrap(), None);
        assert_eq!(initial("10.50", "EUR").unwrap(), Some("10.5".parse().unwrap()));
        for (text, currency) in [("-1", "USD"), ("1.5", "JPY"), ("ten", "USD"), ("", "USD")] {
            let error = initial(text, currency).unwrap_err().to_string();
            assert!(error.starts_with("FLORIN_INTAKE_INITIAL_BALANCE: "), "{error}");
        }
    }

    #[test]
    fn nothing_is_taken_in_where_nobody_has_said_so() {
        let unsaid = IntakeArgs { intake: None, ..args("0", "USD") };
        assert!(unsaid.settings(Switch::Off).unwrap().is_none());
        assert!(unsaid.settings(Switch::On).unwrap().is_some());
    }
}
