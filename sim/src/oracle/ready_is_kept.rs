//! O11: READY is not lost, and a copy not opened anew, for nothing.
//!
//! These license it: a disk or a log that failed, an operator, a topic that is another one or has another policy, and a
//! copy that may be past its horizon. A gap at the tail licenses it too where compaction may have left it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use outrigger_core::lineage::EpochChain;
use outrigger_core::log::{EndAnswer, LogCall, LogEvent, Loss};
use outrigger_core::node::{Command, Effect, Event, Notice};
use outrigger_core::offset::{Epoch, Offset, Partition};
use outrigger_core::phase::Phase;
use outrigger_core::store::{Found, FoundGeneration, StoreCall, StoreCallKind, StoreEvent};
use outrigger_core::topic::{LogFacts, TopicFacts};

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Needless {
    nodes: BTreeMap<usize, Seen>,
}

#[derive(Default)]
struct Seen {
    ready: bool,
    /// Whether something has asked for opening the copy anew since it was opened last.
    asked: bool,
    facts: Option<LogFacts>,
    /// Smallest delete.retention.ms that was told.
    retention_ms_min: Option<u64>,
    /// When the ends were last asked for, and when those were asked for that an answer confirmed last.
    ends_asked: Duration,
    confirmed: Option<Duration>,
    /// The leaders that answered then.
    confirmed_by: Vec<Option<Epoch>>,
    /// When the copy was last unconfirmed for so long that compaction may have left a gap.
    unconfirmed: Option<Duration>,
    /// Gaps that came and are not applied: where their batches end, and when they came; then what was applied just now.
    gaps: VecDeque<(Partition, Offset, Duration)>,
    gap_applied: Option<Duration>,
    /// The leaders' epochs: as they answered last, as they were when a partition was asked for records last, and as they
    /// were when it was asked for the records of its oldest gap.
    leaders: Vec<Option<Epoch>>,
    leader_at_credit: BTreeMap<Partition, Option<Epoch>>,
    leader_at_gap: BTreeMap<Partition, Option<Epoch>>,
    /// How far its wall clock was ahead of the brokers' clock when it was looked at last, and when that was found changed.
    wall_offset_ms: i64,
    clock_set: Option<Duration>,
}

impl Oracle for Needless {
    fn id(&self) -> OracleId {
        OracleId::O11
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        self.nodes.entry(node).or_default().handled(node, event, world);
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        let seen = self.nodes.entry(node).or_default();
        seen.effect(effect, world).map_err(|what| Wrong::of(node, what.to_owned()))
    }

    fn forget(&mut self, node: usize) {
        self.nodes.remove(&node);
    }
}

impl Seen {
    fn handled(&mut self, node: usize, event: &Event, world: &World) {
        let offset_ms = world.wall_offset_ms(node);
        if std::mem::replace(&mut self.wall_offset_ms, offset_ms) != offset_ms {
            self.clock_set = Some(world.elapsed());
        }
        self.gap_applied = None;
        if self.gap_may_count(world) {
            self.unconfirmed = Some(world.elapsed());
        }
        if let Event::Log(LogEvent::Fetched(batch)) = event {
            // The copy cannot tell whether the new leader or the one before told the end that it waits for.
            let known = world.node(node).gate().epochs.get(batch.partition.index());
            let known = known.and_then(EpochChain::latest);
            let newer = batch.epochs.last().is_some_and(|(epoch, _)| Some(*epoch) > known);
            self.asked |= newer && !self.ready;
            self.asked |= self.may_be_contradicted(world);
        }
        match event {
            Event::Store(StoreEvent::Found(found)) => self.open(found),
            Event::Log(LogEvent::Fetched(batch)) if batch.gap => {
                // An earlier leader may have confirmed after it was deposed, and what its successor compacted.
                let newest = newest(batch.partition, world);
                let by = self.confirmed_by.get(batch.partition.index()).copied().flatten();
                if by < newest {
                    self.unconfirmed = Some(world.elapsed());
                }
                self.gaps.push_back((batch.partition, batch.range.end, world.elapsed()));
                let leader = self.leader_at_credit.get(&batch.partition).copied().flatten();
                self.leader_at_gap.entry(batch.partition).or_insert(leader);
            }
            Event::Store(StoreEvent::Applied { partition, position, .. }) => {
                let is_applied = |(of, end, _): &(_, Offset, _)| of == partition && end <= position;
                let applied = self.gaps.iter().filter(|gap| is_applied(gap));
                self.gap_applied = applied.map(|(.., came)| *came).min();
                self.gaps.retain(|gap| !is_applied(gap));
            }
            // A leader that has not heard of the copy's epoch says nothing of the copy.
            Event::Log(LogEvent::Lost { loss: Loss::UnknownEpoch, .. }) => {}
            Event::Store(StoreEvent::Looked(_)) => {}
            // Pins end without an opening.
            Event::Store(StoreEvent::Failed {
                call: StoreCallKind::Pin | StoreCallKind::Unpin,
                ..
            }) => {}
            Event::Store(StoreEvent::Failed { .. })
            | Event::Log(LogEvent::Lost { .. })
            | Event::Damaged { .. }
            | Event::Peer(_)
            | Event::Command(_, Command::Cancel | Command::Drain) => self.asked = true,
            Event::Log(LogEvent::TopicId(topic)) => {
                self.asked |= self.facts.as_ref().is_none_or(|facts| facts.topic != *topic);
            }
            Event::Log(LogEvent::Facts(facts)) => self.hear(facts),
            Event::Log(LogEvent::Leaderless { topic, .. }) => self.hear_topic(topic),
            Event::Log(LogEvent::Ends(ends)) => self.hear_ends(node, ends, world),
            Event::Store(StoreEvent::Pinned { .. } | StoreEvent::Done { .. })
            | Event::Log(
                LogEvent::Fetched(_)
                | LogEvent::PartitionCount(_)
                | LogEvent::Assigned { .. }
                | LogEvent::Appended { .. }
                | LogEvent::Failed { .. }
                | LogEvent::Trouble(_),
            )
            | Event::Command(
                _,
                Command::Write(_) | Command::Await { .. } | Command::Pin { .. } | Command::Continue,
            )
            | Event::Gone(_)
            | Event::Withdraw(_)
            | Event::RestoreRate(_)
            | Event::Timer => {}
        }
    }

    /// A log that lost nothing and is the same topic ends nowhere below what it gave, and tells no earlier epoch behind it.
    fn may_be_contradicted(&self, world: &World) -> bool {
        let another = self.facts.as_ref().is_none_or(|facts| facts.topic != world.log.topic());
        another || !world.losses.is_empty()
    }

    fn open(&mut self, found: &Found) {
        (self.asked, self.confirmed) = (false, None);
        (self.gaps, self.gap_applied) = (VecDeque::new(), None);
        self.leader_at_gap.clear();
        let Found::Copy(copy) = found else { return };
        let generations = [&copy.current, &copy.building].into_iter().flatten();
        let lineages = generations.filter_map(FoundGeneration::lineages).flatten();
        // A copy remembers what it was kept under.
        let known = lineages.map(|lineage| lineage.delete_retention_ms_min);
        self.retention_ms_min = self.retention_ms_min.into_iter().chain(known).min();
    }

    fn hear(&mut self, facts: &LogFacts) {
        let same = self.facts.as_ref().is_some_and(|before| {
            let partitions = (before.partitions.len(), facts.partitions.len());
            before.topic == facts.topic
                && before.policy == facts.policy
                && partitions.0 == partitions.1
        });
        self.asked |= !same;
        let told = facts.policy.delete_retention_ms;
        self.retention_ms_min = Some(self.retention_ms_min.map_or(told, |min| min.min(told)));
        self.facts = Some(facts.clone());
    }

    /// A node that reads goes by the topic's facts, whoever leads the partitions.
    fn hear_topic(&mut self, topic: &TopicFacts) {
        let TopicFacts { cluster, topic, policy, partitions: count } = topic.clone();
        let Some(before) = &self.facts else { return };
        let partitions = before.partitions.clone();
        if Partition::all(count).count() == partitions.len() {
            self.hear(&LogFacts { cluster, topic, policy, partitions });
        } else {
            self.asked = true;
        }
    }

    fn hear_ends(&mut self, node: usize, ends: &[EndAnswer], world: &World) {
        let gate = world.node(node).gate();
        let mut pairs = Partition::all(world.reference.count()).zip(&gate.positions).zip(ends);
        // A deposed leader's answer confirms nothing.
        let confirms = |((partition, position), end): ((Partition, &Offset), &EndAnswer)| {
            end.as_ref().is_ok_and(|end| {
                *position >= end.high_watermark && end.epoch >= newest(partition, world)
            })
        };
        let epoch = |end: &EndAnswer| end.as_ref().ok().and_then(|end| end.epoch);
        if gate.fed && pairs.all(confirms) {
            self.confirmed = Some(self.ends_asked);
            self.confirmed_by = ends.iter().map(epoch).collect();
        }
        self.asked |= self.may_be_contradicted(world);
        // A copy that waits for the end of a gap cannot tell whether the old leader or the new one told it.
        self.leaders.resize(ends.len(), None);
        for (leader, end) in self.leaders.iter_mut().zip(ends) {
            *leader = epoch(end).or(*leader);
        }
        let changed = |(partition, leader): (&Partition, &Option<Epoch>)| {
            self.leaders.get(partition.index()).is_some_and(|now| leader < now)
        };
        self.asked |= !gate.exact && self.leader_at_gap.iter().any(changed);
    }

    fn effect(&mut self, effect: &Effect, world: &World) -> Result<(), &'static str> {
        match effect {
            Effect::Log(LogCall::Ends) => {
                self.ends_asked = world.elapsed();
                Ok(())
            }
            Effect::Log(LogCall::Fetch { partition, .. }) => {
                let leader = self.leaders.get(partition.index()).copied().flatten();
                self.leader_at_credit.insert(*partition, leader);
                Ok(())
            }
            Effect::Store(StoreCall::Close { .. }) => {
                if self.may_open_anew(world) {
                    Ok(())
                } else {
                    Err("opens its copy anew, and nothing asks for it")
                }
            }
            Effect::Notice(Notice::Phase(phase)) => {
                let lost = std::mem::replace(&mut self.ready, *phase == Phase::Ready);
                match phase {
                    Phase::CatchingUp if lost && !self.gap_may_have_counted() => {
                        Err("is READY no more because of a gap that can only be a marker's")
                    }
                    Phase::Opening | Phase::Restoring(_) | Phase::Refused(_)
                        if lost && !self.may_open_anew(world) =>
                    {
                        Err("is READY no more, and nothing asks for it")
                    }
                    Phase::Opening
                    | Phase::Restoring(_)
                    | Phase::Refused(_)
                    | Phase::CatchingUp
                    | Phase::Ready
                    | Phase::Stopped => Ok(()),
                }
            }
            Effect::Log(_)
            | Effect::Store(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Reply(..)
            | Effect::Notice(_) => Ok(()),
        }
    }

    fn may_open_anew(&self, world: &World) -> bool {
        let retention_ms = self.retention_ms_min.unwrap_or(0);
        self.asked || self.unconfirmed_for(retention_ms / 2, world)
    }

    /// Nothing younger than the lag is compacted, by the brokers' own timestamps.
    fn gap_may_count(&self, world: &World) -> bool {
        let Some(facts) = &self.facts else { return true };
        let lag_ms = facts.policy.min_compaction_lag_ms;
        !facts.policy.log_append_time || self.asked || self.unconfirmed_for(lag_ms / 2, world)
    }

    /// Whether the gap may have counted when it came, or at some time until now.
    fn gap_may_have_counted(&self) -> bool {
        let under_way = self.gaps.iter().map(|(.., came)| *came);
        let came = under_way.chain(self.gap_applied).min();
        self.unconfirmed >= came
    }

    /// A clock that was set meanwhile counts as such a time too.
    fn unconfirmed_for(&self, ms: u64, world: &World) -> bool {
        self.confirmed.is_none_or(|at| {
            let since = world.elapsed().saturating_sub(at);
            since >= Duration::from_millis(ms) || self.clock_set >= Some(at)
        })
    }
}

/// The epoch of the log's newest leader.
fn newest(partition: Partition, world: &World) -> Option<Epoch> {
    world.log.state(partition).epochs.last().map(|(epoch, _)| *epoch)
}
