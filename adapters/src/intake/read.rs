//! A message as it came: what it asks for, or why it cannot be understood and what of it is kept.
//!
//! | | kept of what is not understood |
//! |---|---|
//! | `user.signup` | `id`, if it can be the id of a user; nothing else |
//! | `transaction.*` | the fields that are known, if they are texts or numbers and short |
//!
//! No complaint quotes a value. So nothing that this returns has a name or an address of a signup,
//! whatever was sent under whichever subject.

use std::fmt;
use std::str::FromStr;

use florin_domain::ids::MAX_REASON;
use florin_domain::{RequestedAmount, WalletId};
use serde_json::{Map, Value};

use super::contract::{TRANSACTION_COMPLETED, TRANSACTION_FAILED, TransactionKind, USER_SIGNUP};
use crate::http::number::plain;

/// The longest message that is read: a signup has a kilobyte.
pub const MAX_BODY: usize = 64 << 10;

/// The longest id of a transaction: longer than any UUID with a prefix, and with ours before it still a
/// key of the ledger.
pub const MAX_TRANSACTION: usize = 128;

/// The longest value that is kept of a message that is not understood: as long as a reason.
const MAX_KEPT: usize = MAX_REASON;

/// Why a transaction failed, if its message does not say.
const NO_REASON: &str = "the transaction failed";

/// The fields of transactions.
const OF_TRANSACTIONS: [&str; 7] =
    ["transactionId", "type", "userId", "fromUserId", "toUserId", "amount", "reason"];

/// The id of a transaction: 1 to [`MAX_TRANSACTION`] visible ASCII characters, safe in a key and in a
/// header.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TransactionRef(String);

impl TransactionRef {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TransactionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TransactionRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_good = (1..=MAX_TRANSACTION).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        match is_good {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "the id of a transaction is 1 to {MAX_TRANSACTION} visible ASCII characters"
            )),
        }
    }
}

/// What a transaction is to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Who pays; nobody in a top-up.
    pub(super) from: Option<WalletId>,
    /// Who gets it.
    pub(super) to: WalletId,
    pub(super) amount: RequestedAmount,
}

impl Instruction {
    pub(super) fn kind(&self) -> TransactionKind {
        match self.from {
            None => TransactionKind::TopUp,
            Some(_) => TransactionKind::Transfer,
        }
    }

    /// Whose wallets it moves money of.
    pub(super) fn users(&self) -> impl Iterator<Item = &WalletId> {
        self.from.iter().chain([&self.to])
    }
}

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Signup(WalletId),
    Completed(TransactionRef, Instruction),
    Failed { transaction: TransactionRef, kind: Option<TransactionKind>, reason: String },
}

/// A message that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    /// What of it is kept.
    pub(super) kept: Map<String, Value>,
    pub(super) why: String,
}

/// What a message asks for.
///
/// # Errors
/// [`Malformed`], with what may be kept of it.
pub(super) fn read(subject: &str, body: &[u8]) -> Result<Asked, Malformed> {
    let fields = Fields::parse(body).map_err(|why| Malformed { kept: Map::new(), why })?;
    let asked = match subject {
        USER_SIGNUP => fields.wallet("id").map(Asked::Signup),
        TRANSACTION_COMPLETED => fields.completed(),
        TRANSACTION_FAILED => fields.failed(),
        _ => Err("messages of this subject ask for nothing".to_owned()),
    };
    asked.map_err(|why| Malformed { kept: fields.kept(subject), why })
}

/// A JSON object, not yet read. `null` is as absent.
struct Fields(Map<String, Value>);

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, String> {
        if body.len() > MAX_BODY {
            return Err(format!("a message has {MAX_BODY} bytes at most"));
        }
        // What is wrong with the syntax is said by line and column only.
        match serde_json::from_slice(body).map_err(|why| format!("it is no JSON: {why}"))? {
            Value::Object(fields) => Ok(Self(fields)),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Err("it is no JSON object".to_owned()),
        }
    }

    fn completed(&self) -> Result<Asked, String> {
        let transaction = self.parsed("transactionId")?;
        let (from, to) = match self.kind()?.ok_or_else(|| missing("type"))? {
            TransactionKind::TopUp => (None, self.wallet("userId")?),
            TransactionKind::Transfer => {
                (Some(self.wallet("fromUserId")?), self.wallet("toUserId")?)
            }
        };
        Ok(Asked::Completed(transaction, Instruction { from, to, amount: self.amount()? }))
    }

    fn failed(&self) -> Result<Asked, String> {
        let transaction = self.parsed("transactionId")?;
        let reason = self.text("reason")?.map_or_else(|| NO_REASON.to_owned(), one_line);
        Ok(Asked::Failed { transaction, kind: self.kind()?, reason })
    }

    fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(format!("{name} is no text"))
            }
        }
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<T, String> {
        let text = self.text(name)?.ok_or_else(|| missing(name))?;
        text.parse().map_err(|why| format!("{name}: {why}"))
    }

    fn wallet(&self, name: &str) -> Result<WalletId, String> {
        self.parsed(name)
    }

    fn kind(&self) -> Result<Option<TransactionKind>, String> {
        let Some(name) = self.text("type")? else { return Ok(None) };
        let unknown = || "type is neither TopUp nor Transfer".to_owned();
        TransactionKind::named(name).map(Some).ok_or_else(unknown)
    }

    /// A number or a text, read digit by digit.
    fn amount(&self) -> Result<RequestedAmount, String> {
        let text = match self.0.get("amount") {
            None | Some(Value::Null) => return Err(missing("amount")),
            Some(Value::Number(number)) => plain(&number.to_string()).into_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                return Err("amount is neither a number nor a text".to_owned());
            }
        };
        text.parse().map_err(|why| format!("amount: {why}"))
    }

    /// What may be kept of it.
    fn kept(&self, subject: &str) -> Map<String, Value> {
        let mut kept = Map::new();
        if subject == USER_SIGNUP {
            if let Ok(id) = self.wallet("id") {
                kept.insert("id".to_owned(), id.as_str().into());
            }
            return kept;
        }
        let known = OF_TRANSACTIONS.iter().filter_map(|name| Some((*name, self.0.get(*name)?)));
        kept.extend(
            known
                .filter(|(_, value)| is_short(value))
                .map(|(name, value)| (name.to_owned(), value.clone())),
        );
        kept
    }
}

fn missing(name: &str) -> String {
    format!("{name} is missing")
}

/// Whether a value is a text or a number, and short; Postgres keeps no U+0000.
fn is_short(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() <= MAX_KEPT && !text.contains('\0'),
        Value::Number(number) => number.to_string().len() <= MAX_KEPT,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// A reason as it is kept and told: in one line, and no longer than the ledger's own.
fn one_line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = text.chars().take(MAX_REASON).map(printable).collect();
    match line.trim() {
        "" => NO_REASON.to_owned(),
        reason => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::contract::{TransactionCompleted, TransactionFailed, UserSignup};
    use super::*;

    fn message(subject: &str, body: &Value) -> Result<Asked, Malformed> {
        read(subject, body.to_string().as_bytes())
    }

    fn why(subject: &str, body: &Value) -> String {
        message(subject, body).unwrap_err().why
    }

    fn top_up() -> Value {
        json!({ "transactionId": "t-1", "type": "TopUp", "userId": "alice", "amount": 12.5 })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut body = top_up();
        body[name] = value;
        body
    }

    #[test]
    fn messages_of_the_contract_are_understood() {
        let amount = || "12.50".parse().unwrap();
        let (text, key) = (|text: &str| text.to_owned(), || "t-1".parse().unwrap());
        let signup = UserSignup { id: text("alice") };
        let expected = Asked::Signup("alice".parse().unwrap());
        assert_eq!(message(USER_SIGNUP, &json!(signup)), Ok(expected));
        let amount_in = || serde_json::from_str("12.50").unwrap();
        let (transaction_id, user_id) = (text("t-1"), text("alice"));
        let completed =
            TransactionCompleted::TopUp { transaction_id, user_id, amount: amount_in() };
        let to = || "alice".parse().unwrap();
        let expected = Instruction { from: None, to: to(), amount: "12.5".parse().unwrap() };
        assert_eq!(expected.amount, amount());
        let expected = Ok(Asked::Completed(key(), expected));
        assert_eq!(message(TRANSACTION_COMPLETED, &json!(completed)), expected);
        assert_eq!(message(TRANSACTION_COMPLETED, &with("amount", json!("12.5"))), expected);
        let completed = TransactionCompleted::Transfer {
            transaction_id: text("t-1"),
            from_user_id: text("bob"),
            to_user_id: text("alice"),
            amount: amount_in(),
        };
        let from = Some("bob".parse().unwrap());
        let expected = Asked::Completed(key(), Instruction { from, to: to(), amount: amount() });
        assert_eq!(message(TRANSACTION_COMPLETED, &json!(completed)), Ok(expected));
        let kind = Some(TransactionKind::Transfer);
        let failed = TransactionFailed { transaction_id: text("t-1"), kind, reason: None };
        let expected = Asked::Failed { transaction: key(), kind, reason: NO_REASON.to_owned() };
        assert_eq!(message(TRANSACTION_FAILED, &json!(failed)), Ok(expected));
    }

    #[test]
    fn what_is_not_understood_says_why() {
        for (body, expected) in [
            (with("transactionId", Value::Null), "transactionId is missing"),
            (with("transactionId", json!("a b")), "transactionId: the id of a transaction is"),
            (with("transactionId", json!("x".repeat(129))), "transactionId: the id of a"),
            (with("transactionId", json!(7)), "transactionId is no text"),
            (with("type", Value::Null), "type is missing"),
            (with("type", json!("topup")), "type is neither TopUp nor Transfer"),
            (with("userId", json!("a@b")), "userId: a wallet id is"),
            (with("userId", Value::Null), "userId is missing"),
            (with("amount", json!(-1)), "amount: an amount is more than zero"),
            (with("amount", json!("1,5")), "amount: an amount is a plain decimal"),
            (with("amount", json!([1])), "amount is neither a number nor a text"),
            (with("amount", Value::Null), "amount is missing"),
            (with("type", json!("Transfer")), "fromUserId is missing"),
            (json!([]), "it is no JSON object"),
            (json!("alice@example.com"), "it is no JSON object"),
        ] {
            let why = why(TRANSACTION_COMPLETED, &body);
            assert!(why.starts_with(expected), "{why:?} for {body}");
        }
        assert!(read(TRANSACTION_COMPLETED, b"{").unwrap_err().why.starts_with("it is no JSON: "));
        let long = vec![b' '; MAX_BODY + 1];
        assert!(read(USER_SIGNUP, &long).unwrap_err().why.ends_with("bytes at most"));
    }

    #[test]
    fn of_a_signup_the_id_alone_is_kept_and_only_if_it_is_one() {
        let person = "Ada Lovelace <ada@example.com>";
        let kept = |subject, body: Value| {
            let Malformed { kept, why } = message(subject, &body).unwrap_err();
            let text = format!("{why} {}", Value::Object(kept.clone()));
            assert!(!text.contains("Ada") && !text.contains('@'), "{text}");
            Value::Object(kept)
        };
        for id in [json!(person), json!(7), json!([person]), Value::Null] {
            let body = json!({ "id": id, "firstName": person, "email": person });
            assert_eq!(kept(USER_SIGNUP, body), json!({}));
        }
        // Nor where it was sent to the wrong place.
        let body = json!({ "id": "ada", "firstName": person, "email": person });
        assert_eq!(kept(TRANSACTION_COMPLETED, body.clone()), json!({}));
        assert_eq!(kept(TRANSACTION_FAILED, body), json!({}));
        let broken = format!(r#"{{"id":"ada","email":"{person}"#);
        let why = read(USER_SIGNUP, broken.as_bytes()).unwrap_err().why;
        assert!(!why.contains("ada"), "{why}");
    }

    #[test]
    fn of_a_transaction_its_own_fields_are_kept() {
        let body = json!({
            "transactionId": "t-1", "type": "TopUp", "userId": "a b", "amount": "1,5",
            "reason": "x".repeat(MAX_KEPT + 1), "fromUserId": ["a"], "note": "unknown"
        });
        let expected =
            json!({ "transactionId": "t-1", "type": "TopUp", "userId": "a b", "amount": "1,5" });
        let kept = message(TRANSACTION_COMPLETED, &body).unwrap_err().kept;
        assert_eq!(Value::Object(kept), expected);
    }

    #[test]
    fn a_reason_is_one_line_and_no_longer_than_others() {
        let reason = |text: &str| {
            let body = json!({ "transactionId": "t-1", "reason": text });
            match message(TRANSACTION_FAILED, &body).unwrap() {
                Asked::Failed { reason, .. } => reason,
                Asked::Signup(_) | Asked::Completed(..) => unreachable!(),
            }
        };
        assert_eq!(reason(" the card\nwas refused "), "the card was refused");
        assert_eq!(reason("\n"), NO_REASON);
        assert_eq!(reason(&"é".repeat(MAX_REASON + 1)).chars().count(), MAX_REASON);
    }
}
