//! What a migration may do to a table that is full and at work.
//!
//! The rules hold for the migrations after those of the first release, and for tables that the migration
//! does not create itself. They read the statements' words, not their meaning: they find what is usually
//! done wrong, and do not prove the rest.
//!
//! | refused | because | instead |
//! |---|---|---|
//! | `CREATE INDEX` | keeps writers out until it is built | a migration of its own: `-- no-transaction`, and `CREATE INDEX CONCURRENTLY` |
//! | `ADD COLUMN … DEFAULT` of anything but a constant or `now()`, `GENERATED` | writes the table anew | a column without, and a trigger or the program fills it |
//! | `ALTER COLUMN … TYPE`, `SET NOT NULL` | reads or writes all of it | a new column; a CHECK that is `NOT VALID` |
//! | `ADD CONSTRAINT` without `NOT VALID` or `USING INDEX` | reads all of it | these, and `VALIDATE CONSTRAINT` in the next migration |
//! | `LOCK`, `CLUSTER`, `VACUUM`, `REINDEX`, `DROP INDEX` without `CONCURRENTLY` | keep others out | – |

use std::collections::BTreeSet;

use super::migrations;
use crate::hex::hex;

/// The last migration that was there before there were rules, and its checksums: what was applied
/// somewhere is never edited.
const FROZEN: [&str; 10] = [
    "90d2f779b2443903bb439b3ddea520ab",
    "0de98554c423f6012f2dabf8b86b2d23",
    "4df82e2f1755154142e4daafa579b256",
    "031fe6714adb10deedce60c039b1166a",
    "c8acd2e417526b69b6f0bbac765aaaed",
    "a5e8f3f58c8c632f58c540c11e9202ee",
    "116b655b230faec933d55a230d588f16",
    "06ef12444e2be00f84bad7d4aa794802",
    "7865138d9ae9e70a2ae3cf2a979ba86b",
    "eca9657a816e9f33692a4ec930d61193",
];

/// What a migration is made outside of a transaction by; sqlx looks for it at the very beginning.
const NO_TRANSACTION: &str = "-- no-transaction";

/// Defaults that are the same for every row that is there.
fn is_constant(default: &str) -> bool {
    let word = default.split([' ', ',', ';']).next().unwrap_or_default();
    let is_number = word.parse::<i64>().is_ok();
    is_number
        || word.starts_with('\'')
        || ["NULL", "TRUE", "FALSE", "NOW()", "CURRENT_TIMESTAMP"].contains(&word)
}

/// The statements in capitals, without comments, bodies of functions, and needless space.
fn statements(sql: &str) -> Vec<String> {
    let lines: Vec<&str> =
        sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    // Every second part is a body.
    let text = lines.join(" ");
    let outside: Vec<&str> = text.split("$$").step_by(2).collect();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
    outside.join("$$").split(';').map(words).filter(|words| !words.is_empty()).collect()
}

/// The word after the first of these that is there.
fn after<'s>(statement: &'s str, words: &[&str]) -> &'s str {
    let found = words.iter().find_map(|word| statement.split_once(word));
    let rest = found.map_or("", |(_, rest)| rest);
    let rest = rest.trim_start_matches("IF NOT EXISTS ").trim_start_matches("IF EXISTS ");
    rest.trim_start_matches("ONLY ").split([' ', '(']).next().unwrap_or_default()
}

/// Everything that is wrong with a migration.
fn wrongs(sql: &str) -> Vec<String> {
    let statements = statements(sql);
    let new: BTreeSet<&str> = statements
        .iter()
        .filter(|statement| statement.starts_with("CREATE TABLE "))
        .map(|statement| after(statement, &["CREATE TABLE "]))
        .collect();
    let mut wrongs = Vec::new();
    let is_alone = sql.starts_with(NO_TRANSACTION) && statements.len() == 1;
    for statement in &statements {
        let is_concurrent = statement.contains(" CONCURRENTLY ");
        if is_concurrent && !is_alone {
            wrongs.push(format!("needs `{NO_TRANSACTION}`, and to be alone: {statement}"));
        }
        let is_index = ["CREATE INDEX ", "CREATE UNIQUE INDEX ", "DROP INDEX ", "REINDEX "]
            .iter()
            .any(|start| statement.starts_with(start));
        if is_index && !is_concurrent && !new.contains(after(statement, &[" ON "])) {
            wrongs.push(format!("needs CONCURRENTLY: {statement}"));
        }
        if ["LOCK ", "CLUSTER ", "VACUUM "].iter().any(|start| statement.starts_with(start)) {
            wrongs.push(format!("keeps others out: {statement}"));
        }
        if statement.starts_with("ALTER TABLE ")
            && !new.contains(after(statement, &["ALTER TABLE "]))
        {
            wrongs.extend(of_alter(statement));
        }
    }
    wrongs
}

fn of_alter(statement: &str) -> Vec<String> {
    let has = |words: &str| statement.contains(words);
    let is_new_column = has(" ADD COLUMN ");
    let varies = statement.split(" DEFAULT ").skip(1).any(|default| !is_constant(default));
    let rules = [
        (is_new_column && (varies || has(" GENERATED ")), "writes every row anew"),
        (has(" ALTER COLUMN ") && has(" TYPE "), "writes every row anew"),
        (has(" SET NOT NULL"), "reads every row"),
        (has(" ADD CONSTRAINT ") && !has(" NOT VALID") && !has(" USING INDEX "), "reads every row"),
        (has(" SET TABLESPACE ") || has(" SET LOGGED"), "writes every row anew"),
        (has(" DISABLE TRIGGER"), "lets history be changed"),
    ];
    let broken = rules.into_iter().filter(|(is_broken, _)| *is_broken);
    broken.map(|(_, why)| format!("{why}: {statement}")).collect()
}

#[test]
fn a_migration_that_was_applied_somewhere_is_never_edited() {
    let now: Vec<String> =
        migrations().take(FROZEN.len()).map(|of| hex(&of.checksum[..16])).collect();
    assert_eq!(now, FROZEN, "mend a mistake by the next migration");
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let versions: Vec<i64> = migrations().map(|migration| migration.version).collect();
    assert_eq!(versions, (1..).take(versions.len()).collect::<Vec<i64>>());
}

#[test]
fn migrations_are_described_by_the_names_of_their_files() {
    let second = migrations().nth(1).map(|migration| (migration.version, &*migration.description));
    assert_eq!(second, Some((2, "transfer keys")));
}

#[test]
fn the_migrations_to_come_keep_nobody_waiting() {
    for migration in migrations().skip(FROZEN.len()) {
        assert_eq!(wrongs(&migration.sql), Vec::<String>::new(), "{}", migration.version);
    }
}

#[test]
fn what_keeps_others_waiting_is_found() {
    for bad in [
        "CREATE INDEX slow ON events (recorded_at);",
        "CREATE INDEX CONCURRENTLY fast ON events (recorded_at);",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY a ON events (x); SELECT 1;",
        "ALTER TABLE events ADD COLUMN id uuid DEFAULT gen_random_uuid();",
        "ALTER TABLE events ADD COLUMN a text DEFAULT 'x', ADD COLUMN b float DEFAULT random();",
        "ALTER TABLE events ADD COLUMN n bigint GENERATED ALWAYS AS IDENTITY;",
        "ALTER TABLE balances\n  ALTER COLUMN version TYPE numeric;",
        "ALTER TABLE balances ALTER COLUMN owner SET NOT NULL;",
        "ALTER TABLE balances ADD CONSTRAINT good CHECK (version > 0);",
        "ALTER TABLE events DISABLE TRIGGER events_are_immutable;",
        "LOCK TABLE events; ",
        "DROP INDEX events_of_status;",
    ] {
        assert_ne!(wrongs(bad), Vec::<String>::new(), "{bad}");
    }
}

#[test]
fn what_keeps_nobody_waiting_is_let_through() {
    for good in [
        "-- no-transaction\n-- It serves this query.\nCREATE INDEX CONCURRENTLY fast ON events (x);",
        "ALTER TABLE events ADD COLUMN note text, ADD COLUMN at timestamptz DEFAULT now();",
        "ALTER TABLE events ADD COLUMN tries integer NOT NULL DEFAULT 0;",
        "CREATE TABLE fresh (a text);\nCREATE INDEX of_fresh ON fresh (a); -- CLUSTER\n\
         ALTER TABLE fresh ALTER COLUMN a SET NOT NULL;",
        "ALTER TABLE balances ADD CONSTRAINT good CHECK (version > 0) NOT VALID;",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n LOCK TABLE a; END $$;",
        "GRANT SELECT ON events TO florin_service;",
    ] {
        assert_eq!(wrongs(good), Vec::<String>::new(), "{good}");
    }
}
