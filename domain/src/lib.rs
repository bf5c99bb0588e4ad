//! The rules of the ledger, pure: no IO, no clock, no random, no logging.
