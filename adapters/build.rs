//! What is compiled in beside the source: the migrations, and the commit, which `FLORIN_COMMIT` says where
//! there is no git, as in the build of a container.

use std::error::Error;
use std::fs::{read_dir, write};
use std::path::Path;
use std::process::Command;

/// Cargo does not see the folder by itself.
const MIGRATIONS: &str = "../migrations";

/// What changes whenever another commit is checked out, and at nothing else: so a build after which
/// nothing was committed compiles nothing.
const OF_COMMITS: [&str; 2] = ["HEAD", "logs/HEAD"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={MIGRATIONS}");
    let migrations = listed(Path::new(MIGRATIONS))?;
    write(Path::new(&std::env::var("OUT_DIR")?).join("migrations.rs"), migrations)?;

    println!("cargo:rerun-if-env-changed=FLORIN_COMMIT");
    let told = std::env::var("FLORIN_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = told.or_else(checked_out).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=FLORIN_COMMIT={commit}");
    Ok(())
}

/// The migrations as a slice of `(version, description, text)` in Rust, in the order of their versions.
/// `sqlx::migrate!` makes the same, but has all of sqlx built a second time for it.
fn listed(folder: &Path) -> Result<String, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in read_dir(folder)? {
        let path = entry?.path().canonicalize()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(name) = name.strip_suffix(".sql") else { continue };
        let (version, description) = named(name).ok_or_else(|| {
            format!(
                "{name}.sql in {MIGRATIONS} is not named as migrations are: 0001_what_it_brings"
            )
        })?;
        files.push((version, format!("({version}, {description:?}, include_str!({path:?})),\n")));
    }
    files.sort();
    let lines: String = files.into_iter().map(|(_, line)| line).collect();
    Ok(format!("&[\n{lines}]\n"))
}

/// The version and the description that the name of a file says.
fn named(name: &str) -> Option<(i64, String)> {
    let (version, description) = name.split_once('_')?;
    Some((version.parse().ok()?, description.replace('_', " ")))
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
