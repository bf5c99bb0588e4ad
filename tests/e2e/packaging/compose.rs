//! The compose file.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{expect_known, is_pinned, root, text, words, yaml};

const FILE: &str = "deploy/container/compose.yaml";
/// Where the paths in it begin.
const FOLDER: &str = "deploy/container";
/// What Florin's own services are made of.
const FLORIN: &str = concat!("florin:", env!("CARGO_PKG_VERSION"));
/// Its image has nothing that could ask it how it is.
const UNPROBED: [&str; 1] = ["collector"];

fn services() -> Map<String, Value> {
    let compose = yaml(FILE);
    compose["services"].as_object().unwrap().clone()
}

fn each(check: impl Fn(&str, &Value)) {
    for (name, service) in &services() {
        check(name, service);
    }
}

#[tokio::test]
async fn every_variable_of_a_container_is_one_that_its_verb_reads() {
    let mut verbs = BTreeSet::new();
    for (name, service) in &services() {
        if service["image"] != FLORIN {
            continue;
        }
        let verb = words(&service["command"])[0];
        let variables = service["environment"].as_object();
        let variables = variables.unwrap_or_else(|| panic!("{name} has no environment"));
        expect_known(verb, variables.keys().map(String::as_str)).await;
        verbs.insert(verb.to_owned());
    }
    assert_eq!(verbs, ["migrate", "serve", "worker"].map(ToOwned::to_owned).into());
}

#[test]
fn the_service_is_a_role_that_the_migration_makes_and_that_owns_nothing() {
    let services = services();
    let migrate = &services["migrate"];
    assert_eq!(words(&migrate["command"]), ["migrate", "--create-roles"]);
    let password = migrate["environment"]["FLORIN_SERVICE_PASSWORD"].as_str().unwrap();
    for name in ["api", "worker"] {
        let url = services[name]["environment"]["DATABASE_URL"].as_str().unwrap();
        let expected = format!("postgres://florin_service:{password}@postgres:5432/florin");
        assert_eq!(url, expected, "{name}");
    }
}

#[test]
fn every_image_is_pinned_and_florins_is_of_this_version() {
    each(|name, service| {
        let image = service["image"].as_str().unwrap();
        assert!(is_pinned(image), "{name}: {image}");
        assert!(!image.starts_with("florin") || image == FLORIN, "{name}: {image}");
    });
}

#[test]
fn whatever_is_mounted_is_there_and_only_volumes_are_written() {
    let volumes = yaml(FILE)["volumes"].clone();
    each(|name, service| {
        let Some(mounts) = service.get("volumes") else { return };
        for mount in words(mounts) {
            let (from, to) = mount.split_once(':').unwrap();
            if from.starts_with('.') {
                let path = root().join(FOLDER).join(from);
                assert!(path.exists(), "{name}: there is no {}", path.display());
                assert!(to.ends_with(":ro"), "{name} may write {from}");
            } else {
                assert!(volumes.get(from).is_some(), "{name}: there is no volume {from}");
            }
        }
    });
}

#[test]
fn no_container_may_do_what_it_does_not_need() {
    each(|name, service| {
        assert_eq!(service["read_only"], true, "{name} may write its own files");
        assert_eq!(words(&service["cap_drop"]), ["ALL"], "{name} has capabilities");
        assert!(service.get("cap_add").is_none(), "{name} has capabilities");
        assert!(service.get("privileged").is_none(), "{name} is privileged");
        let options = words(&service["security_opt"]);
        assert!(options.contains(&"no-new-privileges:true"), "{name} may become more than it is");
    });
}

#[test]
fn every_container_has_its_bounds() {
    each(|name, service| {
        for bound in ["mem_limit", "pids_limit", "cpus"] {
            let is_there = service.get(bound).is_some() || bound == "cpus" && name == "migrate";
            assert!(is_there, "{name} has no {bound}");
        }
        for bound in ["max-size", "max-file"] {
            assert!(service["logging"]["options"].get(bound).is_some(), "{name} has no {bound}");
        }
    });
}

#[test]
fn every_service_is_probed_and_waited_for() {
    let all = services();
    each(|name, service| {
        let is_florins = service["image"] == FLORIN;
        let is_probed = service.get("healthcheck").is_some() || is_florins;
        assert_eq!(is_probed, !UNPROBED.contains(&name), "{name}");
        let Some(before) = service.get("depends_on") else { return };
        for (other, how) in before.as_object().unwrap() {
            assert!(all.contains_key(other), "{name} waits for {other}");
            let expected = match other.as_str() {
                "migrate" => "service_completed_successfully",
                _ => "service_healthy",
            };
            assert_eq!(how["condition"], expected, "{name} waits for {other}");
        }
    });
}

#[test]
fn nothing_is_published_beyond_this_machine_and_the_ledger_not_at_all() {
    each(|name, service| {
        for port in service.get("ports").map(words).unwrap_or_default() {
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
            assert!(!["postgres", "nats"].contains(&name), "{name} publishes {port}");
        }
    });
    assert_eq!(yaml(FILE)["networks"]["data"]["internal"], true);
}

#[test]
fn every_secret_is_asked_for_by_name_and_none_has_a_value() {
    let compose = text(FILE);
    let asked: BTreeSet<_> = compose
        .split("${")
        .skip(1)
        .map(|rest| rest.split('}').next().unwrap().split_once(':').unwrap())
        .collect();
    let example = text("deploy/container/.env.example");
    let told: BTreeSet<_> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .collect();
    let names = |pairs: &BTreeSet<(&str, &str)>| -> BTreeSet<String> {
        pairs.iter().map(|(name, _)| (*name).to_owned()).collect()
    };
    assert_eq!(names(&asked), names(&told));
    for (name, value) in told {
        let is_secret = name.ends_with("PASSWORD") || name.ends_with("SECRET");
        assert_eq!(value.is_empty(), is_secret, "{name}={value}");
        let or_else = if is_secret { '?' } else { '-' };
        let mut ways = asked.iter().filter(|(asked, _)| *asked == name);
        assert!(ways.all(|(_, how)| how.starts_with(or_else)), "{name} is not asked for");
    }
}
