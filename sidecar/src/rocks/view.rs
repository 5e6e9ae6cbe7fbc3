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

    pub fn is_open(&self, generation: Generation) -> bool {
        self.open.load().contains_key(&generation)
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
    pub(super) fn new(generation: Arc<OpenGeneration>) -> RocksView {
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

    pub(super) fn partitions(&self) -> u32 {
        self.generation.partitions()
    }

    /// All rows, in key order.
    pub(super) fn rows(&self) -> Result<Rows<'_>, StoreError> {
        self.rows_between(&row::key(b""), row::END, false)
    }

    /// `start..end` in stored form.
    fn rows_between(
        &self,
        start: &[u8],
        end: &[u8],
        reverse: bool,
    ) -> Result<Rows<'_>, StoreError> {
        let cursors = Partition::all(self.generation.partitions()).map(|partition| {
            let mut options = checked_reads();
            options.set_iterate_lower_bound(start);
            options.set_iterate_upper_bound(end);
            // A scan reads much once: it must not push out what is read often.
            options.fill_cache(false);
            self.snapshot.raw_iterator_cf_opt(&self.generation.column_family(partition), options)
        });
        Merge::new(cursors.collect(), reverse).map(Rows)
    }
}

/// A row's key, revision and value.
pub(super) type Head<'a> = (&'a [u8], Revision, &'a [u8]);

/// Rows in key order, one at a time.
pub(super) struct Rows<'a>(Merge<'a>);

impl Rows<'_> {
    /// The next row.
    pub(super) fn head(&self) -> Result<Option<Head<'_>>, StoreError> {
        let Some((partition, key, stored)) = self.0.head() else { return Ok(None) };
        let key = row::read_key(key).ok_or_else(|| no_row(partition))?;
        let (offset, value) = row::read_value(stored).ok_or_else(|| no_row(partition))?;
        Ok(Some((key, Revision { partition, offset }, value)))
    }

    pub(super) fn advance(&mut self) -> Result<(), StoreError> {
        self.0.advance()
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
        let mut rows = self.rows_between(&start, &end, reverse)?;
        while let Some((key, revision, value)) = rows.head()? {
            if row(key, revision, value) == Scan::Stop {
                break;
            }
            rows.advance()?;
        }
        Ok(())
    }
}

fn no_row(partition: Partition) -> StoreError {
    corrupt(format!("partition {partition} holds bytes that are no row"))
}
