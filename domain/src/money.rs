//! Money without floats: [`Currency`], [`RequestedAmount`] (positive, as a client wrote it) and
//! [`Amount`] (positive and in the scale of its currency).
//!
//! | step | refuses |
//! |---|---|
//! | text → `RequestedAmount` | not a plain decimal, not positive, beyond [`MAX_AMOUNT`] |
//! | `RequestedAmount` + `Currency` → `Amount` | more decimals than the currency has |
//! | balance ± `Amount` | beyond [`MAX_BALANCE`], below zero |
//!
//! Amounts are decimals with the minor units of ISO 4217 as their scale, so `12.5` USD is kept and
//! shown as `12.50`.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::refusal::Refusal;

/// The most that one command moves: 10^15 units of any currency. With four decimals that is 19
/// digits, so sums of a billion such amounts stay within the 28 digits of a decimal.
pub const MAX_AMOUNT: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0);

/// The most that one wallet holds: 10^18 units, for the same reason.
pub const MAX_BALANCE: Decimal = Decimal::from_parts(2_808_348_672, 232_830_643, 0, false, 0);

/// The longest text that is read as an amount; nothing in bounds is longer.
const MAX_AMOUNT_TEXT: usize = 40;

/// An ISO 4217 currency that has minor units (metals and testing codes have none).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// US dollars: what a wallet holds when nobody says otherwise.
    pub const USD: Self = Self(iso_currency::Currency::USD);

    /// Every currency that a wallet may have.
    pub fn all() -> impl Iterator<Item = Self> {
        let all = <iso_currency::Currency as iso_currency::IntoEnumIterator>::iter();
        all.filter(|currency| currency.exponent().is_some()).map(Self)
    }

    /// How many decimals the currency has: 2 for USD, 0 for JPY, 3 for BHD.
    pub fn decimals(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }

    /// The three-letter code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(code)
            .filter(|currency| currency.exponent().is_some())
            .map(Self)
            .ok_or(MoneyError::NoSuchCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Why a text is not money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// Not digits with at most one point.
    #[error("an amount is a plain decimal such as \"12.50\"")]
    NotADecimal,
    /// Zero or less.
    #[error("an amount is more than zero")]
    NotPositive,
    /// Beyond [`MAX_AMOUNT`].
    #[error("an amount is at most {MAX_AMOUNT}")]
    TooLarge,
    /// Not a code of ISO 4217, or one without minor units.
    #[error("a currency is a three-letter code of ISO 4217 in capitals, such as \"USD\"")]
    NoSuchCurrency,
}

/// A positive amount as a client wrote it; which currency it is in may not be known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedAmount(Decimal);

impl RequestedAmount {
    /// Puts the amount into the scale of a currency.
    ///
    /// # Errors
    /// [`Refusal::TooManyDecimals`] when the currency has fewer decimals than the amount.
    pub fn in_currency(self, currency: Currency) -> Result<Amount, Refusal> {
        let mut value = self.0;
        if value.scale() > currency.decimals() {
            return Err(Refusal::TooManyDecimals { currency, allowed: currency.decimals() });
        }
        value.rescale(currency.decimals());
        Ok(Amount { value, currency })
    }

    /// The number, without trailing zeros: equal amounts are equal here however they were written.
    pub fn value(self) -> Decimal {
        self.0
    }
}

impl FromStr for RequestedAmount {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = !digits.starts_with('.')
            && !digits.ends_with('.')
            && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if !plain || digits.is_empty() {
            return Err(MoneyError::NotADecimal);
        }
        if text.len() > MAX_AMOUNT_TEXT {
            return Err(MoneyError::TooLarge);
        }
        let value = Decimal::from_str_exact(text).map_err(|_| MoneyError::NotADecimal)?.normalize();
        if value <= Decimal::ZERO {
            return Err(MoneyError::NotPositive);
        }
        if value > MAX_AMOUNT {
            return Err(MoneyError::TooLarge);
        }
        Ok(Self(value))
    }
}

/// A positive amount in the scale of its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    value: Decimal,
    currency: Currency,
}

impl Amount {
    /// The amount that an event recorded: it was an `Amount` when the event was decided.
    pub(crate) fn recorded(value: Decimal, currency: Currency) -> Self {
        Self { value, currency }
    }

    /// The number, always positive.
    pub fn value(self) -> Decimal {
        self.value
    }

    /// The currency it is in.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// `balance + self`.
    ///
    /// # Errors
    /// [`Refusal::BalanceLimit`] beyond [`MAX_BALANCE`].
    pub fn added_to(self, balance: Decimal) -> Result<Decimal, Refusal> {
        balance
            .checked_add(self.value)
            .filter(|sum| *sum <= MAX_BALANCE)
            .ok_or(Refusal::BalanceLimit { limit: MAX_BALANCE })
    }

    /// `balance - self`.
    ///
    /// # Errors
    /// [`Refusal::InsufficientFunds`] when that would be below zero.
    pub fn taken_from(self, balance: Decimal) -> Result<Decimal, Refusal> {
        balance.checked_sub(self.value).filter(|rest| *rest >= Decimal::ZERO).ok_or(
            Refusal::InsufficientFunds {
                available: balance,
                requested: self.value,
                currency: self.currency,
            },
        )
    }
}

/// Zero in the scale of a currency: `0.00` for USD.
pub fn zero(currency: Currency) -> Decimal {
    Decimal::new(0, currency.decimals())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RequestedAmount, MoneyError> {
        text.parse()
    }

    #[test]
    fn the_bounds_are_the_numbers_that_their_docs_say() {
        assert_eq!(MAX_AMOUNT.to_string(), "1000000000000000");
        assert_eq!(MAX_BALANCE.to_string(), "1000000000000000000");
    }

    #[test]
    fn an_amount_is_shown_in_the_scale_of_its_currency() {
        for (text, currency, shown) in
            [("12.5", "USD", "12.50"), ("12", "JPY", "12"), ("0.001", "BHD", "0.001")]
        {
            let amount = parse(text).unwrap().in_currency(currency.parse().unwrap()).unwrap();
            assert_eq!(amount.value().to_string(), shown);
        }
    }

    #[test]
    fn trailing_zeros_do_not_count_as_decimals() {
        assert_eq!(parse("1.000").unwrap(), parse("1").unwrap());
        assert!(parse("1.000").unwrap().in_currency(Currency::USD).is_ok());
    }

    #[test]
    fn too_many_decimals_for_the_currency_are_refused() {
        let refusal = parse("1.001").unwrap().in_currency(Currency::USD).unwrap_err();
        assert_eq!(refusal, Refusal::TooManyDecimals { currency: Currency::USD, allowed: 2 });
    }

    #[test]
    fn what_is_not_a_plain_positive_decimal_in_bounds_is_refused() {
        use MoneyError::{NotADecimal, NotPositive, TooLarge};
        for (text, why) in [
            ("", NotADecimal),
            ("-", NotADecimal),
            ("abc", NotADecimal),
            ("1e3", NotADecimal),
            ("1_000", NotADecimal),
            ("+1", NotADecimal),
            (".5", NotADecimal),
            ("5.", NotADecimal),
            ("1.2.3", NotADecimal),
            (" 1", NotADecimal),
            ("0", NotPositive),
            ("0.00", NotPositive),
            ("-1", NotPositive),
            ("1000000000000000.01", TooLarge),
            ("99999999999999999999999999999999999999999", TooLarge),
        ] {
            assert_eq!(parse(text), Err(why), "{text:?}");
        }
        assert!(parse("1000000000000000").is_ok());
    }

    #[test]
    fn a_currency_is_an_iso_code_with_minor_units() {
        assert_eq!("EUR".parse::<Currency>().unwrap().code(), "EUR");
        for code in ["eur", "XAU", "ABC", "", "EURO"] {
            assert_eq!(code.parse::<Currency>(), Err(MoneyError::NoSuchCurrency), "{code:?}");
        }
    }

    #[test]
    fn a_balance_stays_between_zero_and_its_limit() {
        let one = parse("1").unwrap().in_currency(Currency::USD).unwrap();
        assert!(matches!(one.added_to(MAX_BALANCE), Err(Refusal::BalanceLimit { .. })));
        let refusal = one.taken_from(zero(Currency::USD)).unwrap_err();
        assert!(matches!(refusal, Refusal::InsufficientFunds { .. }));
        assert_eq!(one.taken_from(one.value()).unwrap().to_string(), "0.00");
    }
}
