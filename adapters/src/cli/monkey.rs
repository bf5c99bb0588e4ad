use std::process::ExitCode;

use clap::Args;

use super::Failure;
use crate::monkey::{self, MonkeyArgs};

/// Example: `florin monkey --url http://127.0.0.1:3000 --requests 1000 --concurrency 100`
#[derive(Debug, Args)]
pub(super) struct MonkeyVerb {
    #[command(flatten)]
    args: MonkeyArgs,
}

pub(super) async fn run(verb: &MonkeyVerb) -> Result<ExitCode, Failure> {
    let verdict = monkey::run(&verb.args).await;
    verdict.print();
    Ok(verdict.exit_code())
}
