//! Which Florin this is: its version, the commit that it was built of, the schema that it works with.

use crate::postgres::migrations;

/// The commit that it was built of; `unknown` where neither git nor `FLORIN_COMMIT` told the build.
pub const COMMIT: &str = env!("FLORIN_COMMIT");

/// The newest migration that it knows.
pub fn schema() -> i64 {
    migrations().map(|migration| migration.version).max().unwrap_or_default()
}

/// All of it, for people: `0.1.0 (commit 0123456789ab, schema 10)`.
pub fn text() -> String {
    format!("{} (commit {COMMIT}, schema {})", env!("CARGO_PKG_VERSION"), schema())
}
