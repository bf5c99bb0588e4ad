//! A rebuild that is killed: what was live is as it was, and the next one goes on.

use std::time::Duration;

use florin_adapters::generations::rebuild::{Manner, Told};
use florin_projections::generation::fold::fold_until;
use florin_projections::generation::{Generation, tables};
use florin_tests::feed::{Manner as Feeding, random};
use florin_tests::fresh_fold::equals_fresh_fold;
use florin_tests::process::{command, run};
use florin_tests::projecting::{all_caught_up, every_model, reader};
use florin_tests::store::Store;
use florin_tests::turmoil::turmoil;

use super::{admin, named, schemas, urls, workshop};

async fn ledger(commands: usize) -> Store {
    let store = Store::postgres(1).await;
    turmoil(&store.process(), &mut 3, commands).await;
    let runners = every_model(&store, |_| Feeding::Faithful);
    all_caught_up(&store, &runners).await;
    store
}

/// What a rebuild leaves that was killed at this position.
async fn killed_at(store: &Store, position: u64) {
    let models = named("history");
    let schema = "florin_next_history";
    let generation = Generation { schema: schema.to_owned(), models: models.clone() };
    let mut admin = admin(store).await;
    tables::create(&mut admin, &generation).await.unwrap();
    let path = format!("SET search_path TO {schema}, public");
    sqlx::query(&path).execute(&mut admin).await.unwrap();
    fold_until(&mut admin, &*models[0], &*reader(store), 0, position).await.unwrap();
}

/// How many events a rebuild folds, and whether it went on with what was there.
async fn folded(store: &Store, manner: Manner) -> (u64, bool) {
    let mut events = 0;
    let mut told = |what| {
        if let Told::Folded(more) = what {
            events += more;
        }
    };
    let rebuilt =
        workshop(store).await.rebuild(&named("history"), manner, &mut told).await.unwrap();
    assert!(rebuilt[0].switched, "{rebuilt:?}");
    (events, rebuilt[0].resumed)
}

#[tokio::test]
async fn the_next_rebuild_goes_on_where_it_was_killed() {
    let store = ledger(100).await;
    let head = reader(&store).head(0).await.unwrap();
    killed_at(&store, 60).await;
    assert_eq!(folded(&store, Manner::default()).await, (head - 60, true));
    equals_fresh_fold(&store).await;
}

#[tokio::test]
async fn it_begins_anew_when_it_is_told_to_or_the_shape_has_changed() {
    let store = ledger(100).await;
    let head = reader(&store).head(0).await.unwrap();
    killed_at(&store, 60).await;
    let clean = Manner { is_clean: true, ..Manner::default() };
    assert_eq!(folded(&store, clean).await, (head, false));

    killed_at(&store, 60).await;
    let migrated = "ALTER TABLE movements ADD COLUMN more integer";
    sqlx::query(migrated).execute(&mut admin(&store).await).await.unwrap();
    assert_eq!(folded(&store, Manner::default()).await, (head, false));
    equals_fresh_fold(&store).await;
}

#[tokio::test]
async fn whenever_it_is_killed_what_is_live_is_whole() {
    const ROUNDS: u32 = 8;
    let store = ledger(300).await;
    let url = urls(&store).admin.clone();
    let verb = ["rebuild", "all", "--database-admin-url", &url];
    let mut seed = 17;
    for _ in 0..ROUNDS {
        let mut rebuild = command(verb).stdout(std::process::Stdio::null()).spawn().unwrap();
        // A moment anywhere in it, and sometimes after its end.
        let moment = Duration::from_millis(random(&mut seed) % 1_500);
        let _ = tokio::time::timeout(moment, rebuild.wait()).await;
        rebuild.kill().await.unwrap();
        equals_fresh_fold(&store).await;
    }
    let ran = run(verb).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    equals_fresh_fold(&store).await;
    assert!(schemas(&store).await.iter().all(|schema| schema.starts_with("florin_last_")));
}
