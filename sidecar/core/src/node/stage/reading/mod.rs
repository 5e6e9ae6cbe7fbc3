//! One generation that is rebuilt or kept up with the log: every partition's reader and what they share.
//!
//! ```text
//! credit -> LogEvent::Fetched -> take -> gather -> apply -> split at pins -> StoreCall::Apply
//!                                  |       |          |
//!                                  |       |          +- reopens where a tombstone may be missing
//!                                  |       +------------ waits until a READY copy is exact behind it
//!                                  +-------------------- waits while nothing may be applied
//! ```
//!
//! Nothing may be applied while the topic's configuration is not known (`policy`), while the topic's id is asked for
//! before a flush and until what that finds is settled, and from the flush that ends a rebuild until that is in use
//! ([`Reading::holds_back`]).

mod assign;
mod gather;
mod handlers;
mod keep_up;
mod leaderless;
mod pins;
mod policy;
mod reader;
mod take;
#[cfg(test)]
mod tests;
mod waits;

use std::time::Duration;

use crate::clock::Moment;
use crate::dates::Dates;
use crate::horizon::Horizon;
use crate::limits::Limits;
use crate::lineage::Lineage;
use crate::log::{KafkaError, PartitionEnd};
use crate::offset::{Generation, Offset, Partition};
use crate::phase::{Cause, Phase};
use crate::topic::{Identity, LogFacts, PartitionFacts};
use crate::watch::ring::{Origin, RingNews};

use crate::node::shared::{Served, Shared};
use crate::node::status::PartitionStatus;
pub(in crate::node) use leaderless::{silence, silent};
use pins::Pins;
use reader::{Fetch, Reader};
use waits::Inexact;

#[derive(Debug)]
pub(in crate::node) struct Reading {
    pub(in crate::node) identity: Identity,
    pub(in crate::node) generation: Generation,
    cause: Cause,
    usage: Usage,
    readers: Vec<Reader>,
    /// Every target was reached once; lag alone does not end READY.
    reached: bool,
    durability: Durability,
    /// Confirmations sent to the store and not answered: the next ones wait for them.
    confirming: usize,
    unflushed_bytes: usize,
    /// Monotonic: since when something applied is not flushed.
    unflushed_since: Option<Duration>,
    started: Moment,
    records: u64,
    bytes: u64,
    /// Monotonic: when a batch last came or was applied, or the restore began.
    progress_at: Duration,
    /// Partitions whose leaders did not answer the last question for the ends.
    pub(in crate::node) leaderless: Vec<(Partition, KafkaError)>,
    /// How far the log was known to reach when the outstanding question for the ends was asked; empty: that was before this
    /// copy was opened.
    reached_at_ask: Vec<Offset>,
    pub(in crate::node) pins: Pins,
    /// What `assess` found last.
    phase: Phase,
    /// While everything is read and yet not exact.
    inexact: Option<Inexact>,
}

/// What a plan reads into.
#[derive(Debug)]
pub(in crate::node) struct Start {
    pub(in crate::node) identity: Identity,
    pub(in crate::node) generation: Generation,
    /// One for each partition, in order.
    pub(in crate::node) lineages: Vec<Lineage>,
    pub(in crate::node) cause: Cause,
    pub(in crate::node) usage: Usage,
}

/// Whether CURRENT names the generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::node) enum Usage {
    Active,
    Building(Beside),
    /// A rebuild that is complete and durable, while CURRENT is written.
    Activating(Beside),
}

/// What is kept beside a rebuild.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::node) struct Beside {
    /// Answers STALE reads meanwhile.
    pub(in crate::node) served: Option<Served>,
    /// Goes once the rebuild is in use.
    pub(in crate::node) replaced: Option<Generation>,
}

/// Nothing becomes durable before the topic's id was asked for after its fetch and found unchanged.
/// While a check that a flush waits for is under way, nothing is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Durability {
    Idle,
    /// Wanted: the next check holds new batches back.
    Wanted,
    Checking,
    /// The topic is the same; who told the ends of this copy's gaps is asked before they are flushed, and whether those
    /// that did not count are still protected.
    Settling,
    /// These positions are durable when the flush is answered.
    Flushing(Vec<Offset>),
}

impl Reading {
    /// `facts` answer a question asked at `asked`: their high watermarks are the targets.
    pub(in crate::node) fn new(
        start: Start,
        facts: &LogFacts,
        asked: Moment,
        dates: &Dates,
    ) -> Reading {
        let Start { identity, generation, lineages, cause, usage } = start;
        let partitions = (0..).map(Partition).zip(lineages).zip(&facts.partitions);
        let readers = partitions
            .map(|((partition, lineage), facts)| {
                let PartitionFacts { high_watermark, epoch, .. } = *facts;
                let end = PartitionEnd { high_watermark, epoch };
                let confirmed = dates.moment(generation, lineage.confirmed_at_ms);
                Reader::new(partition, lineage, confirmed, end, asked)
            })
            .collect();
        Reading {
            identity,
            generation,
            cause,
            usage,
            readers,
            reached: false,
            durability: Durability::Idle,
            confirming: 0,
            unflushed_bytes: 0,
            unflushed_since: None,
            started: dates.now(),
            records: 0,
            bytes: 0,
            progress_at: dates.now().mono,
            leaderless: Vec::new(),
            reached_at_ask: Vec::new(),
            pins: Pins::default(),
            phase: Phase::Restoring(cause),
            inexact: None,
        }
    }

    fn reader(&mut self, partition: Partition) -> &mut Reader {
        &mut self.readers[partition.index()]
    }

    /// None of a partition that is gone: the log may still speak of it when the topic was made anew with fewer.
    fn reader_if(&mut self, partition: Partition) -> Option<&mut Reader> {
        self.readers.get_mut(partition.index())
    }

    /// Whoever watches goes on with what is read from here.
    fn begin_ring(&self, shared: &mut Shared) {
        let from = self.readers.iter().map(|reader| Origin::of(reader.applied())).collect();
        shared.ring(RingNews::Begun { topic: self.identity.topic, from });
    }

    fn note_targets(&mut self) {
        self.reached |= self.readers.iter().all(Reader::reached_target);
    }

    /// Whether nothing may be applied. That is so while a flush is prepared. It is so from the flush that ends a rebuild until
    /// that is in use, for what is not durable is not put into use. And once much is unflushed it is so while the topic's id
    /// cannot be asked for, for the store would make durable what it cannot keep in memory.
    fn holds_back(&self, limits: &Limits) -> bool {
        match (&self.durability, &self.usage) {
            (Durability::Checking | Durability::Settling, _) | (_, Usage::Activating(_)) => true,
            (Durability::Flushing(_), _) => self.is_rebuilt(),
            (Durability::Wanted, _) => self.unflushed_bytes >= 2 * limits.flush_bytes_max,
            (Durability::Idle, _) => false,
        }
    }

    fn exact(&self) -> bool {
        self.readers.iter().all(|reader| reader.applied().exact())
    }

    fn delete_retention_ms_min(&self) -> u64 {
        let seen = self.readers.iter().map(|reader| reader.fetched().delete_retention_ms_min);
        seen.min().unwrap_or(u64::MAX)
    }

    fn confirmed_at_ms(&self) -> u64 {
        self.readers.iter().map(|reader| reader.applied().confirmed_at_ms).min().unwrap_or(0)
    }

    fn unsaved(&self) -> bool {
        self.readers.iter().any(Reader::unsaved)
    }

    fn is_settling(&self) -> bool {
        self.durability == Durability::Settling
    }

    fn settled(&self) -> bool {
        self.readers.iter().all(Reader::settled)
    }

    fn all_durable(&self) -> bool {
        let durable = |reader: &Reader| reader.durable() == reader.fetched().position;
        self.readers.iter().all(|reader| durable(reader) && !reader.unsaved())
    }

    /// Fully read and exact, but CURRENT does not name it yet.
    fn is_rebuilt(&self) -> bool {
        self.reached && self.exact() && matches!(self.usage, Usage::Building(_))
    }

    fn wants_flush(&self, now: Moment, limits: &Limits) -> bool {
        let old = |since: Duration| now.mono >= since + limits.flush_interval;
        // A rebuild is written by the store as it comes; a flush only makes it wait.
        let much = self.usage == Usage::Active && self.unflushed_bytes >= limits.flush_bytes_max;
        self.durability == Durability::Idle
            && (much
                || self.unflushed_since.is_some_and(old)
                || self.is_rebuilt()
                || self.unsaved())
    }

    #[cfg(test)]
    pub(in crate::node) fn ages(&self, now: Moment) -> Vec<Duration> {
        self.readers.iter().map(|reader| reader.age(now)).collect()
    }

    pub(in crate::node) fn assert_ordered(&self) {
        for reader in &self.readers {
            reader.assert_ordered();
        }
    }

    /// How long batches may still be applied unless the end is confirmed before.
    pub(in crate::node) fn horizon(&self, shared: &Shared) -> Option<Horizon> {
        let left = |reader: &Reader| reader.horizon_in(shared.now, &shared.limits);
        let of = shared.limits.trusted(self.delete_retention_ms_min());
        Some(Horizon { left: self.readers.iter().map(left).min()?, of })
    }

    /// `facts`: the newest that the log told.
    pub(in crate::node) fn statuses(&self, facts: &LogFacts) -> Vec<PartitionStatus> {
        let status = |(reader, facts): (&Reader, &PartitionFacts)| PartitionStatus {
            applied: reader.applied().position,
            durable: reader.durable(),
            target: reader.target,
            log_start: facts.log_start,
            high_watermark: reader
                .end_known()
                .max(facts.high_watermark)
                .max(reader.applied().position),
            exact_from: reader.applied().exact_from,
            epoch: reader.applied().epochs.latest(),
        };
        self.readers.iter().zip(&facts.partitions).map(status).collect()
    }
}
