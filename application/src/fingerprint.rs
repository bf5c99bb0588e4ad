//! What makes two requests the same under one key.

use std::fmt::Write as _;

use florin_domain::{Currency, Metadata, RequestedAmount, WalletCommand};
use sha2::{Digest, Sha256};

use crate::command::Command;

/// 128 bits of a sha256 over everything that the client chose. The ids that the ledger makes up are
/// left out, and equal amounts are equal however they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// Of a client's command.
    pub fn of(command: &Command) -> Self {
        let mut text = Text::default();
        match command {
            Command::Wallet { id, id_is_new, command } => {
                text.put(if *id_is_new { "" } else { id.as_str() });
                of_wallet_command(&mut text, command);
            }
            Command::Transfer(transfer) => {
                text.put("transfer").put(transfer.from.as_str()).put(transfer.to.as_str());
                text.money(transfer.amount, transfer.currency, transfer.metadata.as_ref());
            }
        }
        text.digest()
    }

    /// Of an atomic bulk: of its commands in their order.
    pub fn of_all(commands: &[Command]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update("all\0");
        for command in commands {
            hasher.update(Self::of(command).0);
        }
        Self::half(&hasher.finalize().into())
    }

    fn half(hash: &[u8; 32]) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&hash[..16]);
        Self(half)
    }

    /// Of the credit of a transfer: its key says all.
    pub(crate) fn of_credit() -> Self {
        Text::default().put("credit").digest()
    }
}

fn of_wallet_command(text: &mut Text, command: &WalletCommand) {
    let reason = |text: &mut Text, verb, reason: &Option<florin_domain::Reason>| {
        text.put(verb).put(reason.as_ref().map_or("", |reason| reason.as_str()));
    };
    match command {
        WalletCommand::Open(open) => {
            text.put("open").put(open.currency.code());
            text.put(open.owner.as_ref().map_or("", |owner| owner.as_str()));
            text.metadata(open.metadata.as_ref());
            if let Some((_, amount)) = open.initial {
                text.money(amount, None, None);
            }
        }
        WalletCommand::Deposit(deposit) => {
            text.put("deposit").money(deposit.amount, deposit.currency, deposit.metadata.as_ref());
        }
        WalletCommand::Withdraw(withdraw) => {
            text.put("withdraw").money(
                withdraw.amount,
                withdraw.currency,
                withdraw.metadata.as_ref(),
            );
        }
        WalletCommand::Freeze(freeze) => reason(text, "freeze", &freeze.reason),
        WalletCommand::Unfreeze(unfreeze) => reason(text, "unfreeze", &unfreeze.reason),
        WalletCommand::Close(close) => reason(text, "close", &close.reason),
        WalletCommand::Debit(debit) => {
            let _ = write!(text.put("debit").0, "{}\0", debit.transfer_id);
        }
        WalletCommand::Credit(credit) => {
            let _ = write!(text.put("credit").0, "{}\0", credit.transfer_id);
        }
        WalletCommand::Refund(refund) => {
            let _ = write!(text.put("refund").0, "{}\0", refund.transfer_id);
        }
    }
}

/// Fields with a NUL after each: no field holds one.
#[derive(Default)]
struct Text(String);

impl Text {
    fn put(&mut self, field: &str) -> &mut Self {
        self.0.push_str(field);
        self.0.push('\0');
        self
    }

    fn metadata(&mut self, metadata: Option<&Metadata>) {
        if let Some(metadata) = metadata {
            self.put(&metadata.to_string());
        }
    }

    fn money(
        &mut self,
        amount: RequestedAmount,
        currency: Option<Currency>,
        metadata: Option<&Metadata>,
    ) {
        // Writing to a `String` cannot fail.
        let _ = write!(self.0, "{}\0", amount.value());
        self.put(currency.map_or("", Currency::code));
        self.metadata(metadata);
    }

    fn digest(&self) -> Fingerprint {
        Fingerprint::half(&Sha256::digest(self.0.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use florin_domain::wallet::{Deposit, Withdraw};
    use florin_domain::{TransactionId, WalletId};
    use uuid::Uuid;

    use super::*;

    fn deposit(id: &str, amount: &str, transaction: u128, currency: Option<&str>) -> Command {
        Command::Wallet {
            id: id.parse::<WalletId>().unwrap(),
            id_is_new: false,
            command: WalletCommand::Deposit(Deposit {
                transaction_id: TransactionId(Uuid::from_u128(transaction)),
                amount: amount.parse().unwrap(),
                currency: currency.map(|code| code.parse().unwrap()),
                metadata: None,
                opens_unknown: true,
                owner: None,
            }),
        }
    }

    #[test]
    fn the_same_request_has_the_same_fingerprint_however_the_amount_is_written() {
        let first = Fingerprint::of(&deposit("a", "1.50", 1, None));
        assert_eq!(first, Fingerprint::of(&deposit("a", "1.5", 2, None)));
    }

    #[test]
    fn a_bulk_is_its_commands_in_their_order() {
        let (a, b) = (deposit("a", "1", 1, None), deposit("b", "1", 1, None));
        let of = |commands: &[&Command]| {
            let commands: Vec<Command> = commands.iter().map(|one| (*one).clone()).collect();
            Fingerprint::of_all(&commands)
        };
        assert_eq!(of(&[&a, &b]), of(&[&deposit("a", "1.0", 2, None), &b]));
        for other in [&[&b, &a][..], &[&a], &[&a, &b, &b], &[]] {
            assert_ne!(of(&[&a, &b]), of(other), "{other:?}");
        }
        assert_ne!(of(&[&a]), Fingerprint::of(&a), "nor is a bulk of one a single command");
    }

    #[test]
    fn another_request_has_another_fingerprint() {
        let first = Fingerprint::of(&deposit("a", "1.50", 1, None));
        let withdraw = Command::Wallet {
            id: "a".parse().unwrap(),
            id_is_new: false,
            command: WalletCommand::Withdraw(Withdraw {
                transaction_id: TransactionId(Uuid::from_u128(1)),
                amount: "1.5".parse().unwrap(),
                currency: None,
                metadata: None,
            }),
        };
        for other in [
            deposit("b", "1.50", 1, None),
            deposit("a", "1.51", 1, None),
            deposit("a", "1.50", 1, Some("USD")),
            withdraw,
        ] {
            assert_ne!(first, Fingerprint::of(&other), "{other:?}");
        }
    }
}
