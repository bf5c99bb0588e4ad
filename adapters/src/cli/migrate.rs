use std::process::ExitCode;

use clap::Args;

use super::Failure;
use crate::config::{AdminArgs, PartitionArgs, passwords};
use crate::postgres::{migrate, migrate_with_roles};

/// Example: `FLORIN_PARTITIONS=4 florin migrate --database-admin-url postgres://…`
#[derive(Debug, Args)]
#[command(
    after_help = "The roles of --create-roles: florin_owner owns the tables (florin migrate, rebuild, \
        as-of, import), florin_service is what florin serve and florin worker log in as, and \
        florin_reader reads all but the calls of clients (florin verify, events, export). They are \
        roles of the whole server. Passwords come from FLORIN_OWNER_PASSWORD, FLORIN_SERVICE_PASSWORD \
        and FLORIN_READER_PASSWORD, or from the files that FLORIN_OWNER_PASSWORD_FILE (and so on) name: \
        never from the command line. A role without a password is made and cannot log in; to run it \
        again sets the passwords that are given, and leaves the others."
)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    partitions: PartitionArgs,
    /// Make the roles of the ledger as well, each with the least rights that it needs, and give the
    /// tables to their owner. Needs a superuser, or a role that may create roles.
    #[arg(long)]
    create_roles: bool,
}

pub(super) async fn run(args: &MigrateArgs) -> Result<ExitCode, Failure> {
    let (url, partitions) = (&args.admin.database_admin_url, args.partitions.partitions);
    if !args.create_roles {
        migrate(url, partitions).await?;
        println!("The ledger is up to date.");
        return Ok(ExitCode::SUCCESS);
    }
    let made = migrate_with_roles(url, partitions, &passwords()?).await?;
    println!("The ledger is up to date.");
    for (role, may_log_in) in made {
        match may_log_in {
            true => println!("{role} may log in."),
            false => println!("{role} cannot log in: it has no password."),
        }
    }
    Ok(ExitCode::SUCCESS)
}
