-- The tables of a wallet service with row locks, with integers for ids, which helps it.
CREATE TABLE wallets (
  id      integer PRIMARY KEY,
  balance numeric NOT NULL CHECK (balance >= 0)
);
CREATE TABLE transfers (
  id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source      integer     NOT NULL,
  target      integer     NOT NULL,
  amount      numeric     NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE deposits (
  id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  wallet      integer     NOT NULL,
  amount      numeric     NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO wallets SELECT id, 1000000000 FROM generate_series(1, :wallets) AS id;
