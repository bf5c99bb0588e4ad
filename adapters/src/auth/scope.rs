//! What a token allows.

/// One thing that a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Reading the wallets that are the caller's own.
    WalletRead,
    /// Commanding them, and opening them.
    WalletWrite,
    /// Reading any wallet.
    LedgerRead,
    /// Commanding any wallet; only this freezes and unfreezes.
    LedgerWrite,
    /// Looking after the service: read models, dead letters, alerts.
    Ops,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::WalletRead, Self::WalletWrite, Self::LedgerRead, Self::LedgerWrite, Self::Ops];

    /// Its name in a token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WalletRead => "wallet:read",
            Self::WalletWrite => "wallet:write",
            Self::LedgerRead => "ledger:read",
            Self::LedgerWrite => "ledger:write",
            Self::Ops => "ops",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What a token allows in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether this is among them.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// With those of a token that have these names; a token may be for other services, too, and names
    /// that are not ours allow nothing here.
    #[must_use]
    pub fn with_names<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let known = |name| Scope::ALL.into_iter().find(|scope| scope.as_str() == name);
        let bits = names.into_iter().filter_map(known).fold(self.0, |bits, s| bits | s.bit());
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_allows_what_it_says_and_nothing_else() {
        for scope in Scope::ALL {
            let scopes = Scopes::default().with_names([scope.as_str(), "openid", "ledger:*", ""]);
            for other in Scope::ALL {
                assert_eq!(scopes.has(other), other == scope, "{scope:?} {other:?}");
            }
        }
        assert_eq!(Scopes::default().with_names(["OPS", "wallet", "ops "]), Scopes::default());
    }
}
