//! The whole way of an event, in processes that a test may kill: `florin serve`, one or two
//! `florin worker`, a Postgres and a NATS, all for one test alone.
//!
//! ```text
//! monkeys ─HTTP─▶ serve ─▶ Postgres ─▶ worker ─▶ NATS ─▶ worker ─▶ read models in Postgres
//! ```
//!
//! A test ends with [`Pipeline::finish`], which waits until the pipeline has come to rest by itself
//! and then proves that nothing was lost, doubled or reordered. A checkpoint that goes back for a
//! moment is not overlooked: a trigger notes it.

use std::collections::BTreeMap;
use std::path::Path;

use florin_adapters::dev::DatabaseUrls;
use florin_adapters::postgres::connect;
use florin_adapters::postgres::lease::{LeaseHolder, holders};
use florin_projections::{dead_letters, fraud, models};
use sqlx::{Connection, PgConnection, PgPool};
use tempfile::TempDir;

use crate::fresh_fold::database_equals_fresh_fold;
use crate::lag::{heads, read_models_behind, relays_behind};
use crate::monkeys::expect_verified;
use crate::nats::OwnNats;
use crate::own_postgres::OwnPostgres;
use crate::process::{Florin, free_port};
use crate::store::eventually;

/// Takes down every checkpoint that goes back, as the service's role could not.
const NOTE_SETBACKS: &str = "
CREATE TABLE setbacks (projection text, partition integer, known bigint, became bigint);
CREATE FUNCTION note_setback() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO public.setbacks VALUES (OLD.projection, OLD.partition, OLD.position, NEW.position);
  RETURN NULL;
END $$;
CREATE TRIGGER setback AFTER UPDATE ON checkpoints FOR EACH ROW
  WHEN (NEW.position < OLD.position) EXECUTE FUNCTION note_setback();";

/// Everything that runs.
pub struct Pipeline {
    api: Florin,
    workers: Vec<Florin>,
    /// What workers are told besides.
    more: Vec<String>,
    port: u16,
    url: String,
    database: DatabaseUrls,
    pool: PgPool,
    /// The stream, to be killed and disturbed.
    pub nats: OwnNats,
    /// The journal and the read models, to be killed.
    pub postgres: OwnPostgres,
    // After the processes, which write there to their end.
    dir: TempDir,
}

impl Pipeline {
    /// Starts everything, and waits until it accepts commands.
    pub async fn start(partitions: u32, workers: usize) -> Self {
        Self::with(partitions, workers, &[]).await
    }

    /// The same, with more arguments for the workers.
    pub async fn with(partitions: u32, workers: usize, more: &[&str]) -> Self {
        let more: Vec<String> = more.iter().map(|word| (*word).to_owned()).collect();
        let (postgres, nats) = tokio::join!(OwnPostgres::start(), OwnNats::start());
        let database = postgres.ledger(partitions).await;
        let mut admin = PgConnection::connect(&database.admin).await.unwrap();
        sqlx::raw_sql(NOTE_SETBACKS).execute(&mut admin).await.unwrap();
        let (dir, port) = (TempDir::new().unwrap(), free_port());
        let url = format!("http://127.0.0.1:{port}");
        let nats_url = nats.url();
        let api = Florin::serve(dir.path(), port, &database.service, &["--nats-url", &nats_url]);
        let worker = |number| start_worker(&dir, number, &database, &nats_url, &more);
        let workers = (0..workers).map(worker).collect();
        let pool = connect(&database.service).unwrap();
        let mut pipeline =
            Self { api, workers, more, port, url, database, pool, nats, postgres, dir };
        pipeline.api.ready(&pipeline.url).await;
        pipeline
    }

    /// Where clients go.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the journal and the read models are.
    pub fn database(&self) -> &DatabaseUrls {
        &self.database
    }

    /// Where the processes leave what they say.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// As the service's role.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A worker that runs.
    pub fn worker(&mut self, number: usize) -> &mut Florin {
        &mut self.workers[number]
    }

    /// The service.
    pub fn api(&mut self) -> &mut Florin {
        &mut self.api
    }

    /// Starts it again after it ended, on its port.
    pub fn start_api(&mut self) {
        let more = ["--nats-url", &self.nats.url()];
        self.api = Florin::serve(self.dir.path(), self.port, &self.database.service, &more);
    }

    /// Starts a worker that ended.
    pub fn start_worker(&mut self, number: usize) {
        let url = self.nats.url();
        self.workers[number] = start_worker(&self.dir, number, &self.database, &url, &self.more);
    }

    /// The leases that a worker holds, which it need not know yet.
    pub async fn leases_of(&self, number: usize) -> Vec<String> {
        let Some(pid) = self.workers[number].pid() else { return Vec::new() };
        let is_its = |lease: &LeaseHolder| lease.holder.starts_with(&format!("{pid}-"));
        let all = holders(&self.pool).await.unwrap();
        all.into_iter().filter(is_its).map(|lease| lease.name).collect()
    }

    /// Waits until events have gone all the way in every partition.
    pub async fn in_flow(&self) {
        eventually("there are events in every partition", async || {
            let heads = heads(&self.pool).await;
            if heads.iter().all(|(_, head)| *head > 0) { Ok(()) } else { Err(heads) }
        })
        .await;
        self.caught_up().await;
    }

    /// Waits until what is in the journal now is published and in every read model, by itself.
    pub async fn caught_up(&self) {
        let now: BTreeMap<u32, u64> = heads(&self.pool).await.into_iter().collect();
        eventually("everything is published, and every read model has it", async || {
            let mut behind = relays_behind(&self.pool).await;
            behind.extend(read_models_behind(&self.pool).await);
            behind.retain(|one| one.at < now[&one.partition]);
            if behind.is_empty() { Ok(()) } else { Err(behind) }
        })
        .await;
    }

    /// Every row of every read model, as text, table by table; without when an alert was published,
    /// which is no part of the fold.
    pub async fn rows(&self) -> BTreeMap<&'static str, Vec<String>> {
        let mut rows = BTreeMap::new();
        for table in models::all().iter().flat_map(|model| model.tables()) {
            let statement =
                format!("SELECT (to_jsonb(t) - 'published_at')::text FROM {table} t ORDER BY 1");
            let all = sqlx::query_scalar(&statement).fetch_all(&mut self.admin().await).await;
            rows.insert(*table, all.unwrap());
        }
        rows
    }

    /// Waits until the pipeline is at rest; nothing was lost, doubled, reordered or set aside.
    pub async fn finish(self) {
        let all = dead_letters::Filter::default();
        let letters = dead_letters::list(&self.pool, &all, None, 10).await.unwrap();
        assert_eq!(letters.letters, []);
        self.finish_with_letters().await;
    }

    /// The same where a test has messages set aside.
    pub async fn finish_with_letters(mut self) {
        expect_verified(&self.database.service).await;
        self.caught_up().await;
        database_equals_fresh_fold(&self.database).await;
        // Wallets that are parked were left out there: there are none.
        assert_eq!(dead_letters::parked(&self.pool, None).await.unwrap(), []);
        self.alerts_published().await;
        self.expect_no_setback().await;
        self.expect_no_doubles().await;
        for florin in self.workers.iter_mut().chain([&mut self.api]) {
            let ended = florin.terminate().await;
            assert!(ended.success(), "{ended}: {}", florin.log());
        }
        self.pool.close().await;
        self.nats.stop().await;
        self.postgres.stop().await;
    }

    async fn alerts_published(&self) {
        eventually("every alert is published", async || {
            let unpublished = fraud::publish::unpublished(&self.pool, 10).await.unwrap();
            if unpublished.is_empty() { Ok(()) } else { Err(unpublished) }
        })
        .await;
    }

    async fn expect_no_setback(&self) {
        let setbacks: Vec<String> = sqlx::query_scalar("SELECT s::text FROM setbacks s")
            .fetch_all(&mut self.admin().await)
            .await
            .unwrap();
        assert_eq!(setbacks, Vec::<String>::new(), "a checkpoint went back");
    }

    /// An event is one movement of money at most.
    async fn expect_no_doubles(&self) {
        let doubles: Vec<(i32, i64)> = sqlx::query_as(
            "SELECT partition, position FROM movements
              GROUP BY partition, position HAVING count(*) > 1",
        )
        .fetch_all(&mut self.admin().await)
        .await
        .unwrap();
        assert_eq!(doubles, [], "an event is twice in the history");
    }

    async fn admin(&self) -> PgConnection {
        PgConnection::connect(&self.database.admin).await.unwrap()
    }
}

fn start_worker(
    dir: &TempDir,
    number: usize,
    database: &DatabaseUrls,
    nats_url: &str,
    more: &[String],
) -> Florin {
    let name = format!("worker-{number}");
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    Florin::worker_with(&name, dir.path(), &database.service, nats_url, &more)
}
