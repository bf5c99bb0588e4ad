//! The roles of a ledger: each may do what it is for, and nothing else.
//!
//! | role | may | who logs in as it |
//! |---|---|---|
//! | [`OWNER`] | own the tables: create and change them, rebuild read models, import | `florin migrate`, `rebuild`, `as-of`, `import`; for moments |
//! | [`SERVICE`] | what the migrations grant: append events, write read models, change no history | `florin serve`, `worker` and the other verbs |
//! | [`READER`] | read, but not the calls of clients as they came ([`CONFIDENTIAL`]) | analysts; `florin verify`, `events`, `export` |
//!
//! They are roles of the whole server, shared by all ledgers on it. A password never leaves this process:
//! Postgres is sent a SCRAM verifier, which is what it keeps, so that its log has no more than its tables.

use postgres_protocol::password::scram_sha_256;
use sqlx::PgConnection;
use sqlx::migrate::MigrateError as SqlxMigrateError;

use super::migrate::{MAY_BECOME, MigrateError, PATIENCE, forbidden, giving_way};
use crate::auth::Secret;

/// Owns the tables.
pub const OWNER: &str = "florin_owner";

/// What the service logs in as, or is a member of.
pub const SERVICE: &str = "florin_service";

/// Reads.
pub const READER: &str = "florin_reader";

/// What holds requests as they came, with whatever their senders put into them.
const CONFIDENTIAL: [&str; 7] = [
    "api_audit",
    "operations",
    "letters_of_operations",
    "intake_transactions",
    "intake_outcomes",
    "intake_letters",
    "letters_of_intake",
];

/// The passwords of those that are to log in. One without is made and cannot log in, unless it could
/// before.
#[derive(Debug, Clone, Default)]
pub struct Passwords {
    /// Of [`OWNER`].
    pub owner: Option<Secret>,
    /// Of [`SERVICE`].
    pub service: Option<Secret>,
    /// Of [`READER`].
    pub reader: Option<Secret>,
}

impl Passwords {
    fn by_role(&self) -> [(&'static str, Option<&Secret>); 3] {
        [
            (OWNER, self.owner.as_ref()),
            (SERVICE, self.service.as_ref()),
            (READER, self.reader.as_ref()),
        ]
    }
}

/// A role, and whether it may log in.
pub type Made = (&'static str, bool);

/// Makes the roles, gives each its rights, and the ledger to its owner. What is there already stays: a
/// second time changes nothing but the passwords.
///
/// # Errors
/// [`MigrateError`]; then nothing is changed.
pub(super) async fn create(
    connection: &mut PgConnection,
    passwords: &Passwords,
) -> Result<Vec<Made>, MigrateError> {
    let (me, may): (String, bool) = sqlx::query_as(
        "SELECT rolname::text, rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !may {
        return Err(MigrateError::NoRoles(me));
    }
    let mut statements = String::new();
    for (role, password) in passwords.by_role() {
        statements += &format!("{}{role}{}", EXISTS[0], EXISTS[1]);
        if let Some(password) = password {
            let verifier = scram_sha_256(password.bytes());
            statements += &format!("ALTER ROLE {role} LOGIN PASSWORD '{verifier}';\n");
        }
    }
    statements += &RIGHTS.replace("MAY_BECOME", MAY_BECOME);
    let confidential: Vec<String> = CONFIDENTIAL.iter().map(|name| format!("'{name}'")).collect();
    statements += &READ.replace("CONFIDENTIAL", &confidential.join(", "));
    statements += OWN;
    // One text is one transaction.
    let attempt = async |connection: &mut PgConnection| -> Result<(), SqlxMigrateError> {
        Ok(sqlx::raw_sql(&statements).execute(connection).await.map(drop)?)
    };
    let changed = giving_way(connection, "the change of owners", PATIENCE, attempt).await;
    changed.map_err(|error| match forbidden(&error) {
        Some(why) => MigrateError::Foreign { me, why },
        None => error,
    })?;
    let all: Vec<(String, bool)> =
        sqlx::query_as("SELECT rolname::text, rolcanlogin FROM pg_roles")
            .fetch_all(connection)
            .await?;
    let made = |role: &'static str| {
        let may_log_in = all.iter().any(|(name, may)| name == role && *may);
        (role, may_log_in)
    };
    Ok([OWNER, SERVICE, READER].map(made).into())
}

/// Around the name of a role: makes it unless it is there.
const EXISTS: [&str; 2] = [
    "DO $$ BEGIN CREATE ROLE ",
    "; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;\n",
];

/// Whoever is no superuser gives things only to a role that it could be. The owner makes schemas
/// for rebuilds; nobody else makes anything, which before Postgres 15 everybody could.
const RIGHTS: &str = "
DO $$ BEGIN
  IF NOT pg_has_role('florin_owner', MAY_BECOME) THEN
    EXECUTE format('GRANT florin_owner TO %I', current_user);
  END IF;
  EXECUTE format('GRANT CONNECT, CREATE, TEMPORARY ON DATABASE %I TO florin_owner',
                 current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO florin_service, florin_reader', current_database());
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT CREATE, USAGE ON SCHEMA public TO florin_owner;
GRANT USAGE ON SCHEMA public TO florin_service, florin_reader;
";

/// Tables and views of the ledger; new ones are read from the next time on that this is run.
const READ: &str = "
DO $$ DECLARE relation regclass; BEGIN
  FOR relation IN
    SELECT c.oid FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
       AND c.relowner = (SELECT relowner FROM pg_class WHERE oid = 'public.events'::regclass)
       AND c.relname NOT IN (CONFIDENTIAL)
  LOOP EXECUTE format('GRANT SELECT ON %s TO florin_reader', relation); END LOOP;
END $$;
";

/// What belongs to whoever owns `events`: there, and in the schemas that rebuilds and `as-of` made.
/// Sequences that belong to a column follow its table, what an extension made stays as it is.
const OWN: &str = "
DO $$ DECLARE statement text; BEGIN
  FOR statement IN
    WITH was AS (SELECT relowner AS owner FROM pg_class WHERE oid = 'public.events'::regclass),
         ours AS (SELECT oid, nspowner, nspname FROM pg_namespace
                   WHERE nspname = 'public'
                      OR starts_with(obj_description(oid, 'pg_namespace'), 'florin generation '))
    SELECT format('ALTER %s %s OWNER TO florin_owner',
                  CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                  c.oid::regclass)
      FROM pg_class c, was
     WHERE c.relnamespace IN (SELECT oid FROM ours) AND c.relkind IN ('r', 'p', 'v', 'S')
       AND c.relowner = was.owner AND was.owner <> 'florin_owner'::regrole
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                          AND d.objid = c.oid AND d.deptype IN ('a', 'i', 'e'))
    UNION ALL
    SELECT format('ALTER ROUTINE %s OWNER TO florin_owner', p.oid::regprocedure)
      FROM pg_proc p, was
     WHERE p.pronamespace IN (SELECT oid FROM ours) AND p.proowner = was.owner
       AND was.owner <> 'florin_owner'::regrole
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                          AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT format('ALTER SCHEMA %I OWNER TO florin_owner', nspname)
      FROM ours WHERE nspname <> 'public' AND nspowner <> 'florin_owner'::regrole
  LOOP EXECUTE statement; END LOOP;
END $$;
";
