//! Bad input: requests that must be refused with the right status and change nothing.
//!
//! One variant, one request, one expectation. That nothing changed is not asked here: the books of
//! the wallets would not balance at the end.

use serde_json::{Value, json};

use super::client::Call;
use super::plan::Key;

/// Bodies over 64 KiB are refused; this much padding is over it.
const PADDING: usize = 64 * 1_024;
/// Wallet ids have at most 64 characters; 129 killed an older system.
const LONG_ID: usize = 129;
/// More digits than any decimal type holds.
const HUGE_DIGITS: usize = 60;
/// No wallet of a run comes to this version.
const NEVER_A_VERSION: &str = "\"999999999\"";

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Zero is not an amount.
    ZeroAmount,
    /// Nor is less than zero.
    NegativeAmount,
    /// Three decimals of a currency that has two.
    TooManyDecimals,
    /// Sixty digits.
    HugeAmount,
    /// A word.
    TextAmount,
    /// A list.
    ListAmount,
    /// None at all.
    MissingAmount,
    /// A currency that does not exist.
    UnknownCurrency,
    /// A currency that is not the wallet's.
    OtherCurrency,
    /// A wallet id of 129 characters.
    LongWalletId,
    /// A wallet id with a space.
    SpacedWalletId,
    /// A withdrawal from a wallet that was never opened.
    UnknownWallet,
    /// A transfer to oneself.
    SameWallet,
    /// A body cut in the middle.
    BrokenJson,
    /// JSON said to be text.
    WrongContentType,
    /// A body over the limit.
    OversizedBody,
    /// A precondition on a version that the wallet does not have.
    StaleVersion,
}

impl Flaw {
    /// Every flaw once.
    pub const ALL: [Self; 17] = [
        Self::ZeroAmount,
        Self::NegativeAmount,
        Self::TooManyDecimals,
        Self::HugeAmount,
        Self::TextAmount,
        Self::ListAmount,
        Self::MissingAmount,
        Self::UnknownCurrency,
        Self::OtherCurrency,
        Self::LongWalletId,
        Self::SpacedWalletId,
        Self::UnknownWallet,
        Self::SameWallet,
        Self::BrokenJson,
        Self::WrongContentType,
        Self::OversizedBody,
        Self::StaleVersion,
    ];

    /// The statuses that are right for it, and the problem's code where the contract names one.
    pub fn expects(self) -> (&'static [u16], Option<&'static str>) {
        match self {
            Self::ZeroAmount
            | Self::NegativeAmount
            | Self::TooManyDecimals
            | Self::HugeAmount
            | Self::TextAmount
            | Self::ListAmount
            | Self::MissingAmount
            | Self::LongWalletId
            | Self::SpacedWalletId
            | Self::BrokenJson => (&[400], None),
            // Malformed, or well-formed and not the wallet's: both readings are right.
            Self::UnknownCurrency => (&[400, 422], None),
            Self::OtherCurrency => (&[422], Some("currency-mismatch")),
            Self::UnknownWallet => (&[404], Some("wallet-not-found")),
            Self::SameWallet => (&[422], Some("same-wallet")),
            Self::WrongContentType => (&[415], None),
            Self::OversizedBody => (&[413], None),
            Self::StaleVersion => (&[412], None),
        }
    }
}

/// One request with a flaw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is wrong with it.
    pub flaw: Flaw,
    /// The wallet that it aims at (one that exists) and a key of its own.
    pub key: Key,
}

impl Probe {
    /// The request.
    pub fn call(&self) -> Call {
        let Key { wallet, request_id } = &self.key;
        let deposit = |body: Value| deposit_to(wallet, request_id, body);
        let amount = |text: &str| deposit(json!({ "amount": text }));
        match self.flaw {
            Flaw::ZeroAmount => amount("0.00"),
            Flaw::NegativeAmount => amount("-5.00"),
            Flaw::TooManyDecimals => amount("1.001"),
            Flaw::HugeAmount => amount(&"9".repeat(HUGE_DIGITS)),
            Flaw::TextAmount => amount("twelve"),
            Flaw::ListAmount => deposit(json!({ "amount": ["1.00"] })),
            Flaw::MissingAmount => deposit(json!({})),
            Flaw::UnknownCurrency => deposit(json!({ "amount": "1.00", "currency": "ZZZ" })),
            Flaw::OtherCurrency => deposit(json!({ "amount": "1.00", "currency": "EUR" })),
            Flaw::LongWalletId => {
                deposit_to(&"w".repeat(LONG_ID), request_id, json!({ "amount": "1.00" }))
            }
            Flaw::SpacedWalletId => {
                deposit_to("white%20space", request_id, json!({ "amount": "1.00" }))
            }
            Flaw::UnknownWallet => Call::post(
                format!("/wallets/{wallet}-nobody/withdraw"),
                &json!({ "amount": "1.00", "requestId": request_id }),
            ),
            Flaw::SameWallet => Call::post(
                format!("/wallets/{wallet}/transfer"),
                &json!({ "toWalletId": wallet, "amount": "1.00", "requestId": request_id }),
            ),
            Flaw::BrokenJson => Call {
                body: Some(r#"{"amount": "1.00", "requestId": "#.to_owned()),
                ..amount("1.00")
            },
            Flaw::WrongContentType => Call { content_type: "text/plain", ..amount("1.00") },
            Flaw::OversizedBody => Call {
                // A server may hang up on what it will not read: refused all the same.
                may_hang_up: true,
                ..deposit(json!({ "amount": "1.00", "metadata": { "x": "x".repeat(PADDING) } }))
            },
            Flaw::StaleVersion => amount("1.00").with_header("if-match", NEVER_A_VERSION),
        }
    }
}

fn deposit_to(wallet: &str, request_id: &str, mut body: Value) -> Call {
    body["requestId"] = json!(request_id);
    Call::post(format!("/wallets/{wallet}/deposit"), &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(flaw: Flaw) -> Call {
        let key = Key { wallet: "m-1".into(), request_id: "m-9".into() };
        Probe { flaw, key }.call()
    }

    #[test]
    fn every_flaw_expects_a_refusal_and_has_a_request_of_its_own() {
        let mut requests = Vec::new();
        for flaw in Flaw::ALL {
            let (statuses, _) = flaw.expects();
            assert!(statuses.iter().all(|status| (400..500).contains(status)), "{flaw:?}");
            let request = format!("{:?}", call(flaw));
            assert!(!requests.contains(&request), "{flaw:?}");
            requests.push(request);
        }
    }

    #[test]
    fn every_flaw_but_a_torn_body_carries_a_key() {
        for flaw in Flaw::ALL.into_iter().filter(|flaw| *flaw != Flaw::BrokenJson) {
            assert!(call(flaw).body.unwrap().contains(r#""requestId":"m-9""#), "{flaw:?}");
        }
    }

    #[test]
    fn only_the_oversized_body_is_over_the_limit() {
        for flaw in Flaw::ALL {
            let is_over = call(flaw).body.unwrap().len() > PADDING;
            assert_eq!(is_over, flaw == Flaw::OversizedBody, "{flaw:?}");
        }
    }
}
