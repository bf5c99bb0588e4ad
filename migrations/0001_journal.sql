-- The journal: the append-only log that is the only truth, and what is written in the same
-- transaction with it. Column names follow postgres-es, whose repository can read `events` and
-- `snapshots`; what it does not know has a default.

-- Who the service is. The tables belong to whoever migrates; the service holds exactly the rights
-- granted here, so that not even a defect of it can change history.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'florin_service') THEN
    CREATE ROLE florin_service NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  -- Another database of the same cluster was migrated at the same moment: the role is there.
  NULL;
END $$;

-- The end of each partition. An append moves it `WHERE head_position = expected`, which is the
-- optimistic concurrency of the ledger: one row a partition, one winner an append. Few rows, updated
-- all the time: the low fillfactor lets every update stay on its page without touching the index.
CREATE TABLE partitions (
  partition     integer PRIMARY KEY,
  head_position bigint  NOT NULL DEFAULT 0,
  head_hash     bytea   NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
) WITH (fillfactor = 10);

-- One row an event, for ever.
CREATE TABLE events (
  aggregate_type text        NOT NULL,
  aggregate_id   text        NOT NULL,
  -- Dense within the stream: 1, 2, 3 …
  sequence       bigint      NOT NULL,
  event_type     text        NOT NULL,
  event_version  text        NOT NULL,
  -- `json`, not `jsonb`: the text is kept byte for byte, and the hash is over these bytes.
  payload        json        NOT NULL,
  metadata       json        NOT NULL,
  partition      integer     NOT NULL DEFAULT 0,
  -- Dense within the partition, in commit order. No gap and no late arrival can exist, so whoever
  -- reads `position > n ORDER BY position` never skips an event.
  position       bigint      NOT NULL,
  -- Set by the writer, never earlier than the event before: an order by time is an order by position.
  recorded_at    timestamptz NOT NULL DEFAULT now(),
  -- What the wallet holds after the event; transfers hold nothing.
  balance        numeric,
  -- sha256 of the previous event's hash and every column of this one.
  hash           bytea       NOT NULL,

  -- Second guard of optimistic concurrency, and the index by which a stream is loaded. The id comes
  -- first because it alone tells most rows apart: half the comparisons of an insert.
  PRIMARY KEY (aggregate_id, aggregate_type, sequence),
  -- Third guard, and the index by which everyone follows the journal.
  UNIQUE (partition, position),
  -- Money cannot be made by overdrawing, whoever inserts; and a wallet always says what it holds, so
  -- that silence does not evade the law.
  CONSTRAINT no_wallet_below_zero CHECK (coalesce(balance >= 0, aggregate_type <> 'Wallet'))
);
-- One CHECK, and no others on the tables of an append: Postgres reads each of them anew for every
-- statement, which for a batch of one costs more than the insert. What they would say is proved by
-- the chain.
-- No foreign key to `partitions`: it would cost a look-up a row, and the append moves the head of
-- an existing partition or inserts nothing.

-- History is immutable by law: no role, superusers included, changes or removes an event.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'events are immutable: % is refused', TG_OP
    USING ERRCODE = 'insufficient_privilege',
          HINT = 'Correct a mistake with a new event.';
END $$;
CREATE TRIGGER events_are_immutable
  BEFORE UPDATE OR DELETE OR TRUNCATE ON events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The first outcome of a key is its only outcome. The key is a wallet's (or nobody's, '', where the
-- ledger made up the id of a new wallet), and is inserted with the events that it led to: the
-- primary key makes a second use fail the whole append, and the writer looks up the first.
CREATE TABLE idempotency_keys (
  wallet_id   text  NOT NULL,
  request_id  text  NOT NULL,
  -- 128 bits of what was asked: another request under the same key is refused.
  fingerprint bytea NOT NULL,
  -- The answer, refusals included; NULL while a transfer is under way.
  outcome     json,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (wallet_id, request_id)
);

-- The transfers whose money is in flight between two partitions. Written and removed with the events
-- that begin and end them, so that after a crash the unfinished ones are found without reading the
-- log. Almost always empty.
CREATE TABLE unfinished_transfers (
  transfer_id uuid    PRIMARY KEY,
  partition   integer NOT NULL
);

-- The state of a wallet at some version: loading it needs only the events after that. Derived, and
-- may be deleted at any time.
CREATE TABLE snapshots (
  aggregate_type   text        NOT NULL,
  aggregate_id     text        NOT NULL,
  last_sequence    bigint      NOT NULL CHECK (last_sequence >= 0),
  current_snapshot bigint      NOT NULL DEFAULT 1 CHECK (current_snapshot >= 0),
  payload          json        NOT NULL,
  -- The shape of `payload`: a snapshot of another shape is ignored, and replaced in time.
  schema_version   integer     NOT NULL DEFAULT 1,
  position         bigint      NOT NULL DEFAULT 0,
  opened_at        timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (aggregate_type, aggregate_id)
);

-- The least rights with which the service works.
GRANT SELECT, INSERT                 ON events               TO florin_service;
GRANT SELECT, UPDATE                 ON partitions           TO florin_service;
GRANT SELECT, INSERT                 ON idempotency_keys     TO florin_service;
GRANT UPDATE (outcome)               ON idempotency_keys     TO florin_service;
GRANT SELECT, INSERT, DELETE         ON unfinished_transfers TO florin_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON snapshots            TO florin_service;
GRANT SELECT                         ON _sqlx_migrations     TO florin_service;
