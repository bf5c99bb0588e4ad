use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use florin_application::Clock as _;
use thiserror::Error;

use super::Failure;
use crate::clock::SystemClock;
use crate::config::DatabaseArgs;
use crate::postgres::follow::{heads, snapshot};
use crate::postgres::{PostgresJournal, strays};
use crate::proof::checkpoint::{Anchor, Checkpoint};

#[derive(Debug, Args)]
#[command(after_help = "Example: florin checkpoint --sign key.pem --out 2026-01-31.json\n\n\
        A key: openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout \
        -out public.pem\n\n\
        Keep the document where nobody who may write into the database can reach it. Later, `florin \
        verify --checkpoint FILE --key public.pem` shows that the journal still extends it.")]
pub(super) struct CheckpointArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Sign it with the Ed25519 private key in this file (PKCS#8, PEM or DER).
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    /// Write it into this file, which must not be there yet, instead of to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A head that is not the end of its partition is not to be vouched for.
#[derive(Debug, Error)]
#[error(
    "the event at {partition}-{head} is not the one that its head says: run `florin verify` to see \
     what is wrong"
)]
struct NotInOrder {
    partition: u32,
    head: u64,
}

pub(super) async fn run(args: &CheckpointArgs) -> Result<ExitCode, Failure> {
    let journal = PostgresJournal::open(&args.database.database_url, None).await?;
    let mut snapshot = snapshot(journal.pool()).await?;
    let mut anchors = Vec::new();
    for (partition, position, hash) in heads(&mut *snapshot).await? {
        let anchor = Anchor { partition, position, hash };
        let found = strays::hash_at(&mut snapshot, partition, position).await?;
        if found != Some(hash) && !anchor.is_of_nothing() {
            return Err(NotInOrder { partition, head: position }.into());
        }
        anchors.push(anchor);
    }
    let mut checkpoint = Checkpoint::new(SystemClock.now(), anchors);
    if let Some(key) = &args.sign {
        checkpoint.sign(key)?;
    }
    match &args.out {
        Some(file) => checkpoint.write(file)?,
        None => print!("{}", checkpoint.document()?),
    }
    Ok(ExitCode::SUCCESS)
}
