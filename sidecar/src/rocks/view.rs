//! Reading: snapshots of generations, for handlers on any thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Generation, Partition, RequestId, Revision};
use outrigger_core::partitioner::partition_of;
use outrigger_core::store::{Row, Scan, StoreError, View, Visit};
use rocksdb::{DB, ErrorKind, ReadOptions, ReadTier, SnapshotWithThreadMode};

use super::closing::Closing;
use super::error::{corrupt, refused, rocks};
use super::generation::{OpenGeneration, read_lineage};
use super::merge::{Merge, RawIterator};
use super::options::checked_reads;
use super::{lineage, row};
use crate::telemetry::metrics::Vitals;

pub(super) type OpenGenerations = BTreeMap<Generation, Arc<OpenGeneration>>;

pub(super) type Pins = BTreeMap<RequestId, Pinned>;

/// The open generations of one store, and what is pinned of them; a clone is a reference to the same.
#[derive(Clone, Default)]
pub struct GenerationViews {
    /// Written by the store's thread only, read without a lock; so are the pins.
    open: Arc<ArcSwap<OpenGenerations>>,
    pins: Arc<ArcSwap<Pins>>,
}

impl GenerationViews {
    /// A snapshot of a generation, while it is open.
    pub fn view(&self, generation: Generation) -> Option<RocksView> {
        self.open_generation(generation).map(RocksView::new)
    }

    pub(super) fn open_generation(&self, generation: Generation) -> Option<Arc<OpenGeneration>> {
        self.open.load().get(&generation).cloned()
    }

    /// The copy that is kept under `pin`; none before all partitions are.
    pub fn pinned(&self, pin: RequestId) -> Option<PinnedView> {
        let pinned = self.pins.load().get(&pin).cloned()?;
        let parts: Option<Vec<_>> = pinned.parts.into_iter().collect();
        Some(PinnedView { generation: pinned.generation, parts: parts? })
    }

    /// How the open generations are, all together.
    pub fn vitals(&self) -> Vitals {
        let open = self.open.load();
        open.values().map(|open| open.vitals()).fold(Vitals::default(), |all, one| Vitals {
            level_0_files: all.level_0_files.max(one.level_0_files),
            pending_compaction_bytes: all.pending_compaction_bytes + one.pending_compaction_bytes,
            is_stopped: all.is_stopped || one.is_stopped,
            delayed_bytes_per_second: all.delayed_bytes_per_second + one.delayed_bytes_per_second,
            // They share it.
            cache_bytes: one.cache_bytes,
            cache_bytes_max: one.cache_bytes_max,
        })
    }

    pub fn is_open(&self, generation: Generation) -> bool {
        self.open.load().contains_key(&generation)
    }

    pub(super) fn publish(&self, open: OpenGenerations) {
        self.open.store(Arc::new(open));
    }

    pub(super) fn publish_pins(&self, pins: Pins) {
        self.pins.store(Arc::new(pins));
    }
}

/// Partitions of one generation; each is pinned at a moment of its own, or not yet.
#[derive(Clone)]
pub(super) struct Pinned {
    pub(super) generation: Generation,
    parts: Vec<Option<Arc<RocksView>>>,
}

impl Pinned {
    pub(super) fn none(generation: Generation, open: &OpenGeneration) -> Pinned {
        Pinned { generation, parts: Partition::all(open.partitions()).map(|_| None).collect() }
    }

    pub(super) fn pin(&mut self, partition: Partition, open: Arc<OpenGeneration>) {
        self.parts[partition.index()] = Some(Arc::new(RocksView::new(open)));
    }
}

/// What memory alone tells of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InMemory {
    /// The disk would tell the same.
    Known(Option<Row>),
    /// The disk has to be read.
    Unknown,
}

/// One moment of one generation. It lives on when the generation is closed or removed, and then gives no more rows.
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

    pub fn closing(&self) -> &Closing {
        self.generation.closing()
    }

    /// As `get`, but it never waits for the disk.
    pub fn get_in_memory(&self, key: &[u8]) -> Result<InMemory, StoreError> {
        let mut options = checked_reads();
        options.set_read_tier(ReadTier::BlockCache);
        match self.row(key, options) {
            Ok(row) => Ok(InMemory::Known(row)),
            Err(ReadError::Rocks(error)) if error.kind() == ErrorKind::Incomplete => {
                Ok(InMemory::Unknown)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn row(&self, key: &[u8], options: ReadOptions) -> Result<Option<Row>, ReadError> {
        let partition = partition_of(key, self.generation.partitions());
        let family = self.generation.column_family(partition);
        let read = self.snapshot.get_pinned_cf_opt(&family, row::key(key), options);
        let Some(stored) = read.map_err(ReadError::Rocks)? else { return Ok(None) };
        let (offset, value) = row::read_value(&stored).ok_or(ReadError::NoRow(partition))?;
        Ok(Some(Row { revision: Revision { partition, offset }, value: value.to_vec() }))
    }

    /// All rows, in key order.
    pub(super) fn rows(&self) -> Result<Rows<'_>, StoreError> {
        self.rows_in(&Bounds { start: row::key(b""), end: row::END.to_vec() }, false)
    }

    fn rows_in(&self, bounds: &Bounds, reverse: bool) -> Result<Rows<'_>, StoreError> {
        let partitions = Partition::all(self.generation.partitions());
        Rows::of(partitions.map(|partition| self.iterator(partition, bounds)).collect(), reverse)
    }
}

/// A row's key, revision and value.
pub(super) type Head<'a> = (&'a [u8], Revision, &'a [u8]);

/// Rows in key order, one at a time.
pub(super) struct Rows<'a>(Merge<'a>);

impl<'a> Rows<'a> {
    /// `iterators` are indexed by partition.
    fn of(iterators: Vec<RawIterator<'a>>, reverse: bool) -> Result<Rows<'a>, StoreError> {
        Merge::new(iterators, reverse).map(Rows)
    }

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

impl RocksView {
    fn lineage(&self, partition: Partition) -> Result<Lineage, StoreError> {
        let family = self.generation.column_family(partition);
        let read = self.snapshot.get_cf_opt(&family, lineage::KEY, checked_reads());
        read_lineage(partition, read).map_err(StoreError::from)
    }

    fn iterator(&self, partition: Partition, bounds: &Bounds) -> RawIterator<'_> {
        let mut options = checked_reads();
        options.set_iterate_lower_bound(bounds.start.clone());
        options.set_iterate_upper_bound(bounds.end.clone());
        // A scan reads much once: it must not push out what is read often.
        options.fill_cache(false);
        self.snapshot.raw_iterator_cf_opt(&self.generation.column_family(partition), options)
    }
}

impl View for RocksView {
    fn lineages(&self) -> Result<Vec<Lineage>, StoreError> {
        if let Some(lineages) =
            self.generation.latest().of_snapshot(self.snapshot.sequence_number())
        {
            return Ok(lineages);
        }
        let partitions = Partition::all(self.generation.partitions());
        partitions.map(|partition| self.lineage(partition)).collect()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        Ok(self.row(key, checked_reads())?)
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        row: &mut dyn FnMut(&[u8], Revision, &[u8]) -> Scan,
    ) -> Result<(), StoreError> {
        let Some(bounds) = Bounds::of(start, end) else { return Ok(()) };
        visit(self.rows_in(&bounds, reverse)?, self.closing(), row)
    }
}

enum ReadError {
    Rocks(rocksdb::Error),
    NoRow(Partition),
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> StoreError {
        match error {
            ReadError::Rocks(error) => rocks(&error),
            ReadError::NoRow(partition) => no_row(partition),
        }
    }
}

/// The copy of one pin: each partition at its own moment.
pub struct PinnedView {
    generation: Generation,
    /// One for each partition, in order.
    parts: Vec<Arc<RocksView>>,
}

impl PinnedView {
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// All parts are of one open generation, which this tells about.
    pub fn closing(&self) -> &Closing {
        self.parts[0].closing()
    }

    fn parts(&self) -> impl Iterator<Item = (Partition, &RocksView)> {
        (0..).map(Partition).zip(self.parts.iter().map(Arc::as_ref))
    }
}

impl View for PinnedView {
    fn lineages(&self) -> Result<Vec<Lineage>, StoreError> {
        self.parts().map(|(partition, part)| part.lineage(partition)).collect()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let count = u32::try_from(self.parts.len()).expect("Kafka counts partitions in 31 bits");
        self.parts[partition_of(key, count).index()].get(key)
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        row: Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(bounds) = Bounds::of(start, end) else { return Ok(()) };
        let iterators = self.parts().map(|(partition, part)| part.iterator(partition, &bounds));
        visit(Rows::of(iterators.collect(), reverse)?, self.closing(), row)
    }
}

/// Bounds of a range of keys, as they are stored.
struct Bounds {
    start: Vec<u8>,
    end: Vec<u8>,
}

impl Bounds {
    /// None: no key is within.
    fn of(start: &[u8], end: Option<&[u8]>) -> Option<Bounds> {
        let empty = end.is_some_and(|end| end <= start);
        let bounds =
            || Bounds { start: row::key(start), end: end.map_or(row::END.to_vec(), row::key) };
        (!empty).then(bounds)
    }
}

/// Visits rows. Ends with an error when the generation is closed meanwhile.
fn visit(mut rows: Rows<'_>, closing: &Closing, row: Visit<'_>) -> Result<(), StoreError> {
    while let Some((key, revision, value)) = rows.head()? {
        if closing.is_closed() {
            return Err(refused("the copy was closed while it was read".to_owned()));
        }
        if row(key, revision, value) == Scan::Stop {
            break;
        }
        rows.advance()?;
    }
    Ok(())
}

fn no_row(partition: Partition) -> StoreError {
    corrupt(format!("partition {partition} holds bytes that are no row"))
}

#[cfg(test)]
mod tests;
