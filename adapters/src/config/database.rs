//! Where a ledger is kept: in which Postgres, as whom, in how many partitions.

use std::path::PathBuf;

use clap::Args;

/// Where the journal is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// The ledger's Postgres, as the service's role.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
}

/// Where the journal is, for who may change the schema.
#[derive(Debug, Clone, Args)]
pub struct AdminArgs {
    /// The ledger's Postgres, as a role that may create tables and roles.
    #[arg(long, env = "DATABASE_ADMIN_URL", hide_env_values = true, value_name = "URL")]
    pub database_admin_url: String,
}

/// How many partitions the ledger has.
#[derive(Debug, Clone, Args)]
pub struct PartitionArgs {
    /// Partitions of the ledger, fixed when it is created (then 1 unless said).
    #[arg(long, env = "FLORIN_PARTITIONS", value_name = "N")]
    pub partitions: Option<u32>,
}

/// Where `florin dev` keeps everything.
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    /// The directory of the private Postgres and NATS, kept between runs.
    #[arg(long, env = "FLORIN_DATA_DIR", default_value = "./data", value_name = "DIR")]
    pub data_dir: PathBuf,
}
