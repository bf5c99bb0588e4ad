//! What a runner tells: its health to the process, and to the log once when something goes and once
//! when it is back.

use super::{BatchError, Checkpoint, FoldError, Runner, State};

impl Runner {
    /// Remembers where the projection is, and tells whoever waits for it.
    pub(super) fn publish(&mut self, at: Checkpoint) {
        self.known = Some(at);
        self.parts.progress.update(|health| {
            health.checkpoint = at.position;
            health.parked = at.parked;
            health.head = health.head.max(at.position);
            if health.head == at.position {
                health.behind_since = None;
            }
        });
        self.parts.progress.stands(at.position);
    }

    pub(super) fn measure(&mut self, events: usize) {
        if let Some(rate) = self.meter.count(events as u64) {
            self.parts.progress.update(|health| health.rate = rate);
        }
    }

    pub(super) fn lag(&self) -> u64 {
        self.parts.progress.health().lag()
    }

    pub(super) fn state(&self, state: State) {
        self.parts.progress.update(|health| health.state = state);
    }

    pub(super) fn note_trouble(&mut self, error: &BatchError) {
        let (projection, partition) = (self.parts.model.name(), self.parts.partition);
        if !self.is_retrying {
            tracing::warn!(projection, partition, %error, "projection waits");
        }
        self.is_retrying = true;
        self.parts.progress.update(|health| {
            health.state = State::Retrying;
            health.last_error = Some(error.to_string());
        });
    }

    pub(super) fn note_recovery(&mut self) {
        if std::mem::take(&mut self.is_retrying) {
            let (projection, partition) = (self.parts.model.name(), self.parts.partition);
            tracing::info!(projection, partition, "projection goes on");
        }
    }

    pub(super) fn note_source(&mut self, trouble: Option<String>) {
        let (projection, partition) = (self.parts.model.name(), self.parts.partition);
        match (trouble, self.is_source_away) {
            (Some(error), was_away) => {
                if !was_away {
                    tracing::warn!(projection, partition, %error, "source away: following the journal");
                }
                self.is_source_away = true;
                self.parts.progress.update(|health| health.last_error = Some(error));
            }
            (None, true) => {
                self.is_source_away = false;
                tracing::info!(projection, partition, "source back");
            }
            (None, false) => {}
        }
    }

    pub(super) fn note_culprit(&mut self, error: &FoldError, attempt: u32) {
        let (projection, partition) = (self.parts.model.name(), self.parts.partition);
        tracing::warn!(projection, partition, attempt, %error, "events not applied");
        self.parts.progress.update(|health| health.last_error = Some(error.to_string()));
    }
}
