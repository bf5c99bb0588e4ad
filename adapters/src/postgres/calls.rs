//! The record of calls, `api_audit`: a row a call, written with the append that it led to, or else by
//! whoever took it.

use chrono::{DateTime, Utc};
use florin_application::audit::AuditRow;
use sqlx::PgPool;
use uuid::Uuid;

use super::append::Query;
use super::row::signed;

/// The parameters of [`insert`].
pub(crate) const PARAMETERS: usize = 11;

/// Inserts rows, one for each of a list, if there is anything in `from`; `$+0` is the first parameter.
pub(crate) fn insert(from: &str) -> String {
    format!(
        "
  INSERT INTO api_audit (id, received_at, method, url, headers, body, body_bytes, client, subject,
                         trace_id, status)
  SELECT c.id, c.received_at, c.method, c.url, c.headers, c.body, c.body_bytes,
         c.client::inet, c.subject, c.trace_id, c.status
    FROM (SELECT unnest($+0::uuid[]) AS id, unnest($+1::timestamptz[]) AS received_at,
                 unnest($+2::text[]) AS method, unnest($+3::text[]) AS url,
                 unnest($+4::text[]) AS headers, unnest($+5::text[]) AS body,
                 unnest($+6::bigint[]) AS body_bytes, unnest($+7::text[]) AS client,
                 unnest($+8::text[]) AS subject, unnest($+9::text[]) AS trace_id,
                 unnest($+10::smallint[]) AS status
            {from}) c"
    )
}

/// A part of a statement with its parameters counted from `first` on.
pub(crate) fn numbered(part: &str, first: usize, parameters: usize) -> String {
    // The last one first: `$+1` is the beginning of `$+10`.
    (0..parameters).rev().fold(part.to_owned(), |sql, number| {
        sql.replace(&format!("$+{number}"), &format!("${}", first + number))
    })
}

/// Records calls that no append has. What one was told goes before what it was expected to be told.
///
/// # Errors
/// Those of Postgres.
pub async fn record(pool: &PgPool, rows: &[AuditRow]) -> Result<(), sqlx::Error> {
    let insert = numbered(&insert(""), 1, PARAMETERS);
    let statement = format!("{insert} ON CONFLICT (id) DO UPDATE SET status = excluded.status");
    let rows = in_order(rows);
    Columns::of(&rows).bind(sqlx::query(&statement)).execute(pool).await?;
    Ok(())
}

/// In the order of their ids, so that two statements with the same calls wait for each other and not
/// in a circle.
pub(crate) fn in_order(rows: &[AuditRow]) -> Vec<&AuditRow> {
    let mut rows: Vec<&AuditRow> = rows.iter().collect();
    rows.sort_unstable_by_key(|row| row.entry.call.id);
    rows
}

/// The rows as Postgres takes them: a list a column.
#[derive(Default)]
pub(crate) struct Columns<'r> {
    ids: Vec<Uuid>,
    received_at: Vec<DateTime<Utc>>,
    methods: Vec<&'r str>,
    urls: Vec<&'r str>,
    headers: Vec<&'r str>,
    bodies: Vec<Option<&'r str>>,
    body_bytes: Vec<i64>,
    clients: Vec<Option<&'r str>>,
    subjects: Vec<Option<&'r str>>,
    trace_ids: Vec<&'r str>,
    statuses: Vec<i16>,
}

impl<'r> Columns<'r> {
    pub(crate) fn of(rows: &[&'r AuditRow]) -> Self {
        let mut columns = Self::default();
        for row in rows {
            let call = &row.entry.call;
            columns.ids.push(call.id);
            columns.received_at.push(call.received_at);
            columns.methods.push(&call.method);
            columns.urls.push(&call.url);
            columns.headers.push(&call.headers);
            columns.bodies.push(call.body.as_deref());
            columns.body_bytes.push(signed(call.body_bytes));
            columns.clients.push(call.client.as_deref());
            columns.subjects.push(call.subject.as_deref());
            columns.trace_ids.push(&call.trace_id);
            columns.statuses.push(i16::try_from(row.status).unwrap_or(i16::MAX));
        }
        columns
    }

    pub(crate) fn bind<'q>(self, query: Query<'q>) -> Query<'q>
    where
        'r: 'q,
    {
        query
            .bind(self.ids)
            .bind(self.received_at)
            .bind(self.methods)
            .bind(self.urls)
            .bind(self.headers)
            .bind(self.bodies)
            .bind(self.body_bytes)
            .bind(self.clients)
            .bind(self.subjects)
            .bind(self.trace_ids)
            .bind(self.statuses)
    }
}
