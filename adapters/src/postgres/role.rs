//! Whether the role of a connection could change history.
//!
//! The service may append, and nothing else: a defect of it, or whoever takes it over, then cannot
//! change an event. What counts is what the role can come by: what it may do itself, what it inherits,
//! and what it may do after `SET ROLE`.

use std::fmt;

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row as _};

/// Groups of Postgres itself whose members write where the server keeps its files.
const OF_THE_SERVER: [&str; 2] = ["pg_execute_server_program", "pg_write_server_files"];

/// What changes rows, or what is appended.
const CHANGES: [&str; 4] = ["UPDATE", "DELETE", "TRUNCATE", "TRIGGER"];

/// A way in which a role could change history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Danger {
    /// What it is or may do.
    pub why: String,
    /// What mends it.
    pub fix: String,
}

/// A role that is no role for the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dangerous {
    /// Its name.
    pub role: String,
    /// Every way that was found.
    pub dangers: Vec<Danger>,
}

impl fmt::Display for Dangerous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |of: fn(&Danger) -> &str| {
            let all: Vec<&str> = self.dangers.iter().map(of).collect();
            all.join("; ")
        };
        write!(
            f,
            "the service does not start as {}, because it could change history: {}. Take another role \
             for DATABASE_URL, one that is a member of florin_service and nothing else (`florin migrate \
             --create-roles` makes one), or mend this one: {}",
            self.role,
            list(|danger| &danger.why),
            list(|danger| &danger.fix)
        )
    }
}

impl std::error::Error for Dangerous {}

/// A role that the connection's can be, and what that one could do.
struct Row {
    name: String,
    is_superuser: bool,
    makes_roles: bool,
    owns: bool,
    owns_schema: bool,
    is_of_the_server: bool,
    rights: Vec<String>,
}

impl FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.try_get("name")?,
            is_superuser: row.try_get("is_superuser")?,
            makes_roles: row.try_get("makes_roles")?,
            owns: row.try_get("owns")?,
            owns_schema: row.try_get("owns_schema")?,
            is_of_the_server: row.try_get("is_of_the_server")?,
            rights: row.try_get("rights")?,
        })
    }
}

/// The role of the connection, and every way in which it could change history.
///
/// # Errors
/// When Postgres is away.
pub async fn look(connection: &mut PgConnection) -> Result<Dangerous, sqlx::Error> {
    let role: String =
        sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut *connection).await?;
    // A superuser is a member of every role: one row says it.
    let rows: Vec<Row> = sqlx::query_as(
        "WITH history AS (SELECT c.oid, c.relowner, n.nspowner
                            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                           WHERE c.oid = to_regclass('events')),
              me AS (SELECT oid, rolsuper FROM pg_roles WHERE rolname = current_user)
         SELECT r.rolname::text AS name, r.rolsuper AS is_superuser, r.rolcreaterole AS makes_roles,
                coalesce(r.oid = h.relowner, false) AS owns,
                coalesce(r.oid = h.nspowner, false) AS owns_schema,
                r.rolname = ANY($1) AS is_of_the_server,
                ARRAY(SELECT p.privilege FROM unnest($2::text[]) AS p (privilege)
                       WHERE has_table_privilege(r.oid, h.oid, p.privilege)
                          OR p.privilege = 'UPDATE'
                             AND has_any_column_privilege(r.oid, h.oid, p.privilege)) AS rights
           FROM me JOIN pg_roles r ON r.oid = me.oid
                                   OR NOT me.rolsuper AND pg_has_role(me.oid, r.oid, 'MEMBER')
           LEFT JOIN history h ON true
          ORDER BY r.oid <> me.oid, r.rolname",
    )
    .bind(&OF_THE_SERVER[..])
    .bind(&CHANGES[..])
    .fetch_all(connection)
    .await?;
    Ok(Dangerous { dangers: rows.iter().flat_map(|row| of(&role, row)).collect(), role })
}

fn of(me: &str, row: &Row) -> Vec<Danger> {
    let Row { name, .. } = row;
    let is_me = me == name;
    let who = |is: &str| match is_me {
        true => format!("{me} {is}"),
        false => format!("{me} is a member of {name}, which {is}"),
    };
    // What is wrong with a group is mended by leaving it.
    let leave = |mine: &str| match is_me {
        true => mine.to_owned(),
        false => format!("REVOKE {name} FROM {me}"),
    };
    if row.is_superuser {
        // Whatever could follow follows from this.
        return vec![Danger {
            why: who("is a superuser"),
            fix: leave(&format!("ALTER ROLE {me} NOSUPERUSER")),
        }];
    }
    let rights = row.rights.join(", ");
    let found = [
        (
            row.makes_roles,
            who("may create roles, and so become others"),
            format!("ALTER ROLE {name} NOCREATEROLE"),
        ),
        (row.owns, who("owns the table events"), leave("ALTER TABLE events OWNER TO another role")),
        (
            row.owns_schema,
            who("owns the schema of events, and may drop what is in it"),
            leave("ALTER SCHEMA … OWNER TO another role"),
        ),
        (
            row.is_of_the_server,
            who("writes the server's files"),
            leave("let it be no role of the server's"),
        ),
        (
            // Of the owner they go without saying.
            !rights.is_empty() && !row.owns,
            who(&format!("has {rights} on events")),
            format!("REVOKE {rights} ON events FROM {name}, PUBLIC"),
        ),
    ];
    found.into_iter().filter(|(is, ..)| *is).map(|(_, why, fix)| Danger { why, fix }).collect()
}
