//! Making another generation the live one, in one transaction.
//!
//! | step | why |
//! |---|---|
//! | lock the model's checkpoints | no batch is folded until the end: the live generation stands still |
//! | fold what it has and the other has not | both are at the same position: no reader goes back |
//! | lock the live tables, [`LOCK_WAIT`] long | readers in the midst of an answer finish it |
//! | exchange the tables' schemas, and who is parked | a statement that comes now finds the new ones |
//! | announce it | what readers keep in memory is thrown out |
//!
//! A lock that is not had in time gives way to the readers behind it, and is tried again: so no read
//! fails, and none waits for longer than that. Readers in one transaction of several statements name
//! their tables at its beginning (`LOCK … IN ACCESS SHARE MODE`): else one that began before the switch
//! would find tables after it whose rows were written later, and take them for empty.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

use super::fold::fold_until;
use super::tables::{self, quoted, run};
use super::{Generation, GenerationError, LIVE, last_of};
use crate::announcement::{Announcement, Changed};
use crate::checkpoint;
use crate::fact::unsigned;
use crate::outbox;
use crate::ports::JournalReader;
use crate::read_model::Projection;

/// How long readers wait for the switch at most, each time it is tried.
pub const LOCK_WAIT: Duration = Duration::from_millis(100);

/// How long it waits before it is tried again, in which readers have the tables to themselves.
const PAUSE: Duration = Duration::from_millis(200);

/// For how long it is tried: longer than any answer takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where the tables are that are no longer live, in the midst of the transaction.
const ASIDE: &str = "florin_aside";

/// What Postgres says when a lock was not had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What is switched, and by what.
pub struct Switch {
    /// The owner's connection, whose `search_path` is the other generation.
    pub connection: PgConnection,
    /// The model.
    pub model: Arc<dyn Projection>,
    /// What is missing of it.
    pub journal: Arc<dyn JournalReader>,
    /// Where the other generation lies.
    pub schema: String,
}

impl Switch {
    /// Makes the other generation the live one, and keeps what was live in [`last_of`] its model. Says
    /// where both were, by partition.
    ///
    /// # Errors
    /// [`GenerationError`]; what was live is live still.
    pub async fn make(mut self) -> Result<Vec<(u32, u64)>, GenerationError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.attempt().await {
                Err(GenerationError::Away(error)) if is_held(&error) => {}
                ended => return ended,
            }
            if Instant::now() > deadline {
                return Err(GenerationError::Held(self.model.name().to_owned(), PATIENCE));
            }
            sleep(PAUSE).await;
        }
    }

    async fn attempt(&mut self) -> Result<Vec<(u32, u64)>, GenerationError> {
        let Self { connection, model, journal, schema } = self;
        let mut transaction = connection.begin().await?;
        let positions = stand_still(&mut transaction, &**model).await?;
        for (partition, position) in positions.iter().copied() {
            fold_until(&mut transaction, &**model, &**journal, partition, position).await?;
        }
        let wait = format!("SET LOCAL lock_timeout TO {}", LOCK_WAIT.as_millis());
        run(&mut transaction, &wait).await?;
        let live: Vec<String> = model.tables().iter().map(|table| in_schema(LIVE, table)).collect();
        let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", live.join(", "));
        run(&mut transaction, &lock).await?;
        exchange(&mut transaction, model, schema).await?;
        for (partition, position) in positions.iter().copied() {
            let projection = model.name().to_owned();
            let announcement =
                Announcement { projection, partition, position, changed: Changed::All };
            checkpoint::announce(&mut transaction, &announcement).await?;
        }
        // What the new generation found may have to be published.
        sqlx::query("SELECT pg_notify($1, '')")
            .bind(outbox::CHANNEL)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(positions)
    }
}

fn is_held(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|database| database.code());
    code.as_deref() == Some(LOCK_NOT_AVAILABLE)
}

fn in_schema(schema: &str, table: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(table))
}

/// Holds the live model's checkpoints; where they are.
async fn stand_still(
    connection: &mut PgConnection,
    model: &dyn Projection,
) -> Result<Vec<(u32, u64)>, GenerationError> {
    let rows: Vec<(i32, i64)> = sqlx::query_as(
        "SELECT partition, position FROM public.checkpoints WHERE projection = $1
          ORDER BY partition FOR UPDATE",
    )
    .bind(model.name())
    .fetch_all(connection)
    .await?;
    let read = |(partition, position)| (u32::try_from(partition).unwrap_or(0), unsigned(position));
    Ok(rows.into_iter().map(read).collect())
}

/// Both generations change places: tables, and the model's rows in the tables that all share.
async fn exchange(
    connection: &mut PgConnection,
    model: &Arc<dyn Projection>,
    schema: &str,
) -> Result<(), sqlx::Error> {
    let aside = Generation { schema: ASIDE.to_owned(), models: vec![Arc::clone(model)] };
    let mark = tables::mark(connection, &aside).await?;
    let begin = format!("CREATE SCHEMA {ASIDE}; COMMENT ON SCHEMA {ASIDE} IS '{mark}'");
    run(connection, &begin).await?;
    for table in model.tables() {
        let (live, other) = (in_schema(LIVE, table), in_schema(schema, table));
        let exchange =
            format!("ALTER TABLE {live} SET SCHEMA {ASIDE}; ALTER TABLE {other} SET SCHEMA {LIVE}");
        run(connection, &exchange).await?;
    }
    for table in super::SHARED_TABLES {
        let live = in_schema(LIVE, table);
        let keep = format!(
            "CREATE TABLE {ASIDE}.{table} (LIKE {live} INCLUDING ALL);
             INSERT INTO {ASIDE}.{table} SELECT * FROM {live} WHERE projection = '{}'",
            model.name()
        );
        run(connection, &keep).await?;
    }
    let schema = quoted(schema);
    for statement in [
        format!(
            "UPDATE public.checkpoints live SET parked = other.parked
               FROM {schema}.checkpoints other
              WHERE live.projection = $1 AND other.projection = $1
                AND live.partition = other.partition"
        ),
        "DELETE FROM public.parked_wallets WHERE projection = $1".to_owned(),
        format!(
            "INSERT INTO public.parked_wallets
             SELECT * FROM {schema}.parked_wallets WHERE projection = $1"
        ),
        format!(
            "UPDATE public.dead_letters live SET state = 'replayed', last_at = now()
              WHERE live.projection = $1 AND live.state = 'open'
                AND NOT EXISTS (SELECT FROM {schema}.dead_letters other
                                 WHERE other.projection = $1 AND other.state = 'open'
                                   AND other.partition = live.partition
                                   AND other.position = live.position)"
        ),
        format!(
            "INSERT INTO public.dead_letters
             SELECT * FROM {schema}.dead_letters WHERE projection = $1 AND state = 'open'
             ON CONFLICT (projection, partition, position) DO UPDATE
                SET state = 'open', wallet_id = excluded.wallet_id, error = excluded.error,
                    attempts = excluded.attempts, last_at = now()"
        ),
    ] {
        sqlx::query(&statement).bind(model.name()).execute(&mut *connection).await?;
    }
    let last = quoted(&last_of(&**model));
    let end = format!(
        "DROP SCHEMA {schema} CASCADE; DROP SCHEMA IF EXISTS {last} CASCADE;
         ALTER SCHEMA {ASIDE} RENAME TO {last}"
    );
    run(connection, &end).await
}
