//! What an order was answered, reduced to what must be the same whenever its key comes again.
//!
//! In: the order and the reply. Out: an [`Answer`]. Reading is strict: an answer that lacks a
//! field, tells of another command, or has another status than the contract allows is
//! [`Answer::Odd`].

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::client::Reply;
use super::plan::{CURRENCY, Kind, Order};

/// Sums of what is below this cannot overflow a `Decimal`, whatever a service answers.
const PLAUSIBLE: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);

/// The outcome of an order as its answer tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Accepted, the money is where it should be.
    Moved(Receipt),
    /// Refused for a reason of the domain; nothing moved.
    Refused(Refusal),
    /// A transfer that left its source, was not taken by its target, and went back.
    Compensated {
        /// The transfer.
        id: String,
    },
    /// Not an answer of the contract.
    Odd {
        /// What is wrong with it.
        why: String,
    },
}

/// An accepted command. What a transfer's answer may leave out is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Of the transaction or transfer; the wallet's when one was opened.
    pub id: String,
    /// Of the order's wallet, after it.
    pub balance: Option<Decimal>,
    /// Of the order's wallet, after it.
    pub version: Option<u64>,
    /// Of the target of a transfer, after it.
    pub target_balance: Option<Decimal>,
    /// Of the target of a transfer, after it.
    pub target_version: Option<u64>,
    /// In the log.
    pub position: Option<u64>,
    /// The slice of the log that the position counts in.
    pub partition: Option<u64>,
}

/// A refused command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// 404 or 422.
    pub status: u16,
    /// Why.
    pub code: String,
    /// The failed transfer on record.
    pub transfer_id: Option<String>,
    /// What the wallet had, if the problem says so.
    pub available: Option<Decimal>,
    /// What was asked of it, if the problem says so.
    pub requested: Option<Decimal>,
}

/// The fields that answers of accepted orders have between them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    transaction_id: Option<String>,
    transfer_id: Option<String>,
    wallet_id: Option<String>,
    from_wallet_id: Option<String>,
    to_wallet_id: Option<String>,
    r#type: Option<String>,
    status: Option<String>,
    amount: Option<Decimal>,
    currency: Option<String>,
    balance: Option<Decimal>,
    from_balance: Option<Decimal>,
    to_balance: Option<Decimal>,
    version: Option<u64>,
    from_version: Option<u64>,
    to_version: Option<u64>,
    position: Option<u64>,
    partition: Option<u64>,
}

impl Answer {
    /// What the reply says about the order. A 202 must have been followed to its end before.
    pub fn read(order: &Order, reply: &Reply) -> Self {
        let read = match reply.status {
            202 if reply.text("status") == "failed" => {
                Ok(Self::Compensated { id: reply.text("transferId").to_owned() })
            }
            201 | 202 => receipt(order, reply).map(Self::Moved),
            404 | 422 => refusal(reply).map(Self::Refused),
            status => Err(format!("status {status} {}", reply.text("code"))),
        };
        read.unwrap_or_else(|why| Self::Odd { why })
    }

    /// Whether both tell of the same outcome. What one of them leaves out does not count.
    pub fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Moved(a), Self::Moved(b)) => {
                a.id == b.id
                    && agree(a.balance, b.balance)
                    && agree(a.version, b.version)
                    && agree(a.target_balance, b.target_balance)
                    && agree(a.target_version, b.target_version)
                    && agree(a.position, b.position)
            }
            (Self::Refused(a), Self::Refused(b)) => {
                (a.status, &a.code) == (b.status, &b.code)
                    && agree(a.transfer_id.as_ref(), b.transfer_id.as_ref())
                    && agree(a.available, b.available)
            }
            // A transfer that failed late may be answered as a refusal from then on.
            (Self::Compensated { id }, Self::Refused(refusal))
            | (Self::Refused(refusal), Self::Compensated { id }) => {
                agree(Some(id), refusal.transfer_id.as_ref())
            }
            (Self::Compensated { id: a }, Self::Compensated { id: b }) => a == b,
            // 400, 409 and 412 are not kept: nothing to compare.
            (Self::Odd { .. }, _) | (_, Self::Odd { .. }) => true,
            (Self::Moved(_), Self::Refused(_) | Self::Compensated { .. })
            | (Self::Refused(_) | Self::Compensated { .. }, Self::Moved(_)) => false,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved(Receipt { id, balance, version, target_balance, position, .. }) => {
                write!(f, "{id}")?;
                tell(f, "balance", balance.as_ref())?;
                tell(f, "version", version.as_ref())?;
                tell(f, "target's balance", target_balance.as_ref())?;
                tell(f, "position", position.as_ref())
            }
            Self::Refused(refusal) => {
                write!(f, "{} {}", refusal.status, refusal.code)?;
                tell(f, "transfer", refusal.transfer_id.as_ref())?;
                tell(f, "available", refusal.available.as_ref())
            }
            Self::Compensated { id } => write!(f, "{id}, which went back"),
            Self::Odd { why } => f.write_str(why),
        }
    }
}

fn tell(f: &mut fmt::Formatter<'_>, what: &str, value: Option<&impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, ", {what} {value}"))
}

/// Whether a transfer is past the point where its status can change.
pub fn is_decided(reply: &Reply) -> bool {
    matches!(reply.text("status"), "completed" | "failed")
}

fn agree<T: PartialEq + Copy>(a: Option<T>, b: Option<T>) -> bool {
    a.is_none() || b.is_none() || a == b
}

fn receipt(order: &Order, reply: &Reply) -> Result<Receipt, String> {
    let fields: Fields = Fields::deserialize(&reply.body).map_err(|error| error.to_string())?;
    if order.kind != Kind::Open {
        expect("amount", fields.amount, order.amount)?;
    }
    expect("currency", fields.currency.as_deref(), CURRENCY)?;
    let receipt = match &order.kind {
        Kind::Open => opened(order, &fields)?,
        Kind::Deposit => transaction(order, "deposit", fields)?,
        Kind::Withdraw => transaction(order, "withdrawal", fields)?,
        Kind::Transfer { to } => transfer(order, to, reply.status, fields)?,
    };
    match receipt.balance.into_iter().chain(receipt.target_balance).find(|b| b.abs() >= PLAUSIBLE) {
        Some(balance) => Err(format!("a balance of {balance}")),
        None => Ok(receipt),
    }
}

fn opened(order: &Order, fields: &Fields) -> Result<Receipt, String> {
    expect("walletId", fields.wallet_id.as_deref(), &order.key.wallet)?;
    expect("balance", fields.balance, order.amount)?;
    Ok(Receipt {
        id: order.key.wallet.clone(),
        balance: fields.balance,
        version: Some(present("version", fields.version)?),
        position: fields.position,
        partition: fields.partition,
        ..Receipt::default()
    })
}

fn transaction(order: &Order, kind: &str, fields: Fields) -> Result<Receipt, String> {
    expect("walletId", fields.wallet_id.as_deref(), &order.key.wallet)?;
    expect("type", fields.r#type.as_deref(), kind)?;
    Ok(Receipt {
        id: present("transactionId", fields.transaction_id)?,
        balance: Some(present("balance", fields.balance)?),
        version: Some(present("version", fields.version)?),
        position: Some(present("position", fields.position)?),
        partition: fields.partition,
        ..Receipt::default()
    })
}

fn transfer(order: &Order, to: &str, status: u16, fields: Fields) -> Result<Receipt, String> {
    expect("fromWalletId", fields.from_wallet_id.as_deref(), &order.key.wallet)?;
    expect("toWalletId", fields.to_wallet_id.as_deref(), to)?;
    expect("status", fields.status.as_deref(), "completed")?;
    if status == 201 {
        present("fromBalance", fields.from_balance)?;
        present("toBalance", fields.to_balance)?;
    }
    Ok(Receipt {
        id: present("transferId", fields.transfer_id)?,
        balance: fields.from_balance,
        version: fields.from_version,
        target_balance: fields.to_balance,
        target_version: fields.to_version,
        position: fields.position,
        partition: fields.partition,
    })
}

fn refusal(reply: &Reply) -> Result<Refusal, String> {
    let code = reply.problem()?.to_owned();
    let amount = |field: &str| reply.text(field).parse().ok();
    Ok(Refusal {
        status: reply.status,
        code,
        transfer_id: reply.body["transferId"].as_str().map(str::to_owned),
        available: amount("available"),
        requested: amount("requested"),
    })
}

fn present<T>(field: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("no {field}"))
}

fn expect<T: PartialEq + Copy + fmt::Debug>(
    field: &str,
    found: Option<T>,
    expected: T,
) -> Result<(), String> {
    match found {
        Some(found) if found == expected => Ok(()),
        found => Err(format!("{field} is {found:?}, not {expected:?}")),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use serde_json::{Value, json};

    use super::*;
    use crate::monkey::plan::Key;

    fn deposit() -> Order {
        let key = Key { wallet: "m-1".into(), request_id: "m-9".into() };
        Order { key, kind: Kind::Deposit, amount: Decimal::new(350, 2) }
    }

    fn accepted() -> Value {
        json!({
            "transactionId": "t-1", "walletId": "m-1", "type": "deposit", "amount": "3.50",
            "currency": "USD", "balance": "10.00", "version": 4, "position": 90, "partition": 0,
            "recordedAt": "2025-01-01T00:00:00Z"
        })
    }

    fn read(status: StatusCode, body: Value) -> Answer {
        Answer::read(&deposit(), &Reply::fake(status, body))
    }

    #[test]
    fn an_accepted_deposit_is_read() {
        let Answer::Moved(receipt) = read(StatusCode::CREATED, accepted()) else { panic!() };
        assert_eq!(receipt.balance, Some(Decimal::new(1_000, 2)));
        assert_eq!((receipt.version, receipt.position), (Some(4), Some(90)));
    }

    #[test]
    fn an_answer_about_another_command_is_odd() {
        for (field, value) in [
            ("amount", json!("3.51")),
            ("amount", json!(3.50)),
            ("walletId", json!("m-2")),
            ("type", json!("withdrawal")),
            ("balance", json!(null)),
            ("balance", json!("79228162514264337593543950335")),
        ] {
            let mut body = accepted();
            body[field] = value;
            assert!(matches!(read(StatusCode::CREATED, body), Answer::Odd { .. }), "{field}");
        }
    }

    #[test]
    fn a_refusal_needs_a_code_and_a_trace_id() {
        let whole = json!({ "code": "insufficient-funds", "traceId": "a", "available": "1.00" });
        let Answer::Refused(refusal) = read(StatusCode::UNPROCESSABLE_ENTITY, whole) else {
            panic!()
        };
        assert_eq!(refusal.available, Some(Decimal::ONE));
        let torn = json!({ "code": "insufficient-funds" });
        assert!(matches!(read(StatusCode::UNPROCESSABLE_ENTITY, torn), Answer::Odd { .. }));
    }

    #[test]
    fn answers_agree_where_both_speak() {
        let whole = read(StatusCode::CREATED, accepted());
        let mut later = accepted();
        later["balance"] = json!("13.50");
        assert!(whole.agrees_with(&whole.clone()));
        assert!(!whole.agrees_with(&read(StatusCode::CREATED, later)));
        let refused = Answer::Refused(Refusal::default());
        assert!(!whole.agrees_with(&refused));
    }
}
