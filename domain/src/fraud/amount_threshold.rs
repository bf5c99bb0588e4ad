//! An amount of money in a file of settings.

use std::collections::BTreeMap;
use std::fmt;

use rust_decimal::Decimal;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::money::{Currency, RequestedAmount};

/// An amount for every currency, and another for some.
///
/// Written as `"10000"` (or `10000`), or as `{ default = "10000", JPY = "1500000" }`. An amount with
/// decimals is a text: a number with a point would have passed through a float.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct AmountThreshold {
    default: Decimal,
    #[serde(flatten)]
    by_currency: BTreeMap<Currency, Decimal>,
}

impl AmountThreshold {
    /// The same amount in every currency.
    pub(super) fn everywhere(default: Decimal) -> Self {
        Self { default, by_currency: BTreeMap::new() }
    }

    /// The amount in a currency.
    pub(super) fn of(&self, currency: Currency) -> Decimal {
        self.by_currency.get(&currency).copied().unwrap_or(self.default)
    }
}

impl<'de> Deserialize<'de> for AmountThreshold {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(ThresholdVisitor)
    }
}

struct ThresholdVisitor;

impl<'de> Visitor<'de> for ThresholdVisitor {
    type Value = AmountThreshold;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount such as \"10000.00\", or a table of one by currency and `default`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<AmountThreshold, E> {
        AmountVisitor.visit_str(text).map(AmountThreshold::everywhere)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<AmountThreshold, E> {
        AmountVisitor.visit_i64(number).map(AmountThreshold::everywhere)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<AmountThreshold, A::Error> {
        let mut default = None;
        let mut by_currency = BTreeMap::new();
        while let Some((key, PlainAmount(amount))) = table.next_entry::<String, PlainAmount>()? {
            if key == "default" {
                default = Some(amount);
            } else {
                let currency = key.parse().map_err(|_| {
                    A::Error::custom(format!("`{key}` is neither `default` nor a currency"))
                })?;
                by_currency.insert(currency, amount);
            }
        }
        let default = default.ok_or_else(|| A::Error::missing_field("default"))?;
        Ok(AmountThreshold { default, by_currency })
    }
}

/// One amount, by the rules of [`RequestedAmount`].
struct PlainAmount(Decimal);

impl<'de> Deserialize<'de> for PlainAmount {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(AmountVisitor).map(Self)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Decimal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount such as \"10000.00\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Decimal, E> {
        text.parse().map(RequestedAmount::value).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Decimal, E> {
        self.visit_str(&number.to_string())
    }
}
