//! Changes of the status of any store.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use outrigger_core::node::Status;
use tokio::sync::watch;

use super::stores::Store;

pub(super) struct Changes(Vec<watch::Receiver<Arc<Status>>>);

/// No more changes will come: a store was closed for good.
pub(super) struct Closed;

impl Changes {
    pub(super) fn of(stores: &[Store]) -> Changes {
        Changes(stores.iter().map(|store| store.handle.status_changes()).collect())
    }

    /// Waits for a change since the last call; many at once count as one.
    pub(super) async fn next(&mut self) -> Result<(), Closed> {
        let mut waits: Vec<_> =
            self.0.iter_mut().map(|receiver| Box::pin(receiver.changed())).collect();
        let first = std::future::poll_fn(|context| {
            let changed =
                waits.iter_mut().map(|wait| wait.as_mut().poll(context)).find(Poll::is_ready);
            changed.unwrap_or(Poll::Pending)
        });
        first.await.map_err(|_| Closed)?;
        drop(waits);
        for changes in &mut self.0 {
            changes.mark_unchanged();
        }
        Ok(())
    }
}
