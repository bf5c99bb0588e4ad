//! Creates and upgrades the schema, and creates the partitions of a new ledger, while the service runs.
//!
//! | what could go wrong | what is done |
//! |---|---|
//! | two processes migrate at once | one has the turn, and the other waits for it: then nothing is left to do |
//! | the database is newer than this program, or another's | it is left as it is |
//! | a long transaction holds a table | a statement waits for its lock for [`LOCK_WAIT`] only, gives way to who queues behind it, and is tried again |
//! | the process is killed | each migration is one transaction; an index that was built beside the load and not finished is built anew |
//!
//! There is no way back: a mistake is mended by the next migration. What a migration may do to a table
//! that is full, `lint` says.

#[cfg(test)]
mod lint;

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::{Migrate, MigrateError as SqlxMigrateError, Migration, MigrationType};
use sqlx::{Connection, PgConnection};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::roles::{self, Made, Passwords};
use super::schema::{self, Schema};

/// The most partitions of a ledger: each has a writer with a connection of its own.
pub const MAX_PARTITIONS: u32 = 64;

/// How long a statement of a migration waits for a table, and whoever comes after it behind it.
pub const LOCK_WAIT: Duration = Duration::from_millis(100);

/// How long it rests before it tries again, in which all others have the table to themselves.
const PAUSE: Duration = Duration::from_millis(200);

/// For how long it tries: longer than any transaction of the service takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// For how long the turn is waited for: another process may build an index of a large ledger.
const TURN_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// How often the turn is asked for. Asked, not waited for: who waits in a statement has a snapshot, for
/// whose end the building of an index waits in turn.
const TURN_PAUSE: Duration = Duration::from_millis(100);

/// What Postgres says when a lock was not had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What it says to who may not.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Of `pg_has_role`: to be a member is not enough since Postgres 16.
pub(super) const MAY_BECOME: &str =
    "CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END";

/// How a migration begins that is none for a transaction, as for sqlx's own command line.
const NO_TRANSACTION: &str = "-- no-transaction";

/// The files of `migrations/` as `build.rs` lists them: version, description and text.
const FILES: &[(i64, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

static MIGRATIONS: LazyLock<Vec<Migration>> = LazyLock::new(|| {
    let migration = |&(version, description, sql): &(i64, &'static str, &'static str)| {
        let alone = sql.starts_with(NO_TRANSACTION);
        Migration::new(version, description.into(), MigrationType::Simple, sql.into(), alone)
    };
    FILES.iter().map(migration).collect()
});

/// The migrations of this program, in their order.
pub(crate) fn migrations() -> impl Iterator<Item = &'static Migration> {
    MIGRATIONS.iter()
}

/// Why a ledger was not created or upgraded.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// Postgres cannot be reached, or refuses.
    #[error("the database cannot be migrated: {0}")]
    Database(#[from] sqlx::Error),
    /// A migration failed.
    #[error("the database cannot be migrated: {0}")]
    Migration(#[from] SqlxMigrateError),
    /// A newer program migrated it.
    #[error(
        "the database was migrated by a newer Florin: migrations {0:?} are not known to this one. There \
         is no way back: run the version that migrated it, or a newer one"
    )]
    Newer(Vec<i64>),
    /// What was applied is not what this program has.
    #[error(
        "the database was migrated by another program: migrations {0:?} are not those of this one. Run \
         the program that migrated it, or restore the database"
    )]
    Other(Vec<i64>),
    /// Somebody else migrates.
    #[error(
        "another process has been migrating this database for {TURN_PATIENCE:?}: see what it waits for, \
         and run `florin migrate` again"
    )]
    Taken,
    /// Somebody held a table for too long.
    #[error(
        "{what} was tried for {patience:?}, and a table that it needs was always held: {by}. Nothing is \
         changed by it; end that transaction, and run `florin migrate` again"
    )]
    Held {
        /// What was to be done.
        what: String,
        /// For how long.
        patience: Duration,
        /// By whom, as far as this role may see.
        by: String,
    },
    /// Roles were asked for by who may not make them.
    #[error(
        "--create-roles needs a role that may create roles, and {0} may not: set DATABASE_ADMIN_URL to \
         that of a superuser, or of a role with CREATEROLE"
    )]
    NoRoles(String),
    /// Roles or tables are somebody else's.
    #[error(
        "{me} may not make the roles of this ledger as they should be: {why}. Run it as a superuser, or as \
         who made these roles and owns the tables"
    )]
    Foreign {
        /// Who asked for them.
        me: String,
        /// What Postgres says.
        why: String,
    },
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
/// [`MigrateError`]; the migrations before the one that failed are applied then.
pub async fn migrate(admin_url: &str, partitions: Option<u32>) -> Result<(), MigrateError> {
    let connection = upgrade(admin_url, partitions).await?;
    // The turn ends with the connection.
    Ok(connection.close().await?)
}

/// The same, and makes the roles of the ledger; who of them may log in.
///
/// # Errors
/// [`MigrateError`]; what was done before it is done.
pub async fn migrate_with_roles(
    admin_url: &str,
    partitions: Option<u32>,
    passwords: &Passwords,
) -> Result<Vec<Made>, MigrateError> {
    let mut connection = upgrade(admin_url, partitions).await?;
    let made = roles::create(&mut connection, passwords).await?;
    connection.close().await?;
    Ok(made)
}

/// In a turn that the connection holds from now on.
async fn upgrade(admin_url: &str, partitions: Option<u32>) -> Result<PgConnection, MigrateError> {
    if let Some(count) = partitions.filter(|count| !(1..=MAX_PARTITIONS).contains(count)) {
        return Err(MigrateError::Partitions(count));
    }
    let mut connection = PgConnection::connect(admin_url).await?;
    take_turn(&mut connection).await?;
    become_owner(&mut connection).await?;
    for migration in pending(&mut connection).await? {
        apply(&mut connection, migration, PATIENCE).await?;
    }
    create_partitions(&mut connection, partitions).await?;
    sqlx::query("RESET ROLE").execute(&mut connection).await?;
    Ok(connection)
}

/// What a migration makes belongs to whoever owns the rest, whoever applies it.
async fn become_owner(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let statement: Option<String> = sqlx::query_scalar(&format!(
        "SELECT format('SET ROLE %I', r.rolname)
           FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
          WHERE c.oid = to_regclass('events') AND r.rolname <> current_user
            AND pg_has_role(r.oid, {MAY_BECOME})",
    ))
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(statement) = statement {
        sqlx::query(&statement).execute(connection).await?;
    }
    Ok(())
}

/// Of all who migrate this database one goes on.
async fn take_turn(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let deadline = Instant::now() + TURN_PATIENCE;
    loop {
        let turn = "SELECT pg_try_advisory_lock(hashtext('florin'), hashtext('migrate'))";
        if sqlx::query_scalar(turn).fetch_one(&mut *connection).await? {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(MigrateError::Taken);
        }
        sleep(TURN_PAUSE).await;
    }
}

async fn pending(connection: &mut PgConnection) -> Result<Vec<&'static Migration>, MigrateError> {
    match schema::of(connection).await? {
        Schema::Same(_) => Ok(Vec::new()),
        Schema::Nothing => {
            connection.ensure_migrations_table().await?;
            Ok(migrations().collect())
        }
        Schema::Older(missing) => {
            Ok(migrations().filter(|migration| missing.contains(&migration.version)).collect())
        }
        Schema::Newer(versions) => Err(MigrateError::Newer(versions)),
        Schema::Other(versions) => Err(MigrateError::Other(versions)),
    }
}

/// Applies a migration, and gives way to whoever is at work on its tables, for so long.
///
/// # Errors
/// [`MigrateError`]; it is then not applied.
pub async fn apply(
    connection: &mut PgConnection,
    migration: &Migration,
    patience: Duration,
) -> Result<(), MigrateError> {
    if !migration.no_tx {
        let what = format!("migration {}", migration.version);
        let attempt = async |connection: &mut PgConnection| -> Result<(), SqlxMigrateError> {
            connection.apply(migration).await.map(drop)
        };
        return giving_way(connection, &what, patience, attempt).await;
    }
    // Who builds an index beside the load waits for others, and nobody waits for that.
    sqlx::query("SET lock_timeout TO 0").execute(&mut *connection).await?;
    remove_unfinished(connection, migration).await?;
    Ok(connection.apply(migration).await.map(drop)?)
}

/// Does what needs tables for itself: waits for each of them shortly, and tries again.
pub(super) async fn giving_way(
    connection: &mut PgConnection,
    what: &str,
    patience: Duration,
    mut attempt: impl AsyncFnMut(&mut PgConnection) -> Result<(), SqlxMigrateError>,
) -> Result<(), MigrateError> {
    let wait = format!("SET lock_timeout TO {}", LOCK_WAIT.as_millis());
    sqlx::query(&wait).execute(&mut *connection).await?;
    let deadline = Instant::now() + patience;
    loop {
        match attempt(&mut *connection).await {
            Err(error) if is_held(&error) => {}
            ended => return Ok(ended?),
        }
        if Instant::now() > deadline {
            let by = holder(connection).await?;
            return Err(MigrateError::Held { what: what.to_owned(), patience, by });
        }
        sleep(PAUSE).await;
    }
}

/// An index that is built beside the load is built outside of a transaction, and a build that was
/// broken off leaves it behind, of no use and in the way.
async fn remove_unfinished(
    connection: &mut PgConnection,
    migration: &Migration,
) -> Result<(), sqlx::Error> {
    let mut words = migration.sql.split_whitespace().skip_while(|word| *word != "CONCURRENTLY");
    let Some(name) = words.nth(1).filter(|_| migration.no_tx) else { return Ok(()) };
    let unfinished: Option<String> = sqlx::query_scalar(
        "SELECT indexrelid::regclass::text FROM pg_index
          WHERE indexrelid = to_regclass($1) AND NOT indisvalid",
    )
    .bind(name)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(index) = unfinished {
        let remove = format!("DROP INDEX CONCURRENTLY {index}");
        sqlx::query(&remove).execute(connection).await?;
    }
    Ok(())
}

fn is_held(error: &SqlxMigrateError) -> bool {
    said(error).and_then(DatabaseError::code).as_deref() == Some(LOCK_NOT_AVAILABLE)
}

/// What Postgres says, if it refuses because of who asks.
pub(super) fn forbidden(error: &MigrateError) -> Option<String> {
    let MigrateError::Migration(error) = error else { return None };
    let refused =
        said(error).filter(|error| error.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE));
    refused.map(|error| error.message().to_owned())
}

fn said(error: &SqlxMigrateError) -> Option<&(dyn DatabaseError + 'static)> {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    cause.and_then(sqlx::Error::as_database_error)
}

/// Who is likely to be in the way: whoever has been in a transaction for the longest time. Asked as who
/// has connected, who may see more of others than the owner may.
async fn holder(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query("RESET ROLE").execute(&mut *connection).await?;
    let oldest: Option<String> = sqlx::query_scalar(
        "SELECT format('%s (pid %s, application %L) has been in a transaction since %s', usename, pid,
                       application_name, xact_start)
           FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
          ORDER BY xact_start LIMIT 1",
    )
    .fetch_optional(connection)
    .await?;
    Ok(oldest.unwrap_or_else(|| "by one transaction after the other".to_owned()))
}

/// Nobody else creates them: this process has the turn.
async fn create_partitions(
    connection: &mut PgConnection,
    wanted: Option<u32>,
) -> Result<(), MigrateError> {
    let existing: i64 =
        sqlx::query_scalar("SELECT count(*) FROM partitions").fetch_one(&mut *connection).await?;
    match (u32::try_from(existing).unwrap_or(u32::MAX), wanted) {
        (0, wanted) => {
            sqlx::query("INSERT INTO partitions SELECT generate_series(0, $1 - 1)")
                .bind(i32::try_from(wanted.unwrap_or(1)).unwrap_or(1))
                .execute(connection)
                .await?;
            Ok(())
        }
        (existing, Some(wanted)) if wanted != existing => {
            Err(MigrateError::Fixed { wanted, existing })
        }
        (_, Some(_) | None) => Ok(()),
    }
}
