//! The schema: whether it is this program's, and whether it still keeps its laws.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::migrate::Migration;

use super::Finding;
use crate::postgres::migrations;

/// The triggers that keep history as it is, and their tables.
const TRIGGERS: [(&str, &str); 2] =
    [("events_are_immutable", "events"), ("fraud_decisions_are_immutable", "fraud_decisions")];

pub(super) async fn examine(connection: &mut PgConnection) -> Result<Vec<Finding>, sqlx::Error> {
    let mut findings = vec![applied(connection).await?];
    for (trigger, table) in TRIGGERS {
        findings.push(enabled(connection, trigger, table).await?);
    }
    findings.push(no_debts(connection).await?);
    Ok(findings)
}

async fn applied(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let there: Option<String> = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations')::text")
        .fetch_one(&mut *connection)
        .await?;
    if there.is_none() {
        return Ok(Finding::problem("migrations", "there is no ledger", "run `florin migrate`"));
    }
    let rows: Vec<(i64, Vec<u8>, bool)> =
        sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await?;
    Ok(compare(migrations(), rows))
}

fn compare<'m>(
    ours: impl Iterator<Item = &'m Migration>,
    applied: Vec<(i64, Vec<u8>, bool)>,
) -> Finding {
    const CHECK: &str = "migrations";
    let mut theirs: BTreeMap<i64, (Vec<u8>, bool)> = applied
        .into_iter()
        .map(|(version, checksum, success)| (version, (checksum, success)))
        .collect();
    let (mut missing, mut other, mut count) = (Vec::new(), Vec::new(), 0);
    for migration in ours {
        count += 1;
        match theirs.remove(&migration.version) {
            Some((checksum, true)) if *checksum == *migration.checksum => {}
            Some(_) => other.push(migration.version),
            None => missing.push(migration.version),
        }
    }
    let newer: Vec<i64> = theirs.into_keys().collect();
    match () {
        () if !other.is_empty() => Finding::problem(
            CHECK,
            format!("{other:?} are not those of this program, or failed"),
            "run the program that migrated this database, or restore the database",
        ),
        () if !missing.is_empty() => {
            Finding::problem(CHECK, format!("{missing:?} are missing"), "run `florin migrate`")
        }
        () if !newer.is_empty() => Finding::warning(
            CHECK,
            format!("{newer:?} are of a newer program"),
            "upgrade this program to the version that migrated the database",
        ),
        () => Finding::ok(CHECK, format!("all {count} are applied")),
    }
}

async fn enabled(
    connection: &mut PgConnection,
    trigger: &str,
    table: &str,
) -> Result<Finding, sqlx::Error> {
    let state: Option<String> = sqlx::query_scalar(
        "SELECT tgenabled::text FROM pg_trigger
          WHERE tgname = $1 AND tgrelid = to_regclass($2) AND NOT tgisinternal",
    )
    .bind(trigger)
    .bind(table)
    .fetch_optional(connection)
    .await?;
    let check = format!("trigger {trigger}");
    let fix = format!("ALTER TABLE {table} ENABLE TRIGGER {trigger}, then `florin verify`");
    Ok(match state.as_deref() {
        Some("O" | "A") => Finding::ok(check, "enabled"),
        Some(_) => Finding::problem(check, format!("disabled: {table} can be changed"), fix),
        None => Finding::problem(
            check,
            format!("missing: {table} can be changed"),
            "create it as the migrations do, then `florin verify`",
        ),
    })
}

async fn no_debts(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let validated: Option<bool> = sqlx::query_scalar(
        "SELECT convalidated FROM pg_constraint
          WHERE conname = 'no_wallet_below_zero' AND conrelid = to_regclass('events')",
    )
    .fetch_optional(connection)
    .await?;
    let check = "constraint no_wallet_below_zero";
    Ok(match validated {
        Some(true) => Finding::ok(check, "enforced"),
        Some(false) => Finding::problem(
            check,
            "not validated: a wallet may be below zero",
            "ALTER TABLE events VALIDATE CONSTRAINT no_wallet_below_zero",
        ),
        None => Finding::problem(
            check,
            "missing: a wallet may go below zero",
            "add it as migration 1 does, then `florin verify`",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    type Applied = (i64, Vec<u8>, bool);

    fn applied() -> Vec<Applied> {
        migrations().map(|of| (of.version, of.checksum.to_vec(), true)).collect()
    }

    #[test]
    fn what_was_migrated_is_compared_with_what_this_program_has() {
        assert_eq!(compare(migrations(), applied()).state, State::Ok);
        let mut newer = applied();
        newer.push((9_999, vec![1], true));
        let found = compare(migrations(), newer);
        assert_eq!((found.state, &*found.found), (State::Warning, "[9999] are of a newer program"));
        let mut older = applied();
        older.pop();
        assert_eq!(compare(migrations(), older).fix.as_deref(), Some("run `florin migrate`"));
        let harms: [fn(&mut Applied); 2] = [|of| of.1[0] ^= 1, |of| of.2 = false];
        for harm in harms {
            let mut other = applied();
            harm(&mut other[0]);
            assert_eq!(compare(migrations(), other).state, State::Problem);
        }
    }
}
