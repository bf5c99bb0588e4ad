//! Creates and upgrades the schema, and creates the partitions of a new ledger.

use sqlx::migrate::{MigrateError as SqlxMigrateError, Migration, Migrator};
use sqlx::{Connection, PgConnection};
use thiserror::Error;

/// The most partitions of a ledger: each has a writer with a connection of its own.
pub const MAX_PARTITIONS: u32 = 64;

pub(super) static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// The migrations of this program, in their order.
pub(crate) fn migrations() -> impl Iterator<Item = &'static Migration> {
    MIGRATOR.iter()
}

/// Why a ledger was not created or upgraded.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// Postgres cannot be reached, or refuses.
    #[error("the database cannot be migrated: {0}")]
    Database(#[from] sqlx::Error),
    /// A migration failed, or one that was applied has changed since.
    #[error("the database cannot be migrated: {0}")]
    Migration(#[from] SqlxMigrateError),
    /// Out of bounds.
    #[error("FLORIN_PARTITIONS is {0}; a ledger has 1 to {MAX_PARTITIONS} partitions")]
    Partitions(u32),
    /// The ledger exists with another number.
    #[error(
        "FLORIN_PARTITIONS is {wanted}, but this ledger was created with {existing}. The number is \
         fixed for ever, because it decides where each wallet lies: set it to {existing}, or leave \
         it out"
    )]
    Fixed {
        /// What was asked for.
        wanted: u32,
        /// What the ledger has.
        existing: u32,
    },
}

/// Brings the schema up to date; creates the partitions (1 when nobody says) if there are none.
///
/// # Errors
/// [`MigrateError`]; the schema is then as it was, each migration being a transaction.
pub async fn migrate(admin_url: &str, partitions: Option<u32>) -> Result<(), MigrateError> {
    if let Some(count) = partitions.filter(|count| !(1..=MAX_PARTITIONS).contains(count)) {
        return Err(MigrateError::Partitions(count));
    }
    let mut connection = PgConnection::connect(admin_url).await?;
    MIGRATOR.run_direct(&mut connection).await?;
    // Two processes may do this at once: the table decides who was first.
    let mut transaction = connection.begin().await?;
    sqlx::query("LOCK TABLE partitions IN EXCLUSIVE MODE").execute(&mut *transaction).await?;
    let existing: i64 =
        sqlx::query_scalar("SELECT count(*) FROM partitions").fetch_one(&mut *transaction).await?;
    match u32::try_from(existing).unwrap_or(u32::MAX) {
        0 => {
            let count = partitions.unwrap_or(1);
            sqlx::query("INSERT INTO partitions SELECT generate_series(0, $1 - 1)")
                .bind(i32::try_from(count).unwrap_or(1))
                .execute(&mut *transaction)
                .await?;
        }
        existing => match partitions {
            Some(wanted) if wanted != existing => {
                return Err(MigrateError::Fixed { wanted, existing });
            }
            Some(_) | None => {}
        },
    }
    transaction.commit().await?;
    Ok(())
}
