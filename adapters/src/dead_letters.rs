//! Where operators look after dead letters: the functions of the projections, on a pool.
//!
//! HTTP and the command line use it alike, and neither has a rule of its own. A letter is of an event
//! that a projection could not apply, of an operation that came to no outcome, or of a message of another
//! service that came to nothing.

use std::error::Error;
use std::sync::Arc;

use chrono::SecondsFormat;
use florin_domain::{Operator, Reason};
use florin_projections::dead_letters::{
    self, DeadLetter, Filter, INTAKE, LetterId, LetterList, OPERATIONS, ParkedWallet, State,
};
use florin_projections::ports::JournalReader;
use florin_projections::read_model::Projection;
use florin_projections::replay::{Outcome, ReplayError, Replays};
use serde_json::Value;
use sqlx::PgPool;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::intake::letters::Discarded;
use crate::{intake, operations};

/// Cheap to clone.
#[derive(Clone)]
pub struct DeadLetterDesk {
    pool: PgPool,
    journal: Arc<dyn JournalReader>,
    models: Arc<[Arc<dyn Projection>]>,
    /// One fold at a time: each holds a connection while it asks the pool for another, so that a
    /// pool full of them would stand still.
    turn: Arc<Mutex<()>>,
}

/// Of what there may be letters besides projections.
pub const OTHERS: [&str; 2] = [INTAKE, OPERATIONS];

/// What is stored, as JSON: Postgres keeps nothing else, and another text would be told as it is.
pub(crate) fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Of what a letter is.
enum Of<'d> {
    /// An event that a projection could not apply.
    Model(&'d dyn Projection),
    /// An operation that came to no outcome.
    Operation,
    /// A message of another service that came to nothing.
    Message,
}

/// What a decision came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The dead letter, as it was before.
    pub letter: DeadLetter,
    /// What became of its wallet.
    pub outcome: Outcome,
}

/// Why nothing was done.
#[derive(Debug, Error)]
pub enum DeskError {
    /// No projection has set that event aside.
    #[error("there is no dead letter {0}")]
    NotFound(LetterId),
    /// Nothing is left to decide about it; the letter as it is now.
    #[error("the dead letter {} {}: nothing is left to do", .0.id, end(.0))]
    Settled(Box<DeadLetter>),
    /// What its message asks for may have been begun: only a replay brings that to its end.
    #[error(
        "what the message of dead letter {0} asks for may have been begun, and cannot be discarded: \
         mend what it waits for, and replay it"
    )]
    Begun(LetterId),
    /// Postgres is away; a decision on the way to it may count or not.
    #[error("Postgres is away: {0}")]
    Away(#[source] Box<dyn Error + Send + Sync>),
}

impl From<sqlx::Error> for DeskError {
    fn from(error: sqlx::Error) -> Self {
        Self::Away(error.into())
    }
}

/// What became of a letter that is settled, as the end of a sentence about it.
pub fn end(letter: &DeadLetter) -> String {
    let at = letter.last_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    match letter.state {
        State::Open => "is open, but its wallet is not parked".to_owned(),
        State::Replayed => format!("was replayed at {at}"),
        State::Discarded => {
            let by = letter.decided_by.as_deref().unwrap_or("somebody");
            format!("was discarded by {by} at {at}")
        }
    }
}

impl DeadLetterDesk {
    /// Over the read models' database, with the read models as this version of the program folds
    /// them.
    pub fn new(
        pool: PgPool,
        journal: Arc<dyn JournalReader>,
        models: Vec<Arc<dyn Projection>>,
    ) -> Self {
        Self { pool, journal, models: models.into(), turn: Arc::default() }
    }

    /// The names of the projections.
    pub fn projections(&self) -> Vec<&'static str> {
        self.models.iter().map(|model| model.name()).collect()
    }

    /// Of what there may be letters: of each projection, of operations, and of messages.
    pub fn sources(&self) -> Vec<&'static str> {
        self.projections().into_iter().chain(OTHERS).collect()
    }

    /// A page of the dead letters that pass.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<&LetterId>,
        limit: u32,
    ) -> Result<LetterList, DeskError> {
        Ok(dead_letters::list(&self.pool, filter, after, limit).await?)
    }

    /// One dead letter.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn show(&self, id: &LetterId) -> Result<DeadLetter, DeskError> {
        let letter = dead_letters::show(&self.pool, id).await?;
        letter.ok_or_else(|| DeskError::NotFound(id.clone()))
    }

    /// The wallets whose rows stand still, of one projection or of all.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn parked(&self, projection: Option<&str>) -> Result<Vec<ParkedWallet>, DeskError> {
        Ok(dead_letters::parked(&self.pool, projection).await?)
    }

    /// Folds the wallet of a dead letter anew, with all that waits behind it; queues an operation or a
    /// message again.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn replay(&self, id: &LetterId) -> Result<Decided, DeskError> {
        let (letter, of) = self.open(id).await?;
        let outcome = match (of, &letter.wallet_id) {
            (Of::Operation, _) => {
                let queued = operations::letters::replay(&self.pool, id.partition, id.position);
                self.decided(id, queued.await?, Outcome::Queued).await?
            }
            (Of::Message, _) => {
                let queued = intake::letters::replay(&self.pool, id.position).await?;
                self.decided(id, queued, Outcome::Queued).await?
            }
            (Of::Model(_), None) => Outcome::NothingToFold,
            (Of::Model(model), Some(wallet)) => {
                let _turn = self.turn.lock().await;
                let replayed = self.replays(model).replay(id.partition, wallet).await;
                self.told(id, replayed).await?
            }
        };
        tracing::info!(letter = %id, wallet = letter.wallet_id, ?outcome, "dead letter replayed");
        Ok(Decided { letter, outcome })
    }

    /// Decides that an event is never applied, and folds its wallet without it; that an operation
    /// stays failed; that a message never does anything.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn discard(
        &self,
        id: &LetterId,
        by: &Operator,
        reason: &Reason,
    ) -> Result<Decided, DeskError> {
        let (letter, of) = self.open(id).await?;
        let (by, reason) = (by.as_str(), reason.as_str());
        let outcome = match of {
            Of::Operation => {
                let place = (id.partition, id.position);
                let discarded = operations::letters::discard(&self.pool, place, by, reason).await?;
                self.decided(id, discarded, Outcome::NothingToFold).await?
            }
            Of::Message => {
                let discarded = intake::letters::discard(&self.pool, id.position, by, reason);
                let is_done = match discarded.await? {
                    Discarded::Done => true,
                    Discarded::Settled => false,
                    Discarded::Begun => return Err(DeskError::Begun(id.clone())),
                };
                self.decided(id, is_done, Outcome::NothingToFold).await?
            }
            Of::Model(model) => {
                let _turn = self.turn.lock().await;
                let discarded = self.replays(model).discard(id, by, reason).await;
                self.told(id, discarded).await?
            }
        };
        let wallet = letter.wallet_id.as_deref();
        tracing::info!(letter = %id, wallet, by, ?outcome, "dead letter discarded");
        Ok(Decided { letter, outcome })
    }

    /// A letter that can be decided about, and of what it is.
    async fn open(&self, id: &LetterId) -> Result<(DeadLetter, Of<'_>), DeskError> {
        let of = match &*id.projection {
            OPERATIONS => Of::Operation,
            INTAKE => Of::Message,
            name => {
                let model = self.models.iter().find(|model| model.name() == name);
                Of::Model(&**model.ok_or_else(|| DeskError::NotFound(id.clone()))?)
            }
        };
        let letter = self.show(id).await?;
        match letter.state {
            State::Open => Ok((letter, of)),
            State::Replayed | State::Discarded => Err(DeskError::Settled(letter.into())),
        }
    }

    fn replays<'a>(&'a self, model: &'a dyn Projection) -> Replays<'a> {
        Replays { pool: &self.pool, model, journal: &*self.journal }
    }

    /// What became of an operation or a message, if nobody else was quicker.
    async fn decided(
        &self,
        id: &LetterId,
        is_done: bool,
        outcome: Outcome,
    ) -> Result<Outcome, DeskError> {
        match is_done {
            true => Ok(outcome),
            false => Err(DeskError::Settled(self.show(id).await?.into())),
        }
    }

    /// Somebody else may have been quicker.
    async fn told(
        &self,
        id: &LetterId,
        outcome: Result<Outcome, ReplayError>,
    ) -> Result<Outcome, DeskError> {
        match outcome {
            Ok(outcome) => Ok(outcome),
            Err(ReplayError::NotParked | ReplayError::NotOpen) => {
                Err(DeskError::Settled(self.show(id).await?.into()))
            }
            Err(ReplayError::Away(error)) => Err(error.into()),
            Err(ReplayError::Journal(error)) => Err(DeskError::Away(error.into())),
        }
    }
}
