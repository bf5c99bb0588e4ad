//! Filling: one reader of the journal, and every model of a generation at its own pace behind it.
//!
//! ```text
//! page ─┬▶ balance ─▶ its connection, a transaction a page
//!       ├▶ history ─▶ …
//!       └▶ …          (pages wait in queues of [`QUEUE`], and are shared, not copied)
//! ```
//!
//! A transaction has a page's rows and the checkpoint, so that whatever ends the filling, it goes on
//! from the last page that each model has.

use std::sync::Arc;

use florin_domain::journal::RecordedEvent;
use sqlx::PgConnection;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::GenerationError;
use super::fold::Folding;
use crate::ports::JournalReader;
use crate::read_model::Projection;

/// How many pages wait for a model: the fast ones are not held up by each page of the slow ones.
const QUEUE: usize = 2;

/// A page, for all models.
type Page = Arc<Vec<RecordedEvent>>;

/// One model of a generation, with a connection whose `search_path` is that generation.
pub struct Filler {
    /// Which.
    pub model: Arc<dyn Projection>,
    /// Where it is filled.
    pub connection: PgConnection,
    /// Where the events are, to be asked about.
    pub journal: Arc<dyn JournalReader>,
}

impl Filler {
    /// The last event that it has of a partition.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn position(&mut self, partition: u32) -> Result<u64, GenerationError> {
        Ok(Folding::open(&mut self.connection, &*self.model, partition).await?.position())
    }

    /// Folds one partition's pages until there are no more.
    async fn run(
        mut self,
        partition: u32,
        mut pages: mpsc::Receiver<Page>,
    ) -> Result<Self, GenerationError> {
        let Self { model, connection, journal } = &mut self;
        let mut folding = Folding::open(connection, &**model, partition).await?;
        while let Some(page) = pages.recv().await {
            folding.take(connection, &**model, &**journal, &page).await?;
        }
        Ok(self)
    }
}

/// Models that are filled side by side with one partition's pages.
pub struct Fill {
    queues: Vec<mpsc::Sender<Page>>,
    filling: JoinSet<Result<Filler, GenerationError>>,
}

impl Fill {
    /// Begins to fill.
    pub fn start(fillers: Vec<Filler>, partition: u32) -> Self {
        let (mut queues, mut filling) = (Vec::with_capacity(fillers.len()), JoinSet::new());
        for filler in fillers {
            let (queue, pages) = mpsc::channel(QUEUE);
            queues.push(queue);
            filling.spawn(filler.run(partition, pages));
        }
        Self { queues, filling }
    }

    /// The next page of the partition. Whoever has some of its events already skips those. `false` when
    /// a model has stopped: [`Self::finish`] says why.
    pub async fn take(&mut self, page: Vec<RecordedEvent>) -> bool {
        let page = Arc::new(page);
        for queue in &self.queues {
            if queue.send(Arc::clone(&page)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Waits until every model has everything.
    ///
    /// # Errors
    /// [`GenerationError`] of the first that stopped.
    pub async fn finish(mut self) -> Result<Vec<Filler>, GenerationError> {
        self.queues.clear();
        let mut fillers = Vec::new();
        while let Some(ended) = self.filling.join_next().await {
            let filler =
                ended.map_err(|error| GenerationError::Unfinished(error.to_string()))??;
            fillers.push(filler);
        }
        Ok(fillers)
    }
}
