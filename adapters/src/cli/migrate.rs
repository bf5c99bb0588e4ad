use std::process::ExitCode;

use clap::Args;

use super::Failure;
use crate::config::{AdminArgs, PartitionArgs};
use crate::postgres::migrate;

/// Example: `FLORIN_PARTITIONS=4 florin migrate --database-admin-url postgres://…`
#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    partitions: PartitionArgs,
}

pub(super) async fn run(args: &MigrateArgs) -> Result<ExitCode, Failure> {
    migrate(&args.admin.database_admin_url, args.partitions.partitions).await?;
    println!("The ledger is up to date.");
    Ok(ExitCode::SUCCESS)
}
