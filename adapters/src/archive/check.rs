//! What a file has to be, record by record: in the order of its parts, complete, and a journal that
//! proves itself.

use chrono::{DateTime, Utc};
use florin_domain::journal::{Hash, RecordedEvent};
use florin_domain::{TransferId, WalletId, partition_of};
use florin_projections::audit::{Audit, Chain, Findings, Summary};
use florin_projections::unfinished::Unfinished;

use super::record::{Record, key_json};
use super::write::Digest;
use super::{Header, KeyRow, KeysEnd, VERSION};
use crate::moment::place;
use crate::postgres::MAX_PARTITIONS;

/// What a record adds to the ledger.
pub(super) enum Taken {
    Header(Header),
    Key(KeyRow),
    Event(RecordedEvent),
    Nothing,
}

/// What was read, when all of it was.
#[derive(Debug)]
pub struct End {
    /// The end of each partition, in their order.
    pub heads: Vec<(u64, Hash)>,
    /// The transfers that are under way, each with the partition that drives it.
    pub unfinished: Vec<(TransferId, u32)>,
    /// What the audit found.
    pub summary: Summary,
    /// How many keys there were, if the file has keys.
    pub keys: Option<u64>,
}

#[derive(Default)]
pub(super) struct Check {
    stage: Stage,
    header: Option<Header>,
    heads: Vec<(u64, Hash)>,
    keys: Digest,
    key_count: Option<u64>,
    audit: Audit,
    /// Of the partition that is being read.
    chain: Option<Chain>,
    unfinished: Unfinished,
    partition: u32,
    position: u64,
    recorded_at: DateTime<Utc>,
}

/// What comes next.
#[derive(Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Header,
    Keys,
    Events,
}

impl Check {
    pub(super) fn take(&mut self, record: Record) -> Result<Taken, String> {
        match (record, &self.stage) {
            (Record::Header(header), Stage::Header) => {
                self.begin(&header)?;
                Ok(Taken::Header(header))
            }
            (Record::Header(_), Stage::Keys | Stage::Events) => {
                Err("a file has one first line only".to_owned())
            }
            (Record::Key(_) | Record::KeysEnd(_) | Record::Event(_), Stage::Header) => {
                Err("the first line of an export is missing".to_owned())
            }
            (Record::Key(row), Stage::Keys) => {
                self.keys.add(&key_json(&row).map_err(|error| error.to_string())?);
                Ok(Taken::Key(row))
            }
            (Record::KeysEnd(end), Stage::Keys) => {
                self.end_keys(&end)?;
                Ok(Taken::Nothing)
            }
            (Record::Event(_), Stage::Keys) => {
                Err("the keys have no end: some of them are missing".to_owned())
            }
            (Record::Key(_) | Record::KeysEnd(_), Stage::Events) => {
                Err("there is a key that the first line, or the end of the keys, knows nothing of"
                    .to_owned())
            }
            (Record::Event(event), Stage::Events) => {
                self.event(&event)?;
                Ok(Taken::Event(event))
            }
        }
    }

    fn begin(&mut self, header: &Header) -> Result<(), String> {
        if header.version != VERSION {
            return Err(format!(
                "the file is of version {}, and this program reads version {VERSION}",
                header.version
            ));
        }
        if header.partial {
            return Err("this is a part of a journal (`--from` or `--to`), which is no ledger: \
                        export all of it"
                .to_owned());
        }
        if !(1..=MAX_PARTITIONS).contains(&header.partitions) {
            return Err(format!("a ledger has 1 to {MAX_PARTITIONS} partitions"));
        }
        let heads = header.heads.iter().zip(0..).map(|(head, partition)| {
            let (of, position, hash) = head.parts()?;
            (of == partition).then_some((position, hash))
        });
        let heads: Option<Vec<_>> = heads.collect();
        let heads = heads.filter(|heads| heads.len() == header.partitions as usize);
        self.heads = heads.ok_or("there is not one head of each partition, in their order")?;
        self.stage = if header.keys { Stage::Keys } else { Stage::Events };
        self.header = Some(header.clone());
        Ok(())
    }

    fn end_keys(&mut self, end: &KeysEnd) -> Result<(), String> {
        let found = std::mem::take(&mut self.keys).end();
        if found.count != end.count {
            return Err(format!("there were {} keys, and not {}", found.count, end.count));
        }
        if found.sha256 != end.sha256 {
            return Err(
                "the keys are not those that were exported: their digest differs".to_owned()
            );
        }
        self.key_count = Some(end.count);
        self.stage = Stage::Events;
        Ok(())
    }

    fn event(&mut self, event: &RecordedEvent) -> Result<(), String> {
        if event.partition < self.partition {
            return Err(format!("partition {} comes before {}", event.partition, self.partition));
        }
        while self.partition < event.partition {
            self.end_partition()?;
        }
        let Some((head, hash)) = self.heads.get(event.partition as usize) else {
            return Err(format!("the ledger has no partition {}", event.partition));
        };
        if event.position > *head {
            let (here, head) =
                (place(event.partition, event.position), place(event.partition, *head));
            return Err(format!("{here} comes after {head}, the end that the first line names"));
        }
        let chain = self.chain.get_or_insert_with(|| Chain::whole(event.partition, Vec::new()));
        self.audit.take(chain.take(event.clone()));
        if let Some(problem) = self.audit.problems().named().first() {
            return Err(problem.to_string());
        }
        if event.position == *head && event.hash != *hash {
            return Err("its hash is not the one that the first line names".to_owned());
        }
        if event.position > 1 && event.recorded_at < self.recorded_at {
            return Err("it was recorded before the event before it".to_owned());
        }
        self.wallet_lies_here(event)?;
        self.unfinished.take(event).map_err(|error| error.to_string())?;
        (self.position, self.recorded_at) = (event.position, event.recorded_at);
        Ok(())
    }

    /// Where a wallet lies decides who looks for it there.
    fn wallet_lies_here(&self, event: &RecordedEvent) -> Result<(), String> {
        if event.aggregate_type != "Wallet" || event.sequence != 1 {
            return Ok(());
        }
        let wallet: WalletId = event.aggregate_id.parse().map_err(|error| format!("{error}"))?;
        match partition_of(&wallet, u32::try_from(self.heads.len()).unwrap_or(1)) {
            of if of == event.partition => Ok(()),
            of => Err(format!("{wallet} belongs to partition {of}")),
        }
    }

    fn end_partition(&mut self) -> Result<(), String> {
        let head = self.heads.get(self.partition as usize).map_or(0, |(head, _)| *head);
        if self.position != head {
            return Err(format!(
                "partition {} ends after position {}, and not after {head} as the first line says: \
                 some of it is missing",
                self.partition, self.position
            ));
        }
        (self.partition, self.position, self.chain) = (self.partition + 1, 0, None);
        Ok(())
    }

    /// Nothing more comes.
    pub(super) fn finish(mut self) -> Result<End, Unfit> {
        if self.header.is_none() {
            return Err(Unfit::Cut("the file is empty".to_owned()));
        }
        if self.stage == Stage::Keys {
            return Err(Unfit::Cut("the file ends within the keys: it is cut off".to_owned()));
        }
        while (self.partition as usize) < self.heads.len() {
            self.end_partition().map_err(Unfit::Cut)?;
        }
        let Findings { summary, problems, .. } = self.audit.finish();
        // Of the events there was none.
        if let Some(problem) = problems.named().first() {
            return Err(Unfit::Transfer(problem.to_string()));
        }
        Ok(End {
            heads: self.heads,
            unfinished: self.unfinished.transfers().collect(),
            summary,
            keys: self.key_count,
        })
    }
}

/// Why a file that was read to its end is no ledger.
pub(super) enum Unfit {
    /// Something is missing.
    Cut(String),
    /// A transfer is not as its legs are.
    Transfer(String),
}
