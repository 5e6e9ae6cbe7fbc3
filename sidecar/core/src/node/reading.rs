//! One generation being filled or kept up with the log: every partition's reader and what they share.

use std::time::Duration;

use crate::clock::Moment;
use crate::dates::Dates;
use crate::limits::Limits;
use crate::lineage::Lineage;
use crate::log::{KafkaError, PartitionEnd};
use crate::offset::{Generation, Offset, Partition};
use crate::phase::Cause;
use crate::topic::{Identity, LogFacts, PartitionFacts};

use super::reader::Reader;

#[derive(Debug)]
pub(super) struct Reading {
    pub(super) identity: Identity,
    pub(super) generation: Generation,
    pub(super) cause: Cause,
    pub(super) usage: Usage,
    pub(super) readers: Vec<Reader>,
    /// Every target was reached once; lag alone does not end READY.
    pub(super) reached: bool,
    pub(super) durability: Durability,
    /// Confirmations sent to the store and not answered: the next ones wait for them.
    pub(super) confirming: usize,
    pub(super) unflushed_bytes: usize,
    /// Monotonic: since when something applied is not flushed.
    pub(super) unflushed_since: Option<Duration>,
    pub(super) started: Moment,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Monotonic: when a batch last came or was applied, or the restore began.
    pub(super) progress_at: Duration,
    /// Partitions whose leaders did not answer the last question for the ends.
    pub(super) leaderless: Vec<(Partition, KafkaError)>,
    /// While everything is read and yet not exact.
    inexact: Option<Inexact>,
}

#[derive(Debug)]
struct Inexact {
    /// Monotonic.
    since: Duration,
    /// From where each partition would have been exact then.
    from: Vec<Offset>,
}

/// What a plan reads into.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) identity: Identity,
    pub(super) generation: Generation,
    /// Indexed by partition.
    pub(super) lineages: Vec<Lineage>,
    pub(super) cause: Cause,
    pub(super) usage: Usage,
}

/// An old generation that answers STALE reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) generation: Generation,
    pub(super) confirmed_at_ms: u64,
}

/// Whether CURRENT names the generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    Active,
    /// A rebuild. `serve` answers STALE reads meanwhile; `replaced` goes once this one is in use.
    Building {
        serve: Option<Served>,
        replaced: Vec<Generation>,
    },
    Activating {
        serve: Option<Served>,
        replaced: Vec<Generation>,
    },
}

/// Nothing becomes durable before the topic's id was asked for after its fetch and found unchanged.
/// While a check that a flush waits for is under way, nothing is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Durability {
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
    pub(super) fn new(start: Start, facts: &LogFacts, asked: Moment, dates: &Dates) -> Reading {
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
            inexact: None,
        }
    }

    pub(super) fn reader(&mut self, partition: Partition) -> &mut Reader {
        &mut self.readers[partition.index()]
    }

    /// None of a partition that is gone: the log may still speak of it when the topic was made anew with fewer.
    pub(super) fn reader_if(&mut self, partition: Partition) -> Option<&mut Reader> {
        self.readers.get_mut(partition.index())
    }

    pub(super) fn note_targets(&mut self) {
        self.reached |= self.readers.iter().all(Reader::reached_target);
    }

    /// Also from the flush that ends a rebuild until it is in use: what is not durable is not put into use. And while the
    /// topic's id cannot be asked for: the store would make durable what it cannot keep in memory.
    pub(super) fn holds_back(&self, limits: &Limits) -> bool {
        match (&self.durability, &self.usage) {
            (Durability::Checking | Durability::Settling, _) | (_, Usage::Activating { .. }) => {
                true
            }
            (Durability::Flushing(_), _) => self.is_rebuilt(),
            (Durability::Wanted, _) => self.unflushed_bytes >= 2 * limits.flush_bytes_max,
            (Durability::Idle, _) => false,
        }
    }

    pub(super) fn exact(&self) -> bool {
        self.readers.iter().all(|reader| reader.applied().exact())
    }

    pub(super) fn note_exactness(&mut self, now: Duration) {
        if !self.reached || self.exact() {
            self.inexact = None;
        } else if self.inexact.is_none() {
            let from = self.readers.iter().map(|reader| reader.applied().exact_from).collect();
            self.inexact = Some(Inexact { since: now, from });
        }
    }

    /// A partition that met another gap before it had read what would have made it exact, and since when that goes on.
    pub(super) fn inexact(&self) -> Option<(&Reader, Duration)> {
        let Inexact { since, from } = self.inexact.as_ref()?;
        let goes_on = |(reader, from): &(&Reader, &Offset)| {
            !reader.applied().exact() && reader.applied().position >= **from
        };
        let (reader, _) = self.readers.iter().zip(from).find(goes_on)?;
        Some((reader, *since))
    }

    /// A partition that met the end below what is known to be committed: where, and since when that is known.
    pub(super) fn hidden(&self) -> Option<(Partition, (Offset, Duration))> {
        self.readers.iter().find_map(|reader| Some((reader.partition, reader.hidden()?)))
    }

    /// A partition to which records are to come, and up to where: the target, or what would make it exact.
    pub(super) fn awaits_records(&self) -> Option<(&Reader, Offset)> {
        let awaits = |reader: &Reader| match reader.reached_target() {
            false => reader.target,
            true => reader.applied().exact_from,
        };
        let awaiting = self.readers.iter().map(|reader| (reader, awaits(reader)));
        awaiting.into_iter().find(|(reader, until)| reader.applied().position < *until)
    }

    pub(super) fn applied(&self) -> Vec<Offset> {
        self.readers.iter().map(|reader| reader.applied().position).collect()
    }

    fn confirmed_at_ms(&self) -> u64 {
        self.readers.iter().map(|reader| reader.applied().confirmed_at_ms).min().unwrap_or(0)
    }

    fn unsaved(&self) -> bool {
        self.readers.iter().any(Reader::unsaved)
    }

    pub(super) fn settled(&self) -> bool {
        self.readers.iter().all(Reader::settled)
    }

    pub(super) fn all_durable(&self) -> bool {
        let durable = |reader: &Reader| reader.durable() == reader.fetched().position;
        self.readers.iter().all(|reader| durable(reader) && !reader.unsaved())
    }

    /// Fully read and exact, but CURRENT does not name it yet.
    pub(super) fn is_rebuilt(&self) -> bool {
        self.reached && self.exact() && matches!(self.usage, Usage::Building { .. })
    }

    pub(super) fn wants_flush(&self, now: Moment, limits: &Limits) -> bool {
        let old = |since: Duration| now.mono >= since + limits.flush_interval;
        // A rebuild is written by the store as it comes; a flush only makes it wait.
        let much = self.usage == Usage::Active && self.unflushed_bytes >= limits.flush_bytes_max;
        self.durability == Durability::Idle
            && (much
                || self.unflushed_since.is_some_and(old)
                || self.is_rebuilt()
                || self.unsaved())
    }

    /// The generation that reads see.
    pub(super) fn served(&self) -> Option<Served> {
        match &self.usage {
            Usage::Active => Some(Served {
                generation: self.generation,
                confirmed_at_ms: self.confirmed_at_ms(),
            }),
            Usage::Building { serve, .. } | Usage::Activating { serve, .. } => *serve,
        }
    }
}
