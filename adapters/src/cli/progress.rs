//! What a verb that takes long shows of itself on a terminal: how far it is, how fast, and when it will
//! be done. Where nobody watches, and in a pipe, it shows nothing.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often a bar moves that nothing happens to.
const TICK: Duration = Duration::from_millis(200);

/// A bar on standard error. Dropping it clears it.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// So many events are to be dealt with.
    pub(super) fn of(what: &'static str, events: u64) -> Self {
        // Standard error that is no terminal hides the bar.
        let bar = ProgressBar::new(events).with_message(what);
        let template = "{msg} {wide_bar} {human_pos}/{human_len} events, {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// What it is doing now.
    pub(super) fn says(&self, what: &'static str) {
        self.0.set_message(what);
    }

    /// So many more were.
    pub(super) fn add(&self, events: u64) {
        self.0.inc(events);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
