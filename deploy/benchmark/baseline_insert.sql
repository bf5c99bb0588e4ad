-- The least that a durable deposit can be: one row, one commit.
\set wallet random(1, :wallets)
INSERT INTO deposits (wallet, amount) VALUES (:wallet, 1.00);
