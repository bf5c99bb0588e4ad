//! A command as JSON: what a client asked for, with the ids that were made up for it.
//!
//! The form is its own, so that the domain may change without what is queued. Its enums are tagged
//! from outside: inside others, the numbers in metadata would lose their text.

use florin_application::Command;
use florin_application::command::NewTransfer;
use florin_domain::wallet::{Close, Deposit, Freeze, Open, Unfreeze, Withdraw};
use florin_domain::{
    Currency, Metadata, Owner, Reason, RequestedAmount, TransactionId, TransferId, WalletCommand,
    WalletId,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A command of a client.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Stored {
    Open {
        wallet: WalletId,
        /// Whether the id was made up for it.
        id_is_new: bool,
        currency: Currency,
        owner: Option<Owner>,
        metadata: Option<Metadata>,
        initial: Option<(TransactionId, Decimal)>,
    },
    Deposit {
        wallet: WalletId,
        transaction_id: TransactionId,
        amount: Decimal,
        currency: Option<Currency>,
        metadata: Option<Metadata>,
        opens_unknown: bool,
        owner: Option<Owner>,
    },
    Withdraw {
        wallet: WalletId,
        transaction_id: TransactionId,
        amount: Decimal,
        currency: Option<Currency>,
        metadata: Option<Metadata>,
    },
    Transfer {
        transfer_id: TransferId,
        from: WalletId,
        to: WalletId,
        amount: Decimal,
        currency: Option<Currency>,
        metadata: Option<Metadata>,
    },
    Freeze {
        wallet: WalletId,
        reason: Option<Reason>,
    },
    Unfreeze {
        wallet: WalletId,
        reason: Option<Reason>,
    },
    Close {
        wallet: WalletId,
        reason: Option<Reason>,
    },
}

/// A command that no client gives: a leg of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no client gives this command")]
pub(super) struct NoClients;

impl TryFrom<&Command> for Stored {
    type Error = NoClients;

    fn try_from(command: &Command) -> Result<Self, NoClients> {
        match command.clone() {
            Command::Wallet { id, id_is_new, command } => of_wallet(id, id_is_new, command),
            Command::Transfer(NewTransfer {
                transfer_id,
                from,
                to,
                amount,
                currency,
                metadata,
            }) => {
                let amount = amount.value();
                Ok(Self::Transfer { transfer_id, from, to, amount, currency, metadata })
            }
        }
    }
}

fn of_wallet(
    wallet: WalletId,
    id_is_new: bool,
    command: WalletCommand,
) -> Result<Stored, NoClients> {
    Ok(match command {
        WalletCommand::Open(Open { currency, owner, metadata, initial }) => {
            let initial = initial.map(|(id, amount)| (id, amount.value()));
            Stored::Open { wallet, id_is_new, currency, owner, metadata, initial }
        }
        WalletCommand::Deposit(deposit) => {
            let Deposit { transaction_id, amount, currency, metadata, opens_unknown, owner } =
                deposit;
            let amount = amount.value();
            Stored::Deposit {
                wallet,
                transaction_id,
                amount,
                currency,
                metadata,
                opens_unknown,
                owner,
            }
        }
        WalletCommand::Withdraw(Withdraw { transaction_id, amount, currency, metadata }) => {
            let amount = amount.value();
            Stored::Withdraw { wallet, transaction_id, amount, currency, metadata }
        }
        WalletCommand::Freeze(Freeze { reason }) => Stored::Freeze { wallet, reason },
        WalletCommand::Unfreeze(Unfreeze { reason }) => Stored::Unfreeze { wallet, reason },
        // Whether money is in flight, the ledger knows when it decides.
        WalletCommand::Close(Close { reason, in_flight: _ }) => Stored::Close { wallet, reason },
        WalletCommand::Debit(_) | WalletCommand::Credit(_) | WalletCommand::Refund(_) => {
            return Err(NoClients);
        }
    })
}

impl Stored {
    /// What kind of command it is, as `type` in a bulk says it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Deposit { .. } => "deposit",
            Self::Withdraw { .. } => "withdraw",
            Self::Transfer { .. } => "transfer",
            Self::Freeze { .. } => "freeze",
            Self::Unfreeze { .. } => "unfreeze",
            Self::Close { .. } => "close",
        }
    }

    /// The command, if the amount is one.
    pub(super) fn command(self) -> Option<Command> {
        let command = |id, command| Command::Wallet { id, id_is_new: false, command };
        Some(match self {
            Self::Open { wallet, id_is_new, currency, owner, metadata, initial } => {
                let initial = match initial {
                    Some((id, amount)) => Some((id, requested(amount)?)),
                    None => None,
                };
                let command = WalletCommand::Open(Open { currency, owner, metadata, initial });
                Command::Wallet { id: wallet, id_is_new, command }
            }
            Self::Deposit {
                wallet,
                transaction_id,
                amount,
                currency,
                metadata,
                opens_unknown,
                owner,
            } => {
                let amount = requested(amount)?;
                let deposit =
                    Deposit { transaction_id, amount, currency, metadata, opens_unknown, owner };
                command(wallet, WalletCommand::Deposit(deposit))
            }
            Self::Withdraw { wallet, transaction_id, amount, currency, metadata } => {
                let amount = requested(amount)?;
                let withdraw = Withdraw { transaction_id, amount, currency, metadata };
                command(wallet, WalletCommand::Withdraw(withdraw))
            }
            Self::Transfer { transfer_id, from, to, amount, currency, metadata } => {
                let amount = requested(amount)?;
                let transfer = NewTransfer { transfer_id, from, to, amount, currency, metadata };
                Command::Transfer(transfer)
            }
            Self::Freeze { wallet, reason } => {
                command(wallet, WalletCommand::Freeze(Freeze { reason }))
            }
            Self::Unfreeze { wallet, reason } => {
                command(wallet, WalletCommand::Unfreeze(Unfreeze { reason }))
            }
            Self::Close { wallet, reason } => {
                command(wallet, WalletCommand::Close(Close { reason, in_flight: false }))
            }
        })
    }
}

fn requested(amount: Decimal) -> Option<RequestedAmount> {
    amount.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use florin_application::fingerprint::Fingerprint;
    use uuid::Uuid;

    use super::*;

    fn metadata() -> Option<Metadata> {
        let text = r#"{"n":12345678901234567890.10,"deep":{"e":1e400}}"#;
        Some(Metadata::new(serde_json::from_str(text).unwrap()).unwrap())
    }

    fn wallet(command: WalletCommand) -> Command {
        Command::Wallet { id: "w-1".parse().unwrap(), id_is_new: false, command }
    }

    fn all() -> Vec<Command> {
        let transaction_id = TransactionId(Uuid::from_u128(7));
        let amount: RequestedAmount = "12.5".parse().unwrap();
        let (currency, owner) = ("EUR".parse().unwrap(), Some("alice".parse().unwrap()));
        let reason: Option<Reason> = Some("why \"not\"".parse().unwrap());
        vec![
            Command::Wallet {
                id: "w-2".parse().unwrap(),
                id_is_new: true,
                command: WalletCommand::Open(Open {
                    currency,
                    owner: owner.clone(),
                    metadata: metadata(),
                    initial: Some((transaction_id, amount)),
                }),
            },
            wallet(WalletCommand::Deposit(Deposit {
                transaction_id,
                amount,
                currency: Some(currency),
                metadata: metadata(),
                opens_unknown: true,
                owner,
            })),
            wallet(WalletCommand::Withdraw(Withdraw {
                transaction_id,
                amount,
                currency: None,
                metadata: metadata(),
            })),
            Command::Transfer(NewTransfer {
                transfer_id: TransferId(Uuid::from_u128(8)),
                from: "a".parse().unwrap(),
                to: "b".parse().unwrap(),
                amount,
                currency: None,
                metadata: metadata(),
            }),
            wallet(WalletCommand::Freeze(Freeze { reason: reason.clone() })),
            wallet(WalletCommand::Unfreeze(Unfreeze { reason: reason.clone() })),
            wallet(WalletCommand::Close(Close { reason, in_flight: false })),
        ]
    }

    #[test]
    fn a_command_is_read_as_it_was_stored() {
        for command in all() {
            let json = serde_json::to_string(&Stored::try_from(&command).unwrap()).unwrap();
            let again = serde_json::from_str::<Stored>(&json).unwrap().command().unwrap();
            assert_eq!(format!("{again:?}"), format!("{command:?}"), "{json}");
            assert_eq!(Fingerprint::of(&again), Fingerprint::of(&command));
        }
    }

    #[test]
    fn a_leg_of_a_transfer_is_not_stored() {
        let leg = florin_domain::wallet::Refund {
            transfer_id: TransferId(Uuid::nil()),
            to: "b".parse().unwrap(),
            amount: "1".parse::<RequestedAmount>().unwrap().in_currency(Currency::USD).unwrap(),
        };
        assert!(Stored::try_from(&wallet(WalletCommand::Refund(leg))).is_err());
    }
}
