//! A domain's no, as a client reads it: what is wrong, how to mend it, and the numbers.

use florin_application::SubmitError;
use florin_domain::{Refusal, WalletId};

use super::code::Code;
use super::problem::{Member, Problem};

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let code = Code::from(refusal);
        let mend = match refusal {
            Refusal::WalletNotFound => "open it first, or correct the id",
            Refusal::WalletExists => "use it as it is, or choose another id",
            Refusal::WalletFrozen => "unfreeze it first",
            Refusal::WalletClosed => "use another one, a closed wallet stays closed",
            // These two say it themselves.
            Refusal::WalletNotEmpty { .. } | Refusal::TransferInFlight => "",
            Refusal::InsufficientFunds { .. } => "ask for less, or deposit first",
            Refusal::BalanceLimit { .. } => "send less, or to another wallet",
            Refusal::CurrencyMismatch { .. } => "send the amount in the wallet's currency",
            Refusal::TooManyDecimals { .. } => "round the amount",
            Refusal::SameWallet => "name another wallet as the target",
            Refusal::TransferPhase => return Self::internal(),
        };
        let colon = if mend.is_empty() { "" } else { ": " };
        let mut problem = Self::new(code, format!("{}{colon}{mend}.", capitalized(refusal)));
        problem.members = members(refusal);
        problem
    }
}

/// The code of a refusal, for who is told no more than that.
pub(crate) fn code(refusal: &Refusal) -> &'static str {
    Code::from(refusal).as_str()
}

/// The code of why there is no outcome.
pub(crate) fn trouble(error: &SubmitError) -> &'static str {
    Code::from(error).as_str()
}

/// The numbers of a refusal, each by its name in the domain.
fn members(refusal: &Refusal) -> Vec<(&'static str, Member)> {
    let text = |value: &dyn ToString| Member::Text(value.to_string());
    match refusal {
        Refusal::WalletNotFound => vec![("exists", Member::Flag(false))],
        Refusal::WalletNotEmpty { balance } => vec![("balance", text(balance))],
        Refusal::InsufficientFunds { available, requested, currency } => vec![
            ("available", text(available)),
            ("requested", text(requested)),
            ("currency", text(currency)),
        ],
        Refusal::BalanceLimit { limit } => vec![("limit", text(limit))],
        Refusal::CurrencyMismatch { expected, given } => {
            vec![("expected", text(expected)), ("given", text(given))]
        }
        Refusal::TooManyDecimals { currency, allowed } => vec![
            ("currency", text(currency)),
            ("allowedDecimals", Member::Count(u64::from(*allowed))),
        ],
        Refusal::WalletExists
        | Refusal::WalletFrozen
        | Refusal::WalletClosed
        | Refusal::TransferInFlight
        | Refusal::SameWallet
        | Refusal::TransferPhase => vec![],
    }
}

/// The wallet that nobody opened, by name.
pub(super) fn wallet_not_found(id: &WalletId) -> Problem {
    Problem::from(&Refusal::WalletNotFound).with("walletId", Member::Text(id.as_str().to_owned()))
}

fn capitalized(refusal: &Refusal) -> String {
    let mut text = refusal.to_string();
    // The texts of refusals begin with an ASCII letter.
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Reason;

    fn json(refusal: &Refusal) -> String {
        serde_json::to_string(&Reason(Problem::from(refusal))).unwrap()
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_how_to_mend_it() {
        let refusal = Refusal::InsufficientFunds {
            available: "5.00".parse().unwrap(),
            requested: "7.25".parse().unwrap(),
            currency: "USD".parse().unwrap(),
        };
        assert_eq!(
            json(&refusal),
            r#"{"code":"insufficient-funds","detail":"The wallet holds 5.00, which is less than 7.25: ask for less, or deposit first.","available":"5.00","requested":"7.25","currency":"USD"}"#
        );
    }

    #[test]
    fn counts_are_numbers() {
        let refusal = Refusal::TooManyDecimals { currency: "USD".parse().unwrap(), allowed: 2 };
        assert_eq!(
            json(&refusal),
            r#"{"code":"too-many-decimals","detail":"USD has 2 decimals: round the amount.","currency":"USD","allowedDecimals":2}"#
        );
    }

    #[test]
    fn an_unknown_wallet_is_named() {
        let problem = wallet_not_found(&"w-1".parse().unwrap());
        let json = serde_json::to_string(&Reason(problem)).unwrap();
        assert!(json.ends_with(r#""exists":false,"walletId":"w-1"}"#), "{json}");
    }
}
