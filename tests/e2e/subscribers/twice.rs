//! One subscription in two processes: each event takes effect once, by whichever of them.

use florin_client::pg::{self, Apply, Pg};
use florin_client::{
    Batch, LedgerEvent, Move, Positions, Progress, Saved, Subscription, connect_nats, follow,
};
use florin_tests::cluster::database;
use florin_tests::store::eventually;
use florin_tests::turmoil::turmoil;
use sqlx::{PgConnection, PgPool};

use super::World;

/// Notes the place of each event; a second note of the same would be refused.
struct Notes;

impl Apply for Notes {
    async fn apply(
        &mut self,
        transaction: &mut PgConnection,
        events: &[LedgerEvent],
    ) -> Result<(), sqlx::Error> {
        for event in events {
            sqlx::query("INSERT INTO notes (partition, position) VALUES ($1, $2)")
                .bind(i32::try_from(event.partition).unwrap())
                .bind(i64::try_from(event.position).unwrap())
                .execute(&mut *transaction)
                .await?;
        }
        Ok(())
    }
}

async fn notebook() -> PgPool {
    let pool = PgPool::connect(&database().await.admin).await.unwrap();
    pg::create_table(&mut pool.acquire().await.unwrap()).await.unwrap();
    let notes = "CREATE TABLE notes (number bigint GENERATED ALWAYS AS IDENTITY,
                                     partition int, position bigint, UNIQUE (partition, position))";
    sqlx::raw_sql(notes).execute(&pool).await.unwrap();
    pool
}

#[tokio::test]
async fn two_processes_of_one_subscription_apply_each_event_once() {
    let world = World::start(2).await;
    let pool = notebook().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (api, url, pool) = (world.api(), world.nats.url(), pool.clone());
        let mut stopped = stopped.clone();
        running.spawn(async move {
            let nats = connect_nats(&url).await.unwrap();
            let subscription = Subscription::to_all("twice").unwrap();
            let mut notes = Pg::new(pool, subscription.name.clone(), Notes);
            let stop = async { drop(stopped.wait_for(|stop| *stop).await) };
            follow(&api, &nats, &subscription, &mut notes, stop).await.unwrap();
        });
    }
    for round in 1..6 {
        turmoil(world.service.ledger(), &mut (round * 13), 100).await;
    }
    let expected: Vec<(i32, i64)> = world
        .service
        .store()
        .events()
        .await
        .iter()
        .map(|event| {
            (i32::try_from(event.partition).unwrap(), i64::try_from(event.position).unwrap())
        })
        .collect();
    eventually("all is noted", async || {
        let order = "SELECT partition, position FROM notes ORDER BY partition, number";
        let noted: Vec<(i32, i64)> = sqlx::query_as(order).fetch_all(&pool).await.unwrap();
        if noted == expected { Ok(()) } else { Err((noted.len(), expected.len())) }
    })
    .await;
    stop.send(true).unwrap();
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    pool.close().await;
    world.finish().await;
}

#[tokio::test]
async fn a_batch_of_somebody_who_is_behind_does_nothing() {
    let pool = notebook().await;
    let name: florin_client::Name = "late".parse().unwrap();
    let batch = |from, to| Batch {
        events: Vec::new(),
        moves: vec![Move { partition: 0, from, to }, Move { partition: 1, from, to }],
    };
    let mut notes = Pg::new(pool.clone(), name.clone(), Notes);
    assert_eq!(notes.load().await.unwrap(), Positions::default());
    for (from, to, became, positions) in [
        (0, 5, Saved::Done, "0-5,1-5"),
        (0, 5, Saved::Elsewhere, "0-5,1-5"),
        (5, 9, Saved::Done, "0-9,1-9"),
        (5, 12, Saved::Elsewhere, "0-9,1-9"),
        (12, 13, Saved::Elsewhere, "0-9,1-9"),
    ] {
        assert_eq!(notes.save(&batch(from, to)).await.unwrap(), became, "{from} to {to}");
        assert_eq!(notes.load().await.unwrap().to_string(), positions);
    }
    let mut transaction = pool.begin().await.unwrap();
    let begun = pg::begin(&mut transaction, &name, &"0-1,1-1".parse().unwrap()).await.unwrap();
    assert!(!begun, "it has begun already");
    transaction.rollback().await.unwrap();
    pool.close().await;
}
