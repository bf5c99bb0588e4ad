//! The text of the statement, with the parts that a batch needs. In a part, `$+0` is its first
//! parameter.

use std::sync::LazyLock;

use florin_application::journal::Batch;

use crate::postgres::calls::{self, numbered};

/// The parameters of [`HEAD_AND_EVENTS`].
const EVENT_PARAMETERS: usize = 14;

/// The arrays are taken apart in the list of a select, row by row: in a FROM each would be copied as
/// a whole first, which costs a sixth of the insert without its indexes.
const HEAD_AND_EVENTS: &str = "
WITH head AS (
  UPDATE partitions SET head_position = $3, head_hash = $4
   WHERE partition = $1 AND head_position = $2
  RETURNING partition),
appended AS (
  INSERT INTO events (partition, position, recorded_at, aggregate_type, aggregate_id, sequence,
                      event_type, event_version, payload, metadata, balance, hash)
  SELECT e.partition, $2 + e.number, $5, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type,
         e.event_version, e.payload::json, e.metadata::json, e.balance::numeric, e.hash
    FROM (SELECT head.partition, generate_series(1, cardinality($6::text[])) AS number,
                 unnest($6::text[]) AS aggregate_type, unnest($7::text[]) AS aggregate_id,
                 unnest($8::bigint[]) AS sequence, unnest($9::text[]) AS event_type,
                 unnest($10::text[]) AS event_version, unnest($11::text[]) AS payload,
                 unnest($12::text[]) AS metadata, unnest($13::text[]) AS balance,
                 unnest($14::bytea[]) AS hash
            FROM head) e)";

/// The parameters of [`KEYS`].
const KEY_PARAMETERS: usize = 5;

const KEYS: &str = ",
kept AS (
  INSERT INTO idempotency_keys (wallet_id, request_id, fingerprint, outcome, transfer_id, recorded_at)
  SELECT k.wallet_id, k.request_id, k.fingerprint, k.outcome::json, k.transfer_id, $5
    FROM head, unnest($+0::text[], $+1::text[], $+2::bytea[], $+3::text[], $+4::uuid[])
         AS k (wallet_id, request_id, fingerprint, outcome, transfer_id))";

/// The parameters of [`TRANSFERS`].
const TRANSFER_PARAMETERS: usize = 2;

const TRANSFERS: &str = ",
started AS (
  INSERT INTO unfinished_transfers (transfer_id, partition)
  SELECT t.transfer_id, head.partition FROM head, unnest($+0::uuid[]) AS t (transfer_id)),
finished AS (
  DELETE FROM unfinished_transfers USING head
   WHERE transfer_id = ANY ($+1::uuid[]))";

/// Wakes followers on the channel `florin_journal`, with `<partition>:<head>`.
const NOTIFY: &str = "
SELECT pg_notify('florin_journal', head.partition || ':' || $3) FROM head";

/// How the calls of a batch are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    /// There are none.
    None,
    /// None of them is kept by anybody else.
    Own,
    /// Some may be kept already, and then stay as they are. That they are looked for, and inserted on
    /// probation, costs as much as the rest of their insert.
    Shared,
}

impl Calls {
    fn of(batch: &Batch) -> Self {
        match batch.calls.iter().any(|row| row.is_shared) {
            true => Self::Shared,
            false if batch.calls.is_empty() => Self::None,
            false => Self::Own,
        }
    }

    fn to_sql(self) -> String {
        let insert = calls::insert("FROM head");
        match self {
            Self::None => String::new(),
            Self::Own => format!(",\nrecorded AS ({insert})"),
            Self::Shared => format!(",\nrecorded AS ({insert} ON CONFLICT DO NOTHING)"),
        }
    }
}

/// Which parts a batch needs. Most have no transfer between partitions, and some no keys: what is left
/// out, Postgres need not start and end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub(super) calls: Calls,
    pub(super) keys: bool,
    pub(super) transfers: bool,
}

impl Parts {
    /// Those of nearly every batch, where calls are recorded and where not.
    pub(super) const ORDINARY: [Self; 4] = [
        Self { calls: Calls::Own, keys: true, transfers: false },
        Self { calls: Calls::Own, keys: false, transfers: false },
        Self { calls: Calls::None, keys: true, transfers: false },
        Self { calls: Calls::None, keys: false, transfers: false },
    ];

    pub(super) fn of(batch: &Batch) -> Self {
        Self {
            calls: Calls::of(batch),
            keys: !batch.keys.is_empty(),
            transfers: !(batch.started.is_empty() && batch.finished.is_empty()),
        }
    }

    pub(super) fn statement(self) -> &'static str {
        static STATEMENTS: LazyLock<[String; 12]> = LazyLock::new(|| {
            const CALLS: [Calls; 3] = [Calls::None, Calls::Own, Calls::Shared];
            let all = [(false, false), (true, false), (false, true), (true, true)]
                .map(|(keys, transfers)| CALLS.map(|calls| Parts { calls, keys, transfers }));
            let mut parts = all.into_iter().flatten();
            std::array::from_fn(|_| parts.next().map(Parts::to_sql).unwrap_or_default())
        });
        let calls = match self.calls {
            Calls::None => 0,
            Calls::Own => 1,
            Calls::Shared => 2,
        };
        let number = calls + 3 * usize::from(self.keys) + 6 * usize::from(self.transfers);
        STATEMENTS.get(number).map_or("", String::as_str)
    }

    fn to_sql(self) -> String {
        let mut sql = HEAD_AND_EVENTS.to_owned();
        let mut first = EVENT_PARAMETERS + 1;
        let mut add = |is_needed: bool, part: &str, parameters: usize| {
            if is_needed {
                sql.push_str(&numbered(part, first, parameters));
                first += parameters;
            }
        };
        add(self.calls != Calls::None, &self.calls.to_sql(), calls::PARAMETERS);
        add(self.keys, KEYS, KEY_PARAMETERS);
        add(self.transfers, TRANSFERS, TRANSFER_PARAMETERS);
        sql.push_str(NOTIFY);
        sql
    }
}
