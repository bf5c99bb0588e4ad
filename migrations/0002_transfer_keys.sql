-- The key of a transfer leads to the transfer, whose stream tells the outcome: it need not be written
-- twice, nor changed when a transfer between two partitions ends. `outcome` is NULL in such a row.
ALTER TABLE idempotency_keys ADD COLUMN transfer_id uuid;

-- An outcome is never changed any more, so nobody needs the right to.
REVOKE UPDATE (outcome) ON idempotency_keys FROM florin_service;
