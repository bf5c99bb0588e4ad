//! What the statements of pages and of whole periods have in common.

/// The entries of a period, `low` to `top`, and where the model is: of wallet `$1` in partition `$2`,
/// from `$3` on and before `$4`.
macro_rules! bounds {
    () => {
        "
WITH bounds AS MATERIALIZED (
  SELECT c.position AS checkpoint, p.since AS stale_since,
         CASE WHEN $3 IS NULL THEN 1 ELSE first_entry_since($1, $3) END AS low,
         CASE WHEN $4 IS NULL
              THEN coalesce((SELECT max(m.entry) FROM movements m WHERE m.wallet_id = $1), 0)
              ELSE first_entry_since($1, $4) - 1 END AS top
    FROM (SELECT) AS one
    LEFT JOIN checkpoints c ON c.projection = 'history' AND c.partition = $2
    LEFT JOIN parked_wallets p ON p.projection = 'history' AND p.partition = $2
                              AND p.wallet_id = $1)"
    };
}

/// What [`entry`](super::read::entry) reads.
macro_rules! columns {
    () => {
        "m.entry, m.type, m.status, m.failure, m.amount, m.currency, m.balance_after,
           m.counterparty, m.reference, m.request_id, m.metadata, m.partition, m.position,
           m.recorded_at"
    };
}
