//! Reading: snapshots of generations, for handlers on any thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Generation, Partition, Revision};
use outrigger_core::partitioner::partition_of;
use outrigger_core::store::{Row, Scan, StoreError, View};
use rocksdb::{DB, SnapshotWithThreadMode};

use super::error::{corrupt, rocks};
use super::generation::{OpenGeneration, read_lineage};
use super::merge::Merge;
use super::options::checked_reads;
use super::{lineage, row};

pub(super) type OpenGenerations = BTreeMap<Generation, Arc<OpenGeneration>>;

/// The open generations of one store; a clone is a reference to the same.
#[derive(Clone, Default)]
pub struct GenerationViews {
    /// Written by the store's thread only, read without a lock.
    open: Arc<ArcSwap<OpenGenerations>>,
}

impl GenerationViews {
    /// A snapshot of a generation, while it is open.
    pub fn view(&self, generation: Generation) -> Option<RocksView> {
        let open = self.open.load().get(&generation).cloned();
        open.map(RocksView::new)
    }

    pub(super) fn publish(&self, open: OpenGenerations) {
        self.open.store(Arc::new(open));
    }
}

/// One moment of one generation. It lives on when the generation is closed or removed.
pub struct RocksView {
    // Fields are dropped in this order: the snapshot is released while its database is still open.
    snapshot: SnapshotWithThreadMode<'static, DB>,
    generation: Arc<OpenGeneration>,
}

impl RocksView {
    fn new(generation: Arc<OpenGeneration>) -> RocksView {
        let snapshot = generation.db().snapshot();
        // SAFETY: the snapshot borrows the `DB` inside of the `Arc`, which does not move and lives until
        // the field `generation` is dropped, after the field `snapshot`. The longer lifetime does not
        // leave this struct: everything that is handed out borrows from `self`.
        let snapshot = unsafe {
            std::mem::transmute::<SnapshotWithThreadMode<'_, DB>, SnapshotWithThreadMode<'static, DB>>(
                snapshot,
            )
        };
        RocksView { snapshot, generation }
    }
}

impl View for RocksView {
    fn lineages(&self) -> Result<Vec<Lineage>, StoreError> {
        let read = |partition| {
            let family = self.generation.column_family(partition);
            let read = self.snapshot.get_cf_opt(&family, lineage::KEY, checked_reads());
            read_lineage(partition, read).map_err(StoreError::from)
        };
        Partition::all(self.generation.partitions()).map(read).collect()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let partition = partition_of(key, self.generation.partitions());
        let family = self.generation.column_family(partition);
        let read = self.snapshot.get_pinned_cf_opt(&family, row::key(key), checked_reads());
        let Some(stored) = read.map_err(|error| rocks(&error))? else {
            return Ok(None);
        };
        let (offset, value) = row::read_value(&stored).ok_or_else(|| no_row(partition))?;
        let revision = Revision { partition, offset };
        Ok(Some(Row { revision, value: value.to_vec() }))
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        row: &mut dyn FnMut(&[u8], Revision, &[u8]) -> Scan,
    ) -> Result<(), StoreError> {
        if end.is_some_and(|end| end <= start) {
            return Ok(());
        }
        let (start, end) = (row::key(start), end.map_or(row::END.to_vec(), row::key));
        let cursors = Partition::all(self.generation.partitions()).map(|partition| {
            let mut options = checked_reads();
            options.set_iterate_lower_bound(start.clone());
            options.set_iterate_upper_bound(end.clone());
            // A scan reads much once: it must not push out what is read often.
            options.fill_cache(false);
            self.snapshot.raw_iterator_cf_opt(&self.generation.column_family(partition), options)
        });
        let mut merge = Merge::new(cursors.collect(), reverse)?;
        while let Some((partition, key, stored)) = merge.head() {
            let key = row::read_key(key).ok_or_else(|| no_row(partition))?;
            let (offset, value) = row::read_value(stored).ok_or_else(|| no_row(partition))?;
            if row(key, Revision { partition, offset }, value) == Scan::Stop {
                break;
            }
            merge.advance()?;
        }
        Ok(())
    }
}

fn no_row(partition: Partition) -> StoreError {
    corrupt(format!("partition {partition} holds bytes that are no row"))
}
