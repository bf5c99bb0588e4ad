//! The fields of a body, by their names of today and of the older systems.
//!
//! A field is read when a handler takes it, so a field that the handler does not know is ignored,
//! and a wrong one is answered by its own code. `null` is as absent. Amounts come as strings or as
//! numbers and are read from their text.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use florin_application::command::RequestId;
use florin_domain::money::MoneyError;
use florin_domain::{Currency, Metadata, Operator, Owner, Reason, RequestedAmount, WalletId};
use serde::Deserialize;
use serde_json::Value;

use super::code::Code;
use super::number::plain;
use super::problem::Problem;

/// A body, not yet read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Fields {
    amount: Option<Value>,
    balance: Option<Value>,
    by: Option<Value>,
    client_transaction_id: Option<Value>,
    currency: Option<Value>,
    from_wallet_id: Option<Value>,
    id: Option<Value>,
    initial_balance: Option<Value>,
    metadata: Option<Value>,
    owner: Option<Value>,
    reason: Option<Value>,
    receiver_wallet_id: Option<Value>,
    request_id: Option<Value>,
    sender_wallet_id: Option<Value>,
    to_wallet_id: Option<Value>,
    #[serde(rename = "type")]
    kind: Option<Value>,
    wallet_id: Option<Value>,
}

impl Fields {
    /// A JSON object, or nothing at all: `null` is nothing, too.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        if matches!(body.trim_ascii(), b"" | b"null") {
            return Ok(Self::default());
        }
        object("The body", body)
    }

    /// What a command of a bulk is.
    pub(super) fn kind(&mut self) -> Result<String, Problem> {
        let value = self.kind.take().ok_or_else(|| missing("type"))?;
        text(&value, "type", Code::InvalidCommandType)
    }

    /// The wallet of a command of a bulk, where it must be named.
    pub(super) fn wallet(&mut self) -> Result<WalletId, Problem> {
        let value = self.wallet_id.take().ok_or_else(|| missing("walletId"))?;
        text(&value, "walletId", Code::InvalidWalletId)
    }

    /// The wallet that a command of a bulk opens: `walletId` or `id`.
    pub(super) fn opened(&mut self) -> Result<Option<WalletId>, Problem> {
        let (ours, route) = (self.wallet_id.take(), self.id.take());
        let found = either(("walletId", ours), ("id", route))?;
        found.map(|(name, value)| text(&value, name, Code::InvalidWalletId)).transpose()
    }

    /// The source of a transfer of a bulk: `walletId`, or as [`Self::source`].
    pub(super) fn paying(&mut self) -> Result<WalletId, Problem> {
        if self.wallet_id.is_none() {
            return self.source();
        }
        let (ours, theirs) = (self.from_wallet_id.take(), self.sender_wallet_id.take());
        either(("walletId", self.wallet_id.clone()), ("fromWalletId", ours.or(theirs)))?;
        self.wallet()
    }

    pub(super) fn amount(&mut self) -> Result<RequestedAmount, Problem> {
        let value = self.amount.take().ok_or_else(|| missing("amount"))?;
        digits(&value)
            .parse()
            .map_err(|why: MoneyError| Problem::of_field(Code::InvalidAmount, "amount", why))
    }

    /// `initialBalance` or `balance`; zero is none.
    pub(super) fn initial_balance(&mut self) -> Result<Option<RequestedAmount>, Problem> {
        let (ours, theirs) = (self.initial_balance.take(), self.balance.take());
        let Some((name, value)) = either(("initialBalance", ours), ("balance", theirs))? else {
            return Ok(None);
        };
        let digits = digits(&value);
        match digits.parse() {
            Ok(amount) => Ok(Some(amount)),
            Err(MoneyError::NotPositive) if !digits.starts_with('-') => Ok(None),
            Err(why) => Err(Problem::of_field(Code::InvalidAmount, name, why)),
        }
    }

    pub(super) fn currency(&mut self) -> Result<Option<Currency>, Problem> {
        optional(self.currency.take(), "currency", Code::InvalidCurrency)
    }

    pub(super) fn owner(&mut self) -> Result<Option<Owner>, Problem> {
        optional(self.owner.take(), "owner", Code::InvalidOwner)
    }

    /// Who decides.
    pub(super) fn by(&mut self) -> Result<Operator, Problem> {
        let value = self.by.take().ok_or_else(|| missing("by"))?;
        text(&value, "by", Code::InvalidOperator)
    }

    /// The reason, where one must be given.
    pub(super) fn given_reason(&mut self) -> Result<Reason, Problem> {
        self.reason()?.ok_or_else(|| missing("reason"))
    }

    pub(super) fn reason(&mut self) -> Result<Option<Reason>, Problem> {
        optional(self.reason.take(), "reason", Code::InvalidReason)
    }

    pub(super) fn metadata(&mut self) -> Result<Option<Metadata>, Problem> {
        let invalid = |why: &dyn Display| Problem::of_field(Code::InvalidMetadata, "metadata", why);
        let Some(value) = self.metadata.take() else {
            return Ok(None);
        };
        let Value::Object(object) = value else {
            return Err(invalid(&"metadata is a JSON object"));
        };
        Metadata::new(object).map(Some).map_err(|why| invalid(&why))
    }

    pub(super) fn id(&mut self) -> Result<Option<WalletId>, Problem> {
        optional(self.id.take(), "id", Code::InvalidWalletId)
    }

    /// `fromWalletId` or `senderWalletId`.
    pub(super) fn source(&mut self) -> Result<WalletId, Problem> {
        let (ours, theirs) = (self.from_wallet_id.take(), self.sender_wallet_id.take());
        let found = either(("fromWalletId", ours), ("senderWalletId", theirs))?;
        let (name, value) = found.ok_or_else(|| missing("fromWalletId"))?;
        text(&value, name, Code::InvalidWalletId)
    }

    /// `toWalletId` or `receiverWalletId`.
    pub(super) fn target(&mut self) -> Result<WalletId, Problem> {
        let (ours, theirs) = (self.to_wallet_id.take(), self.receiver_wallet_id.take());
        let found = either(("toWalletId", ours), ("receiverWalletId", theirs))?;
        let (name, value) = found.ok_or_else(|| missing("toWalletId"))?;
        text(&value, name, Code::InvalidWalletId)
    }

    /// `requestId` and `clientTransactionId`: the same key by two names.
    pub(super) fn request_ids(&mut self) -> Result<[Option<RequestId>; 2], Problem> {
        request_ids(self.request_id.take(), self.client_transaction_id.take())
    }
}

/// A JSON object: the body, or what else it is by name.
pub(super) fn object<'a, T: Deserialize<'a>>(what: &str, text: &'a [u8]) -> Result<T, Problem> {
    let text = text.trim_ascii();
    // serde would read the fields from an array, too, by their order.
    if !text.starts_with(b"{") {
        let why = format!("{what} is a JSON object: send {{…}}.");
        return Err(Problem::new(Code::MalformedJson, why));
    }
    serde_json::from_slice(text)
        .map_err(|error| Problem::new(Code::MalformedJson, format!("Not JSON: {error}.")))
}

/// The same key by its two names.
pub(super) fn request_ids(
    request_id: Option<Value>,
    client_transaction_id: Option<Value>,
) -> Result<[Option<RequestId>; 2], Problem> {
    let code = Code::InvalidRequestId;
    Ok([
        optional(request_id, "requestId", code)?,
        optional(client_transaction_id, "clientTransactionId", code)?,
    ])
}

/// The text of an amount; what is neither a string nor a number has none.
fn digits(value: &Value) -> Cow<'_, str> {
    let number = || value.as_number().map(|number| plain(number.as_str()));
    value.as_str().map(Cow::Borrowed).or_else(number).unwrap_or_default()
}

fn text<T: FromStr<Err: Display>>(
    value: &Value,
    field: &'static str,
    code: Code,
) -> Result<T, Problem> {
    let text = value
        .as_str()
        .ok_or_else(|| Problem::of_field(code, field, "it is sent as a JSON string"))?;
    text.parse().map_err(|why| Problem::of_field(code, field, why))
}

fn optional<T: FromStr<Err: Display>>(
    value: Option<Value>,
    field: &'static str,
    code: Code,
) -> Result<Option<T>, Problem> {
    value.map(|value| text(&value, field, code)).transpose()
}

type Named = (&'static str, Option<Value>);

/// The one of two names that was sent.
fn either(ours: Named, theirs: Named) -> Result<Option<(&'static str, Value)>, Problem> {
    match (ours, theirs) {
        ((ours, Some(_)), (theirs, Some(_))) => Err(Problem::new(
            Code::ConflictingFields,
            format!("`{ours}` and `{theirs}` are two names of one field: send one of them."),
        )),
        ((name, Some(value)), (_, None)) | ((_, None), (name, Some(value))) => {
            Ok(Some((name, value)))
        }
        ((_, None), (_, None)) => Ok(None),
    }
}

pub(super) fn missing(field: &'static str) -> Problem {
    Problem::of_field(Code::MissingField, field, "this field is required")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::parse(body.as_bytes()).unwrap()
    }

    fn code<T>(result: Result<T, Problem>) -> Code {
        result.err().unwrap().code
    }

    #[test]
    fn an_amount_is_read_from_its_text_be_it_a_string_or_a_number() {
        for (sent, expected) in [
            (r#""12.50""#, "12.5"),
            ("12.50", "12.5"),
            ("0.1", "0.1"),
            ("12345678901234567.89e-3", "12345678901234.56789"),
            ("999999999999999.0123456789", "999999999999999.0123456789"),
            ("1e3", "1000"),
            ("1.2345678E7", "12345678"),
        ] {
            let mut fields = fields(&format!(r#"{{"amount":{sent}}}"#));
            let amount = fields.amount().unwrap().value();
            assert_eq!(amount.to_string(), expected, "{sent}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for sent in [
            "0",
            "-1",
            "-0",
            "1e400",
            "1e-400",
            "12345678901234567.89",
            r#""1e3""#,
            r#""abc""#,
            r#""""#,
            "true",
            "[1]",
            "{}",
        ] {
            let mut fields = fields(&format!(r#"{{"amount":{sent}}}"#));
            assert_eq!(code(fields.amount()), Code::InvalidAmount, "{sent}");
        }
        for absent in ["", " ", "null", "{}", r#"{"amount":null}"#] {
            assert_eq!(code(fields(absent).amount()), Code::MissingField);
        }
    }

    #[test]
    fn an_initial_balance_of_zero_is_none() {
        for none in ["0", "0.00", r#""0""#, "null"] {
            let mut fields = fields(&format!(r#"{{"initialBalance":{none}}}"#));
            assert!(fields.initial_balance().unwrap().is_none(), "{none}");
        }
        let mut negative = fields(r#"{"initialBalance":-1}"#);
        assert_eq!(code(negative.initial_balance()), Code::InvalidAmount);
    }

    #[test]
    fn the_names_of_the_older_systems_are_understood() {
        let mut fields = fields(
            r#"{"balance":5,"senderWalletId":"a","receiverWalletId":"b","clientTransactionId":"k"}"#,
        );
        assert_eq!(fields.initial_balance().unwrap().unwrap().value(), 5.into());
        assert_eq!(fields.source().unwrap().as_str(), "a");
        assert_eq!(fields.target().unwrap().as_str(), "b");
        let [ours, theirs] = fields.request_ids().unwrap();
        assert_eq!((ours, theirs), (None, Some("k".parse().unwrap())));
    }

    #[test]
    fn two_names_of_one_field_conflict() {
        let mut fields = fields(
            r#"{"balance":5,"initialBalance":5,"senderWalletId":"a","fromWalletId":"a",
                "toWalletId":"b","receiverWalletId":"b"}"#,
        );
        assert_eq!(code(fields.initial_balance()), Code::ConflictingFields);
        assert_eq!(code(fields.source()), Code::ConflictingFields);
        assert_eq!(code(fields.target()), Code::ConflictingFields);
    }

    #[test]
    fn every_field_has_its_code() {
        let mut wrong = fields(
            r#"{"id":"a b","fromWalletId":7,"toWalletId":"","currency":"usd","owner":"",
                "reason":"a\nb","metadata":[],"requestId":7,"by":""}"#,
        );
        assert_eq!(code(wrong.id()), Code::InvalidWalletId);
        assert_eq!(code(wrong.source()), Code::InvalidWalletId);
        assert_eq!(code(wrong.target()), Code::InvalidWalletId);
        assert_eq!(code(wrong.currency()), Code::InvalidCurrency);
        assert_eq!(code(wrong.owner()), Code::InvalidOwner);
        assert_eq!(code(wrong.reason()), Code::InvalidReason);
        assert_eq!(code(wrong.metadata()), Code::InvalidMetadata);
        assert_eq!(code(wrong.request_ids()), Code::InvalidRequestId);
        assert_eq!(code(wrong.by()), Code::InvalidOperator);
        assert_eq!(code(wrong.by()), Code::MissingField);
        assert_eq!(code(wrong.given_reason()), Code::MissingField);
        let mut large = fields(&format!(r#"{{"metadata":{{"a":"{}"}}}}"#, "x".repeat(4096)));
        assert_eq!(code(large.metadata()), Code::InvalidMetadata);
    }

    #[test]
    fn metadata_keeps_the_text_of_its_numbers() {
        let mut fields = fields(r#"{"metadata":{"n":12345678901234567890.10}}"#);
        let metadata = fields.metadata().unwrap().unwrap();
        assert_eq!(metadata.to_string(), r#"{"n":12345678901234567890.10}"#);
    }

    #[test]
    fn a_body_is_a_json_object() {
        for bad in ["[\"1\"]", "1", "\"a\"", "{", "{}x", "{'a':1}", "{\"a\":01}", "\u{feff}{}"] {
            assert_eq!(code(Fields::parse(bad.as_bytes())), Code::MalformedJson, "{bad:?}");
        }
        assert_eq!(code(Fields::parse(b"{\"owner\":\"\xff\"}")), Code::MalformedJson);
    }

    #[test]
    fn a_field_that_is_sent_twice_is_refused_and_an_unknown_one_ignored() {
        let twice = Fields::parse(br#"{"amount":1,"amount":2}"#);
        assert_eq!(code(twice), Code::MalformedJson);
        assert!(fields(r#"{"amount":1,"colour":{"a":[1]}}"#).amount().is_ok());
    }
}
