use std::process::ExitCode;

use clap::Args;

use super::Failure;
use crate::contracts;

/// Example: `florin asyncapi > asyncapi.json`
#[derive(Debug, Args)]
pub(super) struct AsyncApiArgs {}

pub(super) fn run(_: &AsyncApiArgs) -> Result<ExitCode, Failure> {
    print!("{}", contracts::text()?);
    Ok(ExitCode::SUCCESS)
}
