//! Read models on a real Postgres, from sources that deliver well and badly.

mod deliveries;
mod outages;
mod parking;
mod pipeline;
mod reads;

use florin_application::Ledger;
use florin_domain::WalletId;
use florin_tests::ask::{
    close, deposit, freeze, id_in, keyed, open, request, transfer, unfreeze, withdraw,
};
use florin_tests::feed::random;
use florin_tests::store::Store;
use futures::future::join_all;

/// Wallets in every partition; some of them are never opened until money comes.
fn wallets(store: &Store) -> Vec<WalletId> {
    let partitions = store.partitions();
    let name = |n: u32| id_in(n % partitions, partitions, &format!("w{n}"));
    (0..8).map(name).collect()
}

/// Requests at random, many at once: some are refused, some transfers fail.
async fn random_ledger(store: &Store, ledger: &Ledger, mut seed: u64, requests: u32) {
    let wallets = wallets(store);
    ledger.submit(request(open(&wallets[7], "JPY"))).await.unwrap();
    let requests = (0..requests).map(|number| {
        let amount = format!("{}", random(&mut seed) % 50 + 1);
        let from = &wallets[random(&mut seed) as usize % wallets.len()];
        let to = &wallets[random(&mut seed) as usize % wallets.len()];
        keyed(
            &format!("key-{seed}-{number}"),
            match random(&mut seed) % 20 {
                0..6 => deposit(from, &amount),
                6..10 => withdraw(from, &amount),
                10 => freeze(from),
                11..13 => unfreeze(from),
                13 => close(from),
                _ => transfer(from, to, &amount),
            },
        )
    });
    for answer in join_all(requests.map(|request| ledger.submit(request))).await {
        answer.unwrap();
    }
}
