//! One generation: a database that is open, and how it is made and opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use outrigger_core::batch::Batch;
use outrigger_core::lineage::Lineage;
use outrigger_core::load::newest_per_key;
use outrigger_core::offset::{Generation, Partition};
use outrigger_core::store::{GenerationState, StoreError};
use rocksdb::{
    BoundColumnFamily, ColumnFamilyDescriptor, DB, IngestExternalFileOptions, Options,
    WaitForCompactOptions, WriteBatch, properties, properties::PropName,
};

use super::closing::Closing;
use super::directory::StoreDirectory;
use super::error::{corrupt, io, of_open, rocks};
use super::latest::Latest;
use super::lineage::LineageError;
use super::options::{Changes, Shared, Use, checked_reads, column_family_name, unlogged, waiting};
use super::{files, lineage, retention, row};
use crate::telemetry::metrics::Vitals;

/// A file that says which layout the database has, so that an unknown one is never opened.
const FORMAT: &str = "FORMAT";
const FORMAT_TEXT: &str = "format = 1\n";
/// The layout's number, in that file.
pub(super) const FORMAT_NUMBER: u32 = 1;

/// What a write of a record costs a `WriteBatch` beside key and value: tag, column family, lengths,
/// our prefix and offset.
const RECORD_OVERHEAD_BYTES: usize = 24;

/// Shared by the store, which writes, and whoever reads. The last of them closes the database.
pub(super) struct OpenGeneration {
    // Fields are dropped in this order: `closed` speaks only when the database is closed.
    db: DB,
    partitions: u32,
    latest: Latest,
    closing: Closing,
    _closed: SyncSender<()>,
}

/// Tells when the last user of a generation is gone.
pub(super) struct Closed(Receiver<()>);

impl Closed {
    /// Waits for that, no longer than `limit`. False: somebody still reads.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        self.0.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
    }
}

pub(super) enum Opening {
    Open(OpenGeneration, Closed, Vec<Lineage>),
    /// The state is `UnknownFormat` or `Corrupt`.
    Unusable(GenerationState),
}

/// Makes an empty generation that is durable, and not open yet.
pub(super) fn create(
    directory: &StoreDirectory,
    generation: Generation,
    lineages: &[Lineage],
    shared: &Shared,
) -> Result<(), StoreError> {
    let creating = directory.begin(generation)?;
    fill(&creating, lineages, shared).map_err(|error| rocks(&error))?;
    write_format(&creating)?;
    directory.reveal(&creating, generation)
}

pub(super) fn write_format(generation: &Path) -> Result<(), StoreError> {
    let format = generation.join(FORMAT);
    files::replace(&format, FORMAT_TEXT.as_bytes()).map_err(|error| io("write", &format, &error))
}

fn fill(path: &Path, lineages: &[Lineage], shared: &Shared) -> Result<(), rocksdb::Error> {
    let mut options = shared.database()?;
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let partitions = u32::try_from(lineages.len()).expect("Kafka counts partitions in 31 bits");
    let db =
        DB::open_cf_descriptors(&options, path, shared.column_families(partitions, Use::Load))?;
    let (open, _) = OpenGeneration::new(db, partitions);
    for (partition, lineage) in Partition::all(partitions).zip(lineages) {
        open.confirm(partition, lineage)?;
    }
    open.flush()
}

/// Opens a generation that is on disk. `Err`: the disk failed, which says nothing of the generation.
pub(super) fn open(
    path: &Path,
    partitions: u32,
    purpose: Use,
    shared: &Shared,
) -> Result<Opening, StoreError> {
    open_as(path, partitions, purpose, shared, |options, families| {
        DB::open_cf_descriptors(options, path, families)
    })
}

/// The state that `open` would find. Nothing on disk is changed.
pub(super) fn inspect(
    path: &Path,
    partitions: u32,
    shared: &Shared,
) -> Result<GenerationState, StoreError> {
    Ok(match open_read_only(path, partitions, shared)? {
        Opening::Open(_, _, lineages) => GenerationState::Intact(lineages),
        Opening::Unusable(state) => state,
    })
}

/// Opens a generation that nobody writes to. Nothing on disk is changed.
pub(super) fn open_read_only(
    path: &Path,
    partitions: u32,
    shared: &Shared,
) -> Result<Opening, StoreError> {
    open_as(path, partitions, Use::Reads, shared, |options, families| {
        let error_if_log_file_exists = false;
        DB::open_cf_descriptors_read_only(options, path, families, error_if_log_file_exists)
    })
}

fn open_as(
    path: &Path,
    partitions: u32,
    purpose: Use,
    shared: &Shared,
    open: impl FnOnce(&Options, Vec<ColumnFamilyDescriptor>) -> Result<DB, rocksdb::Error>,
) -> Result<Opening, StoreError> {
    let format = path.join(FORMAT);
    match files::read(&format) {
        Ok(Some(text)) if text == FORMAT_TEXT.as_bytes() => {}
        Ok(Some(text)) => {
            let text = String::from_utf8_lossy(&text).trim().chars().take(100).collect();
            return Ok(Opening::Unusable(GenerationState::UnknownFormat(text)));
        }
        Ok(None) => return Ok(unusable(format!("{} is missing", format.display()))),
        Err(_) if !path.is_dir() => {
            return Ok(unusable(format!("{} is no directory", path.display())));
        }
        Err(error) => return Err(io("read", &format, &error)),
    }
    let options = shared.database().map_err(|error| rocks(&error))?;
    let db = match open(&options, shared.column_families(partitions, purpose)) {
        Ok(db) => db,
        Err(error) => return of_open(&error).map(Opening::Unusable),
    };
    let (open, closed) = OpenGeneration::new(db, partitions);
    match open.lineages() {
        Ok(mut lineages) => {
            let heard_ms = retention::read(path).map_err(|error| io("read", path, &error))?;
            for lineage in &mut lineages {
                lineage.see_retention(heard_ms);
            }
            match purpose {
                Use::Reads => open.latest.begin(&lineages, open.db.latest_sequence_number()),
                Use::Load => {}
            }
            Ok(Opening::Open(open, closed, lineages))
        }
        Err(LineagesError::Version(detail)) => {
            Ok(Opening::Unusable(GenerationState::UnknownFormat(detail)))
        }
        Err(LineagesError::Lost(detail)) => Ok(unusable(detail)),
        Err(LineagesError::Read(error)) => of_open(&error).map(Opening::Unusable),
    }
}

fn unusable(detail: String) -> Opening {
    Opening::Unusable(GenerationState::Corrupt(detail))
}

/// Why a generation that opened has no readable lineages.
pub(super) enum LineagesError {
    Version(String),
    Lost(String),
    Read(rocksdb::Error),
}

impl From<LineagesError> for StoreError {
    fn from(error: LineagesError) -> StoreError {
        match error {
            LineagesError::Version(detail) | LineagesError::Lost(detail) => corrupt(detail),
            LineagesError::Read(error) => rocks(&error),
        }
    }
}

/// Reads the lineage of `partition` out of what was read under its key.
pub(super) fn read_lineage(
    partition: Partition,
    read: Result<Option<Vec<u8>>, rocksdb::Error>,
) -> Result<Lineage, LineagesError> {
    let Some(bytes) = read.map_err(LineagesError::Read)? else {
        return Err(LineagesError::Lost(format!("partition {partition} has no lineage")));
    };
    lineage::decode(&bytes).map_err(|error| match error {
        LineageError::Version(_) => LineagesError::Version(error.to_string()),
        LineageError::Malformed => {
            LineagesError::Lost(format!("partition {partition} has {error}"))
        }
    })
}

impl OpenGeneration {
    fn new(db: DB, partitions: u32) -> (OpenGeneration, Closed) {
        let (closed, receiver) = mpsc::sync_channel(0);
        (
            OpenGeneration {
                db,
                partitions,
                latest: Latest::default(),
                closing: Closing::default(),
                _closed: closed,
            },
            Closed(receiver),
        )
    }

    pub(super) fn db(&self) -> &DB {
        &self.db
    }

    pub(super) fn partitions(&self) -> u32 {
        self.partitions
    }

    pub(super) fn column_family(&self, partition: Partition) -> Arc<BoundColumnFamily<'_>> {
        let name = column_family_name(partition.0);
        self.db.cf_handle(&name).expect("a generation is opened with all its column families")
    }

    pub(super) fn latest(&self) -> &Latest {
        &self.latest
    }

    /// A load is in use from now on: what was taken in with its files becomes known to reads.
    pub(super) fn begin_reads(&self) -> Result<(), StoreError> {
        self.latest.begin(&self.lineages()?, self.db.latest_sequence_number());
        Ok(())
    }

    fn lineages(&self) -> Result<Vec<Lineage>, LineagesError> {
        let read = |partition| {
            let family = self.column_family(partition);
            read_lineage(partition, self.db.get_cf_opt(&family, lineage::KEY, &checked_reads()))
        };
        Partition::all(self.partitions).map(read).collect()
    }

    /// Writes records and lineage at once: both are there after a crash, or neither.
    pub(super) fn apply(
        &self,
        batch: &Arc<Batch>,
        lineage: &Lineage,
    ) -> Result<(), rocksdb::Error> {
        let family = self.column_family(batch.partition);
        let bytes = batch.bytes() + (batch.records().len() + 1) * RECORD_OVERHEAD_BYTES;
        let mut records_and_lineage = WriteBatch::with_capacity_bytes(bytes);
        let (mut key, mut value) = (Vec::new(), Vec::new());
        // It goes by key: neighbours in a memtable are found faster.
        for record in newest_per_key(std::slice::from_ref(batch)) {
            row::write_key(&mut key, record.key);
            match record.value {
                Some(raw) => {
                    row::write_value(&mut value, record.offset, raw);
                    records_and_lineage.put_cf(&family, &key, &value);
                }
                None => records_and_lineage.delete_cf(&family, &key),
            }
        }
        records_and_lineage.put_cf(&family, lineage::KEY, lineage::encode(lineage));
        self.db.write_opt(records_and_lineage, &unlogged())?;
        self.latest.wrote(batch.partition, lineage, self.db.latest_sequence_number());
        Ok(())
    }

    pub(super) fn confirm(
        &self,
        partition: Partition,
        lineage: &Lineage,
    ) -> Result<(), rocksdb::Error> {
        let family = self.column_family(partition);
        self.db.put_cf_opt(&family, lineage::KEY, lineage::encode(lineage), &unlogged())?;
        self.latest.wrote(partition, lineage, self.db.latest_sequence_number());
        Ok(())
    }

    pub(super) fn flush(&self) -> Result<(), rocksdb::Error> {
        let families: Vec<_> = Partition::all(self.partitions)
            .map(|partition| self.column_family(partition))
            .collect();
        let families: Vec<_> = families.iter().collect();
        self.db.flush_cfs_opt(&families, &waiting())
    }

    /// Takes in files of sorted runs of a partition, later ones over earlier ones, as one step that is durable when it
    /// is done. The files are moved. While level 0 has more than `level_0_max` files, it waits.
    pub(super) fn take_in(
        &self,
        partition: Partition,
        files: Vec<PathBuf>,
        level_0_max: u64,
    ) -> Result<(), rocksdb::Error> {
        let family = self.column_family(partition);
        if self.level_0_files(partition)? > level_0_max {
            self.db.wait_for_compact(&WaitForCompactOptions::default())?;
        }
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.db.ingest_external_file_cf_opts(&family, &options, files)
    }

    /// Changes options of a partition. It takes tens of milliseconds: RocksDB writes all options anew.
    pub(super) fn change(
        &self,
        partition: Partition,
        changes: &Changes,
    ) -> Result<(), rocksdb::Error> {
        let changes: Vec<_> = changes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.db.set_options_cf(&self.column_family(partition), &changes)
    }

    /// How many files of level 0 a read may have to look into.
    pub(super) fn level_0_files(&self, partition: Partition) -> Result<u64, rocksdb::Error> {
        let family = self.column_family(partition);
        let files = self.db.property_int_value_cf(&family, properties::num_files_at_level(0))?;
        Ok(files.unwrap_or(0))
    }

    /// Whether it slows writes down or stops them, for compaction is behind.
    pub(super) fn holds_writes_up(&self) -> bool {
        let property = |name: &PropName| self.db.property_int_value(name).ok().flatten();
        [properties::IS_WRITE_STOPPED, properties::ACTUAL_DELAYED_WRITE_RATE]
            .iter()
            .any(|name| property(name).is_some_and(|value| value > 0))
    }

    /// What the database tells of itself. What it does not know of a partition counts as nothing.
    pub(super) fn vitals(&self) -> Vitals {
        let of_database = |name: &PropName| self.db.property_int_value(name).ok().flatten();
        let database = |name: &PropName| of_database(name).unwrap_or(0);
        let partitions = Partition::all(self.partitions);
        let partitions = partitions.map(|partition| {
            let family = self.column_family(partition);
            let of = |name: &PropName| self.db.property_int_value_cf(&family, name).ok().flatten();
            let pending = of(properties::ESTIMATE_PENDING_COMPACTION_BYTES).unwrap_or(0);
            (self.level_0_files(partition).unwrap_or(0), pending)
        });
        let partitions: Vec<_> = partitions.collect();
        Vitals {
            level_0_files: partitions.iter().map(|(files, _)| *files).max().unwrap_or(0),
            pending_compaction_bytes: partitions.iter().map(|(_, bytes)| bytes).sum(),
            is_stopped: database(properties::IS_WRITE_STOPPED) > 0,
            delayed_bytes_per_second: database(properties::ACTUAL_DELAYED_WRITE_RATE),
            cache_bytes: database(properties::BLOCK_CACHE_USAGE),
            cache_bytes_max: database(properties::BLOCK_CACHE_CAPACITY),
        }
    }

    pub(super) fn closing(&self) -> &Closing {
        &self.closing
    }

    /// The generation is no longer in use: whoever reads it ends soon.
    pub(super) fn close(&self) {
        self.closing.close();
        self.freeze();
    }

    /// From now on nothing of the generation changes on disk, whoever still reads it: its directory may be renamed,
    /// removed or, when the last read has ended, opened again.
    pub(super) fn freeze(&self) {
        let wait = true;
        self.db.cancel_all_background_work(wait);
    }
}
