-- What the rules remember of a busy wallet is a few kilobytes of JSON, and written anew with each of its
-- batches: at three thousand transfers a second over a thousand wallets, compressing it was most of what
-- the fraud rules cost Postgres. Rows stay whole up to half a page instead of being moved out, and what
-- is compressed is compressed by LZ4, several times faster, where this Postgres was built with it.
ALTER TABLE fraud_histories SET (toast_tuple_target = 4080);
DO $$
BEGIN
  ALTER TABLE fraud_histories ALTER COLUMN history SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
  RAISE NOTICE 'no LZ4 here: histories are compressed as before';
END $$;
