//! NATS: whether it is there, has JetStream, and has the streams as this program would make them.

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, Info};
use futures::TryStreamExt as _;
use serde_json::Value;

use super::Finding;
use crate::nats::connect::is_connected;
use crate::nats::outbox;
use crate::nats::stream::{
    ALERTS, DEAD_LETTERS, INTAKE, LEDGER, OPERATIONS, OUTCOMES, Stream, StreamSettings,
    differences, jetstream,
};
use crate::nats::{Access, connect_as};
use crate::{intake, operations};

/// The oldest version in which a stream may be synced to the disk every second.
const OLDEST: (i64, i64, i64) = (2, 10, 0);

/// How many messages a consumer may have to be sent, or to acknowledge: a few seconds at full speed.
const PENDING: u64 = 100_000;

pub(super) async fn examine(access: &Access, settings: &StreamSettings) -> Vec<Finding> {
    if access.url.is_none() {
        return vec![Finding::warning(
            "NATS",
            "none is configured: nothing is published, and no operation is carried out",
            "set NATS_URL, if anything is to be",
        )];
    }
    let client = match connect_as(access).await {
        Ok(Some(client)) if is_connected(&client).await => client,
        Ok(_) => {
            return vec![Finding::problem(
                "NATS",
                "cannot be reached",
                "start nats-server with JetStream, or set NATS_URL to it",
            )];
        }
        Err(error) => {
            return vec![Finding::problem("NATS", error.to_string(), "set NATS_URL to the server")];
        }
    };
    let mut findings = vec![version(&client)];
    let jetstream = jetstream(client);
    if let Err(why) = is_enabled(&jetstream).await {
        findings.push(Finding::problem(
            "JetStream",
            format!("is not enabled: {why}"),
            "start nats-server with `-js`, or with `jetstream { store_dir: … }` in its file",
        ));
        return findings;
    }
    findings.push(Finding::ok("JetStream", "enabled"));
    for stream in [LEDGER, ALERTS, DEAD_LETTERS, OPERATIONS, INTAKE, OUTCOMES] {
        match jetstream.get_stream(stream.name).await {
            Ok(found) => {
                findings.push(configured(stream, found.cached_info(), settings));
                findings.push(consumers(stream, &found).await);
            }
            Err(_) if [INTAKE.name, OUTCOMES.name].contains(&stream.name) => {
                findings.push(Finding::ok(
                    format!("stream {}", stream.name),
                    "is not there: no worker takes messages in (--intake)",
                ));
            }
            Err(error) => findings.push(Finding::warning(
                format!("stream {}", stream.name),
                format!("is not there: {error}"),
                "start `florin worker`, which creates it",
            )),
        }
    }
    findings
}

/// By the account as JSON: its members differ from version to version.
async fn is_enabled(jetstream: &Context) -> Result<(), String> {
    let account: Value = jetstream.request("INFO", b"").await.map_err(|error| error.to_string())?;
    match account.get("error") {
        Some(error) => Err(error.to_string()),
        None => Ok(()),
    }
}

fn version(client: &Client) -> Finding {
    let version = client.server_info().version;
    let (major, minor, patch) = OLDEST;
    match client.is_server_compatible(major, minor, patch) {
        true => Finding::ok("NATS version", version),
        false => Finding::warning(
            "NATS version",
            format!("{version}: a power cut takes up to two minutes of what was published"),
            "upgrade to nats-server 2.10 and set `jetstream { sync_interval: \"1s\" }`",
        ),
    }
}

/// How a stream should be, where that of the events is so.
fn wanted(stream: Stream, found: &Config, ledger: &StreamSettings) -> StreamSettings {
    let (max_bytes, duplicate_window) = match stream.name {
        name if name == LEDGER.name => return *ledger,
        // How much may wait in it is the workers' setting, and any that there is is right.
        name if name == INTAKE.name => {
            let max_messages = found.max_messages;
            return intake::Settings { max_messages, ..Default::default() }.stream(ledger);
        }
        name if name == OPERATIONS.name => {
            (operations::publisher::MAX_BYTES, operations::publisher::DUPLICATE_WINDOW)
        }
        name if name == OUTCOMES.name => {
            (intake::outcomes::MAX_BYTES, intake::outcomes::DUPLICATE_WINDOW)
        }
        _ => (outbox::MAX_BYTES, outbox::DUPLICATE_WINDOW),
    };
    StreamSettings { max_bytes: max_bytes.min(ledger.max_bytes), duplicate_window, ..*ledger }
}

fn configured(stream: Stream, info: &Info, ledger: &StreamSettings) -> Finding {
    let check = format!("stream {}", stream.name);
    let (messages, bytes) = (info.state.messages, info.state.bytes);
    let differences = differences(&info.config, stream, &wanted(stream, &info.config, ledger));
    match differences.is_empty() {
        true => Finding::ok(check, format!("{messages} messages, {bytes} bytes")),
        false => Finding::warning(
            check,
            format!("is not as it should be: {}", differences.join(", ")),
            "start `florin worker` with the same FLORIN_STREAM_* as here, which sets it right",
        ),
    }
}

async fn consumers(stream: Stream, found: &async_nats::jetstream::stream::Stream) -> Finding {
    let check = format!("consumers of {}", stream.name);
    let infos: Result<Vec<_>, _> = found.consumers().try_collect().await;
    match infos {
        Err(error) => Finding::warning(
            check,
            format!("cannot be listed: {error}"),
            "see that the user in NATS_URL may use $JS.API.>",
        ),
        Ok(infos) => {
            let pending = infos.iter().map(|info| info.num_pending + info.num_ack_pending as u64);
            waiting(check, infos.len(), pending.max().unwrap_or_default())
        }
    }
}

fn waiting(check: String, count: usize, most: u64) -> Finding {
    let found = format!("{count} consumers, of which none lacks more than {most} messages");
    match most > PENDING {
        true => Finding::warning(
            check,
            found,
            "start more of `florin worker`; delete the consumers of programs that are no more",
        ),
        false => Finding::ok(check, found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_consumer_that_lacks_many_messages_is_told_of() {
        assert_eq!(waiting(String::new(), 4, PENDING).state, State::Ok);
        assert_eq!(waiting(String::new(), 4, PENDING + 1).state, State::Warning);
    }
}
