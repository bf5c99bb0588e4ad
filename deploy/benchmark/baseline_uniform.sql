-- A transfer between two wallets by chance. The lower id is locked first, so nobody deadlocks; and
-- one statement locks both, which saves the baseline a round trip.
\set source random(1, :wallets)
\set target random(1, :wallets - 1)
\set target CASE WHEN :target >= :source THEN :target + 1 ELSE :target END
BEGIN;
SELECT id, balance FROM wallets WHERE id IN (:source, :target) ORDER BY id FOR UPDATE;
UPDATE wallets SET balance = balance - 0.01 WHERE id = :source;
UPDATE wallets SET balance = balance + 0.01 WHERE id = :target;
INSERT INTO transfers (source, target, amount) VALUES (:source, :target, 0.01);
COMMIT;
