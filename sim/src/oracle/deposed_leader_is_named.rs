//! O12: a node that is answered by a deposed leader says so: a stall with that name.
//!
//! It compares the answers to one process: a leader epoch below one that an earlier answer showed is a deposed leader's.

use std::collections::BTreeMap;

use outrigger_core::log::{EndAnswer, LogEvent};
use outrigger_core::node::Event;
use outrigger_core::offset::Epoch;
use outrigger_core::stall::StallKind;
use outrigger_core::topic::{LogFacts, TopicId};

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Deposed {
    nodes: BTreeMap<usize, Known>,
}

/// The newest epochs that a process was told, of one topic.
struct Known {
    topic: TopicId,
    epochs: Vec<Option<Epoch>>,
}

impl Oracle for Deposed {
    fn id(&self) -> OracleId {
        OracleId::O12
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        // Ends follow the facts that a copy was opened by; other facts may overtake them.
        if let Event::Log(LogEvent::Facts(facts)) = event
            && world.node(node).status().fed.is_none()
        {
            self.told(node, facts);
        }
        match event {
            Event::Log(LogEvent::Ends(ends)) => self.answered(node, ends, world),
            Event::Log(_)
            | Event::Store(_)
            | Event::Peer(_)
            | Event::Command(..)
            | Event::Gone(_)
            | Event::Withdraw(_)
            | Event::Damaged { .. }
            | Event::RestoreRate(_)
            | Event::Timer => Ok(()),
        }
    }

    fn forget(&mut self, node: usize) {
        self.nodes.remove(&node);
    }
}

impl Deposed {
    fn told(&mut self, node: usize, facts: &LogFacts) {
        let epochs: Vec<_> = facts.partitions.iter().map(|facts| facts.epoch).collect();
        match self.nodes.get_mut(&node).filter(|known| known.topic == facts.topic) {
            Some(known) => known.learn(&epochs),
            None => {
                self.nodes.insert(node, Known { topic: facts.topic, epochs });
            }
        }
    }

    fn answered(&mut self, node: usize, ends: &[EndAnswer], world: &World) -> Result<(), Wrong> {
        let Some(known) = self.nodes.get_mut(&node) else { return Ok(()) };
        let answered = ends.iter().map(|end| end.as_ref().ok());
        let epochs: Vec<_> = answered.map(|end| end.and_then(|end| end.epoch)).collect();
        let deposed = known.deposed(&epochs);
        known.learn(&epochs);
        let ours = known.topic == world.log.topic() && world.disk_is_its_own(node);
        match deposed {
            Some((partition, is, known)) if ours && !says_so(node, world) => {
                let what = format!(
                    "partition {partition}: epoch {is} answers after {known}, and no stall says so"
                );
                Err(Wrong::of(node, what))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether the node says so, or does not read: nothing goes by the answer then.
fn says_so(node: usize, world: &World) -> bool {
    let status = world.node(node).status();
    let mut stalls = status.stalls.iter();
    status.fed.is_none() || stalls.any(|stall| stall.kind == StallKind::StaleLeader)
}

impl Known {
    fn learn(&mut self, answered: &[Option<Epoch>]) {
        for (known, answered) in self.epochs.iter_mut().zip(answered) {
            *known = (*known).max(*answered);
        }
    }

    /// A partition whose leader is not the newest one, with both epochs.
    fn deposed(&self, answered: &[Option<Epoch>]) -> Option<(usize, Epoch, Epoch)> {
        let mut pairs = self.epochs.iter().zip(answered).enumerate();
        pairs.find_map(|(partition, (known, is))| {
            let (known, is) = (*known).zip(*is)?;
            (is < known).then_some((partition, is, known))
        })
    }
}
