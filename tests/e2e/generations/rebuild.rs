//! What a rebuild leaves: the same rows in tables that are made the same way.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use florin_adapters::generations::rebuild::{Manner, Rebuilt};
use florin_application::Ledger;
use florin_projections::balance::Balance;
use florin_projections::generation::GenerationError;
use florin_projections::read_model::Projection;
use florin_tests::ask::{deposit, id, request};
use florin_tests::feed::Manner as Feeding;
use florin_tests::flawed::{Flaw, Flawed};
use florin_tests::fresh_fold::equals_fresh_fold;
use florin_tests::projecting::{Running, all_caught_up, every_model};
use florin_tests::store::Store;
use florin_tests::turmoil::turmoil;
use sqlx::Connection;

use super::{admin, named, rebuild, schemas, tamper, workshop};

/// A ledger with a history that all models have.
async fn ledger(partitions: u32, commands: usize) -> (Store, Ledger) {
    let store = Store::postgres(partitions).await;
    let ledger = store.process();
    turmoil(&ledger, &mut 7, commands).await;
    catch_up(&store).await;
    (store, ledger)
}

/// Lets all models take what there is.
async fn catch_up(store: &Store) {
    let runners = every_model(store, |_| Feeding::Faithful);
    all_caught_up(store, &runners).await;
}

/// How the tables of the read models are made: columns, constraints, indexes, options, owners, grants.
async fn shape(store: &Store) -> Vec<String> {
    sqlx::query_scalar(
        "WITH tables AS (
           SELECT c.oid, c.relname, c.reloptions, c.relowner, c.relacl FROM pg_class c
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r')
         SELECT format('%s %s %s %s', relname, reloptions, relowner::regrole,
                       (SELECT string_agg(a::text, ' ' ORDER BY a::text)
                          FROM unnest(relacl) a)) FROM tables
         UNION ALL
         SELECT format('%s.%s %s %s %s %s', relname, attname, format_type(atttypid, atttypmod),
                       attnotnull, attcollation, attcompression)
           FROM tables JOIN pg_attribute ON attrelid = oid AND attnum > 0
         UNION ALL
         SELECT pg_get_indexdef(indexrelid) FROM tables JOIN pg_index ON indrelid = oid
         UNION ALL
         SELECT format('%s %s', conname, pg_get_constraintdef(k.oid))
           FROM tables JOIN pg_constraint k ON conrelid = tables.oid
         ORDER BY 1",
    )
    .fetch_all(&mut admin(store).await)
    .await
    .unwrap()
}

fn all_equal(rebuilt: &[Rebuilt]) -> bool {
    rebuilt.iter().all(|one| one.switched && one.comparison.as_ref().unwrap().is_equal())
}

async fn a_rebuilt_model_takes_the_place_of_an_equal_one(partitions: u32) {
    let (store, ledger) = ledger(partitions, 400).await;
    let before = shape(&store).await;
    let rebuilt = rebuild(&store, "balance,history,stats,fraud", Manner::default()).await.unwrap();
    assert_eq!(rebuilt.len(), 4);
    assert!(all_equal(&rebuilt), "{rebuilt:?}");
    for one in &rebuilt {
        for table in &one.comparison.as_ref().unwrap().tables {
            assert_eq!(table.live_rows, table.other_rows, "{table:?}");
        }
    }
    let balances = &rebuilt[0].comparison.as_ref().unwrap().tables[0];
    assert!(balances.live_rows >= 12, "{balances:?}");
    assert_eq!(shape(&store).await, before);
    let last =
        ["florin_last_balance", "florin_last_fraud", "florin_last_history", "florin_last_stats"];
    assert_eq!(schemas(&store).await, last);
    equals_fresh_fold(&store).await;
    // And it is kept up to date as the one before it was.
    turmoil(&ledger, &mut 8, 200).await;
    catch_up(&store).await;
    equals_fresh_fold(&store).await;
}

#[tokio::test]
async fn a_rebuilt_model_takes_the_place_of_an_equal_one_with_1_partition() {
    a_rebuilt_model_takes_the_place_of_an_equal_one(1).await;
}

#[tokio::test]
async fn a_rebuilt_model_takes_the_place_of_an_equal_one_with_4_partitions() {
    a_rebuilt_model_takes_the_place_of_an_equal_one(4).await;
}

#[tokio::test]
async fn wallets_that_differ_are_named_and_nothing_is_switched_unless_forced() {
    let (store, _) = ledger(1, 100).await;
    tamper(&store, "UPDATE balances SET balance = balance + 1 WHERE wallet_id = 'w-3'").await;
    tamper(&store, "DELETE FROM balances WHERE wallet_id = 'w-5'").await;
    let rebuilt = rebuild(&store, "balance", Manner::default()).await.unwrap();
    let table = &rebuilt[0].comparison.as_ref().unwrap().tables[0];
    assert_eq!((table.different, &table.wallets[..]), (2, &["w-3", "w-5"].map(String::from)[..]));
    assert_eq!((table.live_rows + 1, rebuilt[0].switched), (table.other_rows, false));
    assert_eq!(schemas(&store).await, ["florin_next_balance"], "it is kept, to be looked at");

    let forced = Manner { is_forced: true, ..Manner::default() };
    let rebuilt = rebuild(&store, "balance", forced).await.unwrap();
    assert!(rebuilt[0].switched && rebuilt[0].resumed, "{rebuilt:?}");
    equals_fresh_fold(&store).await;
}

#[tokio::test]
async fn a_check_compares_and_leaves_nothing() {
    let (store, _) = ledger(1, 100).await;
    let check = Manner { only_compares: true, ..Manner::default() };
    let rebuilt = rebuild(&store, "history,stats", check).await.unwrap();
    assert!(rebuilt.iter().all(|one| !one.switched && one.comparison.as_ref().unwrap().is_equal()));
    tamper(&store, "DELETE FROM movements WHERE wallet_id = 'w-3' AND entry = 1").await;
    let rebuilt = rebuild(&store, "history,stats", check).await.unwrap();
    let different: Vec<u64> = rebuilt
        .iter()
        .flat_map(|one| &one.comparison.as_ref().unwrap().tables)
        .map(|table| table.different)
        .collect();
    assert_eq!(different, [1, 0, 0, 0, 0]);
    assert_eq!(schemas(&store).await, [""; 0]);
}

#[tokio::test]
async fn a_rollback_brings_the_last_generation_up_to_date_and_back() {
    let (store, ledger) = ledger(4, 200).await;
    let balance = &named("balance")[0];
    let workshop = workshop(&store).await;
    let nothing = workshop.go_back(balance, &mut |_| {}).await.unwrap_err();
    assert!(matches!(nothing, GenerationError::NoLast(_)), "{nothing}");

    tamper(&store, "UPDATE balances SET owner = 'the old one' WHERE wallet_id = 'w-3'").await;
    let forced = Manner { is_forced: true, ..Manner::default() };
    rebuild(&store, "balance", forced).await.unwrap();
    let owner = "SELECT owner FROM balances WHERE wallet_id = 'w-3'";
    let mut admin = admin(&store).await;
    let now: Option<String> = sqlx::query_scalar(owner).fetch_one(&mut admin).await.unwrap();
    assert_eq!(now, None);

    ledger.submit(request(deposit(&id("w-3"), "17"))).await.unwrap();
    catch_up(&store).await;
    let held = "SELECT balance::text FROM balances WHERE wallet_id = 'w-3'";
    let held_now: String = sqlx::query_scalar(held).fetch_one(&mut admin).await.unwrap();
    workshop.go_back(balance, &mut |_| {}).await.unwrap();
    let then: Option<String> = sqlx::query_scalar(owner).fetch_one(&mut admin).await.unwrap();
    let held_then: String = sqlx::query_scalar(held).fetch_one(&mut admin).await.unwrap();
    assert_eq!((then.as_deref(), held_then), (Some("the old one"), held_now));
    // And forth again.
    workshop.go_back(balance, &mut |_| {}).await.unwrap();
    equals_fresh_fold(&store).await;
}

#[tokio::test]
async fn a_generation_of_another_shape_is_not_gone_back_to() {
    let (store, _) = ledger(1, 50).await;
    rebuild(&store, "stats", Manner::default()).await.unwrap();
    let migrated = "ALTER TABLE wallet_stats ADD COLUMN more integer";
    sqlx::query(migrated).execute(&mut admin(&store).await).await.unwrap();
    let workshop = workshop(&store).await;
    let refused = workshop.go_back(&named("stats")[0], &mut |_| {}).await.unwrap_err();
    assert!(matches!(refused, GenerationError::OldShape(_)), "{refused}");
}

#[tokio::test]
async fn one_process_at_a_time_rebuilds_a_model() {
    let (store, _) = ledger(1, 50).await;
    let lock = "SELECT pg_advisory_lock(hashtext('florin generation'), hashtext('stats'))";
    let mut other = admin(&store).await;
    sqlx::query(lock).execute(&mut other).await.unwrap();
    let taken = rebuild(&store, "stats", Manner::default()).await.unwrap_err();
    assert!(matches!(taken, GenerationError::Taken(_)), "{taken}");
    rebuild(&store, "balance", Manner::default()).await.unwrap();
    other.close().await.unwrap();
    rebuild(&store, "stats", Manner::default()).await.unwrap();
}

#[tokio::test]
async fn a_schema_of_somebody_else_is_left_alone() {
    let (store, _) = ledger(1, 50).await;
    let mut admin = admin(&store).await;
    sqlx::raw_sql("CREATE SCHEMA florin_next_stats; CREATE TABLE florin_next_stats.theirs ()")
        .execute(&mut admin)
        .await
        .unwrap();
    let foreign = rebuild(&store, "stats", Manner::default()).await.unwrap_err();
    assert!(matches!(foreign, GenerationError::Foreign(_)), "{foreign}");
    let theirs = "SELECT to_regclass('florin_next_stats.theirs') IS NOT NULL";
    assert!(sqlx::query_scalar::<_, bool>(theirs).fetch_one(&mut admin).await.unwrap());
}

/// Who is parked, and how the dead letters stand.
async fn aside(store: &Store) -> (Vec<String>, Vec<String>, i64) {
    let mut admin = admin(store).await;
    let parked = sqlx::query_scalar("SELECT wallet_id FROM parked_wallets ORDER BY 1");
    let letters = sqlx::query_scalar("SELECT DISTINCT state FROM dead_letters ORDER BY 1");
    let count = "SELECT sum(parked) FROM checkpoints WHERE projection = 'balance'";
    (
        parked.fetch_all(&mut admin).await.unwrap(),
        letters.fetch_all(&mut admin).await.unwrap(),
        sqlx::query_scalar(count).fetch_one(&mut admin).await.unwrap(),
    )
}

#[tokio::test]
async fn a_parked_wallet_comes_back_when_its_event_can_be_folded_now() {
    let store = Store::postgres(1).await;
    let ledger = store.process();
    for _ in 0..3 {
        ledger.submit(request(deposit(&id("alice"), "5"))).await.unwrap();
        ledger.submit(request(deposit(&id("bob"), "7"))).await.unwrap();
    }
    // Alice's second deposit.
    let is_mended = Arc::new(AtomicBool::new(false));
    let flawed = Arc::new(Flawed::new(Balance, Flaw::Apply, 5, &is_mended));
    let running = Running::start(&store, Arc::<Flawed<_>>::clone(&flawed), 0, Feeding::Faithful);
    running.caught_up(&store).await;
    drop(running);
    let alice = vec!["alice".to_owned()];
    assert_eq!(aside(&store).await, (alice.clone(), vec!["open".to_owned()], 1));

    // The same fold sets the same aside, and its letters stay as open as they were.
    let flawed: [Arc<dyn Projection>; 1] = [flawed];
    let workshop = workshop(&store).await;
    let rebuilt = workshop.rebuild(&flawed, Manner::default(), &mut |_| {}).await.unwrap();
    assert!(all_equal(&rebuilt), "{rebuilt:?}");
    assert_eq!(rebuilt[0].comparison.as_ref().unwrap().parked, alice);
    assert_eq!(aside(&store).await, (alice.clone(), vec!["open".to_owned()], 1));

    let rebuilt = rebuild(&store, "balance", Manner::default()).await.unwrap();
    assert!(all_equal(&rebuilt), "{rebuilt:?}");
    assert_eq!(aside(&store).await, (vec![], vec!["replayed".to_owned()], 0));
    equals_fresh_fold(&store).await;

    workshop.go_back(&named("balance")[0], &mut |_| {}).await.unwrap();
    assert_eq!(aside(&store).await, (alice, vec!["open".to_owned()], 1));
}
