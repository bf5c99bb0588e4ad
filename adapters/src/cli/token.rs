use std::process::ExitCode;

use clap::Args;
use florin_application::Clock as _;
use florin_domain::Owner;

use super::Failure;
use crate::auth::{DEFAULT_TTL, Grant, MAX_TTL, mint};
use crate::clock::SystemClock;
use crate::config::TokenArgs;

/// Example: `florin token --sub alice --scope "wallet:read wallet:write"`
#[derive(Debug, Args)]
pub(super) struct MintArgs {
    /// Who its bearer is: the owner of their wallets.
    #[arg(long, value_name = "NAME")]
    sub: Owner,
    /// What they may do: wallet:read wallet:write ledger:read ledger:write ops, with spaces between.
    #[arg(long, default_value = "", value_name = "SCOPES")]
    scope: String,
    /// For how many seconds; 2592000 (30 days) at most.
    #[arg(
        long,
        default_value_t = DEFAULT_TTL,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TTL)),
        value_name = "SECONDS"
    )]
    ttl: u32,
    #[command(flatten)]
    tokens: TokenArgs,
}

pub(super) fn run(args: MintArgs) -> Result<ExitCode, Failure> {
    let secret = args.tokens.jwt_secret.as_ref();
    let secret = secret.ok_or("set FLORIN_JWT_SECRET to the secret that the service has")?;
    let grant = Grant { subject: args.sub, scope: args.scope, ttl: args.ttl };
    println!("{}", mint(secret, &args.tokens.expected(), &grant, SystemClock.now())?);
    Ok(ExitCode::SUCCESS)
}
