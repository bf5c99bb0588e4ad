//! The texts and numbers that the documents of this API are made of, each described once.
//!
//! The types are names only: what is sent and received has its own types in the domain, which know
//! nothing of documents.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::schema::{
    KnownFormat, Object, ObjectBuilder, OneOfBuilder, SchemaFormat, Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use florin_domain::Currency;
use florin_domain::fraud::Rule;
use florin_domain::ids::{MAX_OPERATOR, MAX_OWNER, MAX_REASON, MAX_WALLET_ID};

use florin_projections::history::Kind;
use florin_projections::models;

use crate::dead_letters::OTHERS;
use crate::http::answer::Time;
use crate::operations::State;

/// What is neither a control character nor nothing.
const PRINTABLE: &str = r"^[^\x00-\x1F\x7F-\x9F]+$";

/// An IPv4 address, or an IPv6 address in full.
const ADDRESS: &str = "^((25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)(\\.(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)){3}\
                        |([0-9a-f]{1,4}:){7}[0-9a-f]{1,4})$";

/// Entry types with commas between; `transfer` is each kind of transfer.
const ENTRY_TYPES: &str = "^(deposit|withdrawal|transfer(_in|_out|_refund)?)\
                           (,(deposit|withdrawal|transfer(_in|_out|_refund)?))*$";

/// Any text.
pub(in crate::http) fn text() -> Object {
    Object::with_type(Type::String)
}

/// A text with a bound, and without control characters.
fn printable(max: usize) -> ObjectBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.min_length(Some(1)).max_length(Some(max)).pattern(Some(PRINTABLE))
}

/// One of these texts.
fn names<'n>(names: impl IntoIterator<Item = &'n str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names))
}

macro_rules! described {
    ($($(#[$doc:meta])* $name:ident = $schema:expr;)+) => {
        $(
        $(#[$doc])*
        #[derive(Debug)]
        pub(in crate::http) enum $name {}

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }
    )+
        /// All of them, by name: queries refer to some that no body has.
        pub(super) fn schemas() -> Vec<(String, RefOr<Schema>)> {
            vec![
                (Time::name().into_owned(), Time::schema()),
                $(($name::name().into_owned(), $name::schema())),+
            ]
        }
    };
}

described! {
    /// An amount in an answer.
    Amount = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("A decimal, in the scale of its currency."))
        .pattern(Some(r"^-?\d{1,25}(\.\d{1,10})?$"))
        .examples([json!("12.50")]);

    /// An amount in a request.
    RequestedAmount = OneOfBuilder::new()
        .description(Some(
            "A positive decimal with no more digits after the point than its currency has; at most \
             999999999999999. Best sent as a string; a number is read from its digits.",
        ))
        .item(ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^(?=.*[1-9])\d{1,14}(\.\d{1,2})?$")))
        .item(ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(99_999_999_999_999.0)))
        .examples([json!("12.50")]);

    /// An amount that may be zero.
    InitialBalance = OneOfBuilder::new()
        .description(Some("As an amount, or zero for none."))
        .item(ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^\d{1,14}(\.\d{1,2})?$")))
        .item(ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
            .maximum(Some(99_999_999_999_999.0)))
        .examples([json!("100.00")]);

    /// A currency.
    CurrencyCode = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("A currency of ISO 4217."))
        .enum_values(Some(Currency::all().map(|currency| currency.to_string())))
        .examples([json!("USD")]);

    /// The address of a client. IPv6 has shorter forms, too.
    ClientAddressText = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(ADDRESS))
        .examples([json!("192.0.2.1")]);

    /// How a path begins.
    PathStart = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(r"^/[!-~]{0,199}$"))
        .examples([json!("/wallets/alice")]);

    /// The id of a wallet.
    WalletName = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("The id of a wallet: yours to choose, or a UUID."))
        .min_length(Some(1))
        .max_length(Some(MAX_WALLET_ID))
        .pattern(Some("^[A-Za-z0-9_-]+$"))
        .examples([json!("alice")]);

    /// An event.
    EventName = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("An event, as <partition>-<position>."))
        .pattern(Some(r"^\d+-\d+$"))
        .examples([json!("0-17")]);

    /// An idempotency key.
    RequestKey = printable(255)
        .description(Some(
            "The idempotency key: under the same one, the same request takes effect once, and is \
             answered as it was the first time.",
        ))
        .examples([json!("order-4711")]);

    /// To whom a wallet belongs.
    OwnerName = printable(MAX_OWNER)
        .description(Some("To whom a wallet belongs: the `sub` of their tokens."))
        .examples([json!("user-42")]);

    /// Who decides.
    OperatorName = printable(MAX_OPERATOR)
        .description(Some("Who decides."))
        .examples([json!("olga")]);

    /// Why.
    ReasonText = printable(MAX_REASON)
        .description(Some("Why, in a sentence."))
        .examples([json!("reported by the customer")]);

    /// What a client keeps with a command.
    MetadataObject = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Anything of yours, of 4 KiB at most: it is kept with the event."))
        .examples([json!({ "order": 4711 })]);

    /// What nobody chooses: the id of a transfer or of a transaction.
    Id = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::Custom("uuid".to_owned())))
        .examples([json!("0192f0c1-2b3c-7d4e-8f90-a1b2c3d4e5f6")]);

    /// A day of UTC.
    Day = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
        .description(Some("A day of UTC."))
        .examples([json!("2026-01-31")]);

    /// Which way a movement went.
    Direction = names(["deposit", "withdrawal"]);

    /// How far a transfer came.
    Phase = names(["initiated", "debited", "completed", "compensated", "failed"]);

    /// Whether a wallet may move: a frozen one only takes money in.
    Status = names(["active", "frozen", "closed"]);

    /// What moved the money.
    EntryType = names(Kind::ALL.map(Kind::name));

    /// What moved the money, whichever way.
    TransactionType = names(["deposit", "withdrawal", "transfer"]);

    /// Into the wallet or out of it.
    Way = names(["in", "out"]);

    /// How far what an entry belongs to has come.
    EntryStatus = names(["pending", "completed", "failed"]);

    /// How far people are with an alert.
    AlertState = names(["open", "acknowledged", "dismissed"]);

    /// What became of a dead letter.
    LetterState = names(["open", "replayed", "discarded"]);

    /// How far an operation is.
    OperationState = names(State::ALL.map(State::name));

    /// What kind of command it is.
    CommandType =
        names(["open", "deposit", "withdraw", "transfer", "freeze", "unfreeze", "close"]);

    /// A rule that finds fraud.
    RuleName = names(Rule::ALL.iter().map(|rule| rule.as_str()));

    /// A read model; and operations and messages, which are none, where dead letters are.
    ProjectionName = names(
        models::all().iter().map(|model| model.name()).chain(OTHERS),
    );

    /// Kinds of entries, with commas between.
    EntryTypes = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(ENTRY_TYPES))
        .examples([json!("deposit,transfer_in")]);

    /// How a statement is written.
    StatementFormat = names(["json", "csv", "html"]);

    /// What is known of a key's request.
    KeyState = names(["in-progress", "accepted", "refused"]);

    /// From which side a wallet is read.
    Consistency = names(["eventual", "strong"]);

    /// A problem, as the reason of something else.
    ProblemReason = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("A problem, as the reason of something else, with its numbers."))
        .property("code", text())
        .property("detail", text())
        .required("code")
        .required("detail");

    /// A problem of one command of a bulk.
    BulkProblem = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(
            "What the single route would have answered (RFC 9457), without `traceId`: the trace is \
             that of the whole, in `X-Trace-Id`.",
        ))
        .property("type", text())
        .property("title", text())
        .property("status", ObjectBuilder::new().schema_type(Type::Integer))
        .property("detail", text())
        .property("code", text())
        .required("type")
        .required("title")
        .required("status")
        .required("detail")
        .required("code");

    /// JSON of any kind.
    AnyJson = ObjectBuilder::new().schema_type(utoipa::openapi::schema::SchemaType::AnyValue);
}

impl ToSchema for Time {
    fn name() -> Cow<'static, str> {
        "Time".into()
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339 in UTC, with microseconds."))
            .examples([json!("2026-01-31T12:00:00.000000Z")])
            .into()
    }
}
