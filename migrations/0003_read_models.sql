-- The read models: folds of the journal, kept as rows. Derived, every one of them: they may be
-- emptied at any time, and are then folded anew from the first event.
--
-- Rows and checkpoint are saved in one transaction, so an event counts exactly once however often it
-- is delivered. Only `projections` writes here. Its statements name tables without a schema: a
-- rebuild fills the same tables in another schema, chosen by `search_path`.
--
-- Wallet ids compare by bytes (COLLATE "C"): they are ASCII, and every index on them is then
-- independent of the machine's locale, and cheaper.

-- How far each projection has come in each partition. A batch moves it `WHERE position = known`
-- before anything else: of two workers on the same partition one finds nothing to move, and the row
-- stays locked until the batch is committed, so that a replay can hold the projection still. Few
-- rows, updated all the time: as in `partitions`.
CREATE TABLE checkpoints (
  projection text        NOT NULL,
  partition  integer     NOT NULL,
  position   bigint      NOT NULL DEFAULT 0,
  -- How many wallets of this partition are parked: a batch learns with the checkpoint that there
  -- are none, which is the rule, and asks no further.
  parked     integer     NOT NULL DEFAULT 0,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (projection, partition)
) WITH (fillfactor = 10);

-- The wallets whose rows stand still in a projection, because an event of theirs could not be
-- applied. Almost always empty.
CREATE TABLE parked_wallets (
  projection text             NOT NULL,
  partition  integer          NOT NULL,
  wallet_id  text COLLATE "C" NOT NULL,
  -- The event that could not be applied; after a replay that failed, the one that it failed at.
  position   bigint           NOT NULL,
  error      text             NOT NULL,
  -- When the first event that the rows lack was recorded: since then they are stale.
  since      timestamptz      NOT NULL,
  parked_at  timestamptz      NOT NULL DEFAULT now(),
  PRIMARY KEY (projection, partition, wallet_id)
);

-- The events that were not applied: the one that could not be, and those that came after it in its
-- wallet. The event itself stays in the journal, where nothing is ever lost, and is found there by
-- partition and position.
CREATE TABLE dead_letters (
  projection   text             NOT NULL,
  partition    integer          NOT NULL,
  position     bigint           NOT NULL,
  -- The wallet that is parked for it; NULL for an event of a transfer whose source is unknown.
  wallet_id    text COLLATE "C",
  -- open → replayed | discarded
  state        text             NOT NULL DEFAULT 'open',
  error        text             NOT NULL,
  -- How often it was tried; 0 for one that only follows.
  attempts     integer          NOT NULL,
  first_at     timestamptz      NOT NULL DEFAULT now(),
  last_at      timestamptz      NOT NULL DEFAULT now(),
  -- Who discarded it, and why.
  decided_by   text,
  reason       text,
  -- When it was published to operators, once it was.
  published_at timestamptz,
  PRIMARY KEY (projection, partition, position)
);
-- What a replay settles: the open letters of one wallet, and the discarded ones that it skips.
CREATE INDEX dead_letters_of_a_wallet ON dead_letters (projection, partition, wallet_id, position);
-- What is to be published, in order.
CREATE INDEX dead_letters_unpublished ON dead_letters (first_at) WHERE published_at IS NULL;

-- ── balance ─────────────────────────────────────────────────────────────────────────────────────

-- One row a wallet, as `GET /wallets/{id}` shows it. What changes with a movement is not indexed,
-- and pages keep room, so that an update stays on its page and touches no index.
CREATE TABLE balances (
  wallet_id  text COLLATE "C" PRIMARY KEY,
  partition  integer          NOT NULL,
  currency   text             NOT NULL,
  balance    numeric          NOT NULL,
  status     text             NOT NULL,
  owner      text,
  -- What the client attached when it opened the wallet.
  metadata   json,
  -- The sequence and the position of the wallet's last event.
  version    bigint           NOT NULL,
  position   bigint           NOT NULL,
  opened_at  timestamptz      NOT NULL,
  updated_at timestamptz      NOT NULL
) WITH (fillfactor = 70);
-- The wallets of one owner, in the order of the list. An owner never changes.
CREATE INDEX balances_of_an_owner ON balances (owner, wallet_id) WHERE owner IS NOT NULL;

-- ── history ─────────────────────────────────────────────────────────────────────────────────────

-- One row a movement of money, newest last. `entry` numbers the movements of a wallet without gaps,
-- in the order of their positions: the one index gives the newest page, the page after a cursor,
-- page 4,711 and the total, each by a range; and because time never runs backwards in a partition, a
-- time is found among the entries by bisection. A second index would cost every transfer twice.
CREATE TABLE movements (
  wallet_id     text COLLATE "C" NOT NULL,
  entry         bigint           NOT NULL,
  partition     integer          NOT NULL,
  position      bigint           NOT NULL,
  -- deposit, withdrawal, transfer_in, transfer_out, transfer_refund
  type          text             NOT NULL,
  -- completed; a transfer_out is pending until its transfer has ended, and failed if it was refunded
  status        text             NOT NULL,
  -- Why it failed.
  failure       text,
  amount        numeric          NOT NULL,
  currency      text             NOT NULL,
  balance_after numeric          NOT NULL,
  -- The other wallet of a transfer.
  counterparty  text COLLATE "C",
  -- The transfer's id, or the transaction id of a deposit or withdrawal.
  reference     uuid             NOT NULL,
  request_id    text,
  metadata      json,
  recorded_at   timestamptz      NOT NULL,
  PRIMARY KEY (wallet_id, entry)
  -- Nearly only inserted: some room, for transfers between partitions, whose status changes once.
) WITH (fillfactor = 90);

-- The outgoing transfers that have not ended, so that their end finds their entry. Within one
-- partition most transfers end in the batch in which they begin and never come here.
CREATE TABLE movements_in_flight (
  transfer_id uuid             PRIMARY KEY,
  wallet_id   text COLLATE "C" NOT NULL,
  entry       bigint           NOT NULL
);

-- The first entry of a wallet that was recorded at that time or later; one after the last if none
-- was. Twenty look-ups by the primary key among a million entries. STABLE: it sees what the calling
-- statement sees.
CREATE FUNCTION first_entry_since(wallet text, since timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
  low    bigint := 1;
  high   bigint;
  middle bigint;
BEGIN
  SELECT coalesce(max(m.entry), 0) + 1 INTO high FROM movements m WHERE m.wallet_id = wallet;
  WHILE low < high LOOP
    middle := (low + high) / 2;
    IF (SELECT m.recorded_at >= since FROM movements m
         WHERE m.wallet_id = wallet AND m.entry = middle) THEN
      high := middle;
    ELSE
      low := middle + 1;
    END IF;
  END LOOP;
  RETURN low;
END $$;

-- ── stats ───────────────────────────────────────────────────────────────────────────────────────

-- The sums of one wallet, all in its one currency. A transfer that is refunded counts in neither
-- direction: it counts as sent from its debit, and no more from its refund. Room on the pages as in
-- `balances`.
CREATE TABLE wallet_stats (
  wallet_id              text COLLATE "C" PRIMARY KEY,
  partition              integer NOT NULL,
  currency               text    NOT NULL,
  deposited              numeric NOT NULL DEFAULT 0,
  deposits               bigint  NOT NULL DEFAULT 0,
  withdrawn              numeric NOT NULL DEFAULT 0,
  withdrawals            bigint  NOT NULL DEFAULT 0,
  transferred_in         numeric NOT NULL DEFAULT 0,
  transfers_in           bigint  NOT NULL DEFAULT 0,
  transferred_out        numeric NOT NULL DEFAULT 0,
  transfers_out          bigint  NOT NULL DEFAULT 0,
  -- When money last moved; NULL when it never has.
  last_activity_at       timestamptz
) WITH (fillfactor = 70);

-- What came in and went out on one day (UTC). A refunded transfer is taken out of the day of its
-- debit.
CREATE TABLE wallet_volumes (
  wallet_id  text COLLATE "C" NOT NULL,
  day        date    NOT NULL,
  money_in   numeric NOT NULL DEFAULT 0,
  count_in   bigint  NOT NULL DEFAULT 0,
  money_out  numeric NOT NULL DEFAULT 0,
  count_out  bigint  NOT NULL DEFAULT 0,
  PRIMARY KEY (wallet_id, day)
) WITH (fillfactor = 70);

-- The outgoing transfers that have not ended, with the day on which they count.
CREATE TABLE stats_in_flight (
  transfer_id uuid             PRIMARY KEY,
  wallet_id   text COLLATE "C" NOT NULL,
  day         date             NOT NULL
);

-- The service keeps and reads all of this. DELETE is for replays, which fold one wallet anew.
GRANT SELECT, INSERT, UPDATE         ON checkpoints         TO florin_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON parked_wallets      TO florin_service;
-- A dead letter is settled, never removed.
GRANT SELECT, INSERT, UPDATE         ON dead_letters        TO florin_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON balances            TO florin_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON movements           TO florin_service;
GRANT SELECT, INSERT, DELETE         ON movements_in_flight TO florin_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON wallet_stats        TO florin_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON wallet_volumes      TO florin_service;
GRANT SELECT, INSERT, DELETE         ON stats_in_flight     TO florin_service;
