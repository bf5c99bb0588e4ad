//! What Florin is made of, held against the lists of `.cargo/deny.toml`.
//!
//! cargo-deny reads the same lists and more (deploy/lint). This is for whoever has not got it, and
//! reads the dependencies of this platform only, which a build has downloaded already.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{MetadataCommand, Package};

use super::{root, text};

/// The one place that crates come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

struct Allowed {
    everywhere: BTreeSet<String>,
    to_one: BTreeMap<String, BTreeSet<String>>,
}

fn texts(list: &toml::Value) -> BTreeSet<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn allowed() -> Allowed {
    let deny: toml::Value = toml::from_str(&text(".cargo/deny.toml")).unwrap();
    let exceptions = deny["licenses"]["exceptions"].as_array().unwrap().iter();
    let of = |one: &toml::Value| (one["crate"].as_str().unwrap().to_owned(), texts(&one["allow"]));
    Allowed { everywhere: texts(&deny["licenses"]["allow"]), to_one: exceptions.map(of).collect() }
}

impl Allowed {
    /// Whether the licences that a package is under leave one to take of each that it needs.
    fn allows(&self, name: &str, expression: &str) -> bool {
        let is_allowed = |licence: &str| {
            let licence = licence.trim();
            let own = self.to_one.get(name);
            self.everywhere.contains(licence) || own.is_some_and(|own| own.contains(licence))
        };
        // Of crates.io's expressions none is nested deeper than "(A OR B) AND (C OR D)", or than
        // "A OR B", once written "A/B".
        let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
        let any = |part: &str| part.split(" OR ").any(is_allowed);
        plain.split(" AND ").all(any)
    }
}

/// What is linked into the tests or the program on this machine.
fn packages() -> Vec<Package> {
    let rustc = Command::new("rustc").args(["--print", "host-tuple"]).output().unwrap();
    let platform = String::from_utf8(rustc.stdout).unwrap();
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml"));
    let options = ["--offline", "--locked", "--filter-platform", platform.trim()];
    command.other_options(options.map(ToOwned::to_owned).to_vec());
    command.exec().unwrap().packages
}

#[test]
fn every_dependency_is_under_a_licence_that_is_allowed() {
    let allowed = allowed();
    let refused: Vec<_> = packages()
        .into_iter()
        .filter(|package| {
            let licence = package.license.as_deref();
            !licence.is_some_and(|licence| allowed.allows(&package.name, licence))
        })
        .map(|package| format!("{} {}: {:?}", package.name, package.version, package.license))
        .collect();
    assert!(refused.is_empty(), "not in .cargo/deny.toml: {refused:#?}");
}

#[test]
fn every_dependency_comes_from_the_one_registry() {
    for package in packages() {
        let from = package.source.as_ref().map(|source| source.repr.as_str());
        let is_ours = from.is_none() && package.manifest_path.starts_with(root());
        assert!(is_ours || from == Some(REGISTRY), "{} comes from {from:?}", package.name);
    }
}

#[test]
fn one_of_the_licences_that_are_offered_is_enough_and_all_that_are_demanded_are_needed() {
    let allowed = allowed();
    let allows = |expression| allowed.allows("some-crate", expression);
    assert!(allows("MIT OR GPL-3.0-only") && allows("Unlicense/MIT"));
    assert!(allows("ISC AND (Apache-2.0 OR OpenSSL)"));
    assert!(!allows("GPL-3.0-only") && !allows("MIT AND GPL-3.0-only"));
    assert!(
        allowed.allows("webpki-roots", "CDLA-Permissive-2.0") && !allows("CDLA-Permissive-2.0")
    );
}

#[test]
fn every_exception_has_its_reason_above_it() {
    let file = text(".cargo/deny.toml");
    let lines: Vec<_> = file.lines().map(str::trim).collect();
    let mut exceptions = 0;
    for pair in lines.windows(2) {
        if pair[1].starts_with("{ crate") && pair[1].contains("allow") {
            assert!(pair[0].starts_with('#'), "why {}?", pair[1]);
            exceptions += 1;
        }
    }
    assert_eq!(exceptions, allowed().to_one.len());
}
