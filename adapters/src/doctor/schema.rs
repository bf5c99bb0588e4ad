//! The schema: whether it is this program's, and whether it still keeps its laws.

use sqlx::PgConnection;

use super::Finding;
use crate::postgres::schema::{self, Schema};

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
    const CHECK: &str = "migrations";
    Ok(match schema::of(connection).await? {
        Schema::Same(count) => Finding::ok(CHECK, format!("all {count} are applied")),
        Schema::Nothing => Finding::problem(CHECK, "there is no ledger", "run `florin migrate`"),
        Schema::Older(versions) => {
            Finding::problem(CHECK, format!("{versions:?} are missing"), "run `florin migrate`")
        }
        Schema::Newer(versions) => Finding::problem(
            CHECK,
            format!("{versions:?} are of a newer program"),
            "upgrade this program to the version that migrated the database",
        ),
        Schema::Other(versions) => Finding::problem(
            CHECK,
            format!("{versions:?} are not those of this program, or failed"),
            "run the program that migrated this database, or restore the database",
        ),
    })
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
