//! The hook before a commit, in repositories of its own.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::root;

/// A repository that has the hook, and nothing to build.
struct Repository {
    dir: TempDir,
}

impl Repository {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for file in [".githooks/pre-commit", ".rustfmt.toml"] {
            let to = dir.path().join(file);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(root().join(file), to).unwrap();
        }
        let repository = Self { dir };
        repository.git(&["init", "--quiet"]);
        repository.git(&["config", "core.hooksPath", ".githooks"]);
        repository.git(&["config", "user.name", "Somebody"]);
        repository.git(&["config", "user.email", "somebody@florin.example"]);
        repository
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut git = Command::new("git");
        // Of the repository that the tests themselves are in, if a hook runs them.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GIT_")) {
            git.env_remove(name);
        }
        git.env("CARGO_TARGET_DIR", self.path().join("target"));
        git.arg("-C").arg(self.path()).args(arguments).output().unwrap()
    }

    fn git(&self, arguments: &[&str]) {
        let done = self.run(arguments);
        assert!(done.status.success(), "git {arguments:?}: {done:?}");
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// Why the commit is refused; nothing when it is made.
    fn commit(&self) -> Option<String> {
        let done = self.run(&["commit", "--message", "x: Try"]);
        let said = String::from_utf8(done.stderr).unwrap();
        (!done.status.success()).then_some(said)
    }
}

#[test]
fn a_file_that_is_not_formatted_as_it_is_staged_is_not_committed() {
    let repository = Repository::new();
    repository.write("lib.rs", "fn  odd( ) {}\n");
    repository.git(&["add", "lib.rs"]);
    // What it looks like by now is not what would be committed.
    repository.write("lib.rs", "fn odd() {}\n");
    let refused = repository.commit().unwrap();
    assert!(refused.contains("lib.rs is not formatted as it is staged"), "{refused}");
}

#[test]
fn what_cannot_be_compiled_is_not_committed() {
    let repository = Repository::new();
    repository.write("Cargo.toml", "[package]\nname = \"florin-tests\"\nedition = \"2024\"\n");
    std::fs::create_dir(repository.path().join("src")).unwrap();
    repository.write("src/lib.rs", "fn wrong() -> u8 {\n    true\n}\n");
    let mut lock = Command::new("cargo");
    lock.args(["generate-lockfile", "--offline"]).current_dir(repository.path());
    assert!(lock.output().unwrap().status.success());
    repository.git(&["add", "Cargo.toml", "Cargo.lock", "src"]);
    let refused = repository.commit().unwrap();
    assert!(refused.contains("mismatched types"), "{refused}");
    assert!(refused.contains("clippy has something to say"), "{refused}");
}

#[test]
fn what_is_not_compiled_is_committed_at_once() {
    let repository = Repository::new();
    repository.write("README.md", "Words.\n");
    repository.git(&["add", "README.md"]);
    assert_eq!(repository.commit(), None);
}

#[test]
fn a_line_that_ends_in_spaces_is_not_committed() {
    let repository = Repository::new();
    repository.write("README.md", "Words. \n");
    repository.git(&["add", "README.md"]);
    let refused = repository.commit().unwrap();
    assert!(refused.contains("spaces at the ends of lines"), "{refused}");
}
