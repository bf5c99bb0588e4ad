//! The journal on its way to JetStream and back out of it.

mod leases;
mod outages;
mod publishing;
mod sources;
mod verbs;

use florin_application::Ledger;

use florin_tests::ask::{deposit, id_in, keyed, request, transfer};
use florin_tests::store::Store;

/// Money in two wallets of each partition, and some of it moved to the next partition.
async fn business(ledger: &Ledger, store: &Store, round: u32) {
    let partitions = store.partitions();
    let wallet = |partition: u32, name: &str| id_in(partition % partitions, partitions, name);
    for partition in 0..partitions {
        let (a, b) = (wallet(partition, "a"), wallet(partition, "b"));
        let c = wallet(partition + 1, "c");
        // With a key that headers must carry without harm.
        let key = format!("\"é\" {round} %");
        ledger.submit(keyed(&key, deposit(&a, "10.00"))).await.unwrap();
        ledger.submit(request(transfer(&a, &b, "2.50"))).await.unwrap();
        ledger.submit(request(transfer(&a, &c, "1.25"))).await.unwrap();
    }
}
