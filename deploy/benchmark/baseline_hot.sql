-- A transfer from one wallet that all transfers share to another by chance. The shared one has the
-- lowest id, so whoever waits for it holds nothing that others need.
\set source 1
\set target random(2, :wallets)
BEGIN;
SELECT id, balance FROM wallets WHERE id IN (:source, :target) ORDER BY id FOR UPDATE;
UPDATE wallets SET balance = balance - 0.01 WHERE id = :source;
UPDATE wallets SET balance = balance + 0.01 WHERE id = :target;
INSERT INTO transfers (source, target, amount) VALUES (:source, :target, 0.01);
COMMIT;
