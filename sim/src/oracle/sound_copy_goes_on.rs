//! O12: a copy that is as good as when its process ended is read on, a rebuild that a crash interrupted goes on where it was,
//! and so does what a peer gave; none is begun, or fetched, again.
//!
//! It judges where nothing speaks against what was found: sound files of this topic, a log that lost nothing and still has
//! what comes next, clocks that differ by less than the margin, tombstones that live for much longer than the process was away, and a copy that
//! knows an epoch: without one it cannot tell a deposed leader from one that lost records. A process whose clock was ahead
//! when it began takes all others for old once that is set right, for it cannot know that it was wrong before. A date that
//! its clock showed twice, ahead for a time and then again, is of the first time: what confirmed a peer's copy may have been
//! ahead with it, as all are that ask one server for the time.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_core::log::LogEvent;
use outrigger_core::node::{Effect, Event};
use outrigger_core::offset::{Generation, Offset, Partition};
use outrigger_core::peer::PeerCall;
use outrigger_core::store::{StoreCall, StoreCallKind, StoreErrorKind, StoreEvent};

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Rebuilds {
    /// Processes that have not looked at their disk yet.
    started: BTreeSet<usize>,
    /// Processes whose clock was ahead, when they began, by more than clocks may differ.
    ahead: BTreeSet<usize>,
    /// Processes that have not looked since they adopted something: they may know more of the copy in use than its
    /// disk.
    adopted: BTreeSet<usize>,
    /// What a process found when it looked first, until it has decided.
    found: BTreeMap<usize, Vec<Copied>>,
    /// What the wall clock of a process has shown.
    shown: BTreeMap<usize, Vec<Shown>>,
    /// Smallest delete.retention.ms that a process was told, or that what a peer's copy is to replace has seen.
    heard_ms: BTreeMap<usize, u64>,
}

/// What a clock showed from one setting to the next.
#[derive(Clone, Copy)]
struct Shown {
    from_ms: u64,
    to_ms: u64,
    /// How far it was ahead of time.
    ahead_ms: i64,
}

struct Copied {
    generation: Generation,
    in_use: bool,
    /// Records below these are on disk.
    positions: Vec<Offset>,
    /// When its partitions were confirmed. A peer's clock may have been wrong at one of them.
    confirmed_at_ms: Vec<u64>,
    /// When the process found it, by the node's wall clock.
    found_at_ms: u64,
    retention_ms: u64,
}

impl Oracle for Rebuilds {
    fn id(&self) -> OracleId {
        OracleId::O12
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        self.show(node, world);
        match event {
            Event::Log(LogEvent::Facts(facts)) => {
                self.hear(node, facts.policy.delete_retention_ms);
            }
            Event::Store(event) => self.stored(node, event, world),
            // It was damaged after it was found, and a read has met that.
            Event::Damaged { .. } => drop(self.found.remove(&node)),
            Event::Log(_)
            | Event::Peer(_)
            | Event::Command(..)
            | Event::Gone(_)
            | Event::Withdraw(_)
            | Event::RestoreRate(_)
            | Event::Timer => {}
        }
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        match effect {
            Effect::Peer(PeerCall::Fetch { .. }) => {
                let durable = world.disk(node).generations().flat_map(|stored| stored.durable);
                let seen_ms = durable.map(|contents| contents.lineage().delete_retention_ms_min);
                self.hear(node, seen_ms.min().unwrap_or(u64::MAX));
                self.begins(node, "fetches a copy", world)
            }
            Effect::Store(StoreCall::Create { .. }) => self.begins(node, "begins a rebuild", world),
            // What was found has been read on: it may be given up for what comes.
            Effect::Log(_)
                if self.found.contains_key(&node) && world.node(node).status().fed.is_some() =>
            {
                self.found.remove(&node);
                Ok(())
            }
            Effect::Peer(PeerCall::Cancel)
            | Effect::Ring(_)
            | Effect::Store(_)
            | Effect::Log(_)
            | Effect::Reply(..)
            | Effect::Notice(_) => Ok(()),
        }
    }

    fn started(&mut self, node: usize, world: &World) {
        self.started.insert(node);
        if is_ahead(node, world) {
            self.ahead.insert(node);
        } else {
            self.ahead.remove(&node);
        }
        self.adopted.remove(&node);
        self.found.remove(&node);
        self.heard_ms.remove(&node);
        self.shown.remove(&node);
        self.show(node, world);
    }

    fn crashed(&mut self, node: usize, _world: &World) -> Result<(), Wrong> {
        self.found.remove(&node);
        Ok(())
    }

    fn disk_changed(&mut self, node: usize, _world: &World) {
        self.found.remove(&node);
    }
}

impl Rebuilds {
    fn hear(&mut self, node: usize, retention_ms: u64) {
        let heard_ms = self.heard_ms.entry(node).or_insert(u64::MAX);
        *heard_ms = retention_ms.min(*heard_ms);
    }

    /// The node looks at its clock.
    fn show(&mut self, node: usize, world: &World) {
        let (wall_ms, true_ms) = (world.now_of(node).wall_ms, world.now.wall_ms);
        let ahead_ms = signed(wall_ms) - signed(true_ms);
        let shown = self.shown.entry(node).or_default();
        match shown.last_mut().filter(|shown| shown.ahead_ms == ahead_ms) {
            Some(shown) => shown.to_ms = wall_ms,
            None => shown.push(Shown { from_ms: wall_ms, to_ms: wall_ms, ahead_ms }),
        }
    }

    /// The true time at which the node's clock showed this first.
    fn first_shown_ms(&self, node: usize, wall_ms: u64) -> u64 {
        let shown = self.shown.get(&node).into_iter().flatten();
        let at = shown.filter_map(|shown| shown.when(wall_ms));
        at.min().unwrap_or(wall_ms).min(wall_ms)
    }

    fn stored(&mut self, node: usize, event: &StoreEvent, world: &World) {
        match event {
            StoreEvent::Done { call: StoreCallKind::Adopt, .. } => {
                self.adopted.insert(node);
            }
            StoreEvent::Found(_) => {
                let (started, adopted) = (self.started.remove(&node), self.adopted.remove(&node));
                if started || adopted {
                    let found = found(node, world).filter(|copied| started || !copied.in_use);
                    self.found.insert(node, found.collect());
                }
            }
            StoreEvent::Failed { error, .. } if error.kind == StoreErrorKind::Corrupt => {
                self.found.remove(&node);
            }
            StoreEvent::Done { .. }
            | StoreEvent::Failed { .. }
            | StoreEvent::Looked(_)
            | StoreEvent::Applied { .. }
            | StoreEvent::Pinned { .. } => {}
        }
    }

    fn begins(&mut self, node: usize, what: &str, world: &World) -> Result<(), Wrong> {
        let found = self.found.remove(&node).unwrap_or_default();
        let heard_ms = self.heard_ms.get(&node).copied().unwrap_or(u64::MAX);
        let believes = !self.ahead.contains(&node);
        let may_go_on = |found: &&Copied| {
            let confirmed_at_ms = found.confirmed_at_ms.iter();
            let first_ms = confirmed_at_ms.map(|at_ms| self.first_shown_ms(node, *at_ms)).min();
            believes && found.may_go_on(node, first_ms.unwrap_or(0), heard_ms, world)
        };
        match found.iter().find(may_go_on) {
            Some(Copied { generation, positions, .. }) => {
                let what = format!("{what}, although {generation} could go on at {positions:?}");
                Err(Wrong::of(node, what))
            }
            None => Ok(()),
        }
    }
}

impl Shown {
    /// Two clocks are not read at one moment.
    const SLACK_MS: u64 = 100;

    /// The true time at which it showed this, if it did.
    fn when(self, wall_ms: u64) -> Option<u64> {
        let shown = self.from_ms.saturating_sub(Self::SLACK_MS)..=self.to_ms + Self::SLACK_MS;
        let then_ms = wall_ms.checked_add_signed(-self.ahead_ms)?;
        shown.contains(&wall_ms).then_some(then_ms)
    }
}

fn signed(wall_ms: u64) -> i64 {
    i64::try_from(wall_ms).expect("a date of these centuries")
}

fn is_ahead(node: usize, world: &World) -> bool {
    let margin_ms = world.limits().margin_ms(world.log.policy().delete_retention_ms);
    world.now_of(node).wall_ms > world.now.wall_ms + margin_ms
}

/// The copy in use and an unfinished one, as far as they have read something and know an epoch.
fn found(node: usize, world: &World) -> impl Iterator<Item = Copied> {
    let disk = world.disk(node);
    let in_use = disk.generations().find(|stored| stored.current);
    let last = disk.generations().last().filter(|stored| !stored.current);
    let used = in_use.as_ref().map(|stored| stored.generation);
    let last = last.filter(|last| used < Some(last.generation));
    let sound = [in_use, last].into_iter().flatten().filter(|stored| stored.sound);
    sound.filter_map(move |stored| {
        let lineages = || stored.durable.iter().map(|contents| contents.lineage());
        let begun = lineages().any(|lineage| lineage.position > Offset::ZERO);
        let judges = lineages()
            .all(|lineage| lineage.position == Offset::ZERO || lineage.epochs.latest().is_some());
        let seen_ms = lineages().map(|lineage| lineage.delete_retention_ms_min);
        (begun && judges && world.disk_is_its_own(node)).then(|| Copied {
            generation: stored.generation,
            in_use: stored.current,
            positions: lineages().map(|lineage| lineage.position).collect(),
            found_at_ms: world.now_of(node).wall_ms,
            confirmed_at_ms: lineages().map(|lineage| lineage.confirmed_at_ms).collect(),
            retention_ms: seen_ms.min().unwrap_or(0),
        })
    })
}

impl Copied {
    /// `first_ms`: the true time at which the node's clock showed one of its confirmations first.
    fn may_go_on(&self, node: usize, first_ms: u64, heard_ms: u64, world: &World) -> bool {
        let policy = world.log.policy();
        let retention_ms = self.retention_ms.min(heard_ms).min(policy.delete_retention_ms);
        let youngest = self.confirmed_at_ms.iter().copied().max().unwrap_or(0);
        let (now_ms, there_ms) = (world.now.wall_ms, world.now_of(node).wall_ms);
        let margin_ms = world.limits().margin_ms(retention_ms);
        let young = |wall_ms: u64| wall_ms.saturating_sub(first_ms) < retention_ms / 2;
        let mut places = Partition::all(world.reference.count()).zip(&self.positions);
        young(now_ms)
            && young(there_ms)
            && there_ms.abs_diff(now_ms) < margin_ms
            && youngest <= self.found_at_ms.min(there_ms) + margin_ms
            && world.losses.is_empty()
            && world.disk_is_its_own(node)
            && places.all(|(partition, at)| world.log.state(partition).log_start <= *at)
    }
}
