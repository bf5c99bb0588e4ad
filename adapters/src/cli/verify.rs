mod output;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use florin_domain::journal::GENESIS;
use florin_projections::audit::models::{self, Compared};
use florin_projections::audit::{Audit, Findings, Witness};
use sqlx::PgConnection;
use thiserror::Error;

use super::Failure;
use super::output::OutputArgs;
use super::progress::Progress;
use super::range::RangeArgs;
use crate::config::{DatabaseArgs, NatsArgs};
use crate::moment::Moment;
use crate::nats::{self, Access};
use crate::postgres::follow::snapshot;
use crate::postgres::scan::Range;
use crate::postgres::{OpenError, PostgresJournal, strays};
use crate::proof::checkpoint::{Checkpoint, Voucher};
use crate::proof::stream::{self, Held};
use crate::proof::{Head, chain, read, survey};
use output::Proved;

#[derive(Debug, Args)]
#[command(after_help = "Example: florin verify --checkpoint 2026-01-31.json --key public.pem\n\n\
        Proved, as of one moment, while the ledger runs: positions and sequences without gaps, the \
        hash chain to its heads, times that do not run backwards, every balance and its column, none \
        below zero, both legs of every transfer, the sums of each currency after every event, and \
        that the unfinished transfers are those on record.\n\n\
        Of the read models, at the checkpoint of each: every column of balances; of stats the sums \
        and counts of each wallet, and those of its days added up; of history how many entries each \
        wallet has, and sums of their amounts, balances, positions and states; of fraud how far each \
        wallet is. What leaves those sums as they are is not seen. Parked wallets are named and left \
        out.\n\n\
        With --nats-url or NATS_URL: every message that the stream still has, beside the journal.\n\n\
        Not proved: that no command took effect twice, which keys see to; and without a checkpoint, \
        that nobody shortened the journal or wrote its end anew.")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    nats: NatsArgs,
    /// Leave the stream out, though NATS_URL is set: its messages come one by one, at a tenth of the
    /// pace of the journal.
    #[arg(long)]
    no_stream: bool,
    /// Prove the chain, the positions and the balances from there on only: at this position (0-123
    /// where there are several partitions), or from this time on. A balance is then believed where it
    /// is first met.
    #[arg(long, value_name = "POSITION|TIME")]
    from: Option<Moment>,
    /// Prove that the journal still extends this checkpoint (see `florin checkpoint`).
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The Ed25519 public key (PEM or DER) of whoever signed the checkpoint.
    #[arg(long, value_name = "FILE", requires = "checkpoint")]
    key: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Nothing was found, because nothing could be looked at.
#[derive(Debug, Error)]
#[error("it could not be proved, one way or the other: {0}")]
struct NotProved(Failure);

/// A part of the journal of which too little would be proved.
#[derive(Debug, Error)]
enum Unclear {
    #[error(
        "--from begins at {partition}-{from}, after the checkpoint: what lies between would not be \
         proved. Begin at {partition}-{anchor}, or leave --from out"
    )]
    AfterCheckpoint { partition: u32, from: u64, anchor: u64 },
    #[error("--from leaves partition {0} out, which the checkpoint is about")]
    LeftOut(u32),
    #[error(
        "the time cannot be found in every partition, because events are missing: say a position \
         (0-123), or leave --from out"
    )]
    Time,
}

/// What there is to be proved, and by what.
struct Task {
    ranges: Vec<Range>,
    heads: Vec<Head>,
    checkpoint: Option<(Checkpoint, Voucher)>,
}

pub(super) async fn run(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let checkpoint = match &args.checkpoint {
        Some(file) => Some(Checkpoint::open(file, args.key.as_deref())?),
        None => None,
    };
    let journal = PostgresJournal::open_as_is(&args.database.database_url).await;
    let journal = journal.map_err(|error| match error {
        OpenError::Away(_) => Failure::from(NotProved(error.into())),
        OpenError::Url(_)
        | OpenError::NotMigrated
        | OpenError::Newer(_)
        | OpenError::Other(_)
        | OpenError::Forbidden
        | OpenError::Role(_)
        | OpenError::Partitions(_) => error.into(),
    })?;
    let proved = prove(args, &journal, checkpoint).await?;
    proved.print(args.output)?;
    match proved.findings.problems.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

async fn prove(
    args: &VerifyArgs,
    journal: &PostgresJournal,
    checkpoint: Option<(Checkpoint, Voucher)>,
) -> Result<Proved, Failure> {
    let mut audit = match &args.from {
        Some(_) => Audit::of_a_part(),
        None => Audit::default(),
    };
    // Of one moment, in which no transfer is half in one partition.
    let mut snapshot = snapshot(journal.pool()).await.map_err(not_proved)?;
    let heads = survey(&mut snapshot, &mut audit).await.map_err(not_proved)?;
    let ranges = ranges(args, journal, &heads).await?;
    let task = Task { ranges, heads, checkpoint };
    task.check_anchors(&mut audit, args.from.is_some())?;
    let models = match &args.from {
        Some(_) => BTreeMap::new(),
        None => {
            let heads: Vec<_> =
                task.heads.iter().map(|head| (head.partition, head.position)).collect();
            models::stand(&mut audit, &mut snapshot, &heads).await.map_err(not_proved)?
        }
    };
    task.read(journal, &mut snapshot, &mut audit).await?;
    let compared = models::compare(&mut audit, &mut snapshot, models).await.map_err(not_proved)?;
    let mut findings = audit.finish();
    if args.from.is_none() {
        let unfinished = models::compare_unfinished(&mut findings, &mut snapshot).await;
        unfinished.map_err(not_proved)?;
    }
    snapshot.rollback().await.map_err(not_proved)?;
    let held = compare_stream(args, journal, &task.heads, &mut findings).await?;
    Ok(task.proved(args, findings, compared, held))
}

fn not_proved(error: impl Into<Failure>) -> Failure {
    NotProved(error.into()).into()
}

/// What is to be read of each partition.
async fn ranges(
    args: &VerifyArgs,
    journal: &PostgresJournal,
    heads: &[Head],
) -> Result<Vec<Range>, Failure> {
    let whole = |head: &Head| Range { partition: head.partition, after: 0, up_to: head.position };
    let Some(from) = &args.from else { return Ok(heads.iter().map(whole).collect()) };
    let mut ranges = RangeArgs { from: Some(from.clone()), to: None }.of(journal).await?;
    if matches!(from, Moment::Time(_)) && ranges.len() != heads.len() {
        return Err(Unclear::Time.into());
    }
    for range in &mut ranges {
        // The ends are those of the snapshot, which is the older one.
        let head = heads.iter().find(|head| head.partition == range.partition);
        range.up_to = head.map_or(range.after, |head| head.position.max(range.after));
    }
    Ok(ranges)
}

/// What JetStream has, if it is to be asked.
async fn compare_stream(
    args: &VerifyArgs,
    journal: &PostgresJournal,
    heads: &[Head],
    findings: &mut Findings,
) -> Result<Option<Held>, Failure> {
    let access = if args.no_stream { Access::default() } else { args.nats.access() };
    let Some(client) = nats::connect_as(&access).await? else {
        return Ok(None);
    };
    let mut progress: Option<Progress> = None;
    let mut before = 0;
    let problems = &mut findings.problems;
    let held = stream::compare(&client, journal.pool(), heads, problems, |done, all| {
        progress
            .get_or_insert_with(|| Progress::of("compare with JetStream", all))
            .add(done - before);
        before = done;
    });
    Ok(Some(held.await.map_err(not_proved)?))
}

impl Task {
    /// Whether the journal goes as far as the checkpoint, and what is read begins before that.
    fn check_anchors(&self, audit: &mut Audit, is_of_a_part: bool) -> Result<(), Unclear> {
        let anchors = self.checkpoint.iter().flat_map(|(checkpoint, _)| &checkpoint.anchors);
        for anchor in anchors {
            let partition = anchor.partition;
            let head = self.heads.iter().find(|head| head.partition == partition);
            let head = head.map_or(0, |head| head.position);
            let range = self.ranges.iter().find(|range| range.partition == partition);
            match range {
                None if is_of_a_part && head > 0 => return Err(Unclear::LeftOut(partition)),
                Some(range) if range.after > anchor.position => {
                    let (from, anchor) = (range.after + 1, anchor.position + 1);
                    return Err(Unclear::AfterCheckpoint { partition, from, anchor });
                }
                None | Some(_) => {}
            }
            if anchor.position > head {
                let what =
                    format_args!("the checkpoint has this event; the journal ends at {head}");
                audit.note((partition, anchor.position), what);
            }
            if anchor.position == 0 && anchor.hash != GENESIS {
                audit.note((partition, 0), "the checkpoint has a hash of nothing");
            }
        }
        Ok(())
    }

    /// Reads the ranges into the audit.
    async fn read(
        &self,
        journal: &PostgresJournal,
        snapshot: &mut PgConnection,
        audit: &mut Audit,
    ) -> Result<(), Failure> {
        let progress = Progress::of("verify", self.ranges.iter().map(Range::events).sum());
        for range in &self.ranges {
            let head = self.heads.iter().find(|head| head.partition == range.partition);
            let Some(head) = head else { continue };
            let witnesses = self.witnesses(range.partition);
            for witness in &witnesses {
                // It is not among those that are read.
                if range.after > 0 && witness.position == range.after {
                    let found = strays::hash_at(snapshot, range.partition, range.after).await;
                    if found.map_err(not_proved)? != Some(witness.hash) {
                        let what = "its hash is not the one that the checkpoint has";
                        audit.note((range.partition, range.after), what);
                    }
                }
            }
            let chain = chain(snapshot, *range, *head, witnesses).await.map_err(not_proved)?;
            let read = read(journal, *range, chain, audit, |events| progress.add(events));
            read.await.map_err(not_proved)?;
        }
        Ok(())
    }

    fn witnesses(&self, partition: u32) -> Vec<Witness> {
        let anchors = self.checkpoint.iter().flat_map(|(checkpoint, _)| &checkpoint.anchors);
        let here = anchors.filter(|anchor| anchor.partition == partition && anchor.position > 0);
        let who = "the checkpoint";
        let witness = |position, hash| Witness { position, hash, who: who.into() };
        here.map(|anchor| witness(anchor.position, anchor.hash)).collect()
    }

    fn proved(
        self,
        args: &VerifyArgs,
        findings: Findings,
        compared: Vec<Compared>,
        held: Option<Held>,
    ) -> Proved {
        let from = args
            .from
            .as_ref()
            .map(|_| self.ranges.iter().map(|range| (range.partition, range.after + 1)).collect());
        Proved {
            from,
            heads: self.heads.iter().map(|head| (head.partition, head.position)).collect(),
            findings,
            compared,
            held,
            checkpoint: self.checkpoint,
        }
    }
}
