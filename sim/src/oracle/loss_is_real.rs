//! O1: a copy is given up for a lost history only when the log lost something.
//!
//! Three cases are left out (sim/README.md, "What bounds it"). KIP-320 cannot tell one: a copy that ends in a hole which
//! compaction left at the border of two leader epochs looks as if its own epoch had ended before it. A copy without an
//! epoch cannot tell whether a leader that ends before it is deposed. No disk of RocksDB does the third: the model's disk
//! may keep what was applied and never flushed, with gaps of which nobody had asked yet who told their end.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_core::lineage::Lineage;
use outrigger_core::log::LogEvent;
use outrigger_core::node::{Effect, Event, Notice};
use outrigger_core::offset::{Epoch, Generation, Offset, Partition};
use outrigger_core::phase::{Cause, Phase};
use outrigger_core::store::{StoreCall, StoreCallKind, StoreEvent};

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Needless {
    /// Why a node may give its copy up, by what it set aside last.
    excuses: BTreeMap<usize, Excuse>,
    /// Ends of copies that a flush made durable.
    flushed: BTreeSet<(usize, Generation, Partition, Offset)>,
    /// Copies that a process found with gaps that no flush had made durable; later flushes do not ask again who told
    /// their end.
    kept: BTreeSet<(usize, Generation, Partition)>,
}

/// Ascending by how much they excuse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Excuse {
    NeverFlushed,
    NoEpoch,
    EndedInAHole,
}

impl Oracle for Needless {
    fn id(&self) -> OracleId {
        OracleId::O1
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        if let Event::Store(event) = event {
            self.flushed(node, event, world);
        }
        if let Event::Log(LogEvent::Lost { .. }) = event {
            let unflushed = self.kept_unflushed(node, world);
            self.note(node, unflushed.then_some(Excuse::NeverFlushed));
        }
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        match effect {
            Effect::Store(StoreCall::Quarantine { generation, .. }) => {
                self.note(node, excuse(node, *generation, world));
                Ok(())
            }
            Effect::Notice(Notice::Phase(Phase::Restoring(cause))) => {
                let for_a_loss = matches!(cause, Cause::Truncated | Cause::Diverged);
                let needless = world.losses.is_empty() && world.disk_is_its_own(node);
                let excused = match self.excuses.get(&node) {
                    Some(Excuse::EndedInAHole) => true,
                    Some(Excuse::NoEpoch | Excuse::NeverFlushed) => *cause == Cause::Truncated,
                    None => false,
                };
                if for_a_loss && needless && !excused {
                    Err(Wrong::of(
                        node,
                        format!("gives its copy up ({}), but the log lost nothing", cause.name()),
                    ))
                } else {
                    Ok(())
                }
            }
            Effect::Log(_)
            | Effect::Store(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Reply(..)
            | Effect::Notice(_) => Ok(()),
        }
    }
}

impl Needless {
    fn note(&mut self, node: usize, excuse: Option<Excuse>) {
        self.excuses.remove(&node);
        self.excuses.extend(excuse.map(|excuse| (node, excuse)));
    }

    fn flushed(&mut self, node: usize, event: &StoreEvent, world: &World) {
        if let StoreEvent::Found(_) = event {
            let kept = self.unflushed(node, world);
            self.kept.extend(kept);
        }
        if let StoreEvent::Done { call: StoreCallKind::Flush, generation } = event
            && let Some(stored) = world.disk(node).generation(*generation)
        {
            let ends = Partition::all(world.reference.count()).zip(stored.durable.iter());
            let ends = ends.map(|(of, copy)| (node, *generation, of, copy.lineage().position));
            self.flushed.extend(ends);
        }
    }

    fn kept_unflushed(&self, node: usize, world: &World) -> bool {
        let unflushed = self.unflushed(node, world);
        let kept = |(stored, of, copy): &(Generation, Partition, &Lineage)| {
            !copy.exact() && self.kept.contains(&(node, *stored, *of))
        };
        !unflushed.is_empty() || lineages(node, world).any(|copy| kept(&copy))
    }

    fn unflushed(&self, node: usize, world: &World) -> Vec<(usize, Generation, Partition)> {
        let unflushed = lineages(node, world).filter(|(generation, of, copy)| {
            let end = (node, *generation, *of, copy.position);
            !copy.exact() && !self.flushed.contains(&end)
        });
        unflushed.map(|(generation, of, _)| (node, generation, of)).collect()
    }
}

/// All lineages that are on the disk.
fn lineages(node: usize, world: &World) -> impl Iterator<Item = (Generation, Partition, &Lineage)> {
    let partitions = world.reference.count();
    world.disk(node).generations().flat_map(move |stored| {
        let copies = Partition::all(partitions).zip(stored.durable.iter());
        copies.map(move |(of, copy)| (stored.generation, of, copy.lineage()))
    })
}

fn excuse(node: usize, generation: Generation, world: &World) -> Option<Excuse> {
    let stored = world.disk(node).generation(generation)?;
    let pairs = (0..).map(Partition).zip(stored.durable);
    let excuses = pairs.filter_map(|(partition, copy)| {
        let Lineage { position, epochs, .. } = copy.lineage();
        match epochs.latest() {
            Some(last) => {
                ended_in_a_hole(partition, *position, last, world).then_some(Excuse::EndedInAHole)
            }
            None => (*position > Offset::ZERO).then_some(Excuse::NoEpoch),
        }
    });
    excuses.max()
}

/// Whether a later epoch begins below the copy's end, and nothing of it is left there.
fn ended_in_a_hole(partition: Partition, end: Offset, last: Epoch, world: &World) -> bool {
    let epochs = world.log.state(partition).epochs;
    let mut later = epochs.iter().filter(|(epoch, start)| *epoch > last && *start < end);
    later.any(|(_, start)| {
        !world.log.batches(partition).any(|batch| (*start..end).contains(&batch.base))
    })
}
