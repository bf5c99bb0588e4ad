use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use reqwest::Client;

use super::Failure;
use crate::config::ListenArgs;

/// Longer than the service takes to find out that Postgres does not answer it; shorter than a probe
/// may take that is sent every ten seconds.
const PATIENCE: Duration = Duration::from_secs(4);
/// How much of an answer that says what is missing is passed on.
const MAX_CHARS: usize = 500;

#[derive(Debug, Args)]
#[command(after_help = "Examples: florin health\n\
                  \u{20}         florin health --url https://florin.example/readyz\n\
                  \n\
                  For probes where there is no curl: it asks once, and ends with 1 unless the \
                  answer is a 200.")]
pub(super) struct HealthArgs {
    /// What to ask instead of /readyz on this machine, such as that of a service that speaks TLS.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    listen: ListenArgs,
}

pub(super) async fn run(args: &HealthArgs) -> Result<ExitCode, Failure> {
    let url = args.url.clone().unwrap_or_else(|| here(&args.listen));
    let client = Client::builder().timeout(PATIENCE).no_proxy().build()?;
    let answer = client.get(&url).send().await.map_err(|cause| away(&url, &cause))?;
    let status = answer.status();
    let said = answer.text().await.map_err(|cause| away(&url, &cause))?;
    if !status.is_success() {
        let said: String = said.chars().take(MAX_CHARS).collect();
        return Err(format!("{url} answered {status}: {said}").into());
    }
    println!("{url} answered {status}");
    Ok(ExitCode::SUCCESS)
}

/// Where the service of these settings answers on its own machine.
fn here(listen: &ListenArgs) -> String {
    let host: IpAddr = match listen.host {
        IpAddr::V4(all) if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(all) if all.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(one) => one.into(),
        IpAddr::V6(one) => one.into(),
    };
    format!("http://{}/readyz", std::net::SocketAddr::new(host, listen.port))
}

/// Reqwest itself names the URL only; why it failed is further down.
fn away(url: &str, error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("{url} does not answer: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_listens_everywhere_is_asked_on_the_loopback() {
        let asked = |host: &str| {
            let listen = ListenArgs { host: host.parse().unwrap(), port: 3001 };
            here(&listen)
        };
        assert_eq!(asked("0.0.0.0"), "http://127.0.0.1:3001/readyz");
        assert_eq!(asked("::"), "http://[::1]:3001/readyz");
        assert_eq!(asked("10.0.0.7"), "http://10.0.0.7:3001/readyz");
    }
}
