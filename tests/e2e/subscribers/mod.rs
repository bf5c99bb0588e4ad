//! Services beside Florin: the client that they are given, and what their subscriptions survive.

mod bootstrapping;
mod calls;
mod following;
mod kills;
pub(crate) mod languages;
mod twice;

use std::collections::BTreeMap;

use florin_adapters::auth::Auth;
use florin_adapters::operations::Retries;
use florin_client::{Florin, LedgerEvent, Positions, Subscriber, Subscription, connect_nats};
use florin_domain::journal::RecordedEvent;
use florin_tests::nats::{OwnNats, heads, pool};
use florin_tests::service::Service;
use florin_tests::store::{DEADLINE, Store, eventually};
use tokio::time::timeout;

/// Florin in this process, with a NATS that the test may disturb.
struct World {
    service: Service,
    nats: OwnNats,
}

impl World {
    async fn start(partitions: u32) -> Self {
        let nats = OwnNats::start().await;
        let store = Store::postgres(partitions).await;
        let service = Service::queueing(store, Auth::Off, &nats, Retries::USUAL).await;
        Self { service, nats }
    }

    fn api(&self) -> Florin {
        Florin::new(self.service.url()).unwrap()
    }

    async fn subscribe(&self, subscription: Subscription, after: Positions) -> Subscriber {
        let nats = connect_nats(&self.nats.url()).await.unwrap();
        Subscriber::open(self.api(), nats, subscription, after).await.unwrap()
    }

    /// One to all events, after these positions.
    async fn subscribe_to_all(&self, after: Positions) -> Subscriber {
        self.subscribe(Subscription::to_all("all").unwrap(), after).await
    }

    /// Waits until the stream has had everything that there is.
    async fn published(&self) {
        eventually("everything is published", async || {
            let pool = pool(self.service.store());
            let cursors = florin_adapters::postgres::relay_cursor::all(pool).await.unwrap();
            let heads = heads(self.service.store()).await;
            if cursors == heads { Ok(()) } else { Err((cursors, heads)) }
        })
        .await;
    }

    async fn heads(&self) -> Positions {
        heads(self.service.store()).await.into_iter().collect()
    }

    async fn finish(self) {
        self.service.finish().await;
        self.nats.stop().await;
    }
}

/// Reads until there have been so many events, and acknowledges each batch.
async fn read(subscriber: &mut Subscriber, all: &mut Vec<LedgerEvent>, count: usize) {
    while all.len() < count {
        let batch = timeout(DEADLINE, subscriber.next()).await;
        let have = all.len();
        let batch = batch.unwrap_or_else(|_| panic!("{have} of {count} came")).unwrap();
        all.extend(batch.events);
        subscriber.acknowledge().await;
    }
}

/// What is recorded, by partition: position and name of each event that is wanted.
fn recorded_ids(
    events: &[RecordedEvent],
    is_wanted: impl Fn(&RecordedEvent) -> bool,
) -> BTreeMap<u32, Vec<(u64, String)>> {
    let mut ids = BTreeMap::<_, Vec<_>>::new();
    for event in events.iter().filter(|event| is_wanted(event)) {
        let id = (event.position, event.event_type.to_string());
        ids.entry(event.partition).or_default().push(id);
    }
    ids
}

/// The same of what came, in the order in which it came.
fn received_ids(events: &[LedgerEvent]) -> BTreeMap<u32, Vec<(u64, String)>> {
    let mut ids = BTreeMap::<_, Vec<_>>::new();
    for event in events {
        let id = (event.position, event.event_type.to_string());
        ids.entry(event.partition).or_default().push(id);
    }
    ids
}
