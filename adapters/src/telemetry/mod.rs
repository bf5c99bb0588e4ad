//! What a running service tells of itself, to people and to machines.
//!
//! | file | tells |
//! |---|---|
//! | `log` | what happens, line by line |

mod log;

pub use log::{DEFAULT_FILTER, Format, Guard, TelemetryError, init};
