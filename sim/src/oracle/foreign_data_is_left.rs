//! O14: data of something else is refused and left as it is.
//!
//! Another store's, cluster's or topic's directory is never changed and never served as this store's copy. A
//! node that was told of another topic, another number of partitions or an unsafe policy stops reading at
//! once, and what it makes durable is its own topic's.

use std::collections::BTreeMap;

use outrigger_core::log::LogEvent;
use outrigger_core::node::{Effect, Event};
use outrigger_core::offset::{Generation, Offset};
use outrigger_core::store::{StoreCall, StoreCallKind, StoreEvent};
use outrigger_core::topic::Identity;

use super::content::Log;
use super::{Oracle, OracleId, Wrong, crash_leaves_a_prefix};
use crate::world::World;

#[derive(Default)]
pub(super) struct Foreign {
    /// What was on the disk of somebody else when it was mounted.
    found: BTreeMap<usize, Vec<(Generation, Vec<Offset>)>>,
}

impl Oracle for Foreign {
    fn id(&self) -> OracleId {
        OracleId::O14
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        match event {
            Event::Log(LogEvent::TopicId(topic)) => {
                let fits = |identity: &Identity| identity.topic == *topic;
                told(node, world, fits, || format!("topic id {topic}"))
            }
            Event::Log(LogEvent::Facts(facts)) => {
                let (is, cleanup) = (facts.identity("store"), &facts.policy.cleanup);
                let fits = |identity: &Identity| cleanup == "compact" && *identity == is;
                told(node, world, fits, || format!("{is}, cleanup.policy {cleanup}"))
            }
            Event::Store(StoreEvent::Done { call: StoreCallKind::Flush, generation }) => {
                flushed(node, *generation, world)
            }
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

    fn effect(&mut self, node: usize, effect: &Effect, _world: &World) -> Result<(), Wrong> {
        match effect {
            Effect::Store(call) => self.call(node, call),
            Effect::Log(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Reply(..)
            | Effect::Notice(_) => Ok(()),
        }
    }

    fn crashed(&mut self, node: usize, world: &World) -> Result<(), Wrong> {
        self.untouched(node, world)
    }

    fn ready(&mut self, node: usize, _world: &World) -> Result<(), Wrong> {
        if self.found.contains_key(&node) {
            return Err(Wrong::of(node, "READY on somebody else's disk".to_owned()));
        }
        Ok(())
    }

    fn audit(&mut self, node: usize, world: &World) -> Result<(), Wrong> {
        let topic = world.disk(node).identity().map(|identity| identity.topic);
        if topic.is_some_and(|topic| topic != world.log.topic()) {
            return Err(Wrong::of(node, "serves a copy of another topic".to_owned()));
        }
        Ok(())
    }

    fn disk_changed(&mut self, node: usize, world: &World) {
        self.found.remove(&node);
        if somebody_elses(node, world) {
            self.found.insert(node, contents(node, world));
        }
    }
}

impl Foreign {
    fn call(&self, node: usize, call: &StoreCall) -> Result<(), Wrong> {
        match call {
            StoreCall::Open { .. }
            | StoreCall::Look { .. }
            | StoreCall::Close { .. }
            | StoreCall::Pin { .. }
            | StoreCall::Unpin { .. } => Ok(()),
            StoreCall::Create { .. }
            | StoreCall::Adopt { .. }
            | StoreCall::Apply { .. }
            | StoreCall::Confirm { .. }
            | StoreCall::Flush { .. }
            | StoreCall::Activate { .. }
            | StoreCall::Quarantine { .. }
            | StoreCall::Remove { .. } => {
                if self.found.contains_key(&node) {
                    Err(Wrong::of(node, format!("writes to somebody else's disk: {call:?}")))
                } else {
                    Ok(())
                }
            }
        }
    }

    fn untouched(&self, node: usize, world: &World) -> Result<(), Wrong> {
        match self.found.get(&node) {
            Some(found) if *found != contents(node, world) => {
                Err(Wrong::of(node, "somebody else's disk was changed".to_owned()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The log's answer does not fit what is on disk: nothing more may be read into it.
fn told(
    node: usize,
    world: &World,
    fits: impl FnOnce(&Identity) -> bool,
    what: impl FnOnce() -> String,
) -> Result<(), Wrong> {
    let reads = || world.node(node).status().fed.is_some();
    match world.disk(node).identity() {
        Some(identity) if !fits(identity) && reads() => {
            Err(Wrong::of(node, format!("told of {}, it goes on in a copy of {identity}", what())))
        }
        Some(_) | None => Ok(()),
    }
}

/// The topic is no more; what it said is all that its copy may hold.
fn flushed(node: usize, generation: Generation, world: &World) -> Result<(), Wrong> {
    let disk = world.disk(node);
    let topic = disk.identity().map(|identity| identity.topic);
    let predecessor = topic.filter(|topic| *topic != world.log.topic());
    let Some(reference) = predecessor.and_then(|topic| world.reference.of(topic)) else {
        return Ok(());
    };
    match disk.generation(generation).filter(|stored| stored.sound) {
        Some(stored) => {
            let log = Log { reference, world: None };
            crash_leaves_a_prefix::consistent(node, &stored, log)
        }
        None => Ok(()),
    }
}

fn somebody_elses(node: usize, world: &World) -> bool {
    world.disk(node).identity().is_some_and(|identity| identity.store != "store")
}

fn contents(node: usize, world: &World) -> Vec<(Generation, Vec<Offset>)> {
    let positions = world.disk(node).generations().map(|stored| {
        let partitions = stored.durable.iter();
        (stored.generation, partitions.map(|contents| contents.lineage().position).collect())
    });
    positions.collect()
}
