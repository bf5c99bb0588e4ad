//! Every read model equals a fresh fold of the journal at its checkpoint, exactly.
//!
//! The fresh fold is made in a schema of its own, in a transaction that is rolled back: what is live
//! is compared as of one moment, while runners go on. Wallets that are parked stand still by
//! intention, and are left out.

use std::collections::HashMap;
use std::sync::Arc;

use florin_adapters::dev::DatabaseUrls;
use florin_adapters::postgres::PostgresJournal;
use florin_projections::generation::SHARED_TABLES;
use florin_projections::generation::fold::fold_until;
use florin_projections::models;
use florin_projections::read_model::Projection;
use sqlx::{Connection, PgConnection, Row};

use crate::store::Store;

/// Panics with the first difference between what the runners made and a fresh fold.
pub async fn equals_fresh_fold(store: &Store) {
    let Store::Postgres(journal, urls) = store else {
        panic!("read models are kept in Postgres");
    };
    let difference = difference(journal, urls).await;
    assert_eq!(difference, None, "a read model is not a fold of the journal");
}

/// The same for the database of another process.
pub async fn database_equals_fresh_fold(urls: &DatabaseUrls) {
    let journal = PostgresJournal::open(&urls.service, None).await.unwrap();
    assert_eq!(difference(&journal, urls).await, None, "a read model is not a fold of the journal");
}

/// The first difference, if there is one: the table, and the row that only one of them has.
async fn difference(journal: &PostgresJournal, urls: &DatabaseUrls) -> Option<String> {
    let mut connection = PgConnection::connect(&urls.admin).await.unwrap();
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
    let mut transaction = connection.begin_with(begin).await.unwrap();
    let models: HashMap<&str, Arc<dyn Projection>> =
        models::all().into_iter().map(|model| (model.name(), model)).collect();
    create_tables(&mut transaction, models.values()).await;
    let checkpoints = sqlx::query("SELECT projection, partition, position FROM public.checkpoints")
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
    for row in checkpoints {
        let (name, partition, position): (&str, i32, i64) = (row.get(0), row.get(1), row.get(2));
        let model = &*models[name];
        let (partition, position) = (partition.unsigned_abs(), position.unsigned_abs());
        fold_until(&mut transaction, model, journal, partition, position).await.unwrap();
    }
    for model in models.values() {
        for table in model.tables() {
            let first = first_difference(&mut transaction, model.name(), table).await;
            if first.is_some() {
                return first;
            }
        }
    }
    None
}

async fn create_tables(
    connection: &mut PgConnection,
    models: impl Iterator<Item = &Arc<dyn Projection>>,
) {
    let tables = models.flat_map(|model| model.tables()).chain(&SHARED_TABLES);
    let copies: String = tables
        .map(|table| format!("CREATE TABLE fresh.{table} (LIKE public.{table} INCLUDING ALL);"))
        .collect();
    let statements = format!(
        "CREATE SCHEMA fresh; {copies}
         INSERT INTO fresh.dead_letters SELECT * FROM public.dead_letters WHERE state = 'discarded';
         SET LOCAL search_path TO fresh, public"
    );
    sqlx::raw_sql(&statements).execute(connection).await.unwrap();
}

/// As JSON, because numbers are then equal whatever their scale.
async fn first_difference(
    connection: &mut PgConnection,
    projection: &str,
    table: &str,
) -> Option<String> {
    let rows = |schema: &str| {
        format!(
            "SELECT to_jsonb(t) FROM {schema}.{table} t WHERE t.wallet_id NOT IN
                    (SELECT wallet_id FROM public.parked_wallets WHERE projection = $1)"
        )
    };
    let (live, fresh) = (rows("public"), rows("fresh"));
    let statement = format!(
        "(SELECT 'only in the live ' || '{table}: ' || l::text
            FROM ({live} EXCEPT ALL {fresh}) AS l (l) ORDER BY 1 LIMIT 1)
         UNION ALL
         (SELECT 'only in the fresh ' || '{table}: ' || f::text
            FROM ({fresh} EXCEPT ALL {live}) AS f (f) ORDER BY 1 LIMIT 1)"
    );
    let rows: Vec<String> =
        sqlx::query_scalar(&statement).bind(projection).fetch_all(connection).await.unwrap();
    (!rows.is_empty()).then(|| rows.join("\n"))
}
