//! The journal page by page: dense, complete, in the words of the streams; and what is refused.

use florin_tests::ask::id_in;
use florin_tests::service::{Answer, Service};
use florin_tests::store::Store;
use serde_json::{Value, json};

use super::{IMPATIENT, beginning, load, received, recorded, wallets};

/// Every page from the first on, and where they end.
async fn all_pages(service: &Service, query: &str, limit: usize) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/events?{query}&after={after}&limit={limit}");
        let page = service.get(&path).await;
        let data = page.expect(200).body["data"].as_array().unwrap();
        assert!(data.len() <= limit, "{page}");
        all.extend(data.iter().cloned());
        let next = page.body["nextAfter"].as_u64().unwrap();
        assert!(next > after || page.body["hasMore"] == false, "{page}");
        after = next;
        if page.body["hasMore"] == false {
            return all;
        }
    }
}

#[tokio::test]
async fn pages_are_dense_and_say_what_a_stream_says() {
    for partitions in [1, 4] {
        let service = Service::streaming(Store::postgres(partitions).await, IMPATIENT).await;
        load(service.ledger(), &wallets(partitions), 300).await;
        let expected = recorded(service.store()).await;
        let mut paged = Vec::new();
        for partition in 0..partitions {
            paged.extend(all_pages(&service, &format!("partition={partition}"), 7).await);
        }
        assert_eq!(received(partitions, &paged), expected);
        let mut stream = service.stream("/events/stream", Some(&beginning(partitions))).await;
        for _ in 0..paged.len() {
            let (_, event) = stream.event().await;
            let same = paged.iter().find(|paged| paged["id"] == event["id"]);
            assert_eq!(same, Some(&event), "the same event is told in the same words");
        }
        service.finish().await;
    }
}

#[tokio::test]
async fn a_page_says_where_the_journal_ends_in_every_partition() {
    let service = Service::start(4).await;
    load(service.ledger(), &wallets(4), 40).await;
    let expected = recorded(service.store()).await;
    let heads = (0..).zip(&expected).map(|(partition, ids)| format!("{partition}-{}", ids.len()));
    let heads: Vec<String> = heads.collect();
    let end = expected[2].len();
    for after in [end.to_string(), format!("2-{end}")] {
        let page = service.get(&format!("/events?partition=2&after={after}")).await;
        page.expect(200).expect_members(json!({
            "data": [], "nextAfter": end, "hasMore": false,
        }));
        assert_eq!(page.header("florin-position"), Some(&*heads.join(",")));
    }
    let empty = Service::start(2).await;
    let page = empty.get("/events?partition=1").await;
    page.expect(200).expect_members(json!({ "data": [], "nextAfter": 0, "hasMore": false }));
    assert_eq!(page.header("florin-position"), Some("0-0,1-0"));
    empty.finish().await;
    service.finish().await;
}

#[tokio::test]
async fn pages_are_of_a_wallet_or_of_some_types_too() {
    let service = Service::start(4).await;
    let wallets = wallets(4);
    load(service.ledger(), &wallets, 300).await;
    let partition = "partition=1";
    let all = all_pages(&service, partition, 1_000).await;
    let of = |is_wanted: &dyn Fn(&Value) -> bool| -> Vec<Value> {
        all.iter().filter(|event| is_wanted(event)).cloned().collect()
    };
    let wallet = wallets[1].as_str();
    let of_wallet = of(&|event| event["walletId"] == *wallet);
    let debits = of(&|event| event["type"] == "FundsDebited");
    let both = of(&|event| event["type"] == "FundsDebited" && event["walletId"] == *wallet);
    assert!(of_wallet.len() > debits.len() && !both.is_empty());
    for (query, expected) in [
        (format!("wallet={wallet}"), &of_wallet),
        (format!("{partition}&type=FundsDebited"), &debits),
        (format!("wallet={wallet}&type=FundsDebited"), &both),
    ] {
        for limit in [1, 5, 1_000] {
            assert_eq!(all_pages(&service, &query, limit).await, *expected, "{query} by {limit}");
        }
    }
    assert_eq!(
        all_pages(&service, &format!("{partition}&type=WalletClosed"), 5).await,
        Vec::<Value>::new()
    );
    service.finish().await;
}

#[tokio::test]
async fn a_page_that_there_cannot_be_is_refused_with_a_sentence() {
    let service = Service::start(4).await;
    load(service.ledger(), &wallets(4), 20).await;
    let elsewhere = id_in(2, 4, "x");
    let refused = |answer: &Answer| answer.body["detail"].as_str().unwrap().to_owned();
    for (query, sentence) in [
        ("", "`partition`: a page is of one partition: say which, 0 to 3"),
        ("partition=4", "`partition`: there is no partition 4: say 0 to 3"),
        ("partition=x", "`partition`: invalid digit found in string"),
        (
            "partition=1&after=-1",
            "`after`: say a position of partition 1, such as 17 or 1-17, or 0 for all events",
        ),
        (
            "partition=1&after=2-1",
            "`after`: say a position of partition 1, such as 17 or 1-17, or 0 for all events",
        ),
        ("partition=1&limit=0", "`limit`: a page has 1 to 1000 events"),
        ("partition=1&limit=1001", "`limit`: a page has 1 to 1000 events"),
        ("wallet=a%20b", "`wallet`: a wallet id is 1 to 64 letters, digits, `_` or `-`"),
        (
            &format!("partition=1&wallet={elsewhere}"),
            "`partition`: the wallet lies in partition 2: leave it out",
        ),
    ] {
        let answer = service.get(&format!("/events?{query}")).await;
        assert_eq!(refused(answer.expect_problem(400, "invalid-parameter")), sentence, "{query}");
    }
    let answer = service.get("/events?partition=1&after=99999").await;
    let sentence = refused(answer.expect_problem(400, "invalid-parameter"));
    assert!(sentence.starts_with("`after`: no event is there yet: the journal ends at 1-"));
    let answer = service.get("/events?partition=1&type=FundsBlessed").await;
    answer.expect_problem(400, "invalid-parameter");
    service.finish().await;
}
