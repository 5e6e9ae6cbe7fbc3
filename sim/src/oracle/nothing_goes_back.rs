//! O6: what reads see of one generation never goes back, nor does the generation itself.
//!
//! A crash may go back to what was durable, and an opening decides anew: both are declared. Between them
//! applied positions, leader epochs and generation numbers only grow. What CURRENT is to name is whole on
//! disk by then: a crash right after would otherwise leave less than the generation that it replaces had.

use std::collections::BTreeMap;

use outrigger_core::node::{Effect, Event};
use outrigger_core::offset::{Epoch, Generation, Offset};
use outrigger_core::phase::Phase;
use outrigger_core::store::StoreCall;

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Monotonic {
    seen: BTreeMap<usize, Seen>,
}

#[derive(Clone)]
struct Seen {
    generation: Option<Generation>,
    positions: Vec<Offset>,
    epochs: Vec<Option<Epoch>>,
}

impl Oracle for Monotonic {
    fn id(&self) -> OracleId {
        OracleId::O6
    }

    fn handled(&mut self, node: usize, _event: &Event, world: &World) -> Result<(), Wrong> {
        let gate = world.node(node).gate();
        if gate.phase == Phase::Opening {
            self.seen.remove(&node);
            return Ok(());
        }
        if !gate.fed {
            return Ok(());
        }
        let same = self.seen.get(&node).is_some_and(|seen| {
            seen.generation == gate.generation && seen.positions == gate.positions
        });
        if same {
            return Ok(());
        }
        let epochs = gate.epochs.iter().map(|chain| chain.latest()).collect();
        let now = Seen { generation: gate.generation, positions: gate.positions.clone(), epochs };
        match self.seen.insert(node, now.clone()) {
            Some(before) => compare(node, &before, &now),
            None => Ok(()),
        }
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        match effect {
            Effect::Store(StoreCall::Activate { generation }) => whole(node, *generation, world),
            Effect::Store(_)
            | Effect::Log(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Reply(..)
            | Effect::Notice(_) => Ok(()),
        }
    }

    fn forget(&mut self, node: usize) {
        self.seen.remove(&node);
    }

    fn disk_changed(&mut self, node: usize, _world: &World) {
        self.forget(node);
    }
}

/// Judges whether what makes the rebuild complete is durable, not only applied.
fn whole(node: usize, generation: Generation, world: &World) -> Result<(), Wrong> {
    let status = world.node(node).status();
    let Some(stored) = world.disk(node).generation(generation) else {
        return Ok(());
    };
    for (partition, (told, contents)) in status.partitions.iter().zip(stored.durable).enumerate() {
        let lineage = contents.lineage();
        if lineage.position < told.target || !lineage.exact() {
            let what = format!(
                "partition {partition}: CURRENT is to name a generation that is durable below {}, exact from {}, \
                 of {} to be restored",
                lineage.position, lineage.exact_from, told.target
            );
            return Err(Wrong::of(node, what));
        }
    }
    Ok(())
}

fn compare(node: usize, before: &Seen, now: &Seen) -> Result<(), Wrong> {
    if now.generation < before.generation {
        let what = format!("generation {:?} after {:?}", now.generation, before.generation);
        return Err(Wrong::of(node, what));
    }
    if now.generation > before.generation {
        return Ok(());
    }
    for (partition, (was, is)) in before.positions.iter().zip(&now.positions).enumerate() {
        if is < was {
            return Err(Wrong::of(
                node,
                format!("partition {partition}: position {is} after {was}"),
            ));
        }
    }
    for (partition, (was, is)) in before.epochs.iter().zip(&now.epochs).enumerate() {
        if is < was {
            return Err(Wrong::of(
                node,
                format!("partition {partition}: epoch {is:?} after {was:?}"),
            ));
        }
    }
    Ok(())
}
