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

/// One snapshot. As a `View` it blocks on the disk.
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

    /// Returns the row of `key`. What memory has is answered at once, which takes less than a thread's turn; else the
    /// disk is read on a thread that may wait for it.
    pub async fn row(self, key: Bytes) -> Result<Option<Row>, StoreError> {
        match self.view.get_in_memory(&key)? {
            InMemory::Known(row) => Ok(row),
            // It is boxed: a future is moved with all that it may hold.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use outrigger_core::batch::BatchBuilder;
    use outrigger_core::offset::{Generation, Offset, Partition};
    use outrigger_core::store::{StoreCall, StoreEvent};
    use outrigger_core::topic::{Identity, TopicId};

    use super::*;
    use crate::rocks::{Resources, RocksStore, Shared};

    const G1: Generation = Generation(1);
    const ROWS: u64 = 20;

    fn store(data: &Path) -> RocksStore {
        let resources =
            Resources { block_cache_bytes: 1 << 20, load_bytes: 1 << 20, background_threads: 2 };
        RocksStore::new(data, "notes", Arc::new(Shared::new(resources)))
    }

    fn identity() -> Identity {
        let (store, cluster) = ("notes".to_owned(), "c".to_owned());
        Identity { store, cluster, topic: TopicId([7; 16]), partitions: 1 }
    }

    fn done(store: &mut RocksStore, call: StoreCall) {
        let event = store.handle(call);
        assert!(!matches!(event, StoreEvent::Failed { .. }), "{event:?}");
    }

    /// Makes a value that fills a block, and that no compression makes smaller.
    fn value(number: u64) -> Vec<u8> {
        let words = (0..2_048_u64)
            .map(|at| (at + 2_048 * number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
        words.flat_map(|word| word.wrapping_mul(word | 1).to_le_bytes()).collect()
    }

    fn key(number: u64) -> Bytes {
        format!("key {number:02}").into()
    }

    fn apply(store: &mut RocksStore, number: u64) {
        let offset = Offset(number);
        let mut batch = BatchBuilder::new(Partition(0), 1, offset);
        batch.push(offset, None, Some(&key(number)), Some(&value(number)));
        let batch = Arc::new(batch.finish(offset.next()));
        let lineage = Lineage { position: offset.next(), ..Lineage::empty(1, 2) };
        done(store, StoreCall::Apply { generation: G1, batch, lineage });
    }

    /// Makes rows `0..ROWS` in a file that was just opened, and one more in memory.
    fn reopened(data: &Path) -> RocksStore {
        let mut before = store(data);
        let lineages = vec![Lineage::empty(1, 2)];
        let create = StoreCall::Create { generation: G1, identity: identity(), lineages };
        done(&mut before, create);
        for number in 0..ROWS {
            apply(&mut before, number);
        }
        done(&mut before, StoreCall::Flush { generation: G1 });
        done(&mut before, StoreCall::Activate { generation: G1 });
        drop(before);
        let mut store = store(data);
        done(&mut store, StoreCall::Open { expected: identity() });
        apply(&mut store, ROWS);
        store
    }

    /// Returns what a read answers at once, if it does.
    async fn at_once(snapshot: Snapshot, number: u64) -> Option<Option<Row>> {
        let mut row = std::pin::pin!(snapshot.row(key(number)));
        std::future::poll_fn(|context| match row.as_mut().poll(context) {
            std::task::Poll::Ready(row) => std::task::Poll::Ready(Some(row.unwrap())),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn what_memory_has_is_told_at_once_and_the_rest_waits_for_its_turn_at_the_disk() {
        let data = tempfile::tempdir().unwrap();
        let store = reopened(data.path());
        let disk = DiskReads::new();
        let snapshot = || Snapshot::new(store.views().view(G1).unwrap(), disk.clone());
        let all = u32::try_from(DISK_READS_MAX).unwrap();
        let turns = disk.0.clone().acquire_many_owned(all).await.unwrap();

        let row = at_once(snapshot(), ROWS).await.expect("it is in memory").expect("a row");
        assert_eq!((row.revision.offset, row.value), (Offset(ROWS), value(ROWS)));
        assert_eq!(at_once(snapshot(), ROWS - 1).await, None, "it is on the disk, which is busy");
        drop(turns);
        let row = snapshot().row(key(ROWS - 1)).await.unwrap().expect("a row");
        assert_eq!((row.revision.offset, row.value), (Offset(ROWS - 1), value(ROWS - 1)));
        assert_eq!(disk.0.available_permits(), DISK_READS_MAX, "its turn is over");

        let _turns = disk.0.clone().acquire_many_owned(all).await.unwrap();
        let again = at_once(snapshot(), ROWS - 1).await.expect("memory has it now");
        assert_eq!(again.map(|row| row.revision.offset), Some(Offset(ROWS - 1)));
    }

    #[tokio::test]
    async fn a_row_whose_bytes_are_rotten_is_an_error_and_frees_its_turn() {
        let data = tempfile::tempdir().unwrap();
        let store = reopened(data.path());
        for entry in std::fs::read_dir(data.path().join("notes").join("g1")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "sst") {
                let mut bytes = std::fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
        }
        let disk = DiskReads::new();
        let mut damaged = 0;
        for number in 0..ROWS {
            let snapshot = Snapshot::new(store.views().view(G1).unwrap(), disk.clone());
            if let Err(error) = snapshot.row(key(number)).await {
                assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}");
                damaged += 1;
            }
        }
        assert!(damaged > 0, "the middle of the file is in some row's block");
        assert_eq!(disk.0.available_permits(), DISK_READS_MAX);
    }
}
