//! Copies kept exactly as they are at one position, to be compared with those of other nodes.
//!
//! A pin is one snapshot per partition, each taken by the store between the `Apply` that ends at its position and the
//! next: the batch that crosses the position is split there. Keys never move between partitions, so nothing has to
//! wait until all partitions are there, and what is written meanwhile is not held up.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::batch::Batch;
use crate::gate::Rejection;
use crate::lineage::Lineage;
use crate::log::EndAnswer;
use crate::offset::{Generation, Offset, Partition, RequestId};
use crate::phase::{Operation, Phase};
use crate::store::StoreCall;
use crate::token::Token;

use super::awaits::beyond;
use super::reading::Reading;
use super::{Node, Reply, Stage};

#[derive(Debug, Default)]
pub(super) struct Pins {
    pins: BTreeMap<RequestId, Pin>,
}

#[derive(Debug)]
struct Pin {
    generation: Generation,
    at: Token,
    /// Indexed by partition.
    parts: Vec<Part>,
    /// Questions for the end asked when this came: only later answers speak about it.
    ends_asked: u64,
    /// Monotonic: for the answer, then of the lease.
    until: Duration,
    answered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The store was not given everything below this position yet.
    Until(Offset),
    Asked,
    Pinned,
}

impl Pins {
    pub(super) fn len(&self) -> usize {
        self.pins.len()
    }

    pub(super) fn timer(&self) -> Option<Duration> {
        self.pins.values().map(|pin| pin.until).min()
    }

    /// Where a batch of these offsets must be split first.
    fn cut(&self, partition: Partition, range: &Range<Offset>) -> Option<Offset> {
        let wanted = self.pins.values().filter_map(|pin| match pin.parts[partition.index()] {
            Part::Until(at) => Some(at),
            Part::Asked | Part::Pinned => None,
        });
        wanted.filter(|at| range.start < *at && *at < range.end).min()
    }

    fn wanting(&self, partition: Partition, at: Offset) -> Vec<RequestId> {
        let wants = |pin: &Pin| pin.parts[partition.index()] == Part::Until(at);
        self.pins.iter().filter(|(_, pin)| wants(pin)).map(|(id, _)| *id).collect()
    }
}

impl Pin {
    /// Whether a copy of this lineage, which is at the pin's position, may be compared there.
    fn judge(&self, partition: Partition, lineage: &Lineage) -> Result<(), Rejection> {
        let (position, epoch) = self.at.positions[partition.index()];
        if epoch.is_some_and(|epoch| !lineage.epochs.allows(epoch, position)) {
            return Err(Rejection::TokenOfAnotherHistory);
        }
        match lineage.exact() {
            true => Ok(()),
            false => Err(Rejection::NotReady(Phase::CatchingUp)),
        }
    }

    /// The store keeps something of it, or is about to.
    fn is_in_store(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Asked | Part::Pinned))
    }
}

impl Node {
    pub(super) fn pin(&mut self, id: RequestId, at: Token, deadline: Duration) {
        let generation = match self.admit_pin(&at) {
            Ok(generation) => generation,
            Err(rejection) => return self.reply(id, Reply::Rejected(rejection)),
        };
        let parts: Vec<Part> = at.positions.iter().map(|(at, _)| Part::Until(*at)).collect();
        let partitions = (0..).map(Partition).take(parts.len());
        let (until, ends_asked) = (self.now.mono + deadline, self.ends.asked());
        let pin = Pin { generation, at, parts, ends_asked, until, answered: false };
        self.pins.pins.insert(id, pin);
        partitions.for_each(|partition| self.pin_partition(partition));
    }

    fn admit_pin(&self, at: &Token) -> Result<Generation, Rejection> {
        self.gate.admit_operation(Operation::Read)?;
        self.gate.check_token(at)?;
        // The disk or the log failed a moment ago; the phase may still be READY.
        let Stage::Reading(reading) = &self.stage else {
            return Err(Rejection::NotReady(self.phase.clone()));
        };
        if self.pins.len() >= self.limits.pins_max {
            return Err(Rejection::Overloaded);
        }
        passed(reading, at).map_or(Ok(reading.generation), Err)
    }

    /// Gives a batch to the store, in pieces that end where pins want it.
    pub(super) fn apply_to_pins(&mut self, mut batch: Batch) {
        let partition = batch.partition;
        while let Some(at) = self.pins.cut(partition, &batch.range) {
            let (before, behind) = batch.split_at(at);
            self.apply(before);
            self.pin_partition(partition);
            batch = behind;
        }
        self.apply(batch);
        self.pin_partition(partition);
    }

    /// Asks the store for the partition as it is once it has done what it was given, where a pin wants just that.
    fn pin_partition(&mut self, partition: Partition) {
        if self.pins.pins.is_empty() {
            return;
        }
        let Stage::Reading(reading) = &mut self.stage else {
            return;
        };
        let lineage = reading.reader(partition).fetched().clone();
        for id in self.pins.wanting(partition, lineage.position) {
            let pin = self.pins.pins.get_mut(&id).expect("it wants the partition");
            match pin.judge(partition, &lineage) {
                Ok(()) => {
                    pin.parts[partition.index()] = Part::Asked;
                    let generation = pin.generation;
                    self.store(StoreCall::Pin { generation, partition, pin: id });
                }
                Err(rejection) => self.reject_pin(id, rejection),
            }
        }
    }

    /// The leaders answered question number `asked` with these ends.
    pub(super) fn judge_pins(&mut self, asked: u64, ends: &[EndAnswer]) {
        let waiting = self.pins.pins.iter().filter(|(_, pin)| !pin.answered);
        let judged = waiting.filter(|(_, pin)| asked > pin.ends_asked);
        let beyond = judged.filter_map(|(id, pin)| Some((*id, beyond(&pin.at, ends)?)));
        let beyond: Vec<_> = beyond.collect();
        beyond.into_iter().for_each(|(id, rejection)| self.reject_pin(id, rejection));
    }

    pub(super) fn on_pinned(&mut self, id: RequestId, partition: Partition) {
        let Some(pin) = self.pins.pins.get_mut(&id) else {
            return;
        };
        pin.parts[partition.index()] = Part::Pinned;
        if pin.parts.iter().all(|part| *part == Part::Pinned) {
            pin.answered = true;
            pin.until = self.now.mono + self.limits.pin_lease;
            self.reply(id, Reply::Pinned);
        }
    }

    /// Nobody wants it any more.
    pub(super) fn unpin(&mut self, id: RequestId) {
        if let Some(pin) = self.pins.pins.remove(&id)
            && pin.is_in_store()
        {
            self.store(StoreCall::Unpin { generation: pin.generation, pin: id });
        }
    }

    pub(super) fn expire_pins(&mut self) {
        let stall = self.stalls.first().map(|stall| stall.kind);
        let now = self.now.mono;
        self.reject_those(|pin| pin.until <= now, &Rejection::Deadline { stall });
    }

    /// Those that were not answered yet are answered so.
    pub(super) fn reject_pins(&mut self, rejection: &Rejection) {
        self.reject_those(|pin| !pin.answered, rejection);
    }

    fn reject_those(&mut self, which: impl Fn(&Pin) -> bool, rejection: &Rejection) {
        let those = self.pins.pins.iter().filter(|(_, pin)| which(pin));
        let those: Vec<RequestId> = those.map(|(id, _)| *id).collect();
        those.into_iter().for_each(|id| self.reject_pin(id, rejection.clone()));
    }

    fn reject_pin(&mut self, id: RequestId, rejection: Rejection) {
        if self.pins.pins.get(&id).is_some_and(|pin| !pin.answered) {
            self.reply(id, Reply::Rejected(rejection));
        }
        self.unpin(id);
    }

    /// What they are of is closed, or cannot be kept.
    pub(super) fn end_pins(&mut self) {
        let rejection = match self.drain {
            Some(_) => Rejection::Draining,
            None => Rejection::NotReady(self.phase.clone()),
        };
        self.reject_those(|_| true, &rejection);
    }
}

/// The first partition whose copy, as the store was given it, is beyond the token.
fn passed(reading: &Reading, at: &Token) -> Option<Rejection> {
    reading.readers.iter().zip(&at.positions).find_map(|(reader, (at, _))| {
        let is = reader.fetched().position;
        let (partition, at) = (reader.partition, *at);
        (is > at).then_some(Rejection::Passed { partition, at, is })
    })
}
