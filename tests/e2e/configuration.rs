//! Flags, variables, the file: what goes before what, what is refused, and what is shown of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Output};

use florin_tests::issuer::SECRET;
use florin_tests::process::{command, run};
use serde_json::{Value, json};
use tempfile::TempDir;

const README: &str = include_str!("../../README.md");
const ENV_EXAMPLE: &str = include_str!("../../deploy/.env.example");

/// A database that is not there.
const NOWHERE: &str = "postgres://florin:hush@127.0.0.1:1/nothing";

/// A file of settings.
fn file(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("florin.toml");
    std::fs::write(&path, text).unwrap();
    path
}

async fn ran(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(arguments).envs(variables.iter().copied()).output().await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What `florin config` says of a verb, by key.
async fn effective(arguments: &[&str], variables: &[(&str, &str)]) -> BTreeMap<String, Value> {
    let output = ran(&[&["config"], arguments, &["--json"]].concat(), variables).await;
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    let settings = answer["settings"].as_array().unwrap().iter();
    settings.map(|setting| (setting["key"].as_str().unwrap().to_owned(), setting.clone())).collect()
}

/// How a verb ends that does not understand what it is told.
async fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = ran(arguments, variables).await;
    let said = text(&output.stderr).to_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?} {variables:?}: {said}");
    said
}

#[tokio::test]
async fn a_flag_goes_before_a_variable_and_that_before_the_file_and_that_before_the_default() {
    let dir = TempDir::new().unwrap();
    let file = file(&dir, "host = \"::1\"\nport = 1\ncached-wallets = 1\n");
    let file = file.to_str().unwrap();
    let arguments = ["serve", "--config", file, "--port", "3"];
    let variables = [("FLORIN_PORT", "2"), ("FLORIN_CACHED_WALLETS", "2")];
    let settings = effective(&arguments, &variables).await;
    for (key, value, source, place) in [
        ("config", json!(file), "flag", json!("--config")),
        ("port", json!("3"), "flag", json!("--port")),
        ("cached-wallets", json!("2"), "variable", json!("FLORIN_CACHED_WALLETS")),
        ("host", json!("::1"), "file", json!(format!("{file}:1"))),
        ("auto-open", json!("true"), "default", Value::Null),
        ("jwks", Value::Null, "unset", Value::Null),
        ("database-url", Value::Null, "missing", Value::Null),
    ] {
        let found = &settings[key];
        assert_eq!((&found["value"], &found["place"]), (&value, &place), "{key}");
        assert_eq!(found["source"], source, "{key}");
    }
}

#[tokio::test]
async fn a_verb_goes_by_the_file_and_leaves_alone_what_only_others_take() {
    let dir = TempDir::new().unwrap();
    let file = file(&dir, &format!("port = 1\njwt-secret = \"{SECRET}\"\n"));
    let variables = [("FLORIN_CONFIG", file.to_str().unwrap())];
    let minted = ran(&["token", "--sub", "alice"], &variables).await;
    assert_eq!(minted.status.code(), Some(0), "{}", text(&minted.stderr));
}

#[tokio::test]
async fn a_setting_that_must_be_there_may_be_in_the_file() {
    let dir = TempDir::new().unwrap();
    let file = file(&dir, &format!("database-admin-url = \"{NOWHERE}\"\n"));
    let migrated = ran(&["migrate", "--config", file.to_str().unwrap()], &[]).await;
    let said = text(&migrated.stderr);
    assert!(said.starts_with("florin: the database cannot be migrated"), "{said}");
}

#[tokio::test]
async fn what_is_no_setting_is_refused_by_every_service() {
    let dir = TempDir::new().unwrap();
    let file = file(&dir, "prot = 3000\n");
    let path = file.to_str().unwrap();
    for verb in ["serve", "worker", "migrate", "dev"] {
        let said = refused(&[verb], &[("FLORIN_CONFIG", path)]).await;
        let expected = format!("florin: {path}:1: `prot` is no setting; the nearest is `port`\n");
        assert_eq!(said, expected);
        let said = refused(&[verb], &[("FLORIN_PROT", "3000")]).await;
        assert!(said.starts_with("florin: the variable FLORIN_PROT is no setting"), "{said}");
        assert!(said.contains("the nearest is FLORIN_PORT"), "{said}");
    }
    let said = refused(&["serve", "--prot", "3000"], &[]).await;
    assert!(said.contains("--prot") && said.contains("--port"), "{said}");
}

#[tokio::test]
async fn a_value_that_cannot_be_is_refused_with_its_place() {
    let dir = TempDir::new().unwrap();
    let file = file(&dir, "\nport = \"high\"\n");
    let path = file.to_str().unwrap();
    let said = refused(&["worker", "--config", path], &[]).await;
    assert!(said.starts_with(&format!("florin: {path}:2: `port`: invalid value 'high'")), "{said}");
    let said = refused(&["worker", "--config", "/nowhere/florin.toml"], &[]).await;
    assert!(said.starts_with("florin: /nowhere/florin.toml cannot be read"), "{said}");
}

#[tokio::test]
async fn what_tests_and_clients_have_in_their_environment_stops_nothing() {
    let variables = [("FLORIN_LONG", "1"), ("FLORIN_SEED", "1"), ("FLORIN_URL", "http://a")];
    let shown = ran(&["config", "dev"], &variables).await;
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
}

#[tokio::test]
async fn no_secret_is_shown() {
    let variables = [("DATABASE_URL", NOWHERE), ("FLORIN_JWT_SECRET", SECRET)];
    let nats = ["serve", "--nats-url", "nats://hush@127.0.0.1:1"];
    for json in [&[][..], &["--json"]] {
        let output = ran(&[&["config"], &nats[..], json].concat(), &variables).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        for shown in ["postgres://florin:***@127.0.0.1:1/nothing", "nats://***@127.0.0.1:1"] {
            assert!(said.contains(shown), "{said}");
        }
        assert!(!said.contains("hush") && !said.contains(SECRET), "{said}");
    }
}

#[tokio::test]
async fn what_is_missing_is_said_and_the_rest_is_shown() {
    let ran = run(["config", "serve"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.err, "florin: database-url is missing, and florin serve needs it\n");
    let line = ran.out.lines().find(|line| line.starts_with("port ")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["port", "3000", "default"]);
}

#[tokio::test]
async fn the_committed_references_are_what_the_program_prints() {
    let table = run(["config", "--markdown"]).await;
    assert!(README.contains(&format!("-->\n{}<!--", table.out)), "{}", table.out);
    let example = run(["config", "--env-example"]).await;
    assert_eq!(example.out, ENV_EXAMPLE);
}

#[tokio::test]
async fn the_version_names_the_commit_and_the_schema() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let git = ["rev-parse", "--short=12", "HEAD"];
    let head = Program::new("git").args(git).current_dir(folder).output();
    let head = head.ok().filter(|output| output.status.success());
    let commit = head.map_or("unknown".to_owned(), |head| text(&head.stdout).trim().to_owned());
    let migrations = std::fs::read_dir(folder.join("../migrations")).unwrap();
    let numbers = migrations.filter_map(|file| {
        let name = file.unwrap().file_name().into_string().unwrap();
        name.split_once('_')?.0.parse::<i64>().ok()
    });
    let schema = numbers.max().unwrap();
    let expected =
        format!("florin {} (commit {commit}, schema {schema})\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(["--version"]).await.out, expected);
}
