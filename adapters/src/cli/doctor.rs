use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::output::{OutputArgs, document};
use crate::config::{DatabaseArgs, NatsArgs, StreamArgs};
use crate::doctor::{Finding, Places, State, examine};

#[derive(Debug, Args)]
#[command(after_help = "Example: florin doctor --database-url postgres://… --nats-url nats://…\n\
                  \n\
                  It changes nothing. Warnings are to be read; with a problem it ends with 1.")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    nats: NatsArgs,
    #[command(flatten)]
    streams: StreamArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let findings = examine(&Places {
        database_url: &args.database.database_url,
        nats: args.nats.access(),
        streams: args.streams.settings(),
    })
    .await;
    match args.output.json {
        true => document(&findings)?,
        false => print(&findings),
    }
    Ok(match findings.iter().any(|finding| finding.state == State::Problem) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn print(findings: &[Finding]) {
    for Finding { check, state, found, fix } in findings {
        let state = match state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Problem => "problem",
        };
        println!("{state:<8} {check:<42} {found}");
        if let Some(fix) = fix {
            println!("{:<8} {:<42} ▸ {fix}", "", "");
        }
    }
    let count = |of| findings.iter().filter(|finding| finding.state == of).count();
    println!("{} problems, {} warnings.", count(State::Problem), count(State::Warning));
}
