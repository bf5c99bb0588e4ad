//! Commands. Each takes the key under which it takes effect once.

use florin_domain::{Currency, Metadata, Owner, Reason, WalletId};
use reqwest::{Method, Url};
use rust_decimal::Decimal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answers::{Answer, Movement, Transfer, Wallet};
use super::key::Key;
use super::problem::CallError;
use super::{Florin, Request};

/// How much of what, and what is attached to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Money {
    /// More than nothing, and in the scale of the currency.
    pub amount: Decimal,
    /// That of the wallet, if it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Kept with the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

impl Money {
    /// An amount in whatever the wallet holds.
    pub fn of(amount: Decimal) -> Self {
        Self { amount, currency: None, metadata: None }
    }
}

/// A wallet that is to be opened. Without a currency it holds US dollars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Opening {
    /// Which.
    pub id: WalletId,
    /// What it will hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// How much of it, from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_balance: Option<Decimal>,
    /// Whom it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Kept with the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

impl Opening {
    /// An empty wallet of nobody's.
    pub fn of(id: WalletId) -> Self {
        Self { id, currency: None, initial_balance: None, owner: None, metadata: None }
    }
}

/// A body and its key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Keyed<'a, B> {
    #[serde(flatten)]
    body: B,
    request_id: &'a Key,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'a> {
    to_wallet_id: &'a WalletId,
    #[serde(flatten)]
    money: &'a Money,
}

#[derive(Serialize)]
struct Because<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a Reason>,
}

impl Florin {
    /// Opens a wallet.
    ///
    /// # Errors
    /// [`CallError`]; `wallet-exists` if there is one of that id.
    pub async fn open(&self, opening: &Opening, key: &Key) -> Result<Answer<Wallet>, CallError> {
        self.command(self.route(&["wallets"])?, opening, key).await
    }

    /// Brings money in from outside.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn deposit(
        &self,
        wallet: &WalletId,
        money: &Money,
        key: &Key,
    ) -> Result<Answer<Movement>, CallError> {
        self.command(self.wallet_route(wallet, &["deposit"])?, money, key).await
    }

    /// Takes money out.
    ///
    /// # Errors
    /// [`CallError`]; `insufficient-funds` if the wallet holds less.
    pub async fn withdraw(
        &self,
        wallet: &WalletId,
        money: &Money,
        key: &Key,
    ) -> Result<Answer<Movement>, CallError> {
        self.command(self.wallet_route(wallet, &["withdraw"])?, money, key).await
    }

    /// Moves money from one wallet to another. The key is the source's.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn transfer(
        &self,
        from: &WalletId,
        to: &WalletId,
        money: &Money,
        key: &Key,
    ) -> Result<Answer<Transfer>, CallError> {
        let body = Sent { to_wallet_id: to, money };
        self.command(self.wallet_route(from, &["transfer"])?, &body, key).await
    }

    /// Stops money from leaving the wallet.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn freeze(
        &self,
        wallet: &WalletId,
        reason: Option<&Reason>,
        key: &Key,
    ) -> Result<Answer<Wallet>, CallError> {
        self.command(self.wallet_route(wallet, &["freeze"])?, &Because { reason }, key).await
    }

    /// Allows it again.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn unfreeze(
        &self,
        wallet: &WalletId,
        reason: Option<&Reason>,
        key: &Key,
    ) -> Result<Answer<Wallet>, CallError> {
        self.command(self.wallet_route(wallet, &["unfreeze"])?, &Because { reason }, key).await
    }

    /// Ends an empty wallet.
    ///
    /// # Errors
    /// [`CallError`]; `wallet-not-empty` if it holds something.
    pub async fn close(
        &self,
        wallet: &WalletId,
        reason: Option<&Reason>,
        key: &Key,
    ) -> Result<Answer<Wallet>, CallError> {
        self.command(self.wallet_route(wallet, &["close"])?, &Because { reason }, key).await
    }

    async fn command<T: DeserializeOwned>(
        &self,
        url: Url,
        body: impl Serialize,
        key: &Key,
    ) -> Result<Answer<T>, CallError> {
        // Written once: each try sends the same bytes.
        let body = serde_json::to_vec(&Keyed { body, request_id: key });
        let body = Some(body.map_err(CallError::Unreadable)?);
        self.call(&Request { method: Method::POST, url, body, at_least: None }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_written_in_the_words_of_the_service() {
        let (bob, key) = ("bob".parse().unwrap(), "order-4711".parse().unwrap());
        let metadata = serde_json::from_str(r#"{"n":7.10}"#).unwrap();
        let money = Money {
            currency: Some("EUR".parse().unwrap()),
            metadata: Some(metadata),
            ..Money::of("12.50".parse().unwrap())
        };
        let body = Sent { to_wallet_id: &bob, money: &money };
        let text = serde_json::to_string(&Keyed { body, request_id: &key }).unwrap();
        let expected = r#"{"toWalletId":"bob","amount":"12.50","currency":"EUR",
            "metadata":{"n":7.10},"requestId":"order-4711"}"#;
        assert_eq!(text, expected.replace("\n            ", ""));
        let text =
            serde_json::to_string(&Keyed { body: Because { reason: None }, request_id: &key });
        assert_eq!(text.unwrap(), r#"{"requestId":"order-4711"}"#);
    }
}
