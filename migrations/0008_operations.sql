-- Operations: commands whose clients do not wait (`Prefer: respond-async`). The row is the promise of
-- a 202: it is committed before the answer, and everything after that begins from it. Messages in
-- JetStream only say which rows to look at; they may be lost, repeated and late.
--
--   queued ─claim─▶ running ─save─▶ completed | refused | failed
--      ▲               └── not now, or nobody saved in time ──┘ (back to queued, later)
--
-- A client's key is kept in `idempotency_keys` when the command takes effect, and not before: the
-- first of two commands under one key to be decided is the one, be it an operation or not.
CREATE TABLE operations (
  -- A UUID of version 7: by time, and nobody guesses it.
  id               uuid             PRIMARY KEY,
  -- Where its wallet lies: a part of the subject of its messages.
  partition        integer          NOT NULL,
  -- In whose name it was asked, who alone may look at it; NULL if of any wallet.
  owner            text COLLATE "C",
  -- By which it is routed: its own, or the source.
  wallet_id        text COLLATE "C" NOT NULL,
  -- The client's key, if it sent one, whose it is, and what was asked under it, as in
  -- `idempotency_keys`.
  key_scope        text COLLATE "C" NOT NULL,
  request_id       text COLLATE "C",
  fingerprint      bytea            NOT NULL,
  -- open, deposit, withdraw, transfer, freeze, unfreeze, close
  kind             text             NOT NULL,
  -- The command as it was accepted, with the ids that were made up for it: tried again, it is the
  -- same one.
  command          json             NOT NULL,
  -- `If-Match`.
  expected_version bigint,
  traceparent      text,
  -- The call that it came by, in `api_audit`; NULL where calls are not recorded.
  audit_id         uuid,

  state            text             NOT NULL DEFAULT 'queued',
  -- How often it was begun. Who saves says at which attempt, so that one who was given up for dead
  -- changes nothing.
  attempts         integer          NOT NULL DEFAULT 0,
  -- How many of these were before it was last queued by an operator: they do not count as its own.
  attempts_before  integer          NOT NULL DEFAULT 0,
  -- From when on somebody may begin it: of one that runs, when whoever began it is given up.
  due_at           timestamptz      NOT NULL DEFAULT now(),
  -- When its next message goes out, the last one being taken for lost; NULL when it has ended.
  publish_at       timestamptz               DEFAULT now(),
  -- How many messages went out for it before it was begun.
  publications     integer          NOT NULL DEFAULT 0,
  -- The last attempt whose end nobody saw: for a while it may still come to something.
  in_doubt_at      timestamptz,
  -- What became of it.
  verdict          json,
  -- Why the last attempt came to none.
  error            text,
  created_at       timestamptz      NOT NULL DEFAULT now(),
  updated_at       timestamptz      NOT NULL DEFAULT now(),
  finished_at      timestamptz,

  -- The dead letter of one that failed: its number, when it was set aside, when it was published to
  -- operators, and who discarded it, and why.
  letter           bigint,
  set_aside_at     timestamptz,
  told_at          timestamptz,
  decided_by       text,
  reason           text
);
-- The same key sent again is the same operation. Whoever asks in somebody else's name meets neither
-- theirs nor nobody's: an owner is never empty.
CREATE UNIQUE INDEX operations_of_a_key ON operations (key_scope, request_id, coalesce(owner, ''))
  WHERE request_id IS NOT NULL;
-- What is to be published, in order; and how many have not ended.
CREATE INDEX operations_open ON operations (publish_at) WHERE publish_at IS NOT NULL;
-- The dead letters, and those of them that are to be published. Almost always empty.
CREATE UNIQUE INDEX operations_letters ON operations (partition, letter) WHERE letter IS NOT NULL;
CREATE INDEX operations_untold ON operations (set_aside_at)
  WHERE letter IS NOT NULL AND told_at IS NULL;

CREATE SEQUENCE operation_letters;

-- Every dead letter, in two views of the same columns: events that read models could not apply, and
-- operations that came to no outcome. An operation is no event; its command stands for the payload, and
-- its letter's number for the position. Not one view of both: what reads the first letters of all must
-- order and limit each by itself, or all of them are read and sorted.
CREATE VIEW letters_of_events AS
SELECT d.projection, d.partition, d.position, d.wallet_id, e.aggregate_type, e.aggregate_id,
       e.sequence, e.event_type, e.event_version, e.payload::text AS payload,
       e.metadata::text AS metadata, e.recorded_at, d.state, d.error, d.attempts, d.first_at,
       d.last_at, d.decided_by, d.reason, d.published_at
  FROM dead_letters d JOIN events e USING (partition, position);

CREATE VIEW letters_of_operations AS
SELECT 'operations'::text AS projection, o.partition, o.letter AS position, o.wallet_id,
       'Operation'::text AS aggregate_type, o.id::text AS aggregate_id,
       o.attempts::bigint AS sequence, o.kind AS event_type, '1.0'::text AS event_version,
       o.command::text AS payload,
       json_build_object('requestId', o.request_id, 'traceparent', o.traceparent)::text AS metadata,
       o.created_at AS recorded_at,
       CASE WHEN o.state <> 'failed' THEN 'replayed' WHEN o.decided_by IS NULL THEN 'open'
            ELSE 'discarded' END AS state,
       coalesce(o.error, '') AS error, o.attempts, o.set_aside_at AS first_at,
       o.updated_at AS last_at, o.decided_by, o.reason, o.told_at AS published_at
  FROM operations o WHERE o.letter IS NOT NULL;

-- What was asked never changes. The service removes no operation: its owner may remove those that
-- have ended, and with each what is known of its key here.
GRANT SELECT, INSERT ON operations TO florin_service;
GRANT UPDATE (state, attempts, attempts_before, due_at, publish_at, publications, in_doubt_at,
              verdict, error, updated_at, finished_at, letter, set_aside_at, told_at, decided_by, reason)
                     ON operations TO florin_service;
GRANT USAGE          ON SEQUENCE operation_letters TO florin_service;
GRANT SELECT         ON letters_of_events, letters_of_operations TO florin_service;
