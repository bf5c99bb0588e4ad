//! The work behind the ledger: whether it is done, and by whom.

use chrono::{DateTime, TimeDelta, Utc};
use florin_projections::checkpoint::{Status, status};
use florin_projections::dead_letters::open;
use florin_projections::generation::abandoned;
use florin_projections::models;
use sqlx::PgConnection;

use super::Finding;
use crate::postgres::relay_cursor::unpublished;

/// How far behind a read model, or the relay, may be: longer than any pause at full speed.
const BEHIND: TimeDelta = TimeDelta::seconds(10);

/// From here on somebody waits for it.
const FAR_BEHIND: TimeDelta = TimeDelta::minutes(5);

const START_WORKER: &str = "start `florin worker`, and read its log if one runs";

pub(super) async fn examine(connection: &mut PgConnection) -> Result<Vec<Finding>, sqlx::Error> {
    let now = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut *connection).await?;
    let mut findings = vec![partitions(connection).await?, workers(connection).await?];
    findings.extend(read_models(connection, now).await?);
    findings.push(relay(connection, now).await?);
    findings.push(letters(connection).await?);
    findings.push(transfers(connection, now).await?);
    findings.push(rebuilds(connection).await?);
    Ok(findings)
}

async fn partitions(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let (count, events): (i64, i64) =
        sqlx::query_as("SELECT count(*), coalesce(sum(head_position), 0)::bigint FROM partitions")
            .fetch_one(connection)
            .await?;
    Ok(match count {
        0 => Finding::problem("journal", "there are no partitions", "run `florin migrate`"),
        _ => Finding::ok("journal", format!("{events} events in {count} partitions")),
    })
}

/// A process has a lease of its own for as long as it lives.
async fn workers(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let (processes, expired): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE name LIKE 'process:%' AND expires_at > clock_timestamp()),
                count(*) FILTER (WHERE name NOT LIKE 'process:%' AND expires_at <= clock_timestamp())
           FROM leases",
    )
    .fetch_one(connection)
    .await?;
    Ok(leases(processes, expired))
}

fn leases(processes: i64, expired: i64) -> Finding {
    match (processes, expired) {
        (0, 0) => Finding::warning("workers", "none runs", START_WORKER),
        (0, expired) => Finding::problem(
            "workers",
            format!("none runs, and {expired} leases of one that died have run out"),
            START_WORKER,
        ),
        (processes, 0) => Finding::ok("workers", format!("{processes} run")),
        (processes, expired) => Finding::warning(
            "workers",
            format!("{processes} run, and nobody has taken over {expired} leases that ran out"),
            "let some worker run all read models: see its --projections",
        ),
    }
}

async fn read_models(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Vec<Finding>, sqlx::Error> {
    let statuses = status(&mut *connection).await?;
    let begun: Option<DateTime<Utc>> = sqlx::query_scalar(
        "SELECT min(recorded_at) FROM partitions p
           JOIN events e ON e.partition = p.partition AND e.position = 1",
    )
    .fetch_one(connection)
    .await?;
    let of = |name: &str| {
        let of: Vec<&Status> = statuses.iter().filter(|status| status.projection == name).collect();
        read_model(name, &of, begun, now)
    };
    Ok(models::all().iter().map(|model| of(model.name())).collect())
}

fn read_model(
    name: &str,
    statuses: &[&Status],
    begun: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Finding {
    let check = format!("read model {name}");
    let lag: u64 = statuses.iter().map(|status| status.lag()).sum();
    let parked: u32 = statuses.iter().map(|status| status.parked).sum();
    let since = match statuses.is_empty() {
        true => begun,
        false => statuses.iter().filter_map(|status| status.behind_since).min(),
    };
    if let Some(late) = since.map(|since| now - since).filter(|late| *late > BEHIND) {
        let found = match statuses.is_empty() {
            true => "it has never run".to_owned(),
            false => format!("{lag} events and {} s behind", late.num_seconds()),
        };
        return match late > FAR_BEHIND {
            true => Finding::problem(check, found, START_WORKER),
            false => Finding::warning(check, found, START_WORKER),
        };
    }
    match parked {
        0 => Finding::ok(check, format!("{lag} events behind")),
        parked => Finding::warning(
            check,
            format!("{parked} wallets are parked"),
            format!("florin dlq list --projection {name} --state open"),
        ),
    }
}

async fn relay(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<Finding, sqlx::Error> {
    let partitions = unpublished(connection).await?;
    let lag: u64 = partitions.iter().map(|of| of.head.saturating_sub(of.cursor)).sum();
    let since = partitions.iter().filter_map(|of| of.since).min();
    let found = format!("{lag} events are not published");
    Ok(match since.map(|since| now - since).filter(|late| *late > BEHIND) {
        Some(late) => Finding::warning(
            "relay",
            format!("{found}, the oldest since {} s", late.num_seconds()),
            "start `florin worker` with NATS_URL, and look at NATS below",
        ),
        None => Finding::ok("relay", found),
    })
}

async fn letters(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let open: u64 = open(connection).await?.iter().map(|(_, open)| open).sum();
    Ok(match open {
        0 => Finding::ok("dead letters", "none is open"),
        open => Finding::warning(
            "dead letters",
            format!("{open} are open"),
            "florin dlq list --state open, then replay or discard each",
        ),
    })
}

async fn transfers(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Finding, sqlx::Error> {
    let (count, oldest): (i64, Option<DateTime<Utc>>) = sqlx::query_as(
        "SELECT count(*), min(e.recorded_at) FROM unfinished_transfers u
           JOIN events e ON e.aggregate_id = u.transfer_id::text
                        AND e.aggregate_type = 'Transfer' AND e.sequence = 1",
    )
    .fetch_one(connection)
    .await?;
    Ok(match oldest.map(|oldest| now - oldest).filter(|late| *late > BEHIND) {
        Some(late) => Finding::warning(
            "transfers",
            format!("{count} are under way, the oldest since {} s", late.num_seconds()),
            "start `florin serve` or `florin worker`: each carries them on",
        ),
        None => Finding::ok("transfers", format!("{count} are under way")),
    })
}

async fn rebuilds(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let left = abandoned(connection).await?;
    Ok(match left.first() {
        None => Finding::ok("rebuilds", "none was left behind"),
        Some(first) => Finding::warning(
            "rebuilds",
            format!("one was interrupted, or found a difference: {}", left.join(", ")),
            format!(
                "`florin rebuild {first}` goes on with it, and DROP SCHEMA florin_next_{first} CASCADE \
                 gives it up"
            ),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn status(behind_since: Option<DateTime<Utc>>, parked: u32) -> Status {
        Status {
            projection: "balance".to_owned(),
            partition: 0,
            checkpoint: 3,
            head: 10,
            behind_since,
            parked,
            moved_at: None,
        }
    }

    #[test]
    fn a_read_model_is_judged_by_how_long_an_event_waits() {
        let state = |status: &Status| read_model("balance", &[status], None, at(1_000)).state;
        assert_eq!(state(&status(None, 0)), State::Ok);
        assert_eq!(state(&status(Some(at(995)), 0)), State::Ok);
        assert_eq!(state(&status(Some(at(900)), 0)), State::Warning);
        assert_eq!(state(&status(Some(at(0)), 0)), State::Problem);
        assert_eq!(state(&status(None, 2)), State::Warning);
    }

    #[test]
    fn one_that_has_never_run_lacks_all_of_a_journal() {
        let found = read_model("balance", &[], Some(at(0)), at(1_000));
        assert_eq!((found.state, &*found.found), (State::Problem, "it has never run"));
        assert_eq!(read_model("balance", &[], None, at(1_000)).state, State::Ok);
    }

    #[test]
    fn leases_that_ran_out_are_those_of_who_died() {
        assert_eq!(leases(0, 0).state, State::Warning);
        assert_eq!(leases(0, 6).state, State::Problem);
        assert_eq!(leases(2, 0).state, State::Ok);
        assert_eq!(leases(1, 1).state, State::Warning);
    }
}
