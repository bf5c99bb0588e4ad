//! How connections to Postgres are made, and what bounds them.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use thiserror::Error;

/// How many connections serve reads, snapshots and health. Each partition's writer has one more.
const POOL: u32 = 8;

/// How long anything waits for a connection before the journal counts as away.
pub(super) const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// What every session is told.
///
/// - A statement and a lock are given up in the end, so that a hung disk or a stopped process shows
///   up as "unavailable" and not as silence; and a process that is stopped while it holds a
///   partition's lock loses it.
/// - Plans are made once, by keys alone: every statement of the service is a look-up by index, also
///   on tables that looked empty when the plan was made.
const SESSION: [(&str, &str); 7] = [
    ("application_name", "florin"),
    ("statement_timeout", "30s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
];

/// The URL does not say where Postgres is.
#[derive(Debug, Error)]
#[error(
    "DATABASE_URL is not a Postgres URL such as postgres://user:password@host:5432/florin: {0}"
)]
pub struct ConnectError(#[from] sqlx::Error);

/// The options of every session.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, ConnectError> {
    let options: PgConnectOptions = url.parse()?;
    Ok(options.options(SESSION))
}

/// The URL of the same database, in which names are looked up in a schema first.
///
/// # Errors
/// [`ConnectError`] when the URL is malformed.
pub fn within(url: &str, schema: &str) -> Result<String, ConnectError> {
    let _: PgConnectOptions = url.parse()?;
    let joint = if url.contains('?') { '&' } else { '?' };
    Ok(format!("{url}{joint}options[search_path]={schema},public"))
}

/// A pool that connects when it is first used: Postgres may be away at the start.
///
/// # Errors
/// [`ConnectError`] when the URL is malformed.
pub fn connect(url: &str) -> Result<PgPool, ConnectError> {
    connect_sized(url, POOL)
}

/// The same with another bound, for who must not wait behind others, nor others behind them.
///
/// # Errors
/// [`ConnectError`] when the URL is malformed.
pub fn connect_sized(url: &str, connections: u32) -> Result<PgPool, ConnectError> {
    let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(CONNECT_WAIT);
    Ok(pool.connect_lazy_with(options(url)?))
}
