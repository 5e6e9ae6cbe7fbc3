//! Compaction made visible: only closed segments are cleaned and only an append closes one, so somebody has to
//! go on writing until the cleaner has come by.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::partitioner::partition_of;

use super::read::Isolation;
use super::topic::Topic;

const CLEANED_MAX: Duration = Duration::from_secs(60);
const FILL_INTERVAL: Duration = Duration::from_millis(300);

/// Tombstones of these keys are what the harness writes to close segments: no live key is left behind.
pub const FILLER_KEYS: &str = "outrigger-filler-";

impl Topic {
    /// Writes filler until the record at `offset` is gone. The topic must be one of
    /// [`super::TopicSpec::fast_compaction`], and the record superseded or a tombstone.
    pub fn await_compacted(&self, partition: Partition, offset: Offset) -> Result<()> {
        let filler = self.filler_key(partition)?;
        let deadline = Instant::now() + CLEANED_MAX;
        loop {
            self.put(partition, filler.as_bytes(), None)?;
            let first = self.first_from(partition, offset, Isolation::Uncommitted)?;
            if first.is_none_or(|record| record.offset != offset) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{}-{partition}@{offset} is not compacted away within {CLEANED_MAX:?}",
                self.name
            );
            thread::sleep(FILL_INTERVAL);
        }
    }

    /// A key that belongs where it is written: one in a foreign partition would be warned about.
    pub fn filler_key(&self, partition: Partition) -> Result<String> {
        (0..10_000)
            .map(|number| format!("{FILLER_KEYS}{number}"))
            .find(|key| partition_of(key.as_bytes(), self.partitions()) == partition)
            .with_context(|| format!("{} has no partition {partition}", self.name))
    }
}
