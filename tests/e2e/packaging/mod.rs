//! What Florin is shipped in, held against the program: its image, the compose file, the units, and
//! what it is made of. Nothing here needs a container engine or a running systemd.

mod compose;
mod documents;
mod hooks;
mod image;
mod licences;
mod nats;
mod units;
mod workflows;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use florin_tests::process::run;
use serde_json::Value;

/// What OpenTelemetry names for all services, whatever they are.
const STANDARD: &str = "OTEL_";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file of the repository, as text.
fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The same, where that is YAML.
fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The texts of a list.
fn words(list: &Value) -> Vec<&str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|word| word.as_str().unwrap_or_else(|| panic!("{word} is no text"))).collect()
}

/// The variables that a verb reads, by its `--help`: those of flags, and passwords, which no flag has.
async fn variables_of(verb: &str) -> BTreeSet<String> {
    let help = run([verb, "--help"]).await;
    assert_eq!(help.code, Some(0), "florin {verb}: {}", help.err);
    let of_flags =
        help.out.split("[env: ").skip(1).map(|rest| rest.split(['=', ']']).next().unwrap());
    let words = help.out.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
    let passwords = words.filter(|word| word.ends_with("_PASSWORD"));
    of_flags.chain(passwords).map(ToOwned::to_owned).collect()
}

/// None of these is misspelt, or has gone.
async fn expect_known(verb: &str, names: impl IntoIterator<Item = &str>) {
    let known = variables_of(verb).await;
    let mut unknown = names.into_iter().filter(|name| !known.contains(*name));
    let unknown = unknown.find(|name| !name.starts_with(STANDARD));
    assert_eq!(unknown, None, "florin {verb} knows {known:?}");
}

/// An image whose content does not change by itself: by its digest, or by a tag that is a version.
fn is_pinned(image: &str) -> bool {
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':'));
    let is_version = |tag: &str| {
        let version = tag.trim_start_matches('v').split('-').next().unwrap_or_default();
        version.split('.').count() >= 3 || is_postgres(image) && version.split('.').count() == 2
    };
    image.contains("@sha256:") || tag.is_some_and(|(_, tag)| is_version(tag))
}

/// Whose versions have two numbers.
fn is_postgres(image: &str) -> bool {
    image.starts_with("postgres:")
}

#[test]
fn an_image_is_pinned_by_its_digest_or_a_whole_version() {
    for image in ["nats:2.12.8-alpine", "prom/prometheus:v3.7.3", "postgres:17.6-trixie"] {
        assert!(is_pinned(image), "{image}");
    }
    assert!(is_pinned("gcr.io/distroless/cc:nonroot@sha256:54df"));
    for image in ["nats", "nats:latest", "nats:2", "nats:2.12-alpine", "host:5000/nats"] {
        assert!(!is_pinned(image), "{image}");
    }
}
