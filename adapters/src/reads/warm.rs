//! Whether the read models have come to where the journal was when this process began.
//!
//! What an earlier process told its clients is not known here, and a crash of Postgres takes the last
//! batches of the models back. So a process is not ready before its models are that far, and nobody who
//! was told of a wallet finds it gone after a restart. It does not insist: a model that is far behind,
//! or on which nobody works, holds it up for [`WARM_UP`].

use std::sync::Arc;
use std::time::Duration;

use florin_projections::checkpoint;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::board::Board;
use crate::postgres::follow::heads;

/// How long the models are waited for: as long as the work of a process that was killed may take to
/// be taken over, and a moment.
pub const WARM_UP: Duration = Duration::from_secs(6);

/// How long to wait before Postgres is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// Waits for the models, and says when that is over.
pub(super) async fn warm_up(pool: PgPool, board: Arc<Board>, is_warm: watch::Sender<bool>) {
    let (positions, heads) = loop {
        let read = (checkpoint::positions_of_all(&pool).await, heads(&pool).await);
        match read {
            (Ok(positions), Ok(heads)) => break (positions, heads),
            (Err(_), _) | (_, Err(_)) => sleep(AGAIN).await,
        }
    };
    let deadline = Instant::now() + WARM_UP;
    // A model that has never run is none that somebody was told of.
    for (model, partition, _) in positions {
        let head = heads.iter().find(|(of, ..)| *of == partition).map_or(0, |(_, head, _)| *head);
        if !board.reached(&model, partition, head, deadline).await {
            tracing::warn!(model, partition, head, "the read model is behind at the start");
        }
    }
    is_warm.send_replace(true);
}
