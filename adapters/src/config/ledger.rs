//! How the ledger behaves, and what of it is held in memory.

use clap::{ArgAction, Args};
use florin_application::Settings;

use crate::reads::CACHED_BALANCES;

/// How the ledger behaves.
#[derive(Debug, Clone, Args)]
pub struct LedgerArgs {
    /// Whether incoming money opens a wallet that was never opened.
    #[arg(long, env = "FLORIN_AUTO_OPEN", default_value_t = true, action = ArgAction::Set)]
    pub auto_open: bool,
    /// Wallets held in memory, over all partitions; about 250 bytes each.
    #[arg(
        long,
        env = "FLORIN_CACHED_WALLETS",
        default_value_t = Settings::CACHED_WALLETS,
        value_name = "N"
    )]
    pub cached_wallets: usize,
}

impl LedgerArgs {
    /// As the application takes them.
    pub fn settings(&self) -> Settings {
        Settings { auto_open: self.auto_open, cached_wallets: self.cached_wallets }
    }
}

/// How wallets are read.
#[derive(Debug, Clone, Args)]
pub struct ReadArgs {
    /// Balances held in memory, so that a hot one is answered from there; about 1 KB each.
    #[arg(
        long,
        env = "FLORIN_CACHED_BALANCES",
        default_value_t = CACHED_BALANCES,
        value_name = "N"
    )]
    pub cached_balances: usize,
}
