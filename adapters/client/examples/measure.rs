//! Measures how fast events reach a subscriber: reads all that there are, from the first on, and
//! prints one line of JSON. Nothing is made of them; they are typed, in order and complete.
//!
//! `FLORIN_URL` `NATS_URL` `FLORIN_TOKEN?`; takes `stream`, or `pages` for the journal by HTTP.

use std::env::{args, var};
use std::error::Error;
use std::time::Instant;

use florin_client::{
    EventQuery, Florin, LedgerEvent, MAX_PAGE, Positions, Subscriber, Subscription, Wanted,
    connect_nats,
};

/// What has been read, and since when.
struct Tally {
    opened: Instant,
    /// When the first were there: what comes before is JetStream making a consumer.
    begun: Option<Instant>,
    positions: Positions,
    events: usize,
}

impl Tally {
    fn count(&mut self, events: &[LedgerEvent]) {
        self.begun.get_or_insert_with(Instant::now);
        self.events += events.len();
        for event in events {
            let (partition, position) = (event.partition, event.position);
            assert_eq!(position, self.positions.of(partition) + 1, "in order and complete");
            self.positions.advance(partition, position);
        }
    }

    fn print(&self) {
        let begun = self.begun.unwrap_or(self.opened);
        let (events, seconds) = (self.events, begun.elapsed().as_secs_f64());
        let first = begun.duration_since(self.opened).as_secs_f64();
        println!(r#"{{"events":{events},"seconds":{seconds:.6},"first_after_s":{first:.6}}}"#);
    }
}

async fn stream(
    florin: Florin,
    heads: &Positions,
    tally: &mut Tally,
) -> Result<(), Box<dyn Error>> {
    let nats = connect_nats(&var("NATS_URL")?).await?;
    let subscription = Subscription::to_all(&format!("measure-{}", std::process::id()))?;
    let mut subscriber = Subscriber::open(florin, nats, subscription, Positions::default()).await?;
    while heads.iter().any(|(partition, head)| tally.positions.of(partition) < head) {
        let batch = subscriber.next().await?;
        tally.count(&batch.events);
        subscriber.acknowledge().await;
    }
    Ok(())
}

async fn pages(florin: Florin, heads: &Positions, tally: &mut Tally) -> Result<(), Box<dyn Error>> {
    for (partition, head) in heads.iter() {
        while tally.positions.of(partition) < head {
            let after = tally.positions.of(partition);
            let query = EventQuery { wanted: &Wanted::All, partition, after, limit: MAX_PAGE };
            tally.count(&florin.events(query).await?.value.events);
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut florin = Florin::new(&var("FLORIN_URL")?)?;
    if let Ok(token) = var("FLORIN_TOKEN") {
        florin = florin.with_token(&token);
    }
    let heads = florin.heads().await?;
    let (opened, positions) = (Instant::now(), Positions::default());
    let mut tally = Tally { opened, begun: None, positions, events: 0 };
    match args().nth(1).as_deref() {
        None | Some("stream") => stream(florin, &heads, &mut tally).await?,
        Some("pages") => pages(florin, &heads, &mut tally).await?,
        Some(_) => return Err("say `stream` or `pages`".into()),
    }
    tally.print();
    Ok(())
}
