//! What the watches of a store look at: what its copy applied last, and a bell that rings when there is more.

use std::sync::{Mutex, MutexGuard, PoisonError};

use outrigger_core::watch::ring::{Ring, RingNews};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The core thread writes it, watches read it.
pub(super) struct Feed {
    /// The lock is held to take in a batch, which is shared, or for one step of a watch, which compares no keys.
    ring: Mutex<Ring>,
    moved: Notify,
}

impl Feed {
    pub(super) fn new(bytes_max: usize) -> Feed {
        Feed { ring: Mutex::new(Ring::new(bytes_max)), moved: Notify::new() }
    }

    pub(super) fn take(&self, news: RingNews) {
        self.ring().take(news);
    }

    /// Wakes those who wait for a change of the ring or of the gate.
    pub(super) fn moved(&self) {
        self.moved.notify_waiters();
    }

    /// What comes after this call wakes it.
    pub(super) fn next_move(&self) -> Notified<'_> {
        self.moved.notified()
    }

    pub(super) fn ring(&self) -> MutexGuard<'_, Ring> {
        // A ring that a panic left halfway would be wrong for every watch; a panic of the core thread ends the process.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
