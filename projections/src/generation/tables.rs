//! The tables of a generation: made as the live ones are, whatever migrations have made of those.
//!
//! | of a table | copied | when |
//! |---|---|---|
//! | columns, defaults, checks, storage, options, owner, grants | yes | at the beginning |
//! | primary key | yes, under its name | at the beginning: the fold loads rows by it |
//! | other indexes | yes, under their names | once the tables are filled: several times cheaper |
//!
//! A comment on the schema says of which shape the generation is and what it leaves out: one that was
//! interrupted is gone on with if that is still so, and begun anew if not.

use sqlx::{Connection as _, PgConnection};

use super::{Generation, GenerationError, LIVE, SHARED_TABLES};

/// What the comments on this program's schemas begin with.
const MARK: &str = "florin generation ";

/// What a schema is to this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Not there.
    Nothing,
    /// A generation as one of these models would begin now.
    Same,
    /// A generation of another shape, or that leaves out other events.
    Other,
    /// None of this program's.
    Foreign,
}

/// What there is of a generation.
///
/// # Errors
/// When Postgres is away.
pub async fn find(
    connection: &mut PgConnection,
    generation: &Generation,
) -> Result<Found, GenerationError> {
    let comment: Option<Option<String>> = sqlx::query_scalar(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1",
    )
    .bind(&generation.schema)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(comment) = comment else { return Ok(Found::Nothing) };
    let comment = comment.unwrap_or_default();
    if !comment.starts_with(MARK) {
        return Ok(Found::Foreign);
    }
    match comment == mark(connection, generation).await? {
        true => Ok(Found::Same),
        false => Ok(Found::Other),
    }
}

/// Makes the schema and empty tables, in one transaction; what discarded letters leave out is left out
/// here too.
///
/// # Errors
/// [`GenerationError::Foreign`] where the name is taken, or Postgres is away.
pub async fn create(
    connection: &mut PgConnection,
    generation: &Generation,
) -> Result<(), GenerationError> {
    let schema = quoted(&generation.schema);
    match find(connection, generation).await? {
        Found::Nothing => {}
        Found::Same | Found::Other => drop(connection, generation).await?,
        Found::Foreign => return Err(GenerationError::Foreign(generation.schema.clone())),
    }
    let mark = mark(connection, generation).await?;
    let mut transaction = connection.begin().await?;
    let begin = format!("CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{mark}'");
    run(&mut transaction, &begin).await?;
    for table in generation.tables() {
        let statements = statements(&mut transaction, TABLE, table, &generation.schema).await?;
        run(&mut transaction, &statements).await?;
    }
    for table in SHARED_TABLES {
        let statements = statements(&mut transaction, INDEXES, table, &generation.schema).await?;
        run(&mut transaction, &statements).await?;
    }
    let seed = format!(
        "INSERT INTO {schema}.dead_letters
         SELECT * FROM {LIVE}.dead_letters WHERE state = 'discarded' AND projection = ANY($1)"
    );
    sqlx::query(&seed).bind(names(generation)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Makes the indexes that the fill does without, those that are not there yet, and lets Postgres look
/// at what the tables hold.
///
/// # Errors
/// When Postgres is away.
pub async fn index(
    connection: &mut PgConnection,
    generation: &Generation,
) -> Result<(), GenerationError> {
    for table in generation.models.iter().flat_map(|model| model.tables()) {
        let statements = statements(connection, INDEXES, table, &generation.schema).await?;
        run(connection, &statements).await?;
        let analyze = format!("ANALYZE {}.{}", quoted(&generation.schema), quoted(table));
        run(connection, &analyze).await?;
    }
    Ok(())
}

/// Removes a generation.
///
/// # Errors
/// When Postgres is away.
pub async fn drop(
    connection: &mut PgConnection,
    generation: &Generation,
) -> Result<(), GenerationError> {
    let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(&generation.schema));
    Ok(run(connection, &drop).await?)
}

/// Lets the service's role read a generation that stands by itself.
///
/// # Errors
/// When Postgres is away.
pub async fn publish(
    connection: &mut PgConnection,
    generation: &Generation,
) -> Result<(), GenerationError> {
    let schema = quoted(&generation.schema);
    Ok(run(connection, &format!("GRANT USAGE ON SCHEMA {schema} TO florin_service")).await?)
}

/// A name as SQL has it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn names(generation: &Generation) -> Vec<&'static str> {
    generation.models.iter().map(|model| model.name()).collect()
}

/// The comment that a generation of these models has: what its tables look like, and what it leaves out.
pub(super) async fn mark(
    connection: &mut PgConnection,
    generation: &Generation,
) -> Result<String, sqlx::Error> {
    let tables: Vec<&str> = generation.tables().collect();
    let shape: String = sqlx::query_scalar(
        "SELECT md5(concat(
           (SELECT string_agg(format('%s.%s %s', c.relname, a.attname,
                                     format_type(a.atttypid, a.atttypmod)),
                              ',' ORDER BY c.relname, a.attnum)
              FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY($1)
               AND a.attnum > 0 AND NOT a.attisdropped),
           (SELECT string_agg(format('%s-%s-%s', projection, partition, position),
                              ',' ORDER BY projection, partition, position)
              FROM public.dead_letters
             WHERE state = 'discarded' AND projection = ANY($2))))",
    )
    .bind(tables)
    .bind(names(generation))
    .fetch_one(connection)
    .await?;
    Ok(format!("{MARK}{} {shape}", env!("CARGO_PKG_VERSION")))
}

/// What has to be done for a table, one statement after the other; nothing to do is no statement.
async fn statements(
    connection: &mut PgConnection,
    of: &str,
    table: &str,
    schema: &str,
) -> Result<String, sqlx::Error> {
    let statements: Option<String> =
        sqlx::query_scalar(of).bind(table).bind(schema).fetch_one(connection).await?;
    Ok(statements.unwrap_or_default())
}

pub(super) async fn run(
    connection: &mut PgConnection,
    statements: &str,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(statements).execute(connection).await.map(std::mem::drop)
}

/// A table like a live one: without indexes, and then its primary key.
const TABLE: &str = "
WITH n AS (SELECT $1::text AS tab, $2::text AS sch)
SELECT concat_ws('; ',
  format('CREATE TABLE %I.%I (LIKE public.%I INCLUDING ALL EXCLUDING INDEXES)', sch, tab, tab),
  (SELECT format('ALTER TABLE %I.%I SET (%s)', sch, tab, array_to_string(c.reloptions, ', '))
    WHERE c.reloptions IS NOT NULL),
  format('ALTER TABLE %I.%I OWNER TO %s', sch, tab, c.relowner::regrole),
  (SELECT string_agg(format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', sch, tab, k.conname,
                            pg_get_constraintdef(k.oid)), '; ')
     FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u')),
  (SELECT string_agg(format('GRANT %s ON %I.%I TO %s', g.privilege_type, sch, tab,
                            g.grantee::regrole), '; ')
     FROM aclexplode(c.relacl) g WHERE g.grantee <> c.relowner AND g.grantee <> 0))
  FROM n JOIN pg_class c ON c.oid = format('public.%I', tab)::regclass";

/// The other indexes of a live table that this one has not.
const INDEXES: &str = "
WITH n AS (SELECT $1::text AS tab, $2::text AS sch)
SELECT string_agg(replace(pg_get_indexdef(i.indexrelid),
                          format(' ON public.%I ', tab), format(' ON %I.%I ', sch, tab)), '; ')
  FROM n JOIN pg_index i ON i.indrelid = format('public.%I', tab)::regclass
  JOIN pg_class x ON x.oid = i.indexrelid
 WHERE NOT EXISTS (SELECT FROM pg_class y JOIN pg_namespace s ON s.oid = y.relnamespace
                    WHERE s.nspname = sch AND y.relname = x.relname)";
