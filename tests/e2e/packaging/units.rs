//! The units of systemd, by systemd itself, which does not have to run for that.

use std::path::Path;
use std::process::{Command, Output};

use florin_tests::process::program;
use tempfile::TempDir;

use super::{expect_known, root, text};

const UNITS: [(&str, &str); 3] = [
    ("florin-api.service", "serve"),
    ("florin-migrate.service", "migrate"),
    ("florin-worker.service", "worker"),
];
/// Where the units expect the program.
const INSTALLED: &str = "/usr/local/bin/florin";
/// Of a hundred, by `systemd-analyze security`: what an ordinary service has is 90 and more. The
/// network it needs, and the rest of what is left, is the root directory of the machine.
const EXPOSURE: &str = "15";

/// The units in a directory of their own, where the program is.
fn install() -> TempDir {
    let dir = TempDir::new().unwrap();
    let shared = "florin-.service.d";
    std::fs::create_dir(dir.path().join(shared)).unwrap();
    let guarded = format!("{shared}/guarded.conf");
    for file in UNITS.map(|(unit, _)| unit).into_iter().chain([guarded.as_str()]) {
        let unit = text(&format!("deploy/systemd/{file}"));
        let unit = unit.replace(INSTALLED, program().to_str().unwrap());
        std::fs::write(dir.path().join(file), unit).unwrap();
    }
    dir
}

fn analyze(dir: &Path, words: &[&str], unit: &str) -> (bool, String) {
    let mut command = Command::new("systemd-analyze");
    // The machine's own come after these: what they wait for is among them.
    command.env("SYSTEMD_UNIT_PATH", format!("{}:", dir.display()));
    command.env("SYSTEMD_COLORS", "0").args(words).arg(dir.join(unit));
    let ran = command.output();
    let Output { status, stdout, stderr } = ran.expect("run deploy/setup --test: systemd-analyze");
    let said = [stdout, stderr].concat();
    (status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    let dir = install();
    for (unit, _) in UNITS {
        // What it does not understand it says, and leaves out.
        let verified = analyze(dir.path(), &["verify", "--man=no"], unit);
        assert_eq!(verified, (true, String::new()), "{unit}");
    }
}

#[test]
fn the_services_may_do_little_beyond_what_they_need() {
    let dir = install();
    let words = ["security", "--no-pager", "--offline=yes", "--threshold", EXPOSURE];
    for (unit, _) in UNITS {
        let (is_low, said) = analyze(dir.path(), &words, unit);
        assert!(is_low, "{unit}: {said}");
    }
    // That it is counted at all.
    std::fs::remove_dir_all(dir.path().join("florin-.service.d")).unwrap();
    let (is_low, said) = analyze(dir.path(), &words, "florin-api.service");
    assert!(!is_low, "{said}");
}

#[tokio::test]
async fn the_units_run_verbs_of_the_program_with_variables_that_these_read() {
    for (unit, verb) in UNITS {
        let unit = text(&format!("deploy/systemd/{unit}"));
        let settings: Vec<_> = unit.lines().filter_map(|line| line.split_once('=')).collect();
        let of = |name: &str| {
            let found = settings.iter().filter(|(setting, _)| *setting == name);
            found.map(|(_, value)| *value).collect::<Vec<_>>()
        };
        assert_eq!(of("ExecStart"), [format!("{INSTALLED} {verb}")]);
        let variables = of("Environment").into_iter().flat_map(|pairs| pairs.split(' '));
        let names = variables.map(|pair| pair.split('=').next().unwrap());
        expect_known(verb, names).await;
        assert_eq!(of("Type").len(), 1, "{verb}");
    }
}

#[test]
fn there_are_no_other_units() {
    let entries = std::fs::read_dir(root().join("deploy/systemd")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut units: Vec<_> = names.filter(|name| name.ends_with(".service")).collect();
    units.sort();
    assert_eq!(units, UNITS.map(|(unit, _)| unit));
}
