//! O1: a copy that the log refused as one of another history, or that ended behind the log's own end when it
//! was decided about, is not deleted: it may be all that is left of what the log lost.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_core::log::{LogCall, LogEvent, Loss};
use outrigger_core::node::{Effect, Event, Notice};
use outrigger_core::offset::{Generation, Offset, Partition};
use outrigger_core::phase::Phase;
use outrigger_core::store::StoreCall;
use outrigger_core::topic::LogFacts;

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Kept {
    nodes: BTreeMap<usize, Seen>,
}

#[derive(Default)]
struct Seen {
    /// Assignments that the log has not answered, and the copy that the last of them reads on: what is told meanwhile is of
    /// an earlier one.
    assigning: BTreeMap<Partition, (u32, Option<Generation>)>,
    /// Copies that are read on from where they were assigned, and of which nothing was told since.
    untouched: BTreeMap<Partition, Generation>,
    refused: BTreeSet<Generation>,
    /// Copies that end behind the log's own end, by the last facts that something was decided by.
    beyond: BTreeSet<Generation>,
    /// The node reads: facts decide nothing now.
    decided: bool,
}

impl Oracle for Kept {
    fn id(&self) -> OracleId {
        OracleId::O1
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        let Event::Log(event) = event else { return Ok(()) };
        let seen = self.nodes.entry(node).or_default();
        match event {
            // What is told to a copy that is being closed for another reason is heard by nobody.
            LogEvent::Lost { partition, loss: Loss::Diverged } if seen.decided => {
                seen.refused.extend(seen.untouched.remove(partition));
            }
            LogEvent::Assigned { partition } => seen.assigned(*partition),
            LogEvent::Facts(facts) if !seen.decided => {
                seen.beyond = beyond(node, facts, world);
            }
            LogEvent::Lost { .. }
            | LogEvent::Facts(_)
            | LogEvent::Leaderless { .. }
            | LogEvent::Ends(_)
            | LogEvent::TopicId(_)
            | LogEvent::PartitionCount(_)
            | LogEvent::Fetched(_)
            | LogEvent::Appended { .. }
            | LogEvent::Failed { .. }
            | LogEvent::Trouble(_) => {}
        }
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        let seen = self.nodes.entry(node).or_default();
        match effect {
            Effect::Log(LogCall::Assign { partition, at, .. }) => {
                let fed = world.node(node).status().fed;
                let fed =
                    fed.filter(|generation| ends_at(*generation, *partition, *at, node, world));
                let (outstanding, copy) = seen.assigning.entry(*partition).or_default();
                (*outstanding, *copy) = (*outstanding + 1, fed);
                seen.untouched.remove(partition);
                Ok(())
            }
            Effect::Notice(Notice::Phase(phase)) => {
                seen.decided = !matches!(phase, Phase::Opening | Phase::Refused(_));
                Ok(())
            }
            Effect::Store(StoreCall::Apply { batch, .. }) => {
                seen.untouched.remove(&batch.partition);
                Ok(())
            }
            Effect::Store(StoreCall::Remove { generation })
                if seen.refused.union(&seen.beyond).any(|kept| kept == generation)
                    && world.disk_is_its_own(node) =>
            {
                let what = format!("deletes {generation}, which has what the log lost");
                Err(Wrong::of(node, what))
            }
            Effect::Log(_)
            | Effect::Store(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Reply(..)
            | Effect::Notice(_) => Ok(()),
        }
    }

    fn forget(&mut self, node: usize) {
        self.nodes.remove(&node);
    }

    fn disk_changed(&mut self, node: usize, _world: &World) {
        self.forget(node);
    }
}

impl Seen {
    fn assigned(&mut self, partition: Partition) {
        if let Some((outstanding, copy)) = self.assigning.get_mut(&partition) {
            *outstanding = outstanding.saturating_sub(1);
            let copy = copy.filter(|_| *outstanding == 0);
            self.untouched.extend(copy.map(|generation| (partition, generation)));
        }
    }
}

/// Copies that end behind the log's own end.
fn beyond(node: usize, facts: &LogFacts, world: &World) -> BTreeSet<Generation> {
    let beyond = world.disk(node).generations().filter(|stored| {
        let mut pairs = stored.durable.iter().zip(&facts.partitions);
        let sound = stored.sound && world.disk_is_its_own(node);
        sound && pairs.any(|(copy, facts)| copy.lineage().position > facts.high_watermark)
    });
    beyond.map(|stored| stored.generation).collect()
}

/// A reader that asks whether the log has an end beyond the copy's own puts nothing of the copy in doubt.
fn ends_at(
    generation: Generation,
    partition: Partition,
    at: Offset,
    node: usize,
    world: &World,
) -> bool {
    let stored = world.disk(node).generation(generation);
    stored.is_some_and(|stored| stored.durable[partition.index()].lineage().position == at)
}
