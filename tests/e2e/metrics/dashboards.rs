//! What is made of the figures under `deploy/`: every figure that a dashboard or a rule names is one, and
//! every verb that an alert tells to type.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use florin_tests::process::run;
use florin_tests::scrape::Scrape;
use florin_tests::store::eventually;
use serde_json::{Value, json};

use super::Deployment;

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy").join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(deploy(file)).unwrap()
}

const DASHBOARDS: [&str; 2] = ["grafana/dashboards/service.json", "grafana/dashboards/ledger.json"];

/// Every expression of a dashboard.
fn expressions(dashboard: &Value) -> Vec<&str> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap()).collect()
}

/// The figures that a text of PromQL names; labels begin otherwise.
fn figures(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_figure = |word: &&str| {
        ["florin_", "http_server_", "process_"].iter().any(|start| word.starts_with(start))
    };
    words.filter(is_figure).map(str::to_owned).collect()
}

/// What dashboards and rules look at.
fn looked_at() -> BTreeSet<String> {
    let dashboards = DASHBOARDS.map(|file| serde_json::from_str::<Value>(&read(file)).unwrap());
    let exprs = dashboards.iter().flat_map(expressions).collect::<Vec<_>>().join(" ");
    // The annotations name no figure.
    figures(&format!("{exprs} {}", read("prometheus/rules.yml")))
}

#[tokio::test]
async fn every_figure_that_is_looked_at_is_told_and_every_one_is_described() {
    let deployment = Deployment::whole(2).await;
    assert_eq!(deployment.post("/wallets/alice/deposit", &json!({ "amount": "10" })).await, 201);
    assert_eq!(deployment.get("/wallets/alice").await, 200);
    let wanted = looked_at();
    assert!(wanted.len() > 25, "{wanted:?}");
    eventually("every figure that is looked at is told", async || {
        let mut missing = wanted.clone();
        for operators in [&deployment.operators, &deployment.workers_operators] {
            let scrape = Scrape::of(operators).await?;
            for sample in scrape.samples() {
                missing.remove(&sample.name);
                assert!(scrape.is_helped(sample), "{sample:?} is not described");
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    })
    .await;
    deployment.stop().await;
}

#[tokio::test]
async fn every_figure_is_looked_at() {
    let deployment = Deployment::whole(1).await;
    assert_eq!(deployment.post("/wallets/alice/deposit", &json!({ "amount": "10" })).await, 201);
    let looked_at = looked_at();
    let family = |name: &str| {
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        part.unwrap_or(name).to_owned()
    };
    let families: BTreeSet<String> = looked_at.iter().map(|name| family(name)).collect();
    for operators in [&deployment.operators, &deployment.workers_operators] {
        for sample in Scrape::of(operators).await.unwrap().samples() {
            let name = family(&sample.name);
            let is_seen = families.contains(&name) || name == "target_info";
            assert!(is_seen, "{name} is on no dashboard and in no rule");
        }
    }
    deployment.stop().await;
}

#[tokio::test]
async fn every_alert_says_what_it_means_and_what_to_type() {
    let rules = read("prometheus/rules.yml");
    let alerts = rules.split("- alert: ").skip(1).collect::<Vec<_>>();
    assert!(alerts.len() >= 15);
    let mut verbs = BTreeSet::new();
    for alert in &alerts {
        for part in ["severity: ", "summary: ", "description: ", "action: "] {
            assert!(alert.contains(part), "{part}in {alert}");
        }
        let words = alert.split_whitespace().collect::<Vec<_>>().join(" ");
        for typed in words.split("`florin ").skip(1) {
            let typed = typed.split('`').next().unwrap();
            let is_verb = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            let is_word = |word: &&str| is_verb(word) && !word.starts_with('-');
            let verb: Vec<_> = typed.split(' ').take_while(is_word).map(str::to_owned).collect();
            let flags = typed.split(' ').filter(|word| word.starts_with("--"));
            verbs.insert((verb, flags.map(str::to_owned).collect::<Vec<_>>()));
        }
    }
    assert!(verbs.len() > 8, "{verbs:?}");
    for (verb, flags) in verbs {
        // What is after the verbs are arguments, such as the name of a read model.
        let known = verb.iter().take(if verb[0] == "rebuild" { 1 } else { 2 });
        let ran = run(known.map(String::as_str).chain(["--help"])).await;
        assert_eq!(ran.code, Some(0), "florin {verb:?}: {}", ran.err);
        for flag in flags {
            assert!(ran.out.contains(&flag), "florin {verb:?} has no {flag}: {}", ran.out);
        }
    }
}

#[tokio::test]
async fn promtool_understands_the_rules_and_they_fire_when_they_should() {
    for words in [
        &["check", "config", "prometheus/prometheus.yml"][..],
        &["test", "rules", "prometheus/rules_test.yml"],
    ] {
        let (verb, file) = words.split_at(2);
        let mut promtool = tokio::process::Command::new("promtool");
        let ran = promtool.args(verb).arg(deploy(file[0])).output().await;
        let ran = ran.expect("promtool is there: deploy/setup --test installs it");
        assert!(ran.status.success(), "{words:?}: {ran:?}");
    }
}
