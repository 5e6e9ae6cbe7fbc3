//! One snapshot as handlers read it: their threads are few, and must not wait for a disk.

use std::sync::Arc;

use bytes::Bytes;
use outrigger_core::lineage::Lineage;
use outrigger_core::store::{Row, StoreError, StoreErrorKind, View, Visit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::rocks::{InMemory, RocksView};

/// Single rows that are read from the disk at the same time, of all stores. More wait for their turn: each holds one
/// thread, and a disk that hangs must not take all of those that scans need.
const DISK_READS_MAX: usize = 64;

/// Shared by all stores of a process.
#[derive(Clone)]
pub(super) struct DiskReads(Arc<Semaphore>);

/// As a `View` it blocks on the disk.
pub struct Snapshot {
    view: RocksView,
    disk: DiskReads,
}

impl DiskReads {
    pub(super) fn new() -> DiskReads {
        DiskReads(Arc::new(Semaphore::new(DISK_READS_MAX)))
    }

    async fn turn(&self) -> OwnedSemaphorePermit {
        self.0.clone().acquire_owned().await.expect("the semaphore is never closed")
    }
}

impl Snapshot {
    pub(super) fn new(view: RocksView, disk: DiskReads) -> Snapshot {
        Snapshot { view, disk }
    }

    /// The row of `key`. What memory has is answered at once, which takes less than a thread's turn; else the disk is
    /// read on a thread that may wait for it.
    pub async fn row(self, key: Bytes) -> Result<Option<Row>, StoreError> {
        match self.view.get_in_memory(&key)? {
            InMemory::Known(row) => Ok(row),
            // Boxed: a future is moved with all that it may hold.
            InMemory::Unknown => Box::pin(self.on_disk(key)).await,
        }
    }

    async fn on_disk(self, key: Bytes) -> Result<Option<Row>, StoreError> {
        let turn = self.disk.turn().await;
        let read = tokio::task::spawn_blocking(move || {
            let row = self.view.get(&key);
            drop(turn);
            row
        });
        read.await.unwrap_or_else(|ended| {
            let detail = format!("the read broke off: {ended}");
            Err(StoreError { kind: StoreErrorKind::Io, detail })
        })
    }
}

impl View for Snapshot {
    fn lineages(&self) -> Result<Vec<Lineage>, StoreError> {
        self.view.lineages()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        self.view.get(key)
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        row: Visit<'_>,
    ) -> Result<(), StoreError> {
        self.view.scan(start, end, reverse, row)
    }
}
