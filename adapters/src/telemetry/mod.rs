//! What a running service tells of itself, to people and to machines.
//!
//! | file | tells |
//! |---|---|
//! | `log` | what happens, line by line |
//! | `metrics` | how much, how fast, and how far behind, in figures |
//! | `traces` | what a request led to, span by span |

mod log;
pub mod metrics;
pub mod traces;

pub use log::{
    Bounds, DEFAULT_FILTER, FileError, Files, FilterError, Format, Guard, LogControl, MAX_FILTER,
    Role, Settings, TelemetryError, init, routes as log_routes,
};
