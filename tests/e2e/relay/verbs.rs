//! `florin worker`, `florin relay status` and `florin relay republish`, as processes.

use florin_adapters::postgres::lease::holders;
use florin_projections::checkpoint;
use florin_tests::nats::{OwnNats, all_published, heads, pool};
use florin_tests::process::{Florin, run};
use florin_tests::store::{Store, eventually};
use tempfile::TempDir;

use super::business;

fn database_url(store: &Store) -> &str {
    let Store::Postgres(_, urls) = store else { panic!("it is not in Postgres") };
    &urls.service
}

#[tokio::test]
async fn a_worker_publishes_without_the_api_and_gives_its_leases_back() {
    let (store, nats) = (Store::postgres(4).await, OwnNats::start().await);
    let dir = TempDir::new().unwrap();
    business(&store.process(), &store, 1).await;
    let mut worker = Florin::worker(dir.path(), database_url(&store), &nats.url());
    let status = async || {
        let ran = run(["relay", "status", "--database-url", database_url(&store)]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let lines = ran.out.lines().skip(1);
        let words = |line: &str| line.split_whitespace().map(ToOwned::to_owned).collect();
        lines.map(words).collect::<Vec<Vec<String>>>()
    };
    let heads = heads(&store).await;
    eventually("the worker publishes everything", async || {
        let status = status().await;
        let is_done = |(row, (partition, head)): (&Vec<String>, &(u32, u64))| {
            let (partition, head) = (partition.to_string(), head.to_string());
            row[..4] == [partition, head.clone(), head, "0".to_owned()] && row[4] != "nobody"
        };
        let all = status.len() == heads.len() && status.iter().zip(&heads).all(is_done);
        if all { Ok(()) } else { Err(status) }
    })
    .await;
    assert!(worker.terminate().await.success());
    assert_eq!(holders(pool(&store)).await.unwrap(), []);
    assert!(status().await.iter().all(|row| row[4] == "nobody"));
    nats.stop().await;
}

#[tokio::test]
async fn a_worker_keeps_the_read_models_up_to_date_that_it_is_told_to_and_no_others() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let dir = TempDir::new().unwrap();
    business(&store.process(), &store, 1).await;
    let head = heads(&store).await[0].1;
    // Whether anybody publishes, and how far which read models are.
    let state = async || {
        let leases = holders(pool(&store)).await.unwrap();
        let relays = leases.iter().any(|lease| lease.name == "relay:0");
        let models = checkpoint::status(pool(&store)).await.unwrap();
        // One that only has its rules on record was not run.
        let models = models.into_iter().filter(|model| model.checkpoint > 0);
        let models = models.map(|model| (model.projection, model.checkpoint));
        (relays, models.collect::<Vec<_>>())
    };
    let at_head = |models: &[&str]| {
        models.iter().map(|model| ((*model).to_owned(), head)).collect::<Vec<_>>()
    };
    for (list, expected) in [
        ("none", at_head(&[])),
        ("history", at_head(&["history"])),
        ("stats,balance", at_head(&["balance", "history", "stats"])),
    ] {
        let mut worker = Florin::worker_of(dir.path(), database_url(&store), &nats.url(), list);
        eventually("the read models that were named are at the head", async || {
            match state().await {
                (true, models) if models == expected => Ok(()),
                other => Err(other),
            }
        })
        .await;
        assert!(worker.terminate().await.success());
    }
    let ran = run(["worker", "--database-url", database_url(&store), "--projections", "a"]).await;
    let expected = "florin: FLORIN_PROJECTIONS: `a` is no read model: there are balance, history, \
                    stats, fraud, or `none`";
    assert_eq!((ran.code, ran.err.trim()), (Some(1), expected));
    nats.stop().await;
}

#[tokio::test]
async fn a_range_is_published_again_though_the_server_has_it() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    business(&store.process(), &store, 1).await;
    let worker = nats.worker(&store).await;
    all_published(&store, &worker).await;
    let count = nats.messages(0).await.len();
    let (database, url) = (database_url(&store), nats.url());
    let again = async |from: &str, to: &str| {
        let verb = ["relay", "republish", "--from", from, "--to", to];
        let urls = ["--database-url", database, "--nats-url", &url];
        run(verb.into_iter().chain(urls)).await
    };
    for times in 1..=2 {
        let ran = again("2", "4").await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.out.contains("published up to 4 of 4"), "{ran:?}");
        let events = nats.events(0).await;
        assert_eq!(events.len(), count + 3 * times);
        assert_eq!(events[events.len() - 3..], events[1..4], "the same events in the same order");
    }
    let head = heads(&store).await[0].1;
    for (from, to) in [("0", "1"), ("3", "2"), ("1", "1000000")] {
        let ran = again(from, to).await;
        let expected = format!(
            "florin: partition 0 has the positions 1 to {head}; {from} to {to} is no range of them"
        );
        assert_eq!((ran.code, ran.err.trim()), (Some(1), &*expected));
    }
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn republishing_says_what_it_needs_to_know() {
    let (store, nats) = (Store::postgres(4).await, OwnNats::start().await);
    let range = ["relay", "republish", "--from", "1", "--to", "1"];
    let database = ["--database-url", database_url(&store)];
    let ran = run(range.into_iter().chain(database)).await;
    let expected = "florin: set NATS_URL or --nats-url to the server to publish to";
    assert_eq!((ran.code, ran.err.trim()), (Some(1), expected));
    let url = nats.url();
    let here = range.into_iter().chain(database).chain(["--nats-url", &url]);
    let ran = run(here.clone()).await;
    let expected = "florin: this ledger has 4 partitions: say which one with --partition";
    assert_eq!((ran.code, ran.err.trim()), (Some(1), expected));
    let ran = run(here.chain(["--partition", "4"])).await;
    assert_eq!((ran.code, ran.err.trim()), (Some(1), "florin: the ledger has no partition 4"));
    nats.stop().await;
}
