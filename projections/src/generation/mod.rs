//! Another generation of read models, in tables of its own beside the live ones.
//!
//! ```text
//! pages of the journal ─fill─▶ tables in another schema ─┬ compare: rows and hashes, at an equal
//!                                                        │          position of the live ones
//!                              live tables ◀─────switch──┘ one transaction; what was live is kept
//! ```
//!
//! | file | does |
//! |---|---|
//! | `tables` | makes a schema with the tables of some models, as the live ones are |
//! | `fill` | folds pages into them, several models side by side |
//! | `fold` | folds one model up to a position, from where its checkpoint is |
//! | `compare` | whether two generations are the same, and else which wallets differ |
//! | `switch` | makes one the live one |
//!
//! A statement of a read model names its tables without a schema, so that the `search_path` of the
//! connection decides which generation it is about. A rebuild fills `florin_next_<model>`; what was live
//! before the switch is in `florin_last_<model>`, until the next one. A question about the past fills a
//! schema of any name, which nothing is switched to.
//!
//! All of this is work for the owner of the tables, not for the service's role. One process at a time
//! rebuilds a model: it holds a [`Turn`].
//!
//! Deliberately absent: triggers, and a second way to write. A generation is filled by the fold that
//! keeps the live one up to date, and by nothing else.

pub mod compare;
pub mod fill;
pub mod fold;
pub mod switch;
pub mod tables;

use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};
use thiserror::Error;

use crate::batch::BatchError;
use crate::ports::JournalAway;
use crate::read_model::Projection;

/// The tables that every read model shares, besides its own.
pub const SHARED_TABLES: [&str; 3] = ["checkpoints", "parked_wallets", "dead_letters"];

/// Where the live generation lies.
pub const LIVE: &str = "public";

/// What the name of a schema with a next generation begins with.
const NEXT: &str = "florin_next_";

/// What the right to work on a model's generations is named, besides by the model.
const RIGHT: &str = "florin generation";

/// The schema in which a model's next generation is filled.
pub fn next_of(model: &dyn Projection) -> String {
    format!("{NEXT}{}", model.name())
}

/// The schema in which the generation is kept that was live before.
pub fn last_of(model: &dyn Projection) -> String {
    format!("florin_last_{}", model.name())
}

/// What is to be filled.
#[derive(Clone)]
pub struct Generation {
    /// Where it lies.
    pub schema: String,
    /// Of which models.
    pub models: Vec<Arc<dyn Projection>>,
}

impl Generation {
    /// The tables in it.
    pub fn tables(&self) -> impl Iterator<Item = &'static str> {
        let own = self.models.iter().flat_map(|model| model.tables().iter().copied());
        own.chain(SHARED_TABLES)
    }
}

/// Why a generation was not filled, compared or switched to. What was live is as it was.
#[derive(Debug, Error)]
pub enum GenerationError {
    /// Postgres is away, or refuses.
    #[error("Postgres does not do it: {0}")]
    Away(#[from] sqlx::Error),
    /// The journal does not answer.
    #[error(transparent)]
    Journal(#[from] JournalAway),
    /// Another process fills the same generation.
    #[error("another process rebuilds `{0}`: wait until it is done")]
    Taken(String),
    /// The tables were filled by somebody else meanwhile, or an event is at fault.
    #[error("the fold was not finished: {0}")]
    Unfinished(String),
    /// The schema holds something that is none of this program's.
    #[error("there is a schema {0} already, which is none of this program's: name another one")]
    Foreign(String),
    /// There is nothing to go back to.
    #[error("no generation of `{0}` is kept that could be gone back to")]
    NoLast(String),
    /// What is kept is of another version's shape.
    #[error(
        "the generation of `{0}` that is kept has another shape than this version's: rebuild it instead"
    )]
    OldShape(String),
    /// Readers held the tables for too long.
    #[error("the tables of `{0}` were read without a pause for {1:?}: try again")]
    Held(String, std::time::Duration),
}

impl From<BatchError> for GenerationError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Away(error) => Self::Away(error),
            BatchError::Journal(error) => Self::Journal(error),
            error @ (BatchError::Moved | BatchError::Culprit(_)) => {
                Self::Unfinished(error.to_string())
            }
        }
    }
}

/// The right to rebuild a model, held by a connection until it ends.
pub struct Turn {
    connection: PgConnection,
}

impl Turn {
    /// Takes the right.
    ///
    /// # Errors
    /// [`GenerationError::Taken`], or Postgres is away.
    pub async fn take(
        mut connection: PgConnection,
        model: &dyn Projection,
    ) -> Result<Self, GenerationError> {
        let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtext($1), hashtext($2))");
        let taken: bool = lock.bind(RIGHT).bind(model.name()).fetch_one(&mut connection).await?;
        match taken {
            true => Ok(Self { connection }),
            false => Err(GenerationError::Taken(model.name().to_owned())),
        }
    }

    /// Gives it back.
    ///
    /// # Errors
    /// When Postgres is away; it is given back all the same.
    pub async fn end(self) -> Result<(), GenerationError> {
        Ok(self.connection.close().await?)
    }
}

/// The models whose next generation was begun, and that nobody works on, by name. Anybody may ask.
///
/// # Errors
/// When Postgres is away.
pub async fn abandoned(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    // A lock has its numbers without their signs.
    sqlx::query_scalar(
        "SELECT name FROM (SELECT substr(nspname, length($1) + 1) AS name
                             FROM pg_namespace WHERE starts_with(nspname, $1)) AS begun
          WHERE NOT EXISTS (SELECT FROM pg_locks l
                             WHERE l.locktype = 'advisory'
                               AND l.database = (SELECT oid FROM pg_database
                                                  WHERE datname = current_database())
                               AND l.classid = (hashtext($2)::bigint & x'ffffffff'::bigint)
                               AND l.objid = (hashtext(name)::bigint & x'ffffffff'::bigint))
          ORDER BY name",
    )
    .bind(NEXT)
    .bind(RIGHT)
    .fetch_all(connection)
    .await
}
