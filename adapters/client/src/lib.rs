//! For services beside Florin: typed commands and queries, and subscriptions that miss nothing and
//! double nothing.
//!
//! | wanted | take |
//! |---|---|
//! | to move money, to read wallets | [`Florin`]: typed calls, sent again under the same [`Key`] |
//! | to follow events | [`follow`], with a [`Progress`]; [`pg::Pg`] is one for Postgres (feature `sqlx`) |
//! | to follow events by hand | [`Subscriber`]: batches, and up to where each brings you |
//! | to begin with all wallets as they are | [`Florin::bootstrap`] |
//! | to read older events | [`Florin::events`] |
//!
//! # What a subscription guarantees
//!
//! Events come in order within each partition, and each once, whatever is repeated, reordered, lost,
//! expired, restarted or killed on the way. Positions are dense, and the kit counts them; what is
//! missing it reads from the journal by `GET /events`, which needs a token with the scope
//! `ledger:read`. What exactly can be proved depends on what is subscribed to:
//!
//! | subscription | a loss shows | so |
//! |---|---|---|
//! | [`to_all`](Subscription::to_all) | at the next event of the partition, and within twenty seconds without one | every event, proved |
//! | [`to_wallet`](Subscription::to_wallet) | at the next event of the wallet (its `sequence` is dense), and within twenty seconds without one | every event, proved |
//! | [`to_type`](Subscription::to_type) | when it happened on the way: at once; at each start and whenever NATS was away: the journal is read | every event, unless while it was connected all the time JetStream lost or purged it, or the relay's own connection broke and a later one came first: read `GET /events?type=` where that matters |
//!
//! "Exactly once" is about what the service makes of events, and is its own transaction's to keep: it
//! saves what they do and where they end, together ([`Progress`]). Between two processes of the same
//! name one works and the other finds the position moved and stands by.
//!
//! The name of a subscription is a durable consumer in JetStream, which an operator can see; but the
//! position is the service's own. A consumer that is deleted costs nothing.
//!
//! # A service that keeps balances
//!
//! This is `examples/balances.rs`. It begins with all wallets as they are, follows from there, may be
//! killed at any point, and may run twice.
//!
#![cfg_attr(feature = "sqlx", doc = "```no_run")]
#![cfg_attr(feature = "sqlx", doc = include_str!("../examples/balances.rs"))]
#![cfg_attr(feature = "sqlx", doc = "```")]
//!
//! # A service that pays
//!
//! This is `examples/command.rs`.
//!
//! ```no_run
#![doc = include_str!("../examples/command.rs")]
//! ```

mod bootstrap;
mod event;
mod http;
mod message;
mod nats;
mod order;
#[cfg(feature = "sqlx")]
pub mod pg;
mod positions;
mod progress;
mod source;
mod subscriber;
mod subscription;

pub use bootstrap::Bootstrap;
pub use event::{Fact, LedgerEvent, NotAnEvent, Stream};
pub use http::{
    Answer, CallError, Entry, EventPage, EventQuery, Florin, HistoryPage, Key, MAX_PAGE, Money,
    Movement, NoKey, Opening, Problem, Reason, Retries, Stats, Transfer, Wallet, WalletPage,
};
pub use message::read as event_of_message;
pub use nats::{NatsError, connect_nats, connect_nats_trusting};
pub use positions::{NoPositions, Positions};
pub use progress::{FollowError, Progress, Saved, follow};
pub use subscriber::{Batch, Move, SubscribeError, Subscriber};
pub use subscription::{MAX_NAME, Name, NoSubscription, Subscription, Wanted};
