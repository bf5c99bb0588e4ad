//! The program `florin` in processes of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};

use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::store::{DEADLINE, eventually};

/// How much of its log a service shows when a test fails.
const LAST_LINES: usize = 30;

/// The program, which lies two folders above the tests that are running.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("florin");
    assert!(
        program.exists(),
        "{} is missing: run `cargo build --workspace --all-targets` first, as deploy/test does",
        program.display()
    );
    program
}

/// The program with these arguments and none of our environment's settings.
pub fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars() {
        let ours = ["FLORIN_", "DATABASE_", "OTEL_"];
        if ours.iter().any(|prefix| name.starts_with(prefix)) || name == "NATS_URL" {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a verb that ends by itself, such as `verify`.
pub async fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ran {
    let output = timeout(DEADLINE, command(arguments).output()).await;
    let Output { status, stdout, stderr } = output.expect("florin ends by itself").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// What a verb that ended by itself left.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it said.
    pub out: String,
    /// What it complained of.
    pub err: String,
}

/// A port that was free a moment ago, for a process that has to come back on the same one.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running service.
pub struct Florin {
    child: Child,
    log: PathBuf,
}

impl Florin {
    /// `florin dev` with its data in a directory. More arguments go to the verb.
    pub fn dev(dir: &Path, port: u16, more: &[&str]) -> Self {
        let data = dir.join("data");
        let port = port.to_string();
        let verb = ["dev", "--port", &port, "--data-dir", data.to_str().unwrap()];
        Self::start(&dir.join("florin.log"), verb.iter().chain(more))
    }

    /// `florin serve` on a database, without authentication. The log goes to the directory.
    pub fn serve(dir: &Path, port: u16, database_url: &str, more: &[&str]) -> Self {
        Self::serving(dir, port, database_url, &[&["--auth", "off"], more].concat())
    }

    /// The same, with the authentication that the arguments say.
    pub fn serving(dir: &Path, port: u16, database_url: &str, more: &[&str]) -> Self {
        // Tests send what no caller may.
        Self::limited(dir, port, database_url, &[&["--rate-limit", "off"], more].concat())
    }

    /// The same, with the limits that it has unless the arguments say otherwise.
    pub fn limited(dir: &Path, port: u16, database_url: &str, more: &[&str]) -> Self {
        Self::serving_in(dir, port, database_url, more, &[])
    }

    /// The same, with more variables in its environment.
    pub fn serving_in(
        dir: &Path,
        port: u16,
        database_url: &str,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let log = dir.join(format!("florin-{port}.log"));
        let port = port.to_string();
        let verb = ["serve", "--port", &port, "--database-url", database_url];
        let mut command = command(verb.iter().chain(more));
        command.envs(variables.iter().copied());
        Self::spawn(command, &log)
    }

    /// `florin worker` on a database and a NATS. The log goes to the directory.
    pub fn worker(dir: &Path, database_url: &str, nats_url: &str) -> Self {
        Self::worker_named("worker", dir, database_url, nats_url)
    }

    /// The same, where NATS is said by the arguments.
    pub fn worker_told(dir: &Path, database_url: &str, more: &[&str]) -> Self {
        let verb = ["worker", "--database-url", database_url];
        Self::start(&dir.join("worker.log"), verb.iter().chain(more))
    }

    /// One of several workers, each with a log of its own.
    pub fn worker_named(name: &str, dir: &Path, database_url: &str, nats_url: &str) -> Self {
        Self::worker_with(name, dir, database_url, nats_url, &[])
    }

    /// The same, with more arguments.
    pub fn worker_with(
        name: &str,
        dir: &Path,
        database_url: &str,
        nats_url: &str,
        more: &[&str],
    ) -> Self {
        let verb = ["worker", "--database-url", database_url, "--nats-url", nats_url];
        Self::start(&dir.join(format!("{name}.log")), verb.iter().chain(more))
    }

    /// The same, with no read models but those in a list.
    pub fn worker_of(dir: &Path, database_url: &str, nats_url: &str, projections: &str) -> Self {
        let verb = ["worker", "--database-url", database_url, "--nats-url", nats_url];
        let models = ["--projections", projections];
        Self::start(&dir.join("worker.log"), verb.iter().chain(&models))
    }

    fn start<'a>(log: &Path, arguments: impl Iterator<Item = &'a &'a str>) -> Self {
        Self::spawn(command(arguments), log)
    }

    fn spawn(mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        // A line for each request would be all that the log has. (A flag goes before it.)
        command.env("FLORIN_LOG", "info,http=warn");
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log: log.to_owned() }
    }

    /// Waits until it accepts commands.
    pub async fn ready(&mut self, url: &str) {
        let client = reqwest::Client::new();
        eventually("florin is ready", async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("florin ended with {status}:\n{}", self.log());
            }
            match client.get(format!("{url}/readyz")).send().await {
                Ok(answer) if answer.status().is_success() => Ok(()),
                Ok(answer) => Err(answer.status().to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// Its process, until that has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it as `kill -9` does.
    pub async fn kill_hard(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop, and returns how it ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        signal("TERM", self.child.id().expect("it runs")).await;
        let ended = timeout(DEADLINE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("florin does not stop:\n{}", self.log())).unwrap()
    }

    /// How it ended, once it does by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(DEADLINE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("florin goes on:\n{}", self.log())).unwrap()
    }

    /// What it logged so far, in all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Florin {
    /// Says what it said at last, if the test failed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
            eprintln!("--- {}\n{last}", self.log.display());
        }
    }
}

/// Sends a signal to one process. By the shell, because std sends none but KILL.
pub async fn signal(name: &str, pid: u32) {
    let kill = ["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()];
    assert!(Command::new("/bin/sh").args(kill).status().await.unwrap().success());
}

/// The pid in the first line of a file.
pub fn pid_in(file: &Path) -> Option<u32> {
    std::fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
}

/// Whether a process with that pid runs.
pub fn runs(pid: u32) -> bool {
    // A zombie has no command line, and does not run.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}
