//! O12: while nobody answers for the log, a sound copy that is in use answers STALE reads.
//!
//! What a node that sleeps, or whose disk does not answer or failed, does not serve is not held against it. Nor is a copy
//! in which its process has met damage, whatever state its files are in: that copy is set aside as soon as the log answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use outrigger_core::log::LogEvent;
use outrigger_core::node::{Effect, Event, Notice};
use outrigger_core::offset::Generation;
use outrigger_core::phase::Phase;
use outrigger_core::store::{StoreCall, StoreCallKind, StoreErrorKind, StoreEvent};

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

/// It covers pauses before the next try, and answers of the disk.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(super) struct Unheard {
    nodes: BTreeMap<usize, Waits>,
}

#[derive(Default)]
struct Waits {
    opening: bool,
    /// Calls that the disk has not answered, with the generation that each writes to.
    calls: VecDeque<(StoreCallKind, Option<Generation>)>,
    /// Generations of which the disk or a read has told this process that they are damaged.
    damaged: BTreeSet<Generation>,
    /// Simulated time at which the log or the disk last told something that changes what is to be done.
    since: Duration,
}

impl Oracle for Unheard {
    fn id(&self) -> OracleId {
        OracleId::O12
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        let waits = self.nodes.entry(node).or_default();
        waits.handled(event, world.elapsed());
        if !waits.serves_nothing(node, world) {
            return Ok(());
        }
        let waited = world.elapsed() - waits.since;
        let what = format!("the log is away for {waited:?}, and no copy is served");
        Err(Wrong::of(node, what))
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        self.nodes.entry(node).or_default().effect(effect, world.elapsed());
        Ok(())
    }

    fn started(&mut self, node: usize, world: &World) {
        let waits = Waits { opening: true, since: world.elapsed(), ..Waits::default() };
        self.nodes.insert(node, waits);
    }

    fn forget(&mut self, node: usize) {
        self.nodes.remove(&node);
    }
}

impl Waits {
    fn handled(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Store(event) => {
                self.answered(event);
                if !matches!(event, StoreEvent::Looked(_)) {
                    self.since = now;
                }
            }
            Event::Damaged { generation, .. } => drop(self.damaged.insert(*generation)),
            Event::Log(LogEvent::Facts(_)) => self.since = now,
            Event::Log(_)
            | Event::Peer(_)
            | Event::Command(..)
            | Event::Gone(_)
            | Event::Withdraw(_)
            | Event::RestoreRate(_)
            | Event::Timer => {}
        }
    }

    fn answered(&mut self, event: &StoreEvent) {
        let oldest = self.calls.iter().position(|(call, _)| *call == event.answers());
        let writes_to = oldest.and_then(|oldest| self.calls.remove(oldest)?.1);
        match event {
            StoreEvent::Failed { error, .. } if error.kind == StoreErrorKind::Corrupt => {
                self.damaged.extend(writes_to);
            }
            StoreEvent::Done {
                call: StoreCallKind::Quarantine | StoreCallKind::Remove,
                generation,
            } => drop(self.damaged.remove(generation)),
            StoreEvent::Failed { .. }
            | StoreEvent::Done { .. }
            | StoreEvent::Found(_)
            | StoreEvent::Looked(_)
            | StoreEvent::Applied { .. }
            | StoreEvent::Pinned { .. } => {}
        }
    }

    fn effect(&mut self, effect: &Effect, now: Duration) {
        match effect {
            Effect::Store(call) => self.calls.push_back((call.kind(), writes_to(call))),
            Effect::Notice(Notice::Phase(phase)) => {
                (self.opening, self.since) = (*phase == Phase::Opening, now);
            }
            Effect::Notice(_)
            | Effect::Log(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Reply(..) => {}
        }
    }

    fn serves_nothing(&self, node: usize, world: &World) -> bool {
        let limit = world.limits().unheard_after + PATIENCE;
        let waited = world.elapsed().saturating_sub(self.since.max(world.woke(node)));
        let (disk, gate) = (world.disk(node), world.node(node).gate());
        let is_own = disk.identity().is_some_and(|identity| identity.store == "store");
        let sound = || {
            let mut in_use = disk.generations().filter(|stored| stored.current && stored.sound);
            in_use.any(|stored| !self.damaged.contains(&stored.generation))
        };
        self.opening
            && self.calls.is_empty()
            && waited > limit
            && gate.phase == Phase::Opening
            && gate.generation.is_none()
            && is_own
            && sound()
    }
}

fn writes_to(call: &StoreCall) -> Option<Generation> {
    match call {
        StoreCall::Apply { generation, .. }
        | StoreCall::Confirm { generation, .. }
        | StoreCall::Flush { generation }
        | StoreCall::Activate { generation } => Some(*generation),
        StoreCall::Open { .. }
        | StoreCall::Look { .. }
        | StoreCall::Create { .. }
        | StoreCall::Adopt { .. }
        | StoreCall::Quarantine { .. }
        | StoreCall::Remove { .. }
        | StoreCall::Close { .. }
        | StoreCall::Pin { .. }
        | StoreCall::Unpin { .. } => None,
    }
}
