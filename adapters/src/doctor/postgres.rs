//! The server: what a commit is worth there, and whether there is room for the service.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use florin_application::Clock as _;
use sqlx::PgConnection;

use super::Finding;
use crate::clock::SystemClock;

/// The oldest version that it is tested with, as `server_version_num` has it.
const OLDEST: i32 = 140_000;

/// How far two clocks may be apart. Tokens, leases of NATS and people allow for more.
const SKEW: TimeDelta = TimeDelta::seconds(2);

/// From here on tokens are refused, and times in answers are wrong.
const BAD_SKEW: TimeDelta = TimeDelta::seconds(60);

/// What one `florin serve` and one `florin worker` take besides what each partition does: their pools.
const CONNECTIONS: i64 = 48;

/// Of these each partition takes: its writers, its relay, its read models.
const CONNECTIONS_A_PARTITION: i64 = 8;

pub(super) async fn examine(connection: &mut PgConnection) -> Result<Vec<Finding>, sqlx::Error> {
    let mut findings = vec![version(connection).await?];
    findings.extend(settings(connection).await?);
    findings.push(connections(connection).await?);
    findings.push(clock(connection).await?);
    findings.push(size(connection).await?);
    Ok(findings)
}

async fn version(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let (number, name): (i32, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::integer, current_setting('server_version')",
    )
    .fetch_one(connection)
    .await?;
    Ok(match number >= OLDEST {
        true => Finding::ok("Postgres version", name),
        false => Finding::warning("Postgres version", name, "upgrade to Postgres 14 or newer"),
    })
}

/// A setting, whether losing it breaks a promise, what it must be, and why.
const SETTINGS: [(&str, bool, &[&str], &str); 5] = [
    ("fsync", true, &["on"], "an acknowledged commit is lost with the power"),
    (
        "synchronous_commit",
        true,
        &["on", "local", "remote_write", "remote_apply"],
        "an acknowledged commit is lost with the power",
    ),
    ("full_page_writes", true, &["on"], "a page that is torn by a crash cannot be mended"),
    (
        "wal_level",
        false,
        &["replica", "logical"],
        "the server can neither be backed up while it runs nor have a standby",
    ),
    ("data_checksums", false, &["on"], "what a disk corrupts is not noticed"),
];

async fn settings(connection: &mut PgConnection) -> Result<Vec<Finding>, sqlx::Error> {
    let mut findings = Vec::new();
    for (name, is_promise, good, why) in SETTINGS {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(&mut *connection)
            .await?;
        findings.push(setting(name, &value, is_promise, good, why));
    }
    Ok(findings)
}

fn setting(name: &str, value: &str, is_promise: bool, good: &[&str], why: &str) -> Finding {
    if good.contains(&value) {
        return Finding::ok(name, value);
    }
    let best = good.first().copied().unwrap_or("on");
    let fix = match name {
        "data_checksums" => "stop the server and run `pg_checksums --enable`".to_owned(),
        "wal_level" => format!("ALTER SYSTEM SET {name} = {best}, and start the server again"),
        _ => format!(
            "ALTER SYSTEM SET {name} = {best}; SELECT pg_reload_conf(), and no ALTER ROLE or DATABASE \
             that sets it otherwise"
        ),
    };
    let found = format!("{value}: {why}");
    match is_promise {
        true => Finding::problem(name, found, fix),
        false => Finding::warning(name, found, fix),
    }
}

async fn connections(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    // That there is no ledger, others say.
    let partitions: i64 = sqlx::query_scalar("SELECT count(*) FROM partitions")
        .fetch_one(&mut *connection)
        .await
        .unwrap_or(1);
    let (most, used): (i64, i64) = sqlx::query_as(
        "SELECT current_setting('max_connections')::bigint
                - current_setting('superuser_reserved_connections')::bigint,
                (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')",
    )
    .fetch_one(connection)
    .await?;
    Ok(room(most, used, partitions))
}

fn room(most: i64, used: i64, partitions: i64) -> Finding {
    let need = CONNECTIONS + CONNECTIONS_A_PARTITION * partitions;
    let found = format!("{used} of {most} are in use");
    let fix =
        format!("ALTER SYSTEM SET max_connections = {}, and start it again", 2 * need.max(most));
    match () {
        () if most < need => Finding::warning(
            "connections",
            format!("{found}; one `florin serve` and one `florin worker` may take {need}"),
            fix,
        ),
        () if used * 10 > most * 9 => Finding::warning("connections", found, fix),
        () => Finding::ok("connections", found),
    }
}

async fn clock(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    // The clock of the database is read somewhere within the round trip.
    let (before, began) = (SystemClock.now(), Instant::now());
    let theirs: DateTime<Utc> =
        sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(connection).await?;
    let trip = TimeDelta::from_std(began.elapsed()).unwrap_or_default();
    Ok(skew(theirs - before - trip / 2, trip))
}

fn skew(ahead: TimeDelta, trip: TimeDelta) -> Finding {
    let off = ahead.abs() - trip / 2;
    let found = format!("{} ms apart from Postgres", ahead.num_milliseconds().abs());
    let fix =
        "let NTP set the clocks of this machine and of Postgres' (`timedatectl set-ntp true`)";
    match () {
        () if off > BAD_SKEW => Finding::problem("clock", found, fix),
        () if off > SKEW => Finding::warning("clock", found, fix),
        () => Finding::ok("clock", found),
    }
}

/// How much disk is left, SQL does not tell: that is for whoever watches the machine.
async fn size(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let sizes: (String, String) = sqlx::query_as(
        "SELECT pg_size_pretty(pg_database_size(current_database())),
                pg_size_pretty(coalesce(pg_total_relation_size(to_regclass('events')), 0))",
    )
    .fetch_one(connection)
    .await?;
    let found = format!("the database has {}, the journal {} of it", sizes.0, sizes.1);
    Ok(Finding::ok("disk", found))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_commit_that_may_be_lost_is_a_problem() {
        let (name, is_promise, good, why) = SETTINGS[1];
        assert_eq!(setting(name, "on", is_promise, good, why).state, State::Ok);
        let off = setting(name, "off", is_promise, good, why);
        assert_eq!(off.state, State::Problem);
        assert!(off.fix.unwrap().starts_with("ALTER SYSTEM SET synchronous_commit = on"));
    }

    #[test]
    fn too_few_connections_are_told_of_and_few_that_are_left() {
        assert_eq!(room(97, 20, 1).state, State::Ok);
        assert_eq!(room(97, 90, 1).state, State::Warning);
        assert_eq!(room(50, 1, 1).state, State::Warning);
        assert_eq!(room(97, 1, 16).state, State::Warning);
    }

    #[test]
    fn clocks_apart_are_told_by_how_much() {
        let trip = TimeDelta::milliseconds(10);
        assert_eq!(skew(TimeDelta::milliseconds(-900), trip).state, State::Ok);
        assert_eq!(skew(TimeDelta::seconds(-5), trip).state, State::Warning);
        let far = skew(TimeDelta::seconds(90), trip);
        assert_eq!((far.state, &*far.found), (State::Problem, "90000 ms apart from Postgres"));
        // Who answers after ten seconds says nothing about its clock.
        assert_eq!(skew(TimeDelta::seconds(4), TimeDelta::seconds(10)).state, State::Ok);
    }
}
