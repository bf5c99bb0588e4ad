-- no-transaction
-- Of one transaction the second outcome still waits for the first, but nobody looks for it by this any more:
-- it is among the oldest with the first.
DROP INDEX CONCURRENTLY intake_outcomes_untold_of_a_transaction;
