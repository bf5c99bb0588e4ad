//! What runs elsewhere, on somebody else's machine.

use serde_json::Value;

use super::{text, yaml};

const FILE: &str = ".github/workflows/ci.yml";

/// Every step of every job.
fn steps() -> Vec<Value> {
    let jobs = yaml(FILE)["jobs"].as_object().unwrap().clone();
    jobs.values().flat_map(|job| job["steps"].as_array().unwrap().clone()).collect()
}

#[test]
fn the_workflow_runs_the_script_that_everybody_runs() {
    assert!(steps().iter().any(|step| step["run"] == ".ci/run"));
    assert!(text(".ci/run").contains("deploy/test"));
}

#[test]
fn the_workflow_may_only_read_and_every_action_is_a_commit() {
    let workflow = yaml(FILE);
    assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }));
    for (name, job) in workflow["jobs"].as_object().unwrap() {
        assert!(job.get("permissions").is_none(), "{name} may do more");
        assert!(job.get("timeout-minutes").is_some(), "{name} has no bound");
    }
    assert!(!text(FILE).contains("secrets."), "no secret is needed");
    for step in steps() {
        let Some(action) = step["uses"].as_str() else { continue };
        let (_, commit) = action.split_once('@').unwrap();
        let is_commit = commit.len() == 40 && commit.chars().all(|digit| digit.is_ascii_hexdigit());
        assert!(is_commit, "{action} changes by itself");
        assert_eq!(step["with"]["persist-credentials"], false, "{action}");
    }
}

#[test]
fn it_builds_by_the_oldest_rust_that_is_promised() {
    let oldest = format!("cargo +{}", env!("CARGO_PKG_RUST_VERSION"));
    assert!(text(FILE).contains(&oldest), "{oldest}");
}
