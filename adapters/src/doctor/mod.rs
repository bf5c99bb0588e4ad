//! What is wrong with a deployment, and how it is mended: `florin doctor`.
//!
//! | file | looks at |
//! |---|---|
//! | `postgres` | version, what makes a commit durable, connections, clock, size |
//! | `schema` | migrations, the triggers that keep history as it is |
//! | `rights` | what the service's role may do: what the migrations grant, and nothing else |
//! | `work` | read models, dead letters, leases, the relay, transfers, rebuilds |
//! | `nats` | the server, JetStream, the streams and who reads them |
//!
//! Each check is a function of its own that changes nothing, and says what it found; what follows from
//! that is decided without a server, and tested so. The role is the service's: what it may not see, the
//! service does not need.

mod nats;
mod postgres;
mod rights;
mod schema;
mod work;

use std::time::Duration;

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use crate::nats::Access;
use crate::nats::stream::StreamSettings;

/// How long Postgres may take to answer: as long as the service waits.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and will not for ever, or not as well as it could.
    Warning,
    /// It does not work, or a promise is not kept.
    Problem,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which check.
    pub check: String,
    /// How it is.
    pub state: State,
    /// What is there.
    pub found: String,
    /// What mends it; none where nothing has to be.
    pub fix: Option<String>,
}

impl Finding {
    fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Ok, found: found.into(), fix: None }
    }

    fn warning(check: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        let fix = Some(fix.into());
        Self { check: check.into(), state: State::Warning, found: found.into(), fix }
    }

    fn problem(check: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        let fix = Some(fix.into());
        Self { check: check.into(), state: State::Problem, found: found.into(), fix }
    }
}

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Places<'a> {
    /// Postgres, as the service's role.
    pub database_url: &'a str,
    /// NATS, if there is one.
    pub nats: Access,
    /// How its streams should be.
    pub streams: StreamSettings,
}

/// Looks at everything that can be looked at.
pub async fn examine(places: &Places<'_>) -> Vec<Finding> {
    let connected = timeout(CONNECT_WAIT, PgConnection::connect(places.database_url)).await;
    let away = |why: String| {
        vec![Finding::problem(
            "Postgres",
            format!("cannot be reached: {why}"),
            "start it, or set DATABASE_URL to postgres://user:password@host:5432/florin",
        )]
    };
    let mut findings = match connected {
        Ok(Ok(mut connection)) => of_postgres(&mut connection).await,
        Ok(Err(error)) => away(error.to_string()),
        Err(_) => away("it does not answer".to_owned()),
    };
    findings.extend(nats::examine(&places.nats, &places.streams).await);
    findings
}

/// In the order in which they are mended: what is behind rests on what is before.
async fn of_postgres(connection: &mut PgConnection) -> Vec<Finding> {
    let mut findings = Vec::new();
    for part in [Part::Server, Part::Schema, Part::Rights, Part::Work] {
        let found = match part {
            Part::Server => postgres::examine(connection).await,
            Part::Schema => schema::examine(connection).await,
            Part::Rights => rights::examine(connection).await,
            Part::Work => work::examine(connection).await,
        };
        match found {
            Ok(found) => findings.extend(found),
            Err(error) => {
                findings.push(Finding::problem(
                    part.name(),
                    format!("cannot be looked at: {error}"),
                    "mend what is said above first, such as by `florin migrate`",
                ));
            }
        }
    }
    findings
}

#[derive(Clone, Copy)]
enum Part {
    Server,
    Schema,
    Rights,
    Work,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "Postgres",
            Self::Schema => "schema",
            Self::Rights => "rights",
            Self::Work => "work",
        }
    }
}
