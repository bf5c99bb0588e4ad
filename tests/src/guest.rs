//! A program that is no part of Florin, such as a subscriber, in a process of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

/// How much of its log a program shows when a test fails.
const LAST_LINES: usize = 30;

/// A running program. It ends with the test.
pub struct Guest {
    child: Child,
    log: PathBuf,
}

impl Guest {
    /// Starts it with nothing in its environment but this and what finds programs. What it says goes
    /// to a file.
    pub fn start(
        log: &Path,
        program: &OsStr,
        arguments: &[&OsStr],
        environment: &[(&str, &str)],
    ) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(environment.iter().copied());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log: log.to_owned() }
    }

    /// Ends it as `kill -9` does. It must run until then.
    pub async fn kill_hard(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("it ended with {status} by itself:\n{}", self.log());
        }
        self.child.kill().await.unwrap();
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Guest {
    /// Says what it said at last, if the test failed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
            eprintln!("--- {}\n{last}", self.log.display());
        }
    }
}
