//! The parameters that many routes have in common, each described once. Those of one query are
//! derived where that query is read.
//!
//! The types are names only.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Required, Schema};
use utoipa::{IntoParams, ToSchema};

use super::types::{RequestKey, WalletName};

macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident = [$($parameter:expr),+ $(,)?];)+) => {$(
        $(#[$doc])*
        pub(in crate::http) enum $name {}

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                vec![$($parameter),+]
            }
        }
    )+};
}

parameters! {
    /// `{id}` of a wallet.
    WalletInPath = [in_path("The wallet.", reference::<WalletName>())];

    /// `{id}` of a transfer.
    TransferInPath = [in_path("The transfer, as the answer to it gave its id.", uuid())];

    /// `{id}` of an operation.
    OperationInPath = [in_path("The operation, as `Location` gave its id.", uuid())];

    /// `{id}` of an alert.
    AlertInPath = [in_path(
        "The alert: its rule and the event that it was found at.",
        pattern(r"^[A-Za-z]{1,32}:(0|[1-9]\d{0,8})-(0|[1-9]\d{0,17})$", "largeOutflow:0-17"),
    )];

    /// `{id}` of a dead letter.
    LetterInPath = [in_path(
        "The dead letter: projection, partition and position.",
        pattern(r"^[a-z]{1,32}:(0|[1-9]\d{0,8}):(0|[1-9]\d{0,17})$", "balance:0:123"),
    )];

    /// `{id}` of a call on record.
    CallInPath = [in_path("The call, as `auditId` in the metadata of its events.", uuid())];

    /// `{walletId}` and `{key}` of an idempotency key.
    KeyInPath = [
        parameter(
            "walletId",
            ParameterIn::Path,
            "The wallet whose key it is: the one in the path of the request, the source of a \
             transfer, or the `id` of a request to open one.",
            reference::<WalletName>(),
        ),
        key(),
    ];

    /// `{key}` of an idempotency key that belongs to no wallet.
    FreeKeyInPath = [key()];

    /// What any command may bring: its key, and the trace that it is part of.
    CommandHeaders = [
        in_header(
            "Idempotency-Key",
            "The idempotency key, bare or quoted; `requestId` in the body is the same.",
            pattern("^[!#-~][ -~]{0,254}$", "order-4711"),
        ),
        in_header(
            "traceparent",
            "The W3C trace that the command is part of; its events carry it on. What is none counts \
             as absent.",
            text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ),
    ];

    /// What a command that goes alone may bring besides.
    Preference = [in_header(
        "Prefer",
        "`respond-async`: do not wait for the outcome. The command is on record when it is answered, \
         with a 202, and is carried out whatever happens then; if it is an operation already, under \
         its key, and that has ended, it is answered as `GET /operations/{id}` would. Other \
         preferences, and what is none, count as absent; where there is no queue, this one too.",
        text("respond-async"),
    )];

    /// What a command to one wallet may bring besides.
    Condition = [in_header(
        "If-Match",
        "The version that the wallet must have, as `ETag` gave it, or `*` if it only has to exist.",
        pattern(r#"^(\*|\d{1,18}|"\d{1,18}")$"#, "\"7\""),
    )];

    /// After what a stream is resumed.
    LastEvent = [in_header(
        "Last-Event-ID",
        "What the client has: the last `id`, with a position for each partition of the stream. \
         Position 0 means all events.",
        pattern(r"^\d{1,18}(-\d{1,18})?(,\d{1,18}-\d{1,18})*$", "0-17"),
    )];

    /// From where on a read is to be answered.
    FromPosition = [
        parameter(
            "minPosition",
            ParameterIn::Query,
            "Wait until the read model is at this position, as `Florin-Position` gave it, for 5 s at \
             most. A bare number means the partition of the wallet.",
            pattern(r"^\d{1,18}(-\d{1,18})?(,\d{1,18}-\d{1,18})*$", "0-17"),
        ),
        in_header(
            "Florin-Position",
            "As `minPosition`.",
            pattern(r"^\d{1,18}(-\d{1,18})?(,\d{1,18}-\d{1,18})*$", "0-17"),
        ),
    ];
}

fn key() -> Parameter {
    let text = "The idempotency key, percent-encoded.";
    parameter("key", ParameterIn::Path, text, reference::<RequestKey>())
}

fn in_path(description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    parameter("id", ParameterIn::Path, description, schema)
}

fn in_header(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    parameter(name, ParameterIn::Header, description, schema)
}

fn parameter(
    name: &str,
    place: ParameterIn,
    description: &str,
    schema: impl Into<RefOr<Schema>>,
) -> Parameter {
    let is_in_path = place == ParameterIn::Path;
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(if is_in_path { Required::True } else { Required::False })
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn reference<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

fn text(example: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).examples([example]);
    Schema::from(text.build()).into()
}

fn pattern(pattern: &str, example: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    Schema::from(text.examples([example]).build()).into()
}

fn uuid() -> RefOr<Schema> {
    pattern(
        "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        "0192f0c1-2b3c-7d4e-8f90-a1b2c3d4e5f6",
    )
}
