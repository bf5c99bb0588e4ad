-- The record of calls: who sent what to the API, when, and what they were told. One row a POST. That
-- of a command is inserted with its events, whose metadata name it (`auditId`), so that no event is
-- without the call that it came by, and no call claims events that are not there.
--
-- Only `id` has an index: a call is found by its id, and a page of calls by the order of ids, which
-- is that of time (UUID v7). Each further index would cost every command its share.
CREATE TABLE api_audit (
  id          uuid        PRIMARY KEY,
  received_at timestamptz NOT NULL,
  method      text        NOT NULL,
  url         text        NOT NULL,
  -- A JSON object of texts by name, secrets taken out. It is kept and shown and never searched, so
  -- that Postgres need not read it.
  headers     text        NOT NULL,
  -- Its first part; NULL when it was refused before it was read.
  body        text,
  body_bytes  bigint      NOT NULL,
  -- NULL when it is not known.
  client      inet,
  -- NULL when the caller did not say, or could not show, who it is.
  subject     text,
  trace_id    text        NOT NULL,
  -- What the caller was told. 499: it left before it was.
  status      smallint    NOT NULL
);

-- A row is not changed, save for the status, where the caller was told something else than what the
-- command came to: that it took too long, or that a transfer was completed after all. It is removed
-- by whoever owns the table, in the end: `DELETE FROM api_audit WHERE id < …`.
GRANT SELECT, INSERT  ON api_audit TO florin_service;
GRANT UPDATE (status) ON api_audit TO florin_service;
