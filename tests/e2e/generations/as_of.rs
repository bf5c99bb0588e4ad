//! Read models as they were at a moment equal what the test kept of that moment.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use florin_adapters::clock::SystemClock;
use florin_adapters::postgres::follow::heads;
use florin_application::Clock as _;
use florin_application::command::Outcome;
use florin_domain::WalletId;
use florin_projections::generation::GenerationError;
use florin_projections::ports::PastReader as _;
use florin_tests::ask::{deposit, id, request, transfer, withdraw};
use florin_tests::feed::random;
use florin_tests::process::run;
use florin_tests::store::Store;
use rust_decimal::Decimal;
use sqlx::Row as _;

use super::{admin, schemas, urls, workshop};

/// What the test keeps of a wallet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Kept {
    balance: Decimal,
    deposited: Decimal,
    withdrawn: Decimal,
    movements: i64,
}

/// A moment, by both of its names, and how the wallets were then.
struct Moment {
    time: DateTime<Utc>,
    positions: Vec<(u32, u64)>,
    wallets: BTreeMap<String, Kept>,
}

const STEPS: usize = 120;
const MOMENTS: usize = 20;

/// One command after the other, with the moment after each.
async fn history(store: &Store) -> Vec<Moment> {
    let ledger = store.process();
    let wallets: Vec<WalletId> = (0..5).map(|n| id(&format!("w{n}"))).collect();
    let (mut seed, mut kept) = (11, BTreeMap::<String, Kept>::new());
    let mut moments = Vec::new();
    for _ in 0..STEPS {
        let mut any = |bound: u64| usize::try_from(random(&mut seed) % bound).unwrap();
        let (from, to) = (&wallets[any(5)], &wallets[any(5)]);
        let amount = Decimal::from(1 + any(40));
        let (kind, text) = (any(3), amount.to_string());
        let command = match kind {
            0 => deposit(from, &text),
            1 => withdraw(from, &text),
            _ => transfer(from, to, &text),
        };
        let answer = ledger.submit(request(command)).await.unwrap();
        if matches!(answer.outcome, Outcome::Accepted(_)) {
            let mut of = |id: &WalletId| kept.entry(id.as_str().to_owned()).or_default().clone();
            let (mut source, mut target) = (of(from), of(to));
            source.movements += 1;
            match kind {
                0 => {
                    source.balance += amount;
                    source.deposited += amount;
                }
                1 => {
                    source.balance -= amount;
                    source.withdrawn += amount;
                }
                _ => source.balance -= amount,
            }
            if kind == 2 {
                target.balance += amount;
                target.movements += 1;
                kept.insert(to.as_str().to_owned(), target);
            } else if from != to && !kept[to.as_str()].has_begun() {
                kept.remove(to.as_str());
            }
            kept.insert(from.as_str().to_owned(), source);
        }
        moments.push(Moment {
            time: SystemClock.now(),
            positions: positions(store).await,
            wallets: kept.clone(),
        });
    }
    moments
}

impl Kept {
    fn has_begun(&self) -> bool {
        self.movements > 0
    }
}

async fn positions(store: &Store) -> Vec<(u32, u64)> {
    let Store::Postgres(journal, _) = store else { panic!("it is kept in Postgres") };
    let heads = heads(journal.pool()).await.unwrap();
    heads.into_iter().map(|(partition, position, _)| (partition, position)).collect()
}

/// What a schema says of the wallets.
async fn found(store: &Store, schema: &str) -> BTreeMap<String, Kept> {
    let statement = format!(
        "SELECT b.wallet_id, b.balance, s.deposited, s.withdrawn,
                (SELECT count(*) FROM {schema}.movements m WHERE m.wallet_id = b.wallet_id)
           FROM {schema}.balances b JOIN {schema}.wallet_stats s USING (wallet_id)"
    );
    let rows = sqlx::query(&statement).fetch_all(&mut admin(store).await).await.unwrap();
    let kept = |row: sqlx::postgres::PgRow| {
        let kept = Kept {
            balance: row.get(1),
            deposited: row.get(2),
            withdrawn: row.get(3),
            movements: row.get(4),
        };
        (row.get(0), kept)
    };
    rows.into_iter().map(kept).collect()
}

async fn twenty_moments_are_as_they_were(partitions: u32) {
    let store = Store::postgres(partitions).await;
    let moments = history(&store).await;
    let (workshop, mut seed) = (workshop(&store).await, 5);
    for number in 0..MOMENTS {
        let moment = &moments[usize::try_from(random(&mut seed)).unwrap() % STEPS];
        let positions = match number % 2 {
            0 => moment.positions.clone(),
            _ => workshop.journal().positions_at(moment.time).await.unwrap(),
        };
        workshop.as_of("back_then", &positions, true, &mut |_| {}).await.unwrap();
        assert_eq!(found(&store, "back_then").await, moment.wallets, "{positions:?}");
    }
}

#[tokio::test]
async fn twenty_moments_are_as_they_were_with_1_partition() {
    twenty_moments_are_as_they_were(1).await;
}

#[tokio::test]
async fn twenty_moments_are_as_they_were_with_4_partitions() {
    twenty_moments_are_as_they_were(4).await;
}

#[tokio::test]
async fn the_verb_makes_a_schema_that_the_service_may_read() {
    let store = Store::postgres(1).await;
    let moments = history(&store).await;
    let moment = &moments[STEPS / 2];
    let (url, time) = (urls(&store).admin.clone(), moment.time.to_rfc3339());
    let verb = ["as-of", &time, "--into", "back_then", "--database-admin-url", &url];
    let ran = run(verb).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(found(&store, "back_then").await, moment.wallets);
    let Store::Postgres(journal, _) = &store else { panic!("it is kept in Postgres") };
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM back_then.balances")
        .fetch_one(journal.pool())
        .await
        .unwrap();
    assert_eq!(usize::try_from(rows).unwrap(), moment.wallets.len());

    let again = run(verb).await;
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("there is a schema back_then already"), "{}", again.err);
    let position = moment.positions[0].1.to_string();
    let json = run([
        "as-of",
        &position,
        "--into",
        "back_then",
        "--clean",
        "--json",
        "--database-admin-url",
        &url,
    ])
    .await;
    let answer: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(answer["positions"][0], format!("0-{position}"));
}

#[tokio::test]
async fn a_moment_that_is_none_changes_nothing() {
    let store = Store::postgres(4).await;
    history(&store).await;
    let url = urls(&store).admin.clone();
    for (moment, why) in [
        ("2999-01-01T00:00:00Z", "lies in the future"),
        ("0-1", "a position of each of the 4 partitions"),
        ("0-1,1-1,2-1,3-999999", "partition 3 ends at"),
        ("12", "say the partition"),
    ] {
        let ran = run(["as-of", moment, "--into", "back_then", "--database-admin-url", &url]).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(why), "{moment}: {}", ran.err);
    }
    let ran =
        run(["as-of", "yesterday", "--into", "back_then", "--database-admin-url", &url]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let mut admin = admin(&store).await;
    sqlx::raw_sql("CREATE SCHEMA theirs").execute(&mut admin).await.unwrap();
    let workshop = workshop(&store).await;
    let foreign = workshop.as_of("theirs", &[(0, 1)], true, &mut |_| {}).await.unwrap_err();
    assert!(matches!(foreign, GenerationError::Foreign(_)), "{foreign}");
    assert_eq!(schemas(&store).await, [""; 0]);
}
