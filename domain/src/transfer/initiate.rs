use super::TransferEvent;
use crate::ids::WalletId;
use crate::metadata::Metadata;
use crate::money::{Amount, Currency, RequestedAmount};
use crate::refusal::Refusal;
use crate::wallet::Wallet;

/// Puts a transfer on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initiate {
    /// The source.
    pub from: WalletId,
    /// The target.
    pub to: WalletId,
    /// How much, in the source's currency.
    pub amount: Amount,
    /// Kept with `TransferInitiated`.
    pub metadata: Option<Metadata>,
}

impl Initiate {
    /// The amount that a request means: in the currency of the source, unless it says another one
    /// (which the debit then refuses).
    ///
    /// # Errors
    /// What leaves no transfer on record: [`Refusal::WalletNotFound`] when the source was never
    /// opened, [`Refusal::TooManyDecimals`] when the request is malformed.
    pub fn amount_from(
        source: &Wallet,
        requested: RequestedAmount,
        meant: Option<Currency>,
    ) -> Result<Amount, Refusal> {
        let own = source.opened()?.currency;
        requested.in_currency(meant.unwrap_or(own))
    }

    pub(super) fn into_event(self) -> TransferEvent {
        let Self { from, to, amount, metadata } = self;
        let (amount, currency) = (amount.value(), amount.currency());
        TransferEvent::TransferInitiated { from, to, amount, currency, metadata }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::testing::{amount, opened, requested};

    #[test]
    fn a_transfer_is_in_the_currency_of_its_source() {
        let mut source = Wallet::default();
        let of = |source: &Wallet, text, code: Option<&str>| {
            Initiate::amount_from(source, requested(text), code.map(|code| code.parse().unwrap()))
        };
        assert_eq!(of(&source, "1", None), Err(Refusal::WalletNotFound));
        source.apply_event(&opened());
        assert_eq!(of(&source, "1.5", None), Ok(amount("1.5", "USD")));
        assert_eq!(of(&source, "1.5", Some("EUR")), Ok(amount("1.5", "EUR")));
        assert!(matches!(of(&source, "1.001", None), Err(Refusal::TooManyDecimals { .. })));
    }
}
