//! What the compose file tells NATS, by a real one.

use std::path::PathBuf;
use std::process::Command;

use florin_adapters::dev::usual_places;
use tempfile::TempDir;

use super::{text, yaml};

const PASSWORD: &str = "0123456789abcdef";

/// Wherever it is installed.
fn nats_server() -> PathBuf {
    let mut places = usual_places().into_iter().map(|place| place.join("nats-server"));
    places.find(|program| program.is_file()).expect("there is one: run deploy/setup")
}

#[test]
fn nats_understands_what_it_is_told_whatever_the_password_looks_like() {
    let dir = TempDir::new().unwrap();
    let told = text("deploy/container/nats.conf");
    // nats-server knows this from 2.10 on, and Debian 12 has an older one.
    let (known, newer): (Vec<_>, Vec<_>) =
        told.lines().partition(|line| !line.contains("sync_interval"));
    assert_eq!(newer.len(), 1, "only this is left out");
    let file = dir.path().join("nats.conf");
    std::fs::write(&file, known.join("\n")).unwrap();
    let told = yaml("deploy/container/compose.yaml");
    let told = told["services"]["nats"]["environment"]["NATS_FLORIN_PASSWORD"].as_str().unwrap();
    let (before, rest) = told.split_once("${").unwrap();
    let (_, after) = rest.split_once('}').unwrap();
    for password in [PASSWORD, "1234", "12e4ab", "5e"] {
        let mut check = Command::new(nats_server());
        let password = format!("{before}{password}{after}");
        check.arg("-t").arg("-c").arg(&file).env("NATS_FLORIN_PASSWORD", &password);
        let checked = check.output().unwrap();
        assert!(checked.status.success(), "{password}: {checked:?}");
    }
}
