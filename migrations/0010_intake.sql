-- What other services ask of the ledger by messages, and what they are told. A message in the stream
-- INTAKE is dealt with when what it came to is committed here, and is acknowledged after that: until
-- then it comes again. The money itself moves in the journal, under keys made of the transaction's id
-- (`intake:<id>:completed`), so that a message, a row here and an event may meet each other in any
-- order, and again, and the money moves once.

-- One row a transaction: what was asked, how far it is, and why.
--
--   waiting ──its users are there──▶ open ──┬─▶ completed ──transaction.failed──▶ reversed
--      │                                    └─▶ refused            └─ cannot be ─▶ stuck
--      └─ transaction.failed came first ──────▶ failed
--
-- `completed` tells the other services "Completed", all others that end tell them "Failed", once each.
CREATE TABLE intake_transactions (
  transaction_id text COLLATE "C" PRIMARY KEY,
  -- TopUp, Transfer; NULL where only the failure came, and did not say.
  kind           text,
  -- What is asked, as the first message asked for it; another message under the same id is told to
  -- operators. A top-up has no sender; where the failure came first, nothing is asked any more.
  sender         text COLLATE "C",
  receiver       text COLLATE "C",
  amount         numeric,
  -- Why it failed, once transaction.failed has come.
  failure        text,
  state          text        NOT NULL,
  -- How often in a row it came to nothing: its user is unknown, or the ledger has trouble.
  tries          integer     NOT NULL DEFAULT 0,
  -- Which attempt to reverse it is next, or was the last: part of its key. A refused attempt is over,
  -- so that the next one may be made when operators ask for it.
  reversals      integer     NOT NULL DEFAULT 1,
  -- The deposit or transfer, and the withdrawal or transfer that took it back.
  movement       uuid,
  reversal       uuid,
  -- Why it was refused, or what it waits for.
  error          text,
  created_at     timestamptz NOT NULL DEFAULT now(),
  updated_at     timestamptz NOT NULL DEFAULT now()
  -- Rows change once or twice, soon after they were made, in columns that no index has.
) WITH (fillfactor = 80);

-- What other services are told: `wallet.transactionFinalized`. Committed with the change of state that it
-- tells of; removed some minutes after JetStream has acknowledged it. A server that is killed may have
-- lost by then what it acknowledged: it comes back under another id, and is told all of this again.
CREATE TABLE intake_outcomes (
  number         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  transaction_id text COLLATE "C" NOT NULL,
  -- Completed, Failed
  status         text             NOT NULL,
  reason         text,
  recorded_at    timestamptz      NOT NULL DEFAULT now(),
  -- The server that has acknowledged it, and when; NULL while it is to be told.
  told_to        text,
  told_at        timestamptz
);
-- What is to be told, in order, and of one transaction the second after the first; what is to be removed.
CREATE INDEX intake_outcomes_untold ON intake_outcomes (number) WHERE told_at IS NULL;
CREATE INDEX intake_outcomes_untold_of_a_transaction ON intake_outcomes (transaction_id, number)
  WHERE told_at IS NULL;
CREATE INDEX intake_outcomes_told ON intake_outcomes (told_at) WHERE told_at IS NOT NULL;

-- The messages that came to nothing, for operators: they cannot be understood, or what they ask for
-- cannot be. Almost always empty.
CREATE TABLE intake_letters (
  letter         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- What makes two messages the same: a message that comes again is the same letter.
  identity       text COLLATE "C" NOT NULL UNIQUE,
  -- user.signup, transaction.completed, transaction.failed
  subject        text             NOT NULL,
  -- The user or the transaction, if the message says that.
  about          text COLLATE "C",
  -- The transaction whose row waits for a decision about this letter; NULL if none does.
  transaction_id text COLLATE "C",
  wallet_id      text COLLATE "C",
  -- The message, as far as it is kept: the fields that are known, and of a signup the user's id alone.
  message        json             NOT NULL,
  -- open → replayed | discarded; a replayed one that comes to nothing again is open again.
  state          text             NOT NULL DEFAULT 'open',
  error          text             NOT NULL,
  attempts       integer          NOT NULL DEFAULT 1,
  set_aside_at   timestamptz      NOT NULL DEFAULT now(),
  updated_at     timestamptz      NOT NULL DEFAULT now(),
  -- When operators were told, once they were; who discarded it, and why.
  told_at        timestamptz,
  decided_by     text,
  reason         text,
  -- When a replayed one is sent to INTAKE (again); NULL when that is not to be done, or it has been
  -- dealt with. How often it was sent.
  publish_at     timestamptz,
  publications   integer          NOT NULL DEFAULT 0
);
-- What is to be sent again, and what is to be told.
CREATE INDEX intake_letters_replayed ON intake_letters (publish_at) WHERE publish_at IS NOT NULL;
CREATE INDEX intake_letters_untold   ON intake_letters (set_aside_at) WHERE told_at IS NULL;

-- In the columns of the other dead letters (0008). A message is no event; what is kept of it stands for
-- the payload, and its letter's number for the position.
CREATE VIEW letters_of_intake AS
SELECT 'intake'::text AS projection, 0 AS partition, l.letter AS position, l.wallet_id,
       'Message'::text AS aggregate_type, coalesce(l.about, 'unknown') AS aggregate_id,
       l.attempts::bigint AS sequence, l.subject AS event_type, '1.0'::text AS event_version,
       l.message::text AS payload, '{}'::text AS metadata, l.set_aside_at AS recorded_at, l.state,
       l.error, l.attempts, l.set_aside_at AS first_at, l.updated_at AS last_at, l.decided_by,
       l.reason, l.told_at AS published_at
  FROM intake_letters l;

-- What was asked never changes, and no transaction is forgotten: its row is why a message that comes a
-- year later does nothing. Their owner may remove old ones all the same; the journal's keys then still
-- keep the money from moving twice, but what comes late is answered anew.
GRANT SELECT, INSERT         ON intake_transactions TO florin_service;
GRANT UPDATE (kind, failure, state, tries, reversals, movement, reversal, error, updated_at)
                             ON intake_transactions TO florin_service;
GRANT SELECT, INSERT, DELETE ON intake_outcomes     TO florin_service;
GRANT UPDATE (told_to, told_at) ON intake_outcomes  TO florin_service;
GRANT SELECT, INSERT         ON intake_letters      TO florin_service;
GRANT UPDATE (state, error, attempts, set_aside_at, updated_at, told_at, decided_by, reason, publish_at,
              publications)  ON intake_letters      TO florin_service;
GRANT SELECT                 ON letters_of_intake   TO florin_service;
