-- Fraud: what the rules found, and what people and processes did about it.
--
-- Two kinds of tables. `fraud_histories` and `fraud_alerts` are a read model like the others: a fold,
-- emptied and folded anew at will. The rest is not derived: nothing in the journal says what a person
-- decided, what was published, or since when a rule freezes. A rebuild leaves it alone, and the ids of
-- alerts, made of rule and event, are the same after it; so decisions find their alerts again, and
-- nothing is published or frozen twice.

-- ── the read model ──────────────────────────────────────────────────────────────────────────────

-- What the rules remember of a wallet: some 500 bytes, 8 KiB at most. Room on the pages as in
-- `balances`: each movement of the wallet changes its row.
CREATE TABLE fraud_histories (
  wallet_id text COLLATE "C" PRIMARY KEY,
  partition integer          NOT NULL,
  -- The wallet's last movement.
  position  bigint           NOT NULL,
  history   json             NOT NULL
) WITH (fillfactor = 70);

-- One row an alert: a rule's condition came to hold at an event. Only inserted, but for its being
-- published.
CREATE TABLE fraud_alerts (
  -- `<rule>:<partition>-<position>`, the same in every fold.
  id           text COLLATE "C" PRIMARY KEY,
  wallet_id    text COLLATE "C" NOT NULL,
  rule         text COLLATE "C" NOT NULL,
  -- The event.
  partition    integer          NOT NULL,
  position     bigint           NOT NULL,
  -- When it was recorded.
  at           timestamptz      NOT NULL,
  -- The positions of the movements that were counted, in the same partition, oldest first.
  evidence     bigint[]         NOT NULL,
  sum          numeric          NOT NULL,
  currency     text             NOT NULL,
  reason       text             NOT NULL,
  -- As `published_messages` has it: whoever folds the alert anew copies it from there.
  published_at timestamptz
);
-- The list, newest first, and the list of one wallet, which its stats ask for too.
CREATE INDEX fraud_alerts_by_time     ON fraud_alerts (at, id);
CREATE INDEX fraud_alerts_of_a_wallet ON fraud_alerts (wallet_id, at, id);
-- What is to be published, in order. Almost always empty.
CREATE INDEX fraud_alerts_unpublished ON fraud_alerts (at, partition, position)
  WHERE published_at IS NULL;
-- The next alerts of a rule that freezes.
CREATE INDEX fraud_alerts_of_a_rule   ON fraud_alerts (rule, partition, position);

-- ── not derived ─────────────────────────────────────────────────────────────────────────────────

-- By which settings the events of a partition are judged: those of the last row before the event, or
-- the defaults. A process that starts with other settings than the last row's adds one at the
-- checkpoint of that moment. So alerts that were found stand, later events are judged by the new
-- thresholds, and a replay or a fresh fold, reading the same rows, comes to the same alerts. To judge
-- the past by the present settings is a rebuild: it begins with one row of its own, before all events.
CREATE TABLE fraud_settings (
  partition      integer     NOT NULL,
  after_position bigint      NOT NULL,
  settings       json        NOT NULL,
  adopted_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partition, after_position)
);

-- What people decided about alerts: facts, and never changed. Each verdict is given once: open →
-- acknowledged → dismissed, or open → dismissed. No foreign key to `fraud_alerts`, which a rebuild
-- empties.
CREATE TABLE fraud_decisions (
  alert_id   text COLLATE "C" NOT NULL,
  -- acknowledged, dismissed
  verdict    text             NOT NULL,
  decided_by text             NOT NULL,
  reason     text,
  decided_at timestamptz      NOT NULL DEFAULT now(),
  PRIMARY KEY (alert_id, verdict)
);
CREATE FUNCTION refuse_change_of_decision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'decisions are immutable: % is refused', TG_OP
    USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER fraud_decisions_are_immutable
  BEFORE UPDATE OR DELETE OR TRUNCATE ON fraud_decisions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_decision();

-- The ids of the alerts and dead letters that JetStream has acknowledged. A fold that makes the same
-- alert or letter again finds its id here, and it is not published again.
CREATE TABLE published_messages (
  message_id   text COLLATE "C" PRIMARY KEY,
  published_at timestamptz      NOT NULL DEFAULT now()
);

-- Which rules freeze wallets, and up to where their alerts have been dealt with. It begins at the head
-- of the partition when the policy is switched on, and follows the checkpoint of `fraud`: so neither
-- the past, nor a replay, nor a rebuild with other thresholds freezes anybody.
CREATE TABLE freeze_policies (
  rule      text COLLATE "C" NOT NULL,
  partition integer          NOT NULL,
  position  bigint           NOT NULL,
  since     timestamptz      NOT NULL DEFAULT now(),
  PRIMARY KEY (rule, partition)
) WITH (fillfactor = 10);

GRANT SELECT, INSERT, UPDATE, DELETE ON fraud_histories    TO florin_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON fraud_alerts       TO florin_service;
-- UPDATE: two adoptions without an event between them are one.
GRANT SELECT, INSERT, UPDATE         ON fraud_settings     TO florin_service;
GRANT SELECT, INSERT                 ON fraud_decisions    TO florin_service;
GRANT SELECT, INSERT                 ON published_messages TO florin_service;
-- DELETE: a policy that is switched off.
GRANT SELECT, INSERT, UPDATE, DELETE ON freeze_policies    TO florin_service;
