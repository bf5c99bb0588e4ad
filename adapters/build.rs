//! Migrations are compiled in; Cargo does not see their folder by itself. So is the commit, which
//! `FLORIN_COMMIT` says where there is no git, as in the build of a container.

use std::path::Path;
use std::process::Command;

/// What changes whenever another commit is checked out, and at nothing else: so a build after which
/// nothing was committed compiles nothing.
const OF_COMMITS: [&str; 2] = ["HEAD", "logs/HEAD"];

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
    println!("cargo:rerun-if-env-changed=FLORIN_COMMIT");
    let told = std::env::var("FLORIN_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = told.or_else(checked_out).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=FLORIN_COMMIT={commit}");
}

/// The commit that git has checked out, if there is a git that knows.
fn checked_out() -> Option<String> {
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    for name in OF_COMMITS {
        // Cargo would run this every time for a file that is not there.
        let path = git(&["rev-parse", "--git-path", name])?;
        if Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    Some(commit)
}

fn git(arguments: &[&str]) -> Option<String> {
    let ran = Command::new("git").args(arguments).output().ok()?;
    let said = String::from_utf8(ran.stdout).ok()?;
    ran.status.success().then(|| said.trim().to_owned()).filter(|said| !said.is_empty())
}
