-- The relay: who copies which partition to JetStream, and how far it is. Nothing here is truth: an
-- empty table makes the relay begin again at position 1, and whoever follows the stream counts
-- positions and skips what it has.

-- Who does what only one process may do: `relay:<partition>`, `projection:<name>:<partition>`. A
-- holder renews its rows every second in one statement; when it dies, its rows run out and another
-- process takes them. One row a name, some dozens in all, each updated every second: the low
-- fillfactor lets an update stay on its page, and no index but the key is ever touched.
CREATE TABLE leases (
  name        text        PRIMARY KEY,
  -- The process: its pid and a random id, so that a restarted one is another holder.
  holder      text        NOT NULL,
  -- By the database's clock alone, which all processes share. A holder measures its own time since
  -- it last renewed, and stops before this moment comes.
  expires_at  timestamptz NOT NULL,
  -- Since when without interruption, for whoever asks who does what.
  acquired_at timestamptz NOT NULL
) WITH (fillfactor = 10);
-- No index on `holder` or `expires_at`: an update would have to write it each time, and the table is
-- smaller than a page.

-- The last position of each partition up to which JetStream has acknowledged everything. Moved
-- `WHERE` it is where the relay left it, so a relay that lost its lease and does not know it yet
-- cannot move it back.
CREATE TABLE relay_cursors (
  partition    integer     PRIMARY KEY,
  position     bigint      NOT NULL DEFAULT 0,
  published_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10);
-- No foreign key to `partitions`: that row is the busiest of the ledger, and nobody removes it.

GRANT SELECT, INSERT, UPDATE, DELETE ON leases        TO florin_service;
GRANT SELECT, INSERT, UPDATE         ON relay_cursors TO florin_service;
