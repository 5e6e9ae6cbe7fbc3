//! O12: a node that is answered by a deposed leader says so: a stall with that name.
//!
//! Within one process: an answer with a leader epoch below one that an earlier answer showed.

use std::collections::BTreeMap;

use outrigger_core::log::LogEvent;
use outrigger_core::node::Event;
use outrigger_core::offset::Epoch;
use outrigger_core::stall::StallKind;
use outrigger_core::topic::TopicId;

use super::{Moment, Oracle, OracleId, Wrong};
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

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        match moment {
            // Ends follow the facts that a copy was opened by; other facts may overtake them.
            Moment::Handled { node, event: Event::Log(LogEvent::Facts(facts)) }
                if world.node(*node).status().live.is_none() =>
            {
                let epochs: Vec<_> = facts.partitions.iter().map(|facts| facts.epoch).collect();
                match self.nodes.get_mut(node).filter(|known| known.topic == facts.topic) {
                    Some(known) => known.learn(&epochs),
                    None => {
                        let known = Known { topic: facts.topic, epochs };
                        self.nodes.insert(*node, known);
                    }
                }
                Ok(())
            }
            Moment::Handled { node, event: Event::Log(LogEvent::Ends(ends)) } => {
                let Some(known) = self.nodes.get_mut(node) else {
                    return Ok(());
                };
                let answered = ends.iter().map(|end| end.as_ref().ok());
                let epochs: Vec<_> = answered.map(|end| end.and_then(|end| end.epoch)).collect();
                let deposed = known.deposed(&epochs);
                known.learn(&epochs);
                let ours = known.topic == world.log.topic() && world.disk_is_its_own(*node);
                match deposed {
                    Some((partition, is, known)) if ours && !says_so(*node, world) => {
                        let what = format!(
                            "partition {partition}: epoch {is} answers after {known}, and no stall says so"
                        );
                        Err(Wrong::of(*node, what))
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Moment::Started { node } | Moment::Crashed { node } => {
                self.nodes.remove(node);
                Ok(())
            }
            Moment::Handled { .. }
            | Moment::Effect { .. }
            | Moment::Ready { .. }
            | Moment::Read { .. }
            | Moment::Audit { .. }
            | Moment::DiskChanged { .. }
            | Moment::LogChanged => Ok(()),
        }
    }
}

/// Or does not read, so that nothing goes by the answer.
fn says_so(node: usize, world: &World) -> bool {
    let status = world.node(node).status();
    let mut stalls = status.stalls.iter();
    status.live.is_none() || stalls.any(|stall| stall.kind == StallKind::StaleLeader)
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
