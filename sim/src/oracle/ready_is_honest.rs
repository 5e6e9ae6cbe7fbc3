//! O11: READY is honest: everything is applied that the log had when the restore began.

use std::collections::BTreeMap;

use outrigger_core::log::LogEvent;
use outrigger_core::node::{Effect, Event, Notice};
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::phase::Phase;
use outrigger_core::store::View;
use outrigger_core::topic::PartitionFacts;

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct HonestReady {
    /// The ends that the log last answered to each node.
    answered: BTreeMap<usize, Vec<Offset>>,
    /// Of those, the ones that the running restore began with.
    ends: BTreeMap<usize, Vec<Offset>>,
}

impl Oracle for HonestReady {
    fn id(&self) -> OracleId {
        OracleId::O11
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        if let Event::Log(LogEvent::Facts(facts)) = event {
            // Where that topic is gone already, its successor's ends are what there is to reach. The node refuses as soon as
            // it has asked for the topic's id, and nothing that it reads until then becomes durable.
            let gone = facts.topic != world.log.topic();
            let end =
                |facts: &PartitionFacts| if gone { Offset::ZERO } else { facts.high_watermark };
            self.answered.insert(node, facts.partitions.iter().map(end).collect());
        }
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: &Effect, _world: &World) -> Result<(), Wrong> {
        if let Effect::Notice(Notice::Phase(Phase::Restoring(_))) = effect {
            self.ends.insert(node, self.answered.get(&node).cloned().unwrap_or_default());
        }
        Ok(())
    }

    fn started(&mut self, node: usize, _world: &World) {
        self.answered.remove(&node);
        self.ends.remove(&node);
    }

    fn ready(&mut self, node: usize, world: &World) -> Result<(), Wrong> {
        let Some(ends) = self.ends.get(&node) else {
            return Err(Wrong::of(node, "READY without a restore".to_owned()));
        };
        let gate = world.node(node).gate();
        let view = gate.generation.map(|generation| world.view_of(node, generation));
        let Some(Ok(lineages)) = view.map(|view| view.lineages()) else {
            return Ok(());
        };
        for (partition, (end, lineage)) in ends.iter().zip(&lineages).enumerate() {
            // An answer may still have told an end that the log had lost already.
            let lost = world.losses.iter().map(|loss| &loss.lost);
            let lost =
                lost.filter(|lost| lost.partition.index() == partition && *end <= lost.until);
            let end = &lost.map(|lost| lost.from).fold(*end, Offset::min);
            if lineage.position < *end {
                let what = format!(
                    "partition {partition}: READY at {}, the log ended at {end} when the restore began",
                    lineage.position
                );
                return Err(Wrong::of(node, what));
            }
            // Where the store has run ahead of what the node knows, into a gap, it is the reads that find out.
            let known = gate.positions.get(partition) == Some(&lineage.position);
            if known && !lineage.exact() {
                let what = format!(
                    "partition {partition}: READY at {}, exact only from {}",
                    lineage.position, lineage.exact_from
                );
                return Err(Wrong::of(node, what));
            }
        }
        Ok(())
    }

    /// The log lost records: nobody can reach an end that is no more.
    fn log_changed(&mut self, world: &World) {
        for ends in self.ends.values_mut().chain(self.answered.values_mut()) {
            for (partition, end) in Partition::all(world.reference.count()).zip(ends) {
                *end = (*end).min(world.log.state(partition).log_end);
            }
        }
    }
}
