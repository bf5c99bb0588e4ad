//! Read models folded anew: beside the live ones, and as of a moment.

mod as_of;
mod interrupted;
mod rebuild;
mod serving;
mod under_load;

use std::sync::Arc;

use florin_adapters::dev::DatabaseUrls;
use florin_adapters::generations::Workshop;
use florin_adapters::generations::rebuild::{Manner, Rebuilt};
use florin_adapters::postgres::PostgresJournal;
use florin_projections::generation::GenerationError;
use florin_projections::models;
use florin_projections::read_model::Projection;
use florin_tests::store::Store;
use sqlx::{Connection, PgConnection};

fn urls(store: &Store) -> &DatabaseUrls {
    let Store::Postgres(_, urls) = store else { panic!("read models are kept in Postgres") };
    urls
}

async fn admin(store: &Store) -> PgConnection {
    PgConnection::connect(&urls(store).admin).await.unwrap()
}

async fn workshop(store: &Store) -> Workshop {
    let journal = PostgresJournal::open(&urls(store).admin, None).await.unwrap();
    Workshop::new(journal, None)
}

/// The read models of these names.
fn named(names: &str) -> Vec<Arc<dyn Projection>> {
    models::named(names).unwrap()
}

async fn rebuild(
    store: &Store,
    names: &str,
    manner: Manner,
) -> Result<Vec<Rebuilt>, GenerationError> {
    workshop(store).await.rebuild(&named(names), manner, &mut |_| {}).await
}

/// The schemas of this program besides the live one.
async fn schemas(store: &Store) -> Vec<String> {
    let select =
        "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'florin%' ORDER BY nspname";
    sqlx::query_scalar(select).fetch_all(&mut admin(store).await).await.unwrap()
}

/// Changes a live row behind the fold's back.
async fn tamper(store: &Store, statement: &str) {
    let changed = sqlx::query(statement).execute(&mut admin(store).await).await.unwrap();
    assert_eq!(changed.rows_affected(), 1, "{statement}");
}
