//! Who may know whom, kept by reading the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::MetadataCommand;

/// Each folder, and the folders of this workspace that it depends on.
const ARROWS: [(&str, &[&str]); 6] = [
    ("domain", &[]),
    ("application", &["domain"]),
    ("projections", &["domain"]),
    ("adapters", &["application", "domain", "projections"]),
    // For other services: it knows what they may know, and nothing of how this one works.
    ("client", &["domain"]),
    ("tests", &["adapters", "application", "client", "domain", "projections"]),
];

/// What reaches the world; only `adapters` may, and the tests of it. (`projections` may speak SQL:
/// a read model is one file, with its rows, its fold and its statements.)
const WORLDLY: [&str; 10] = [
    "async-nats",
    "axum",
    "hyper",
    "opentelemetry",
    "postgres-es",
    "prometheus",
    "reqwest",
    "sqlx",
    "tokio-postgres",
    "tower-http",
];

/// The name of a crate in this workspace is its folder's with this before it.
const OURS: &str = "florin-";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// By folder, the names of everything that it depends on, for its tests and its build too.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml")).no_deps();
    command.other_options(["--offline".to_owned()]);
    let metadata = command.exec().unwrap();
    let folder = |package: &cargo_metadata::Package| {
        let folder = package.manifest_path.parent().and_then(|folder| folder.file_name());
        folder.unwrap().to_owned()
    };
    let packages = metadata.packages.iter();
    packages
        .map(|package| {
            let names = package.dependencies.iter().map(|dependency| dependency.name.clone());
            (folder(package), names.collect())
        })
        .collect()
}

#[test]
fn every_crate_is_a_folder_of_the_workspace() {
    let expected: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(dependencies().into_keys().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn dependencies_point_one_way() {
    let all = dependencies();
    for (folder, arrows) in ARROWS {
        let ours: Vec<_> = all[folder].iter().filter_map(|name| name.strip_prefix(OURS)).collect();
        assert_eq!(ours, arrows, "what {folder} depends on");
    }
}

#[test]
fn only_the_adapters_reach_the_world() {
    let all = dependencies();
    for folder in ["domain", "application", "projections"] {
        let may = |name: &str| folder == "projections" && name == "sqlx";
        let is_worldly = |name: &&&str| all[folder].contains(**name) && !may(name);
        let worldly: Vec<_> = WORLDLY.iter().filter(is_worldly).collect();
        assert!(worldly.is_empty(), "{folder} depends on {worldly:?}");
    }
}

#[test]
fn the_domain_cannot_wait() {
    let domain = &dependencies()["domain"];
    for name in ["async-trait", "futures", "rand", "tokio", "tracing"] {
        assert!(!domain.contains(name), "domain depends on {name}");
    }
}

#[test]
fn the_top_level_holds_what_the_design_says_and_nothing_else() {
    const FOLDERS: [&str; 7] =
        ["adapters", "application", "deploy", "domain", "migrations", "projections", "tests"];
    /// Not in the repository: what is built and what is kept at run time.
    const IGNORED: [&str; 2] = ["data", "target"];
    const FILES: [&str; 4] = ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md"];
    let (mut folders, mut files) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with('.') || IGNORED.contains(&name.as_str()) {
            continue;
        }
        let is_folder = entry.file_type().unwrap().is_dir();
        if is_folder {
            folders.insert(name)
        } else {
            files.insert(name)
        };
    }
    assert_eq!(folders, FOLDERS.map(ToOwned::to_owned).into());
    assert_eq!(files, FILES.map(ToOwned::to_owned).into());
}
