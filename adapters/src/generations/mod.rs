//! Generations of read models, driven: rebuilt beside the live ones, or filled as of a moment.
//!
//! | file | does |
//! |---|---|
//! | `rebuild` | fills a model's next generation, compares it with the live one, and switches |
//! | `as_of` | fills a schema with every model as it was |
//! | here | what both need: connections, and pages for everybody who folds them |
//!
//! Bounds: a connection for each model, one that reads the journal, one that works on tables, and one
//! that holds the turn of each model.

pub mod as_of;
pub mod rebuild;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use florin_application::journal::JournalError;
use florin_projections::generation::GenerationError;
use florin_projections::generation::fill::{Fill, Filler};
use florin_projections::ports::{JournalAway, JournalReader};
use florin_projections::read_model::Projection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep_until};

use crate::postgres::PostgresJournal;
use crate::postgres::scan::{Range, Scan};

/// What a session that works on whole tables is told besides what every session is: it takes the time
/// that it takes, reads tables from end to end, and sorts in memory.
const AT_LARGE: [(&str, &str); 5] = [
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("enable_seqscan", "on"),
    ("plan_cache_mode", "auto"),
    ("work_mem", "64MB"),
];

/// What a session that folds is told: its statements are look-ups by keys, of many keys at once.
const FOLDING: [(&str, &str); 2] =
    [("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0")];

/// Where generations are made, and from what.
#[derive(Clone)]
pub struct Workshop {
    /// The journal, opened by the owner of the tables.
    journal: PostgresJournal,
    /// How many events a second are folded at most.
    throttle: Option<NonZeroU64>,
}

impl Workshop {
    /// On a ledger that the owner of its tables has opened.
    pub fn new(journal: PostgresJournal, throttle: Option<NonZeroU64>) -> Self {
        Self { journal, throttle }
    }

    /// The journal.
    pub fn journal(&self) -> &PostgresJournal {
        &self.journal
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::new(self.journal.clone())
    }

    /// A connection for work on whole tables.
    async fn at_large(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.journal.options().options(AT_LARGE)).await
    }

    fn folding(&self, schema: &str) -> PgConnectOptions {
        let path = format!("{schema},public");
        self.journal.options().options(FOLDING).options([("search_path", path.as_str())])
    }

    /// A model, to be filled in a schema.
    async fn filler(
        &self,
        model: &Arc<dyn Projection>,
        schema: &str,
    ) -> Result<Filler, GenerationError> {
        let connection = PgConnection::connect_with(&self.folding(schema)).await?;
        Ok(Filler { model: Arc::clone(model), connection, journal: self.reader() })
    }

    /// Folds a range of one partition into every model that has not got it yet; `told` of each page.
    async fn fill(
        &self,
        fillers: Vec<Filler>,
        range: Range,
        told: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Vec<Filler>, GenerationError> {
        let mut pages = Scan::start(&self.journal, range);
        let mut fill = Fill::start(fillers, range.partition);
        let (begun, mut taken) = (Instant::now(), 0);
        while let Some(page) = pages.next().await.map_err(away)? {
            let events = page.len() as u64;
            if !fill.take(page).await {
                break;
            }
            taken += events;
            told(events);
            if let Some(rate) = self.throttle {
                sleep_until(begun + Duration::from_micros(taken * 1_000_000 / rate)).await;
            }
        }
        fill.finish().await
    }
}

fn away(error: JournalError) -> GenerationError {
    JournalAway(error.into()).into()
}
