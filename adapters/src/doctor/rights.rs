//! What the service's role may do: exactly what the migrations grant to `florin_service`, however it
//! comes by it.
//!
//! What is granted is read from the migrations themselves, so that a new one is known here.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::Finding;
use crate::postgres::migrations;
use crate::postgres::role::{self, Danger, Dangerous};
use crate::postgres::roles::SERVICE;

/// What can be done with a table or a view.
const OF_TABLES: [&str; 7] =
    ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];

/// What is granted, by table, view or sequence. A right to some columns only has them in brackets.
type Granted = BTreeMap<String, BTreeSet<String>>;

pub(super) async fn examine(connection: &mut PgConnection) -> Result<Vec<Finding>, sqlx::Error> {
    let (is_superuser, is_more): (bool, bool) = sqlx::query_as(
        "SELECT rolsuper, rolcreatedb OR rolbypassrls OR rolreplication
           FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(&mut *connection)
    .await?;
    let Dangerous { role, dangers } = role::look(connection).await?;
    let history = history(&role, dangers);
    if is_superuser {
        return Ok(vec![history]);
    }
    let more = match is_more {
        true => Finding::warning(
            "role",
            format!("{role} may create databases, replicate or pass by policies"),
            format!("ALTER ROLE {role} NOCREATEDB NOBYPASSRLS NOREPLICATION"),
        ),
        false => Finding::ok("role", format!("{role} is an ordinary role")),
    };
    let granted = granted(migrations().map(|migration| &*migration.sql));
    let held = held(connection, &granted).await?;
    Ok(vec![history, more, missing(&role, &granted, &held), surplus(&role, &granted, &held)])
}

/// Why `florin serve` and `florin worker` would not start.
fn history(role: &str, dangers: Vec<Danger>) -> Finding {
    const CHECK: &str = "history";
    if dangers.is_empty() {
        return Finding::ok(CHECK, format!("{role} cannot change it"));
    }
    let (why, fix): (Vec<String>, Vec<String>) =
        dangers.into_iter().map(|Danger { why, fix }| (why, fix)).unzip();
    Finding::problem(
        CHECK,
        format!("the service does not start as {role}, which could change it: {}", why.join("; ")),
        format!(
            "another role for DATABASE_URL, as `florin migrate --create-roles` makes it; or {}",
            fix.join("; ")
        ),
    )
}

/// The rights that the statements come to, one after the other.
fn granted<'s>(migrations: impl Iterator<Item = &'s str>) -> Granted {
    let mut all = Granted::new();
    for sql in migrations {
        let lines: Vec<&str> =
            sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        for statement in lines.join(" ").split(';') {
            let words = statement.split_whitespace().collect::<Vec<_>>().join(" ");
            if let Some(rest) = words.strip_prefix("GRANT ") {
                change(&mut all, rest, " TO ", |rights, right| rights.insert(right));
            } else if let Some(rest) = words.strip_prefix("REVOKE ") {
                change(&mut all, rest, " FROM ", |rights, right| rights.remove(&right));
            }
        }
    }
    all.retain(|_, rights| !rights.is_empty());
    all
}

fn change(
    all: &mut Granted,
    rest: &str,
    preposition: &str,
    apply: fn(&mut BTreeSet<String>, String) -> bool,
) {
    let Some((rights, rest)) = rest.split_once(" ON ") else { return };
    let Some((objects, role)) = rest.split_once(preposition) else { return };
    if role.trim() != SERVICE {
        return;
    }
    for object in objects.split(',') {
        let object = object.trim().trim_start_matches("SEQUENCE ").trim_start_matches("TABLE ");
        let of_object = all.entry(object.to_owned()).or_default();
        for right in rights_in(rights) {
            apply(of_object, right);
        }
    }
}

/// `SELECT, UPDATE (a, b)` as `SELECT`, `UPDATE(a)`, `UPDATE(b)`.
fn rights_in(text: &str) -> Vec<String> {
    let Some((before, columns)) = text.split_once('(') else {
        return text.split(',').map(|right| right.trim().to_owned()).collect();
    };
    let (columns, after) = columns.split_once(')').unwrap_or((columns, ""));
    let mut rights: Vec<String> = before.split(',').map(|right| right.trim().to_owned()).collect();
    if let Some(right) = rights.pop() {
        rights.extend(columns.split(',').map(|column| format!("{right}({})", column.trim())));
    }
    if let Some(after) = after.trim().strip_prefix(',') {
        rights.extend(rights_in(after));
    }
    rights
}

/// What the role may do with these, whether by itself, as a member, or because everybody may.
async fn held(connection: &mut PgConnection, granted: &Granted) -> Result<Granted, sqlx::Error> {
    let names: Vec<&str> = granted.keys().map(String::as_str).collect();
    let rows: Vec<(String, String)> = sqlx::query_as(
        "WITH named AS (SELECT n.name, to_regclass(n.name) AS oid FROM unnest($1::text[]) AS n (name)),
              those AS (SELECT named.name, c.oid, c.relkind FROM named JOIN pg_class c USING (oid))
         SELECT those.name, r.privilege FROM those, unnest($2::text[]) AS r (privilege)
          WHERE those.relkind <> 'S' AND has_table_privilege(those.oid, r.privilege)
         UNION ALL
         SELECT those.name, r.privilege FROM those, unnest('{USAGE,SELECT,UPDATE}'::text[]) AS r (privilege)
          WHERE those.relkind = 'S' AND has_sequence_privilege(those.oid, r.privilege)
         UNION ALL
         SELECT those.name, r.privilege || '(' || a.attname || ')'
           FROM those JOIN pg_attribute a ON a.attrelid = those.oid AND a.attnum > 0
                                AND NOT a.attisdropped,
                unnest('{INSERT,UPDATE}'::text[]) AS r (privilege)
          WHERE those.relkind <> 'S' AND NOT has_table_privilege(those.oid, r.privilege)
            AND has_column_privilege(those.oid, a.attnum, r.privilege)",
    )
    .bind(names)
    .bind(&OF_TABLES[..])
    .fetch_all(connection)
    .await?;
    let mut held = Granted::new();
    for (name, right) in rows {
        held.entry(name).or_default().insert(right);
    }
    Ok(held)
}

/// What one of them has and the other has not, as `SELECT on events`.
fn difference(of: &Granted, without: &Granted) -> Vec<(String, String)> {
    let mut rights = Vec::new();
    for (object, of_object) in of {
        let others = without.get(object);
        let is_only = |right: &&String| {
            let whole = right.split('(').next().unwrap_or_default();
            others.is_none_or(|others| !others.contains(*right) && !others.contains(whole))
        };
        rights
            .extend(of_object.iter().filter(is_only).map(|right| (right.clone(), object.clone())));
    }
    rights
}

fn list(rights: &[(String, String)]) -> String {
    let named: Vec<String> =
        rights.iter().map(|(right, object)| format!("{right} on {object}")).collect();
    named.join(", ")
}

fn statements(verb: &str, preposition: &str, role: &str, rights: &[(String, String)]) -> String {
    let one = |(right, object): &(String, String)| {
        format!("{verb} {right} ON {object} {preposition} {role}")
    };
    rights.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn missing(role: &str, granted: &Granted, held: &Granted) -> Finding {
    let rights = difference(granted, held);
    let count: usize = granted.values().map(BTreeSet::len).sum();
    match rights.len() {
        0 => Finding::ok("rights that are needed", format!("all {count} are there")),
        all if all == count => Finding::problem(
            "rights that are needed",
            format!("{role} has none of them"),
            format!("GRANT {SERVICE} TO {role}"),
        ),
        _ => Finding::problem(
            "rights that are needed",
            format!("{role} lacks {}", list(&rights)),
            statements("GRANT", "TO", SERVICE, &rights),
        ),
    }
}

fn surplus(role: &str, granted: &Granted, held: &Granted) -> Finding {
    let rights = difference(held, granted);
    match rights.is_empty() {
        true => Finding::ok("rights beyond those", "none"),
        false => Finding::problem(
            "rights beyond those",
            format!("{role} may do more than the service needs: {}", list(&rights)),
            format!(
                "{}; where it owns the tables, take another role for DATABASE_URL",
                statements("REVOKE", "FROM", &format!("{role}, {SERVICE}, PUBLIC"), &rights)
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[(&str, &str)]) -> Granted {
        let words = |rights: &str| rights.split(' ').map(ToOwned::to_owned).collect();
        text.iter().map(|(object, rights)| ((*object).to_owned(), words(rights))).collect()
    }

    #[test]
    fn grants_are_read_as_they_are_written() {
        let sql = "-- GRANT ALL ON a TO florin_service;\n\
                   GRANT SELECT, INSERT   ON a, b TO florin_service; -- and so on;\n\
                   GRANT UPDATE (x, y), DELETE ON a TO florin_service;\n\
                   GRANT USAGE ON SEQUENCE s TO florin_service; GRANT SELECT ON a TO somebody;";
        let later = "REVOKE UPDATE (y) ON a FROM florin_service; REVOKE SELECT, INSERT ON b FROM \
                     florin_service;";
        let expected = of(&[("a", "SELECT INSERT UPDATE(x) DELETE"), ("s", "USAGE")]);
        assert_eq!(granted([sql, later].into_iter()), expected);
    }

    #[test]
    fn the_service_may_append_to_history_and_nothing_else() {
        let granted = granted(migrations().map(|migration| &*migration.sql));
        let rights = |object: &str| granted[object].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(rights("events"), ["INSERT", "SELECT"]);
        assert_eq!(rights("partitions"), ["SELECT", "UPDATE"]);
        assert_eq!(rights("idempotency_keys"), ["INSERT", "SELECT"]);
        assert_eq!(rights("api_audit"), ["INSERT", "SELECT", "UPDATE(status)"]);
    }

    #[test]
    fn a_right_to_the_table_is_one_to_each_column() {
        let (granted, held) = (of(&[("a", "SELECT UPDATE(x)")]), of(&[("a", "SELECT UPDATE")]));
        assert_eq!(difference(&granted, &held), []);
        let surplus = surplus("florin", &granted, &held);
        assert!(surplus.found.ends_with("UPDATE on a"), "{}", surplus.found);
    }
}
