//! What core's tests have in common: a safe topic, copies of it, positions in it and batches of it.

use crate::batch::{Batch, BatchBuilder};
use crate::lineage::{EpochChain, Lineage};
use crate::log::{KafkaError, PartitionEnd};
use crate::offset::{Epoch, Generation, Offset, Partition};
use crate::store::{Found, FoundCopy, FoundGeneration, GenerationState};
use crate::token::Token;
use crate::topic::{LogFacts, PartitionFacts, TopicId, TopicPolicy};

pub(crate) const P0: Partition = Partition(0);
pub(crate) const P1: Partition = Partition(1);

pub(crate) const G1: Generation = Generation(1);
pub(crate) const G2: Generation = Generation(2);
pub(crate) const G3: Generation = Generation(3);
pub(crate) const G4: Generation = Generation(4);

pub(crate) const TOPIC: TopicId = TopicId([1; 16]);
pub(crate) const OTHER_TOPIC: TopicId = TopicId([2; 16]);

/// The retention of [`facts`].
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A safe topic with one partition, which is empty and whose leader does not say its epoch.
pub(crate) fn facts() -> LogFacts {
    let policy = TopicPolicy { delete_retention_ms: DAY_MS, ..TopicPolicy::safe(3) };
    let partitions = vec![PartitionFacts::UNKNOWN];
    LogFacts { cluster: "c".to_owned(), topic: TOPIC, policy, partitions }
}

impl LogFacts {
    /// The same topic with `count` partitions, each like the first.
    pub(crate) fn of_partitions(self, count: usize) -> LogFacts {
        LogFacts { partitions: vec![self.partitions[0]; count], ..self }
    }

    /// Every partition reaches from `log_start` to `high_watermark` (exclusive).
    pub(crate) fn reaching(mut self, log_start: u64, high_watermark: u64) -> LogFacts {
        for partition in &mut self.partitions {
            partition.log_start = Offset(log_start);
            partition.high_watermark = Offset(high_watermark);
        }
        self
    }

    /// Every partition's leader says this epoch.
    pub(crate) fn led_by(mut self, epoch: u32) -> LogFacts {
        for partition in &mut self.partitions {
            partition.epoch = Some(Epoch(epoch));
        }
        self
    }

    pub(crate) fn retaining(mut self, delete_retention_ms: u64) -> LogFacts {
        self.policy.delete_retention_ms = delete_retention_ms;
        self
    }

    /// Timestamps are the writers', so every gap may be compaction's.
    pub(crate) fn on_writers_clocks(mut self) -> LogFacts {
        self.policy.log_append_time = false;
        self
    }

    /// A topic whose policy deletes old records, so that no node may keep a copy of it.
    pub(crate) fn deleting(mut self) -> LogFacts {
        self.policy.cleanup = "delete".to_owned();
        self
    }
}

pub(crate) fn end(high_watermark: u64, epoch: Option<u32>) -> PartitionEnd {
    PartitionEnd { high_watermark: Offset(high_watermark), epoch: epoch.map(Epoch) }
}

/// Epochs and where each begins.
pub(crate) fn epochs(starts: &[(u32, u64)]) -> EpochChain {
    let mut epochs = EpochChain::default();
    for (epoch, start) in starts {
        epochs.observe(Epoch(*epoch), Offset(*start));
    }
    epochs
}

impl Lineage {
    /// The same copy when it has read to `position`, without a gap and without having seen an epoch more.
    pub(crate) fn read_to(self, position: u64) -> Lineage {
        Lineage { position: Offset(position), ..self }
    }

    pub(crate) fn of_epochs(self, starts: &[(u32, u64)]) -> Lineage {
        Lineage { epochs: epochs(starts), ..self }
    }
}

/// One lineage per partition.
pub(crate) fn intact(
    generation: Generation,
    lineages: impl Into<Vec<Lineage>>,
) -> Option<FoundGeneration> {
    Some(FoundGeneration { generation, state: GenerationState::Intact(lineages.into()) })
}

pub(crate) fn corrupt(generation: Generation) -> Option<FoundGeneration> {
    let state = GenerationState::Corrupt("a block".to_owned());
    Some(FoundGeneration { generation, state })
}

/// What a disk has; the next generation is the one behind the highest.
pub(crate) fn copy(current: Option<FoundGeneration>, building: Option<FoundGeneration>) -> Found {
    let all = [&current, &building].into_iter().flatten();
    let highest = all.map(|found| found.generation.0).max().unwrap_or(0);
    Found::Copy(FoundCopy { current, building, next: Generation(highest + 1) })
}

/// A position and its epoch, by partition.
pub(crate) fn token_at(positions: &[(u64, Option<u32>)]) -> Token {
    let position = |(position, epoch): &(u64, Option<u32>)| (Offset(*position), epoch.map(Epoch));
    Token { topic: TOPIC, positions: positions.iter().map(position).collect() }
}

/// A token of one partition, without an epoch.
pub(crate) fn token(position: u64) -> Token {
    token_at(&[(position, None)])
}

/// A batch of partition 0 that reads on at `from`: records of one key at these offsets, all others are missing. Its log's
/// cleaner may have been as far as `bound`.
pub(crate) fn records(
    from: u64,
    offsets: impl IntoIterator<Item = u64>,
    epoch: Option<u32>,
    bound: u64,
) -> Batch {
    let mut builder = BatchBuilder::new(P0, 1, Offset(from));
    for offset in offsets {
        builder.push(Offset(offset), epoch.map(Epoch), Some(b"k"), Some(b"v"));
    }
    builder.finish(Offset(bound))
}

/// An error of the log; the record of which it is told may be in it.
pub(crate) fn kafka_error(code: i32, name: &str) -> KafkaError {
    KafkaError { code, name: name.to_owned(), not_persisted: false }
}
