//! The container file.

use std::collections::BTreeSet;

use cargo_metadata::MetadataCommand;
use florin_tests::process::run;
use tempfile::TempDir;

use super::{expect_known, is_pinned, root, text};

const FILE: &str = "deploy/container/Containerfile";

/// Its instructions, each in one line.
fn instructions() -> Vec<(String, String)> {
    let file = text(FILE);
    let lines = file.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let lines = lines.replace("\\\n", " ");
    let lines = lines.lines().filter_map(|line| line.split_once(' '));
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    lines.map(|(name, rest)| (name.to_owned(), plain(rest))).collect()
}

/// Those of the stage that is shipped.
fn shipped() -> Vec<(String, String)> {
    let all = instructions();
    let last = all.iter().rposition(|(name, _)| name == "FROM").unwrap();
    all[last..].to_vec()
}

fn the(name: &str) -> String {
    let mut found = shipped().into_iter().filter(|(instruction, _)| instruction == name);
    let (_, rest) = found.next().unwrap_or_else(|| panic!("{FILE} has no {name}"));
    assert_eq!(found.next(), None, "{name} counts once");
    rest
}

/// An instruction in JSON, as a list of words.
fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn it_is_built_on_pinned_images_by_a_rust_that_is_new_enough() {
    let all = instructions();
    let images: Vec<_> = all
        .iter()
        .filter(|(name, _)| name == "FROM")
        .map(|(_, rest)| rest.split(' ').next().unwrap())
        .collect();
    assert_eq!(images.len(), 2, "one stage builds, the other is shipped");
    assert!(images.iter().all(|image| is_pinned(image)), "{images:?}");
    let minor = |version: &str| version.split('.').nth(1).unwrap().parse::<u32>().unwrap();
    let rust = images[0].strip_prefix("rust:").unwrap();
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    assert!(minor(rust) >= minor(oldest), "{rust} is older than {oldest}");
}

#[test]
fn it_builds_what_the_lock_file_says() {
    let mut builds = instructions().into_iter().filter(|(_, rest)| rest.contains("cargo build"));
    let (_, build) = builds.next().unwrap();
    assert!(build.contains("--locked") && build.contains("--release"), "{build}");
}

#[test]
fn it_runs_as_a_numbered_user_who_is_not_root() {
    let user = the("USER");
    let (uid, gid) = user.split_once(':').unwrap();
    for id in [uid, gid] {
        assert!(id.parse::<u32>().unwrap() > 0, "{user}");
    }
    assert!(!shipped().iter().any(|(name, _)| name == "RUN"), "there is no shell to run it");
}

#[tokio::test]
async fn its_variables_and_its_probe_are_those_of_the_program() {
    assert_eq!(list(&the("ENTRYPOINT")), ["/usr/local/bin/florin"]);
    let verb = list(&the("CMD")).remove(0);
    let environment = the("ENV");
    let pairs = environment.split(' ').filter_map(|pair| pair.split_once('='));
    expect_known(&verb, pairs.map(|(name, _)| name)).await;
    let probe = the("HEALTHCHECK");
    let (_, command) = probe.split_once("CMD ").unwrap();
    let words = list(command);
    assert_eq!(words[0], "/usr/local/bin/florin");
    let help = run([&words[1..], &["--help".to_owned()]].concat()).await;
    assert_eq!(help.code, Some(0), "{words:?}: {}", help.err);
}

/// By path in the repository: what `.dockerignore` lets through.
fn context() -> Vec<String> {
    let file = text(".dockerignore");
    let mut lines = file.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "nothing goes in unless it is named");
    lines.filter_map(|line| line.strip_prefix('!')).map(ToOwned::to_owned).collect()
}

#[test]
fn all_that_is_built_goes_into_it_and_nothing_that_is_secret() {
    let dir = TempDir::new().unwrap();
    for path in context() {
        let (from, to) = (root().join(&path), dir.path().join(&path));
        assert!(from.exists(), ".dockerignore names {path}, which is not there");
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let copied = std::process::Command::new("cp").arg("-r").args([&from, &to]).status();
        assert!(copied.unwrap().success(), "{path}");
    }
    let (_, make) = instructions().into_iter().find(|(name, _)| name == "RUN").unwrap();
    let made =
        std::process::Command::new("sh").args(["-c", &make]).current_dir(dir.path()).status();
    assert!(made.unwrap().success(), "{make}");
    let mut command = MetadataCommand::new();
    command.manifest_path(dir.path().join("Cargo.toml")).no_deps();
    command.other_options(["--offline", "--locked"].map(ToOwned::to_owned).to_vec());
    let built = command.exec().unwrap();
    let names: BTreeSet<_> = built.packages.iter().map(|package| package.name.as_str()).collect();
    assert!(names.contains("florin-adapters"), "{names:?}");
    let copied =
        shipped().into_iter().filter(|(name, rest)| name == "COPY" && !rest.contains("--from"));
    for (_, rest) in copied {
        let from = rest.split(' ').next().unwrap();
        assert!(dir.path().join(from).exists(), "{from} is not in the context");
    }
    assert!(context().iter().all(|path| !path.contains(".env")), "secrets stay out");
}
