//! A ledger under the eyes of the fraud rules, which fold when a test says so.

use florin_adapters::postgres::PostgresJournal;
use florin_application::command::Outcome;
use florin_application::{Command, Ledger};
use florin_domain::WalletId;
use florin_domain::fraud::{Alert, Settings};
use florin_projections::fraud::review::{self, Filter, MAX_LIST};
use florin_projections::fraud::{Fraud, settings};
use florin_projections::generation::fold::fold_until;
use florin_projections::ports::JournalReader;
use sqlx::{Connection, PgConnection, PgPool};

use crate::ask::{deposit, request, withdraw};
use crate::store::Store;

/// The journal, a process on it, and the read model `fraud`.
pub struct Watch {
    /// The journal.
    pub store: Store,
    /// A process.
    pub ledger: Ledger,
}

impl Watch {
    /// A new ledger.
    pub async fn new(partitions: u32) -> Self {
        Self::over(Store::postgres(partitions).await)
    }

    /// A ledger that is there.
    pub fn over(store: Store) -> Self {
        let ledger = store.process();
        Self { store, ledger }
    }

    /// As the service's role.
    pub fn pool(&self) -> &PgPool {
        pool_of(&self.store)
    }

    /// As the owner of the tables.
    pub async fn admin(&self) -> PgConnection {
        let Store::Postgres(_, urls) = &self.store else { panic!("it is kept in Postgres") };
        PgConnection::connect(&urls.admin).await.unwrap()
    }

    /// Does what must be accepted.
    pub async fn accepted(&self, command: Command) {
        let answer = self.ledger.submit(request(command)).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Accepted(_)), "{answer:?}");
    }

    /// A withdrawal of 10,000, after which the wallet keeps so much that nothing else is found.
    pub async fn large_outflow(&self, wallet: &WalletId) {
        self.accepted(deposit(wallet, "1000000")).await;
        self.accepted(withdraw(wallet, "10000")).await;
    }

    /// Judges the rest of the journal by the settings on record.
    pub async fn fold(&self) {
        fold(&self.store).await;
    }

    /// From now on, by these settings.
    pub async fn adopt(&self, toml: &str) -> Vec<settings::Adopted> {
        let mut connection = self.pool().acquire().await.unwrap();
        let (partitions, settings) = (self.store.partitions(), rules(toml));
        settings::adopt(&mut connection, partitions, &settings).await.unwrap()
    }

    /// Every alert, newest first.
    pub async fn alerts(&self) -> Vec<Alert> {
        let list = review::list(self.pool(), &Filter::default(), None, MAX_LIST).await.unwrap();
        assert_eq!(list.next, None, "more alerts than a page has");
        list.alerts.into_iter().map(|reviewed| reviewed.alert).collect()
    }

    /// Every row of the read model, as text.
    pub async fn rows(&self) -> Vec<String> {
        let statement = "SELECT to_jsonb(h)::text FROM fraud_histories h
                         UNION ALL SELECT to_jsonb(a)::text FROM fraud_alerts a ORDER BY 1";
        sqlx::query_scalar(statement).fetch_all(&mut self.admin().await).await.unwrap()
    }

    /// Empties the read model, as whoever folds it anew does.
    pub async fn empty(&self) {
        let statements = "TRUNCATE fraud_histories, fraud_alerts;
                          UPDATE checkpoints SET position = 0 WHERE projection = 'fraud'";
        sqlx::raw_sql(statements).execute(&mut self.admin().await).await.unwrap();
    }
}

/// Judges the rest of a journal by the settings on record.
pub async fn fold(store: &Store) {
    let journal = journal_of(store);
    let mut connection = journal.pool().acquire().await.unwrap();
    for partition in 0..store.partitions() {
        let head = journal.head(partition).await.unwrap();
        fold_until(&mut connection, &Fraud, journal, partition, head).await.unwrap();
    }
}

/// A file of fraud rules.
pub fn rules(toml: &str) -> Settings {
    toml::from_str(toml).unwrap()
}

fn journal_of(store: &Store) -> &PostgresJournal {
    let Store::Postgres(journal, _) = store else { panic!("it is kept in Postgres") };
    journal
}

/// The pool of the service's role.
pub fn pool_of(store: &Store) -> &PgPool {
    journal_of(store).pool()
}
