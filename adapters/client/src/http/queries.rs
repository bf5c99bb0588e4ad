//! Queries. Each takes the positions that its answer is to be as of at least: those of the answer to
//! a command, for whoever wants to see what that did; `Positions::default()` takes it as it comes.

use florin_domain::{TransferId, WalletId};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;

use super::answers::{Answer, HistoryPage, Stats, Transfer, Wallet, WalletPage};
use super::problem::CallError;
use super::{Florin, Request};
use crate::positions::Positions;

impl Florin {
    /// A wallet.
    ///
    /// # Errors
    /// [`CallError`]; `wallet-not-found` if there is none.
    pub async fn wallet(
        &self,
        id: &WalletId,
        at_least: &Positions,
    ) -> Result<Answer<Wallet>, CallError> {
        self.query(self.wallet_route(id, &[])?, &[], at_least).await
    }

    /// A wallet as the write side has it now, whoever wrote last, without its metadata.
    ///
    /// # Errors
    /// [`CallError`]; `wallet-not-found` if there is none.
    pub async fn wallet_now(&self, id: &WalletId) -> Result<Answer<Wallet>, CallError> {
        let strong = [("consistency", Some("strong"))];
        self.query(self.wallet_route(id, &[])?, &strong, &Positions::default()).await
    }

    /// A page of all wallets, by id: the first, or the one after `cursor`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn wallets(
        &self,
        cursor: Option<&str>,
        limit: u32,
        at_least: &Positions,
    ) -> Result<Answer<WalletPage>, CallError> {
        let limit = limit.to_string();
        let parameters = [("limit", Some(&*limit)), ("cursor", cursor)];
        self.query(self.route(&["wallets"])?, &parameters, at_least).await
    }

    /// A page of what moved a wallet's money, the newest first.
    ///
    /// # Errors
    /// [`CallError`]; `wallet-not-found` if there is none.
    pub async fn history(
        &self,
        id: &WalletId,
        cursor: Option<&str>,
        at_least: &Positions,
    ) -> Result<Answer<HistoryPage>, CallError> {
        self.query(self.wallet_route(id, &["history"])?, &[("cursor", cursor)], at_least).await
    }

    /// What has moved a wallet's money, in sums.
    ///
    /// # Errors
    /// [`CallError`]; `wallet-not-found` if there is none.
    pub async fn stats(
        &self,
        id: &WalletId,
        at_least: &Positions,
    ) -> Result<Answer<Stats>, CallError> {
        self.query(self.wallet_route(id, &["stats"])?, &[], at_least).await
    }

    /// A transfer, as of now.
    ///
    /// # Errors
    /// [`CallError`]; `transfer-not-found` if there is none.
    pub async fn transfer_now(&self, id: TransferId) -> Result<Answer<Transfer>, CallError> {
        let id = id.to_string();
        self.query(self.route(&["transfers", &id])?, &[], &Positions::default()).await
    }

    async fn query<T: DeserializeOwned>(
        &self,
        url: Url,
        parameters: &[(&str, Option<&str>)],
        at_least: &Positions,
    ) -> Result<Answer<T>, CallError> {
        self.call(&get(url, parameters, at_least)).await
    }
}

/// A read.
pub(super) fn get(
    mut url: Url,
    parameters: &[(&str, Option<&str>)],
    at_least: &Positions,
) -> Request {
    let given = parameters.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    let given: Vec<_> = given.collect();
    if !given.is_empty() {
        url.query_pairs_mut().extend_pairs(given);
    }
    let at_least = (!at_least.is_empty()).then(|| at_least.to_string());
    Request { method: Method::GET, url, body: None, at_least }
}
