//! Finds the installed programs: Postgres of the right major version, nats-server, setpriv.
//!
//! Debian keeps Postgres outside `PATH`, and nats-server in `/usr/sbin`, which an ordinary user's
//! `PATH` lacks; so the places to look in are `PATH` and then the ones that packagers use.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::DevError;

/// The oldest Postgres that is tried: the oldest that its makers still mend.
const POSTGRES_MAJOR_MIN: u32 = 14;

/// One installed Postgres.
#[derive(Clone, Debug)]
pub(super) struct PostgresPrograms {
    pub(super) bin: PathBuf,
    pub(super) major: u32,
}

/// Where programs are looked for, the preferred place first: `PATH`, then where Debian, the
/// Postgres packagers and Homebrew put them.
#[must_use]
pub fn usual_places() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = env::split_paths(&path).collect();
    places.extend(versioned("/usr/lib/postgresql", ""));
    places.extend(versioned("/usr", "pgsql-"));
    places.extend(pg_config_bindir());
    for opt in ["/opt/homebrew/opt", "/usr/local/opt"] {
        places.extend(versioned(opt, "postgresql@"));
        places.push(Path::new(opt).join("postgresql/bin"));
    }
    places.extend(
        ["/opt/homebrew/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/sbin"].map(PathBuf::from),
    );
    places
}

/// `<parent>/<prefix><version>/bin`, the highest version first.
fn versioned(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, bin)| bin).collect()
}

fn pg_config_bindir() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let bindir = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(bindir.trim()))
}

/// The first `name` in `places`.
pub(super) fn find(name: &str, places: &[PathBuf]) -> Option<PathBuf> {
    places.iter().map(|place| place.join(name)).find(|program| program.is_file())
}

/// The nats-server to run.
pub(super) fn nats_server(places: &[PathBuf]) -> Result<PathBuf, DevError> {
    find("nats-server", places).ok_or(DevError::Missing {
        what: "nats-server 2.9 or newer",
        install: "apt-get install nats-server, brew install nats-server, \
                  or https://github.com/nats-io/nats-server/releases",
    })
}

/// The Postgres to run: for the cluster in `dir` the one of its major version, because no other
/// can read it; otherwise the first that is new enough.
pub(super) fn postgres(dir: &Path, places: &[PathBuf]) -> Result<PostgresPrograms, DevError> {
    let installed = installed_postgres(places);
    if installed.is_empty() {
        return Err(DevError::Missing {
            what: "Postgres 14 or newer",
            install: "apt-get install postgresql, or brew install postgresql@17",
        });
    }
    let Some(cluster) = cluster_major(dir) else {
        return Ok(installed[0].clone());
    };
    let same = installed.iter().find(|postgres| postgres.major == cluster);
    same.cloned().ok_or_else(|| DevError::OtherMajor {
        dir: dir.to_owned(),
        cluster,
        installed: installed
            .iter()
            .map(|postgres| postgres.major.to_string())
            .collect::<Vec<_>>()
            .join(", "),
    })
}

fn installed_postgres(places: &[PathBuf]) -> Vec<PostgresPrograms> {
    places
        .iter()
        .filter(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .filter_map(|bin| {
            let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
            let major = major_of(str::from_utf8(&output.stdout).ok()?)?;
            Some(PostgresPrograms { bin: bin.clone(), major })
        })
        .filter(|postgres| postgres.major >= POSTGRES_MAJOR_MIN)
        .collect()
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    number.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// The major version that wrote the cluster in `dir`; `None` when there is no cluster.
pub(super) fn cluster_major(dir: &Path) -> Option<u32> {
    fs::read_to_string(dir.join("PG_VERSION")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_prints() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(major_of(debian), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major_of("bash: no such file"), None);
    }

    #[test]
    fn without_programs_one_sentence_says_what_to_install() {
        let sentence = postgres(Path::new("/nowhere"), &[]).unwrap_err().to_string();
        assert!(sentence.starts_with("florin dev needs Postgres 14 or newer: apt-get install"));
        let sentence = nats_server(&[]).unwrap_err().to_string();
        assert!(sentence.starts_with("florin dev needs nats-server 2.9 or newer: apt-get install"));
    }
}
