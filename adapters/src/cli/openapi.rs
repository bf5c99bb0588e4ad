use std::process::ExitCode;

use clap::Args;

use super::Failure;
use crate::http::openapi;

/// Example: `florin openapi > openapi.json`
#[derive(Debug, Args)]
pub(super) struct OpenApiArgs {}

pub(super) fn run(_: &OpenApiArgs) -> Result<ExitCode, Failure> {
    print!("{}", openapi::text()?);
    Ok(ExitCode::SUCCESS)
}
