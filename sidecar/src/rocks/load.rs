//! Writes a generation that is not in use yet, past RocksDB's memtables: batches gather into runs, each run is sorted
//! and written as a file while the next one gathers, and a flush takes all files in.
//!
//! Until then the files lie beside the database, where it does not look: what a crash leaves of them is removed, and
//! the records are read again.

use std::collections::VecDeque;
use std::fs;
use std::hint::black_box;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use outrigger_core::batch::{Batch, Record};
use outrigger_core::lineage::Lineage;
use outrigger_core::load::newest_per_key;
use outrigger_core::offset::Partition;
use outrigger_core::store::StoreError;
use rocksdb::{Options, SstFileWriter};

use super::error::{io, refused, rocks};
use super::generation::OpenGeneration;
use super::options::Shared;
use super::writers::Held;
use super::{lineage, row};

const DIRECTORY: &str = "load";

/// One run gathers, two are written, and some wait for a writer. Larger runs are fewer files and hold more
/// overwritten rows, which are then not written at all; but the last one is written while nothing else is left
/// to do.
const RUNS_IN_MEMORY: usize = 6;

/// Records in key order lie all over the run's memory. Where this many are touched before any is written, the waits for
/// memory overlap.
const TOUCHED_AT_ONCE: usize = 64;

/// Bytes of memory that come at once.
const CACHE_LINE: usize = 64;

/// Files of level 0 at which a flush waits for compaction: what a Get may have to look into once the load is in use,
/// until they are compacted, and what makes opening slow.
const LEVEL_0_FILES_MAX: u64 = 384;

pub(super) struct Load {
    shared: Arc<Shared>,
    directory: PathBuf,
    partitions: Vec<Gathering>,
    /// Runs on their way to their files, in the order of their submission.
    writing: VecDeque<(Partition, Receiver<Written>)>,
    runs: u64,
}

/// What came for one partition since the last flush.
struct Gathering {
    batches: Vec<Arc<Batch>>,
    held: Held,
    /// The lineage after the last batch or confirmation; none when all is flushed.
    lineage: Option<Lineage>,
    /// Files of the runs that are written, in log order.
    written: Vec<PathBuf>,
}

type Written = Result<PathBuf, StoreError>;

impl Load {
    /// Begins the bulk load of `generation`, which is open, and which CURRENT does not name.
    pub(super) fn begin(
        generation: &Path,
        open: &OpenGeneration,
        shared: &Arc<Shared>,
    ) -> Result<Load, StoreError> {
        let directory = generation.join(DIRECTORY);
        remove(&directory)?;
        fs::create_dir(&directory).map_err(|error| io("create", &directory, &error))?;
        let gathering = |_| Gathering {
            batches: Vec::new(),
            held: shared.writers().hold(),
            lineage: None,
            written: Vec::new(),
        };
        let partitions = Partition::all(open.partitions()).map(gathering).collect();
        let shared = Arc::clone(shared);
        Ok(Load { shared, directory, partitions, writing: VecDeque::new(), runs: 0 })
    }

    pub(super) fn apply(&mut self, batch: Arc<Batch>, lineage: Lineage) -> Result<(), StoreError> {
        let gathering = &mut self.partitions[batch.partition.index()];
        gathering.held.add(batch.unflushed_bytes());
        gathering.lineage = Some(lineage);
        gathering.batches.push(batch);
        if self.gathered_bytes() >= self.shared.writers().held_max() / RUNS_IN_MEMORY {
            self.cut_largest()?;
        }
        while self.shared.writers().is_full() {
            match (self.writing.is_empty(), self.gathered_bytes()) {
                (false, _) => self.wait_for_oldest()?,
                (true, 0) => break,
                (true, _) => self.cut_largest()?,
            }
        }
        Ok(())
    }

    pub(super) fn confirm(&mut self, partition: Partition, lineage: Lineage) {
        self.partitions[partition.index()].lineage = Some(lineage);
    }

    /// Takes everything in, one partition after another, each as one step.
    pub(super) fn flush(&mut self, open: &OpenGeneration) -> Result<(), StoreError> {
        let changed: Vec<Partition> = Partition::all(open.partitions())
            .filter(|partition| self.partitions[partition.index()].lineage.is_some())
            .collect();
        for partition in &changed {
            self.cut(*partition)?;
        }
        while !self.writing.is_empty() {
            self.wait_for_oldest()?;
        }
        for partition in changed {
            let gathering = &mut self.partitions[partition.index()];
            let files = std::mem::take(&mut gathering.written);
            open.take_in(partition, files, LEVEL_0_FILES_MAX).map_err(|error| rocks(&error))?;
            gathering.lineage = None;
        }
        Ok(())
    }

    /// Ends the load, before the generation is put into use. An error when it has rows that are not flushed.
    pub(super) fn end(&mut self, open: &OpenGeneration) -> Result<(), StoreError> {
        let rows =
            |gathering: &Gathering| !(gathering.batches.is_empty() && gathering.written.is_empty());
        if !self.writing.is_empty() || self.partitions.iter().any(rows) {
            return Err(refused("rows that are not flushed would be put into use".to_owned()));
        }
        let confirm = |(partition, gathering): (Partition, &Gathering)| match &gathering.lineage {
            Some(lineage) => open.confirm(partition, lineage),
            None => Ok(()),
        };
        let mut all = Partition::all(open.partitions()).zip(&self.partitions);
        all.try_for_each(confirm).map_err(|error| rocks(&error))
    }

    fn gathered_bytes(&self) -> usize {
        self.partitions.iter().map(|gathering| gathering.held.bytes()).sum()
    }

    fn cut_largest(&mut self) -> Result<(), StoreError> {
        let partitions = Partition::all(u32::try_from(self.partitions.len()).expect("31 bits"));
        let largest = partitions
            .max_by_key(|partition| self.partitions[partition.index()].held.bytes())
            .expect("a topic has partitions");
        self.cut(largest)
    }

    /// Makes a run of what has gathered, with the lineage after it; where no batch has, a run of a lineage alone.
    fn cut(&mut self, partition: Partition) -> Result<(), StoreError> {
        let gathering = &mut self.partitions[partition.index()];
        let Some(lineage) = gathering.lineage.clone() else { return Ok(()) };
        let batches = std::mem::take(&mut gathering.batches);
        let held = gathering.held.take();
        let file = self.directory.join(format!("{:06}.sst", self.runs));
        self.runs += 1;
        let options = self.shared.runs();
        let (done, written) = sync_channel(1);
        let write = move || {
            let result = write_run(&file, &options, &batches, &lineage);
            drop((batches, held));
            // Nobody waits when the generation was closed.
            done.send(result.map(|()| file)).ok();
        };
        self.shared.writers().submit(Box::new(write))?;
        self.writing.push_back((partition, written));
        Ok(())
    }

    fn wait_for_oldest(&mut self) -> Result<(), StoreError> {
        let Some((partition, written)) = self.writing.pop_front() else { return Ok(()) };
        let file = written.recv().expect("a writer answers, or takes the process with it")?;
        self.partitions[partition.index()].written.push(file);
        Ok(())
    }
}

/// Waits until nothing writes into the generation's directory any more.
impl Drop for Load {
    fn drop(&mut self) {
        for (_, written) in self.writing.drain(..) {
            // Nobody cares any more what became of it.
            written.recv().ok();
        }
        if let Err(error) = remove(&self.directory) {
            tracing::warn!(%error, "runs of a load remain until the generation is opened again");
        }
    }
}

fn remove(directory: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("remove", directory, &error)),
    }
}

fn write_run(
    file: &Path,
    options: &Options,
    batches: &[Arc<Batch>],
    lineage: &Lineage,
) -> Result<(), StoreError> {
    let write = || {
        let mut run = SstFileWriter::create(options);
        run.open(file)?;
        // The lineage's key is below those of all rows.
        run.put(lineage::KEY, lineage::encode(lineage))?;
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let mut records = newest_per_key(batches);
        let mut touched = Vec::with_capacity(TOUCHED_AT_ONCE);
        loop {
            touched.extend(records.by_ref().take(TOUCHED_AT_ONCE));
            touch(&touched);
            if touched.is_empty() {
                return run.finish();
            }
            for record in touched.drain(..) {
                row::write_key(&mut key, record.key);
                match record.value {
                    Some(raw) => {
                        row::write_value(&mut value, record.offset, raw);
                        run.put(&key, &value)?;
                    }
                    None => run.delete(&key)?,
                }
            }
        }
    };
    write().map_err(|error| rocks(&error))
}

/// Reads a byte of each line of memory that the records are in: the waits overlap, for none depends on another.
fn touch(records: &[Record<'_>]) {
    let mut read = 0;
    for bytes in records.iter().flat_map(|record| [record.key, record.value.unwrap_or_default()]) {
        read ^= bytes.chunks(CACHE_LINE).fold(0, |read, line| read ^ line[0]);
        read ^= bytes.last().copied().unwrap_or_default();
    }
    black_box(read);
}
