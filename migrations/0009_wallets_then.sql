-- What a wallet was at a moment that has passed. What it held then is in the row of its last event, which
-- is found by bisection in its stream; whether it was frozen or closed is in an event that may lie a
-- million before that one. This index has those events and no others, so that the last of them is one
-- look-up away however busy the wallet is.
--
-- A wallet is opened once and frozen seldom: an append of deposits, withdrawals and transfers has no row
-- for it, and pays for nothing but seeing that. The status of a wallet is asked without its aggregate's
-- type, which these types of events imply: so the primary key is of no use to that question, and no plan
-- can prefer it and walk through the stream.
CREATE INDEX events_of_status ON events (aggregate_id, sequence)
 WHERE event_type IN ('WalletOpened', 'WalletFrozen', 'WalletUnfrozen', 'WalletClosed');
