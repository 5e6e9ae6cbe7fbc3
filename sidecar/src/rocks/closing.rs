//! Tells everybody who reads a generation that it was closed: RocksDB opens a directory once, so that a reader who
//! stays would keep the store from coming back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Whether one open generation was closed; a clone is a reference to the same.
#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Readers look at it for every row.
    closed: AtomicBool,
    /// It wakes those who wait.
    told: CancellationToken,
}

impl Closing {
    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::Relaxed);
        self.0.told.cancel();
    }

    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Relaxed)
    }

    /// Waits until the generation is closed.
    pub async fn closed(&self) {
        self.0.told.cancelled().await;
    }
}
