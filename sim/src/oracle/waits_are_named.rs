//! O12: whatever a node waits for has a name, soon.
//!
//! A disk that does not answer; a node on its way to READY to which nothing comes; and one to which something comes
//! without end. What a node that sleeps does not say is not held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outrigger_core::log::LogEvent;
use outrigger_core::node::{Effect, Event, Notice};
use outrigger_core::offset::Offset;
use outrigger_core::phase::Phase;
use outrigger_core::stall::StallKind;

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

/// Questions that take as long as they may, pauses before the next try, and answers under way.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Named {
    nodes: BTreeMap<usize, Waits>,
}

#[derive(Default)]
struct Waits {
    names: BTreeSet<StallKind>,
    /// Calls that the disk has not answered.
    calls: u32,
    /// Simulated time at which the oldest of them became the oldest.
    disk_since: Duration,
    /// When something last came that brings a node on its way further, or the phase changed.
    came: Duration,
    away: Away,
    /// Whether its restores are throttled, as it was told last: what they read is paid for with time.
    throttled: bool,
    /// Whether the node had passed what would have made it exact, and was not exact, after the event before: the
    /// effects of that event have been seen since.
    endless: bool,
}

/// Where the node is on its way to READY, as its last notice said.
#[derive(Default)]
enum Away {
    /// READY, refused or stopped: it waits for nothing.
    #[default]
    No,
    OnItsWay,
    CatchingUp {
        since: Duration,
        /// From where each partition would have been exact then.
        exact_from: Vec<Offset>,
    },
}

impl Oracle for Named {
    fn id(&self) -> OracleId {
        OracleId::O12
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        let waits = self.nodes.entry(node).or_default();
        let wrong = waits.nameless(node, world);
        waits.handled(event, world.elapsed());
        waits.endless = waits.is_endless(node, world);
        wrong.map_or(Ok(()), |what| Err(Wrong::of(node, what)))
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        self.nodes.entry(node).or_default().effect(node, effect, world);
        Ok(())
    }

    fn started(&mut self, node: usize, world: &World) {
        let (came, away) = (world.elapsed(), Away::OnItsWay);
        let throttled = world.restore_rate(node).is_some();
        self.nodes.insert(node, Waits { came, away, throttled, ..Waits::default() });
    }

    fn forget(&mut self, node: usize) {
        self.nodes.remove(&node);
    }
}

impl Waits {
    /// What went without a name until the event that was handled just now.
    fn nameless(&self, node: usize, world: &World) -> Option<String> {
        let limits = world.limits();
        let woke = world.woke(node);
        let waited = |since: Duration| world.elapsed().saturating_sub(since.max(woke));
        if self.calls > 0
            && waited(self.disk_since) > limits.stall_after
            && !self.names.contains(&StallKind::StoreSlow)
        {
            let waited = waited(self.disk_since);
            return Some(format!("the disk does not answer for {waited:?}, and no stall says so"));
        }
        if !self.names.is_empty() || matches!(self.away, Away::No) {
            return None;
        }
        let mut patience = limits.stall_after + PATIENCE;
        if self.throttled {
            patience += limits.restore_debt_max;
        }
        if waited(self.came) > patience {
            let waited = waited(self.came);
            return Some(format!("nothing comes for {waited:?}, and no stall says why"));
        }
        match &self.away {
            Away::CatchingUp { since, .. } if waited(*since) > patience => {
                let endless = self.endless && self.is_endless(node, world);
                endless.then(|| "catches up without end, and no stall says why".to_owned())
            }
            Away::CatchingUp { .. } | Away::OnItsWay | Away::No => None,
        }
    }

    fn is_endless(&self, node: usize, world: &World) -> bool {
        let Away::CatchingUp { exact_from, .. } = &self.away else { return false };
        let partitions = world.node(node).status().partitions;
        let mut pairs = partitions.iter().zip(exact_from);
        let passed = pairs.all(|(is, from)| is.applied >= *from);
        passed && partitions.iter().any(|is| is.applied < is.exact_from)
    }

    fn handled(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Store(_) => {
                self.calls = self.calls.saturating_sub(1);
                (self.disk_since, self.came) = (now, now);
            }
            Event::Log(
                LogEvent::Fetched(_) | LogEvent::Assigned { .. } | LogEvent::Lost { .. },
            )
            | Event::Peer(_) => self.came = now,
            Event::RestoreRate(rate) => (self.throttled, self.came) = (rate.is_some(), now),
            Event::Log(
                LogEvent::Facts(_)
                | LogEvent::Leaderless { .. }
                | LogEvent::Ends(_)
                | LogEvent::TopicId(_)
                | LogEvent::PartitionCount(_)
                | LogEvent::Appended { .. }
                | LogEvent::Failed { .. }
                | LogEvent::Trouble(_),
            )
            | Event::Command(..)
            | Event::Gone(_)
            | Event::Withdraw(_)
            | Event::Damaged { .. }
            | Event::Timer => {}
        }
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) {
        let now = world.elapsed();
        match effect {
            Effect::Store(_) => {
                if self.calls == 0 {
                    self.disk_since = now;
                }
                self.calls += 1;
            }
            Effect::Notice(Notice::StallBegan { kind, .. }) => drop(self.names.insert(*kind)),
            Effect::Notice(Notice::StallEnded { kind }) => {
                self.names.remove(kind);
                self.came = now;
                if let Away::CatchingUp { .. } = self.away {
                    self.away = catching_up(node, world);
                }
            }
            Effect::Notice(Notice::Phase(phase)) => {
                self.came = now;
                self.away = match phase {
                    Phase::Opening | Phase::Restoring(_) => Away::OnItsWay,
                    Phase::CatchingUp => catching_up(node, world),
                    Phase::Ready | Phase::Refused(_) | Phase::Stopped => Away::No,
                };
            }
            Effect::Notice(
                Notice::Ignored { .. }
                | Notice::LogIncomplete { .. }
                | Notice::Quarantined { .. }
                | Notice::PositionLost { .. }
                | Notice::Policy(_)
                | Notice::PeerFailed { .. },
            )
            | Effect::Log(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Reply(..) => {}
        }
    }
}

fn catching_up(node: usize, world: &World) -> Away {
    let partitions = world.node(node).status().partitions;
    let exact_from = partitions.iter().map(|is| is.exact_from).collect();
    Away::CatchingUp { since: world.elapsed(), exact_from }
}
