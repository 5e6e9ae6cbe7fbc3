//! Copies kept exactly as they are at one position, to be compared with those of other nodes.
//!
//! A pin is one snapshot per partition, each taken by the store between the `Apply` that ends at its position and the
//! next: the batch that crosses the position is split there. Keys never move between partitions, so nothing has to
//! wait until all partitions are there, and what is written meanwhile is not held up.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::gate::Rejection;
use crate::lineage::Lineage;
use crate::log::EndAnswer;
use crate::offset::{Generation, Offset, Partition, RequestId};
use crate::phase::Phase;
use crate::store::StoreCall;
use crate::token::Token;

use super::Reading;
use crate::node::event::Reply;
use crate::node::shared::{Shared, beyond};

#[derive(Debug, Default)]
pub(in crate::node) struct Pins {
    pins: BTreeMap<RequestId, Pin>,
}

#[derive(Debug)]
struct Pin {
    generation: Generation,
    at: Token,
    /// One for each partition, in order.
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
    pub(in crate::node) fn len(&self) -> usize {
        self.pins.len()
    }

    pub(in crate::node) fn timer(&self) -> Option<Duration> {
        self.pins.values().map(|pin| pin.until).min()
    }

    /// Where a batch of these offsets must be split first.
    pub(super) fn cut(&self, partition: Partition, range: &Range<Offset>) -> Option<Offset> {
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

    /// Asks the store for the partition as it is once it has done what it was given, where a pin wants just that.
    pub(super) fn take(&mut self, shared: &mut Shared, partition: Partition, lineage: &Lineage) {
        if self.pins.is_empty() {
            return;
        }
        for id in self.wanting(partition, lineage.position) {
            let pin = self.pins.get_mut(&id).expect("it wants the partition");
            match pin.judge(partition, lineage) {
                Ok(()) => {
                    pin.parts[partition.index()] = Part::Asked;
                    let generation = pin.generation;
                    shared.store(StoreCall::Pin { generation, partition, pin: id });
                }
                Err(rejection) => self.reject(shared, id, rejection),
            }
        }
    }

    /// The leaders answered question number `asked` with these ends.
    pub(super) fn judge(&mut self, shared: &mut Shared, asked: u64, ends: &[EndAnswer]) {
        let waiting = self.pins.iter().filter(|(_, pin)| !pin.answered);
        let judged = waiting.filter(|(_, pin)| asked > pin.ends_asked);
        let beyond = judged.filter_map(|(id, pin)| Some((*id, beyond(&pin.at, ends)?)));
        let beyond: Vec<_> = beyond.collect();
        for (id, rejection) in beyond {
            self.reject(shared, id, rejection);
        }
    }

    pub(in crate::node) fn on_pinned(
        &mut self,
        shared: &mut Shared,
        id: RequestId,
        partition: Partition,
    ) {
        let Some(pin) = self.pins.get_mut(&id) else {
            return;
        };
        pin.parts[partition.index()] = Part::Pinned;
        if pin.parts.iter().all(|part| *part == Part::Pinned) {
            pin.answered = true;
            pin.until = shared.now.mono + shared.limits.pin_lease;
            shared.reply(id, Reply::Pinned);
        }
    }

    /// Nobody wants it any more.
    pub(in crate::node) fn unpin(&mut self, shared: &mut Shared, id: RequestId) {
        if let Some(pin) = self.pins.remove(&id)
            && pin.is_in_store()
        {
            shared.store(StoreCall::Unpin { generation: pin.generation, pin: id });
        }
    }

    pub(in crate::node) fn expire(&mut self, shared: &mut Shared) {
        let stall = shared.stalls.first().map(|stall| stall.kind);
        let now = shared.now.mono;
        self.reject_those(shared, |pin| pin.until <= now, &Rejection::Deadline { stall });
    }

    /// Those that were not answered yet are answered so.
    pub(in crate::node) fn reject_unanswered(
        &mut self,
        shared: &mut Shared,
        rejection: &Rejection,
    ) {
        self.reject_those(shared, |pin| !pin.answered, rejection);
    }

    /// What they are of is closed, or cannot be kept.
    pub(in crate::node) fn end(&mut self, shared: &mut Shared) {
        let rejection = match shared.drain {
            Some(_) => Rejection::Draining,
            None => Rejection::NotReady(shared.phase.clone()),
        };
        self.reject_those(shared, |_| true, &rejection);
    }

    fn reject_those(
        &mut self,
        shared: &mut Shared,
        which: impl Fn(&Pin) -> bool,
        rejection: &Rejection,
    ) {
        let those = self.pins.iter().filter(|(_, pin)| which(pin));
        let those: Vec<RequestId> = those.map(|(id, _)| *id).collect();
        for id in those {
            self.reject(shared, id, rejection.clone());
        }
    }

    fn reject(&mut self, shared: &mut Shared, id: RequestId, rejection: Rejection) {
        if self.pins.get(&id).is_some_and(|pin| !pin.answered) {
            shared.reply(id, Reply::Rejected(rejection));
        }
        self.unpin(shared, id);
    }
}

impl Pin {
    /// Whether a copy of this lineage, which is at the pin's position, may be compared there.
    fn judge(&self, partition: Partition, lineage: &Lineage) -> Result<(), Rejection> {
        let (position, epoch) = self.at.positions[partition.index()];
        if epoch.is_some_and(|epoch| !lineage.epochs.allows(epoch, position)) {
            return Err(Rejection::TokenOfAnotherHistory);
        }
        if lineage.exact() { Ok(()) } else { Err(Rejection::NotReady(Phase::CatchingUp)) }
    }

    /// The store keeps something of it, or is about to.
    fn is_in_store(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Asked | Part::Pinned))
    }
}

impl Reading {
    /// The gate admits it.
    pub(in crate::node) fn pin(
        &mut self,
        shared: &mut Shared,
        id: RequestId,
        at: Token,
        deadline: Duration,
    ) {
        let rejection = if self.pins.len() >= shared.limits.pins_max {
            Some(Rejection::Overloaded)
        } else {
            self.passed(&at)
        };
        if let Some(rejection) = rejection {
            return shared.reply(id, Reply::Rejected(rejection));
        }
        let parts = at.positions.iter().map(|(at, _)| Part::Until(*at)).collect();
        let (until, ends_asked) = (shared.now.mono + deadline, shared.ends.asked());
        let generation = self.generation;
        let pin = Pin { generation, at, parts, ends_asked, until, answered: false };
        self.pins.pins.insert(id, pin);
        for reader in &self.readers {
            self.pins.take(shared, reader.partition, reader.fetched());
        }
    }

    /// The first partition whose copy, as the store was given it, is beyond the token.
    fn passed(&self, at: &Token) -> Option<Rejection> {
        self.readers.iter().zip(&at.positions).find_map(|(reader, (at, _))| {
            let is = reader.fetched().position;
            let (partition, at) = (reader.partition, *at);
            (is > at).then_some(Rejection::Passed { partition, at, is })
        })
    }
}
