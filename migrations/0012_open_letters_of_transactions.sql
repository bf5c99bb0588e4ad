-- no-transaction
-- A transaction that comes to its end settles its letter, if it has one. Almost always none is open.
CREATE INDEX CONCURRENTLY intake_letters_open_of_a_transaction ON intake_letters (transaction_id)
  WHERE state = 'open';
