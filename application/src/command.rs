//! What a client asks of the ledger, and what it is told.
//!
//! A [`Request`] is accepted or refused: both are an [`Outcome`], kept under the request's key. A
//! [`SubmitError`] says that the request did not come to an outcome; nothing is kept.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use florin_domain::fraud::{EventId, Rule};
pub use florin_domain::transfer::Leg;
use florin_domain::transfer::{Details, Phase};
use florin_domain::wallet::Account;
use florin_domain::{
    Amount, Currency, Metadata, Owner, Refusal, RequestedAmount, TransactionId, TransferId,
    WalletCommand, WalletId,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::audit::Origin;

/// The longest idempotency key: half of an index key, and longer than any UUID or ULID with a prefix.
pub const MAX_REQUEST_ID: usize = 255;

/// Why a text is no idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestIdError {
    /// Empty, too long, or with control characters.
    #[error("a request id is 1 to {MAX_REQUEST_ID} characters without control characters")]
    Malformed,
    /// Of a form that the ledger gives to its own commands.
    #[error(
        "request ids of the forms transfer:<uuid>:<leg>, fraud:<rule>:<event>, operation:<uuid> and \
         intake:<id>:<step> belong to the ledger"
    )]
    Reserved,
}

/// An idempotency key as a client sends it: 1 to [`MAX_REQUEST_ID`] printable characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key under which a transfer's credit is submitted to the partition of its target.
    pub(crate) fn of_credit(transfer: TransferId) -> Self {
        Self(format!("{TRANSFER}{transfer}:credit").into())
    }

    /// The key under which a wallet is frozen for an alert: what the rule found at the event.
    pub fn of_freeze(rule: Rule, event: EventId) -> Self {
        Self(format!("{FRAUD}{rule}:{event}").into())
    }

    /// The key under which an operation is carried out whose client sent none: so it takes effect
    /// once, however often it is tried.
    pub fn of_operation(id: uuid::Uuid) -> Self {
        Self(format!("{OPERATION}{id}").into())
    }

    /// The key under which a message of another service takes effect: the user or the transaction that
    /// it is about, and what is done for it. So it is done once, however often the message comes.
    pub fn of_intake(about: &str, step: Intake) -> Self {
        Self(format!("{INTAKE}{about}:{step}").into())
    }

    /// Whether it has the form of a key of the ledger. Whatever is in the place of a rule or a step
    /// counts: there may be new ones.
    fn is_reserved(text: &str) -> bool {
        let transfer = text.strip_prefix(TRANSFER).and_then(|rest| rest.split_once(':'));
        let event = text.strip_prefix(FRAUD).and_then(|rest| rest.rsplit_once(':'));
        let operation = text.strip_prefix(OPERATION);
        let message = text.strip_prefix(INTAKE).and_then(|rest| rest.rsplit_once(':'));
        transfer.is_some_and(|(id, _)| uuid::Uuid::try_parse(id).is_ok())
            || operation.is_some_and(|id| uuid::Uuid::try_parse(id).is_ok())
            || event.is_some_and(|(_, event)| event.parse::<EventId>().is_ok())
            || message.is_some_and(|(about, step)| !about.is_empty() && !step.is_empty())
    }
}

/// How the keys of transfers' legs begin.
const TRANSFER: &str = "transfer:";

/// How the keys of freezes for fraud begin.
const FRAUD: &str = "fraud:";

/// How the keys of operations begin.
const OPERATION: &str = "operation:";

/// How the keys of other services' messages begin.
const INTAKE: &str = "intake:";

/// What is done for a message of another service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// The wallet of a user is opened.
    Signup,
    /// A transaction moves its money.
    Completed,
    /// And back again. Each attempt that was refused is followed by one of another number.
    Reversal(u32),
}

impl fmt::Display for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signup => f.write_str("signup"),
            Self::Completed => f.write_str("completed"),
            Self::Reversal(number) => write!(f, "reversal-{number}"),
        }
    }
}

impl FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, RequestIdError> {
        let length = text.chars().count();
        if length == 0 || length > MAX_REQUEST_ID || text.chars().any(char::is_control) {
            return Err(RequestIdError::Malformed);
        }
        if Self::is_reserved(text) {
            return Err(RequestIdError::Reserved);
        }
        Ok(Self(text.into()))
    }
}

/// A client's key, and whose it is: see [`Key::of_wallet`], [`Key::of_opening`] and [`Key::of_bulk`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose it is.
    pub scope: Arc<str>,
    /// The client's key.
    pub request_id: RequestId,
}

impl Key {
    /// Of the wallet in the path, or of the source of a transfer.
    pub fn of_wallet(wallet: &WalletId, request_id: RequestId) -> Self {
        Self { scope: wallet.as_str().into(), request_id }
    }

    /// Of a command in the name of an owner, or of nobody: of its wallet, if the client named one.
    pub fn of_command(command: &Command, owner: Option<&Owner>, request_id: RequestId) -> Self {
        match command {
            Command::Wallet { id_is_new: true, .. } => Self::of_opening(owner, request_id),
            Command::Wallet { .. } | Command::Transfer(_) => {
                Self::of_wallet(command.wallet(), request_id)
            }
        }
    }

    /// Of whoever asks for a wallet whose id the ledger makes up.
    pub fn of_opening(owner: Option<&Owner>, request_id: RequestId) -> Self {
        Self::in_the_name("", owner, request_id)
    }

    /// Of whoever sends an atomic bulk.
    pub fn of_bulk(owner: Option<&Owner>, request_id: RequestId) -> Self {
        Self::in_the_name("/bulk", owner, request_id)
    }

    /// Of the owner in whose name it is sent, so that nobody meets a key of somebody else, or of
    /// nobody. No id of a wallet is empty or has a `/` or an `@`.
    fn in_the_name(of: &str, owner: Option<&Owner>, request_id: RequestId) -> Self {
        let scope = match owner {
            Some(owner) => format!("{of}@{}", owner.as_str()).into(),
            None => of.into(),
        };
        Self { scope, request_id }
    }
}

/// A command with what belongs to its delivery.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is asked.
    pub command: Command,
    /// The idempotency key, if the client sent one; never made up.
    pub request_id: Option<RequestId>,
    /// The version that the wallet must have (`If-Match`).
    pub expected_version: Option<u64>,
    /// In whose name it is asked: the wallet must be theirs, or is opened as theirs. To all others it
    /// is as one that was never opened. `None` may ask of any wallet.
    pub expected_owner: Option<Owner>,
    /// Where it comes from, kept with the events.
    pub origin: Origin,
}

/// Commands that take effect together: all of them or none, in one append.
#[derive(Debug, Clone)]
pub struct AtomicBulk {
    /// Decided one after the other, each on what those before it leave.
    pub commands: Vec<Command>,
    /// The idempotency key of the whole.
    pub request_id: Option<RequestId>,
    /// As of a [`Request`].
    pub expected_owner: Option<Owner>,
    /// As of a [`Request`].
    pub origin: Origin,
}

impl AtomicBulk {
    /// What kind of command the whole is, beside those of [`Command::kind`].
    pub const KIND: &'static str = "bulk";
}

/// What can be asked of the ledger.
#[derive(Debug, Clone)]
pub enum Command {
    /// Of one wallet.
    Wallet {
        /// Which.
        id: WalletId,
        /// Whether the ledger made the id up: then the key, if any, belongs to no wallet.
        id_is_new: bool,
        /// What.
        command: WalletCommand,
    },
    /// Of two.
    Transfer(NewTransfer),
}

/// Moves an amount from one wallet to another.
#[derive(Debug, Clone)]
pub struct NewTransfer {
    /// Born with the request.
    pub transfer_id: TransferId,
    /// The source, whose key it is.
    pub from: WalletId,
    /// The target.
    pub to: WalletId,
    /// How much, in the source's currency.
    pub amount: RequestedAmount,
    /// The currency meant; the source's own when not said.
    pub currency: Option<Currency>,
    /// Kept with the transfer and its legs.
    pub metadata: Option<Metadata>,
}

impl Command {
    /// The wallets that it names: its own, or the source and the target.
    pub fn wallets(&self) -> impl Iterator<Item = &WalletId> {
        let (own, target) = match self {
            Self::Wallet { id, .. } => (id, None),
            Self::Transfer(transfer) => (&transfer.from, Some(&transfer.to)),
        };
        [own].into_iter().chain(target)
    }

    /// The transfer that it begins.
    pub(crate) fn new_transfer(&self) -> Option<TransferId> {
        match self {
            Self::Wallet { .. } => None,
            Self::Transfer(transfer) => Some(transfer.transfer_id),
        }
    }

    /// What kind of command it is, in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Wallet { command, .. } => match command {
                WalletCommand::Open(_) => "open",
                WalletCommand::Deposit(_) => "deposit",
                WalletCommand::Withdraw(_) => "withdraw",
                WalletCommand::Freeze(_) => "freeze",
                WalletCommand::Unfreeze(_) => "unfreeze",
                WalletCommand::Close(_) => "close",
                WalletCommand::Debit(_) => "debit",
                WalletCommand::Credit(_) => "credit",
                WalletCommand::Refund(_) => "refund",
            },
            Self::Transfer(_) => "transfer",
        }
    }

    /// The wallet by which the command is routed: its own, or the source.
    pub fn wallet(&self) -> &WalletId {
        match self {
            Self::Wallet { id, .. } => id,
            Self::Transfer(transfer) => &transfer.from,
        }
    }
}

/// What became of a command: the same for ever under its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It took effect.
    Accepted(Receipt),
    /// It did not, for a reason.
    Refused(Refused),
}

impl Outcome {
    /// Whether it stays under its key. Malformed requests and conflicts are no outcomes: mended, they
    /// may be sent under the same key.
    pub fn is_kept(&self) -> bool {
        match self {
            Self::Accepted(_) => true,
            Self::Refused(Refused { refusal, .. }) => match refusal {
                Refusal::TooManyDecimals { .. } | Refusal::WalletExists => false,
                Refusal::WalletNotFound
                | Refusal::WalletFrozen
                | Refusal::WalletClosed
                | Refusal::WalletNotEmpty { .. }
                | Refusal::TransferInFlight
                | Refusal::InsufficientFunds { .. }
                | Refusal::BalanceLimit { .. }
                | Refusal::CurrencyMismatch { .. }
                | Refusal::SameWallet
                | Refusal::TransferPhase => true,
            },
        }
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What became of it.
    pub outcome: Outcome,
    /// Whether that was decided earlier, under the same key.
    pub replayed: bool,
}

/// What an accepted command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receipt {
    /// Opened, froze, unfroze or closed a wallet.
    Wallet(WalletState),
    /// Moved money between a wallet and the outside world.
    Movement(Movement),
    /// Moved money between two wallets, or has begun to.
    Transfer(TransferReceipt),
    /// Credited the target of a transfer that another partition drives.
    Leg(Leg),
    /// Did what each command of an atomic bulk asked for, in their order.
    All(Vec<Receipt>),
}

/// A wallet as of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WalletState {
    /// Which.
    pub wallet_id: WalletId,
    /// Currency, balance, status and owner.
    pub account: Account,
    /// How many events its stream has.
    pub version: u64,
    /// Where its stream lies.
    pub partition: u32,
    /// Where its last event is.
    pub position: u64,
    /// When its first event was recorded.
    pub opened_at: DateTime<Utc>,
    /// When its last one was.
    pub updated_at: DateTime<Utc>,
}

/// Which way a movement went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// In.
    Deposit,
    /// Out.
    Withdrawal,
}

/// A deposit or a withdrawal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Movement {
    /// Which way.
    pub direction: Direction,
    /// Its id.
    pub transaction_id: TransactionId,
    /// Whose.
    pub wallet_id: WalletId,
    /// How much.
    pub amount: Amount,
    /// What the wallet holds afterwards.
    pub balance: Decimal,
    /// The wallet's version afterwards.
    pub version: u64,
    /// Where the event lies.
    pub partition: u32,
    /// Where the event is.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// A transfer that was debited, and completed unless it takes longer than a client waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransferReceipt {
    /// Its id.
    pub transfer_id: TransferId,
    /// How far it came.
    pub phase: Phase,
    /// The source.
    pub from: WalletId,
    /// The target.
    pub to: WalletId,
    /// How much.
    pub amount: Amount,
    /// The debit.
    pub debit: Leg,
    /// The credit, when it is known.
    pub credit: Option<Leg>,
    /// Where its last event lies.
    pub partition: u32,
    /// Where its last event is.
    pub position: u64,
    /// When that was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// A command that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The failed transfer that is on record for it.
    pub transfer_id: Option<TransferId>,
    /// Which command of an atomic bulk was refused, the first being 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
}

impl Refused {
    /// Nothing is on record for it.
    pub fn because(refusal: Refusal) -> Self {
        Self { refusal, transfer_id: None, index: None }
    }
}

/// A transfer as of its last event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferState {
    /// Which.
    pub transfer_id: TransferId,
    /// From, to, amount, phase, and why it failed.
    pub details: Details,
    /// The key that the client sent.
    pub request_id: Option<String>,
    /// How many events its stream has.
    pub version: u64,
    /// Where its stream lies.
    pub partition: u32,
    /// Where its last event is.
    pub position: u64,
    /// When its first event was recorded.
    pub initiated_at: DateTime<Utc>,
    /// When its last one was.
    pub updated_at: DateTime<Utc>,
}

/// Why a request came to no outcome. Nothing is kept: the same key may be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The key is in use for a transfer that has not ended.
    #[error("a request with this key is still running")]
    InProgress,
    /// The key was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// The wallet is not at the version that the client expects.
    #[error("the wallet is at version {actual}")]
    VersionMismatch {
        /// The version it is at; 0 when it was never opened.
        actual: u64,
    },
    /// The wallets of an atomic bulk lie in different partitions, of which each appends by itself.
    #[error("{one} and {other} lie in different partitions")]
    Apart {
        /// The command that names a wallet in another partition than the first wallet, from 0.
        index: usize,
        /// The first wallet.
        one: WalletId,
        /// The first one elsewhere.
        other: WalletId,
    },
    /// The queue of the wallet's partition is full.
    #[error("too many commands are waiting")]
    Busy,
    /// The journal cannot be reached; the command may or may not have taken effect.
    #[error("the journal is not available")]
    Unavailable,
    /// The journal refuses this command's events: a defect, logged where it was met.
    #[error("the journal rejects the command")]
    Rejected,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_short_and_printable() {
        for good in ["a", "0190f2d4-…", "transfer:1", "transfer:1:credit", &"x".repeat(255)] {
            assert!(good.parse::<RequestId>().is_ok(), "{good:?}");
        }
        for bad in ["", "a\0", "a\n", &"x".repeat(256)] {
            assert_eq!(bad.parse::<RequestId>(), Err(RequestIdError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_client_cannot_use_the_key_of_a_transfers_leg() {
        let own = RequestId::of_credit(TransferId(uuid::Uuid::from_u128(7)));
        assert_eq!(own.as_str().parse::<RequestId>(), Err(RequestIdError::Reserved));
    }

    #[test]
    fn a_client_cannot_use_the_key_of_an_operation() {
        let own = RequestId::of_operation(uuid::Uuid::from_u128(7));
        assert_eq!(own.as_str().parse::<RequestId>(), Err(RequestIdError::Reserved));
        for free in ["operation:", "operation:7", "operations:7"] {
            assert!(free.parse::<RequestId>().is_ok(), "{free}");
        }
    }

    #[test]
    fn a_client_cannot_use_the_key_of_another_services_message() {
        for (step, key) in [
            (Intake::Signup, "intake:u-1:signup"),
            (Intake::Completed, "intake:u-1:completed"),
            (Intake::Reversal(2), "intake:u-1:reversal-2"),
        ] {
            let own = RequestId::of_intake("u-1", step);
            assert_eq!(own.as_str(), key);
            assert_eq!(key.parse::<RequestId>(), Err(RequestIdError::Reserved));
        }
        for free in ["intake:", "intake:7", "intake::", "intake-7:completed"] {
            assert!(free.parse::<RequestId>().is_ok(), "{free}");
        }
    }

    #[test]
    fn a_client_cannot_use_the_key_of_a_freeze_for_fraud() {
        let event = EventId { partition: 0, position: 17 };
        let own = RequestId::of_freeze(Rule::LargeOutflow, event);
        assert_eq!(own.as_str(), "fraud:largeOutflow:0-17");
        for reserved in [own.as_str(), "fraud:aRuleToCome:3-1"] {
            assert_eq!(reserved.parse::<RequestId>(), Err(RequestIdError::Reserved));
        }
        for free in ["fraud:", "fraud:case:17", "fraud", "fraud-0-17"] {
            assert!(free.parse::<RequestId>().is_ok(), "{free}");
        }
    }
}
