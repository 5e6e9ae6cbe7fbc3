//! O12: while nobody answers for the log, a sound copy that is in use answers STALE reads.
//!
//! What a node that sleeps, or whose disk does not answer or failed, does not serve is not held against it.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_core::log::LogEvent;
use outrigger_core::node::{Effect, Event, Notice};
use outrigger_core::phase::Phase;
use outrigger_core::store::StoreEvent;

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
    /// Calls that the disk has not answered.
    calls: u32,
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
                self.calls = self.calls.saturating_sub(1);
                if !matches!(event, StoreEvent::Looked(_)) {
                    self.since = now;
                }
            }
            Event::Log(LogEvent::Facts(_)) => self.since = now,
            Event::Log(_)
            | Event::Peer(_)
            | Event::Command(..)
            | Event::Gone(_)
            | Event::Withdraw(_)
            | Event::Damaged { .. }
            | Event::RestoreRate(_)
            | Event::Timer => {}
        }
    }

    fn effect(&mut self, effect: &Effect, now: Duration) {
        match effect {
            Effect::Store(_) => self.calls += 1,
            Effect::Notice(Notice::Phase(phase)) => {
                (self.opening, self.since) = (*phase == Phase::Opening, now);
            }
            Effect::Notice(_) | Effect::Log(_) | Effect::Peer(_) | Effect::Reply(..) => {}
        }
    }

    fn serves_nothing(&self, node: usize, world: &World) -> bool {
        let limit = world.limits().unheard_after + PATIENCE;
        let waited = world.elapsed().saturating_sub(self.since.max(world.woke(node)));
        let (disk, gate) = (world.disk(node), world.node(node).gate());
        let is_own = disk.identity().is_some_and(|identity| identity.store == "store");
        let sound = || disk.generations().any(|stored| stored.current && stored.sound);
        self.opening
            && self.calls == 0
            && waited > limit
            && gate.phase == Phase::Opening
            && gate.generation.is_none()
            && is_own
            && sound()
    }
}
