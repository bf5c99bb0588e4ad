//! What the program says of itself.

use std::path::Path;
use std::process::Command as Program;

use florin_tests::process::run;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn the_version_names_the_commit_and_the_schema() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let git = ["rev-parse", "--short=12", "HEAD"];
    let head = Program::new("git").args(git).current_dir(folder).output();
    let head = head.ok().filter(|output| output.status.success());
    let commit = head.map_or("unknown".to_owned(), |head| text(&head.stdout).trim().to_owned());
    let migrations = std::fs::read_dir(folder.join("../migrations")).unwrap();
    let numbers = migrations.filter_map(|file| {
        let name = file.unwrap().file_name().into_string().unwrap();
        name.split_once('_')?.0.parse::<i64>().ok()
    });
    let schema = numbers.max().unwrap();
    let expected =
        format!("florin {} (commit {commit}, schema {schema})\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(["--version"]).await.out, expected);
}
