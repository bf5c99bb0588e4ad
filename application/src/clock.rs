//! Where the application gets the time from.

use chrono::{DateTime, Utc};

/// The time of day. `adapters` has the real one, tests one that stands still.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> DateTime<Utc>;
}
