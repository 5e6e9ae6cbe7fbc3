//! What of a plan is done for real, and when; everything else is counted by name.
//!
//! The plan's time is pressed into [`WINDOW`]. Faults last at least as long as they need to show.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_sim::plan::{Act, Fault, FaultKind, ForeignKey, Operation, Plan, Reach};

use super::bed::BROKERS;
use crate::kafka::TopicSpec;

/// Real time of a plan's operations and faults.
pub const WINDOW: Duration = Duration::from_secs(8);

/// This is longer than a broker's session: before its end nothing moves away from a broker that is silent.
const SILENT_MIN: Duration = Duration::from_millis(4_500);

const NODE_MAX: Duration = Duration::from_secs(6);
const BROKER_MAX: Duration = Duration::from_secs(8);

/// A broker's Java takes as long to come back. Two of three brokers away are an outage, which is a fault of its own.
const BROKER_BACK: Duration = Duration::from_secs(3);

/// The least time between two rounds of a crash loop: with less the process is killed before it is a node.
const LOOP_MIN: Duration = Duration::from_millis(400);

#[derive(Clone, Debug)]
pub struct Script {
    /// When, and the index in the plan's operations.
    pub operations: Vec<(Duration, usize)>,
    pub troubles: Vec<Trouble>,
    pub left_out: LeftOut,
}

/// How often something was left out, by name.
pub type LeftOut = BTreeMap<String, usize>;

/// A fault as it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub at: Duration,
    pub lasts: Duration,
    pub deed: Deed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    KillNode {
        node: usize,
    },
    KillNodeAgain {
        node: usize,
        every: Duration,
    },
    PauseNode {
        node: usize,
    },
    DrainNode {
        node: usize,
    },
    OldDisk {
        node: usize,
    },
    WipeDisk {
        node: usize,
    },
    CutOffNode {
        node: usize,
    },
    /// Tombstones of filler close the segments, and the cleaner does the rest.
    Compact,
    KillBroker {
        broker: usize,
    },
    StopBroker {
        broker: usize,
    },
    PauseBroker {
        broker: usize,
    },
    /// The leader of this partition, whichever broker that is then; these nodes reach only it.
    IsolateLeader {
        partition: u32,
        nodes: Vec<usize>,
    },
    /// All brokers are paused.
    Outage,
}

impl Deed {
    pub fn name(&self) -> &'static str {
        match self {
            Deed::KillNode { .. } => "kill -9 of a node",
            Deed::KillNodeAgain { .. } => "crash loop of a node",
            Deed::PauseNode { .. } => "pause of a node",
            Deed::DrainNode { .. } => "drain of a node",
            Deed::OldDisk { .. } => "old disk",
            Deed::WipeDisk { .. } => "wiped disk",
            Deed::CutOffNode { .. } => "node cut off",
            Deed::Compact => "compaction",
            Deed::KillBroker { .. } => "kill -9 of a broker",
            Deed::StopBroker { .. } => "stop of a broker",
            Deed::PauseBroker { .. } => "pause of a broker",
            Deed::IsolateLeader { .. } => "isolated leader",
            Deed::Outage => "outage",
        }
    }

    /// Whether other plans on the same brokers would feel it.
    pub fn breaks_brokers(&self) -> bool {
        match self {
            Deed::KillBroker { .. }
            | Deed::StopBroker { .. }
            | Deed::PauseBroker { .. }
            | Deed::IsolateLeader { .. }
            | Deed::Outage => true,
            Deed::KillNode { .. }
            | Deed::KillNodeAgain { .. }
            | Deed::PauseNode { .. }
            | Deed::DrainNode { .. }
            | Deed::OldDisk { .. }
            | Deed::WipeDisk { .. }
            | Deed::CutOffNode { .. }
            | Deed::Compact => false,
        }
    }

    fn needs_network(&self) -> bool {
        matches!(self, Deed::IsolateLeader { .. } | Deed::CutOffNode { .. })
    }
}

impl Script {
    /// The script of a plan. `cuts`: whether there is a network that can be cut.
    pub fn of(plan: &Plan, cuts: bool) -> Script {
        let mut script =
            Script { operations: Vec::new(), troubles: Vec::new(), left_out: LeftOut::new() };
        for (index, operation) in plan.operations.iter().enumerate() {
            script.operation(plan, index, operation);
        }
        let mut brokers_back = Duration::ZERO;
        for fault in &plan.faults {
            let Some(trouble) = trouble(plan, fault) else {
                script.leave_out(format!("{} {}", fault.what.id(), word(&fault.what)));
                continue;
            };
            if trouble.deed.needs_network() && !cuts {
                script.leave_out(format!("{} (no network to cut)", trouble.deed.name()));
            } else if trouble.deed.breaks_brokers() && trouble.at < brokers_back {
                script.leave_out(format!("{} (while another lasts)", trouble.deed.name()));
            } else {
                if trouble.deed.breaks_brokers() {
                    brokers_back = trouble.at + trouble.lasts + BROKER_BACK;
                }
                script.troubles.push(trouble);
            }
        }
        script
    }

    pub fn breaks_brokers(&self) -> bool {
        self.troubles.iter().any(|trouble| trouble.deed.breaks_brokers())
    }

    fn operation(&mut self, plan: &Plan, index: usize, operation: &Operation) {
        if let Act::Foreign { records } = &operation.act {
            let keyless = records.iter().filter(|record| **record == ForeignKey::Keyless).count();
            // The broker refuses a record without a key on a compacted topic.
            for _ in 0..keyless {
                self.leave_out("record without a key".to_owned());
            }
            if keyless == records.len() {
                return;
            }
        }
        self.operations.push((pressed(plan, operation.at_ms), index));
    }

    fn leave_out(&mut self, name: String) {
        *self.left_out.entry(name).or_default() += 1;
    }
}

/// A moment or a span of the plan in real time.
pub fn pressed(plan: &Plan, ms: u64) -> Duration {
    let window = u64::try_from(WINDOW.as_micros()).expect("seconds");
    Duration::from_micros(ms.min(plan.heal_ms) * window / plan.heal_ms.max(1))
}

fn trouble(plan: &Plan, fault: &Fault) -> Option<Trouble> {
    let at = pressed(plan, fault.at_ms);
    let deed = deed(plan, &fault.what)?;
    let (least, most) = match deed {
        Deed::Compact => (Duration::ZERO, Duration::ZERO),
        Deed::PauseBroker { .. } | Deed::IsolateLeader { .. } => (SILENT_MIN, BROKER_MAX),
        Deed::KillBroker { .. } | Deed::StopBroker { .. } | Deed::Outage => {
            (Duration::from_millis(500), BROKER_MAX)
        }
        Deed::KillNodeAgain { every, .. } => (every * 3, NODE_MAX),
        Deed::KillNode { .. }
        | Deed::PauseNode { .. }
        | Deed::DrainNode { .. }
        | Deed::OldDisk { .. }
        | Deed::WipeDisk { .. }
        | Deed::CutOffNode { .. } => (Duration::from_millis(50), NODE_MAX),
    };
    let lasts = pressed(plan, fault.lasts_ms).max(least).min(most);
    Some(Trouble { at, lasts, deed })
}

fn deed(plan: &Plan, what: &FaultKind) -> Option<Deed> {
    let real = |broker: &u32| usize::try_from(*broker).expect("small") % BROKERS + 1;
    Some(match what {
        FaultKind::Crash { node, .. } => Deed::KillNode { node: *node },
        FaultKind::CrashLoop { node, every_ms } => {
            let every = pressed(plan, *every_ms).max(LOOP_MIN);
            Deed::KillNodeAgain { node: *node, every: every.min(NODE_MAX / 3) }
        }
        FaultKind::Pause { node } => Deed::PauseNode { node: *node },
        FaultKind::Drain { node } => Deed::DrainNode { node: *node },
        FaultKind::OldDisk { node } => Deed::OldDisk { node: *node },
        FaultKind::WipeDisk { node } => Deed::WipeDisk { node: *node },
        FaultKind::CutOff { node } => Deed::CutOffNode { node: *node },
        FaultKind::Clean => Deed::Compact,
        FaultKind::StopBroker { unflushed_lost: 0, broker, clean } => {
            if *clean {
                Deed::StopBroker { broker: real(broker) }
            } else {
                Deed::KillBroker { broker: real(broker) }
            }
        }
        FaultKind::LagBroker { broker } => Deed::PauseBroker { broker: real(broker) },
        // A host is reached by all clients of a node, or by none.
        FaultKind::IsolateBroker { broker, nodes, reach: Reach::Whole } => Deed::IsolateLeader {
            partition: broker % plan.setting.partitions,
            nodes: nodes.iter().map(|node| usize::try_from(*node).expect("small")).collect(),
        },
        FaultKind::Outage => Deed::Outage,
        // These need power that fails, a disk that rots, clocks that jump, answers that are chosen, restores that take
        // long, or nodes with peers.
        FaultKind::StopBroker { .. }
        | FaultKind::IsolateBroker { .. }
        | FaultKind::SlowLog { .. }
        | FaultKind::LoseReplies { .. }
        | FaultKind::Elect { .. }
        | FaultKind::ElectUnclean { .. }
        | FaultKind::Truncate { .. }
        | FaultKind::Ambiguous { .. }
        | FaultKind::CleanReplica { .. }
        | FaultKind::DeleteRecords { .. }
        | FaultKind::Recreate
        | FaultKind::AddPartition
        | FaultKind::Cleanup { .. }
        | FaultKind::Retention { .. }
        | FaultKind::Protection { .. }
        | FaultKind::OldTimestamps { .. }
        | FaultKind::StallFetches { .. }
        | FaultKind::Poison { .. }
        | FaultKind::Denied { .. }
        | FaultKind::Clock { .. }
        | FaultKind::ForeignDisk { .. }
        | FaultKind::DiskFull { .. }
        | FaultKind::DiskError { .. }
        | FaultKind::Rot { .. }
        | FaultKind::TornFlush { .. }
        | FaultKind::SlowDisk { .. }
        | FaultKind::HungDisk { .. }
        | FaultKind::RestoreRate { .. }
        | FaultKind::Cancel { .. }
        | FaultKind::Peer { .. } => return None,
    })
}

/// The first word of its name: `DiskError { .. }` is `DiskError`.
fn word(what: &FaultKind) -> String {
    let text = format!("{what:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// The plan's topic as far as a real one can be like it: segments close by time, for the smallest is 1 MiB.
pub fn topic(plan: &Plan, breaks_brokers: bool) -> TopicSpec {
    let policy = &plan.setting.policy;
    // Cleaners of replicas are not coordinated: where leaders move, a tombstone must outlive the move.
    let retention_ms =
        if breaks_brokers { 15_000 } else { policy.delete_retention_ms.clamp(3_000, 15_000) };
    let lag_ms = policy.min_compaction_lag_ms.min(retention_ms);
    let segment_ms = pressed(plan, plan.setting.kafka.segment_ms).as_millis().clamp(500, 2_000);
    let time = if policy.log_append_time { "LogAppendTime" } else { "CreateTime" };
    let dirty = format!("0.{:02}", plan.setting.kafka.dirty_percent.min(99));
    TopicSpec::fast_compaction()
        .partitions(plan.setting.partitions)
        .set("delete.retention.ms", &retention_ms.to_string())
        .set("min.compaction.lag.ms", &lag_ms.to_string())
        .set("max.compaction.lag.ms", &lag_ms.max(1_000).to_string())
        .set("min.cleanable.dirty.ratio", &dirty)
        .set("min.insync.replicas", &policy.min_insync_replicas.clamp(1, 2).to_string())
        .set("message.timestamp.type", time)
        .set("segment.ms", &segment_ms.to_string())
}

#[cfg(test)]
mod tests {
    use outrigger_sim::plan::draw;

    use super::*;

    #[test]
    fn everything_of_a_plan_is_done_or_counted() {
        for seed in 1..200 {
            let plan = draw(seed);
            let script = Script::of(&plan, true);
            let records = "record without a key";
            let out = script.left_out.iter().filter(|(name, _)| *name != records);
            let out: usize = out.map(|(_, count)| count).sum();
            assert_eq!(script.troubles.len() + out, plan.faults.len(), "seed {seed}");
            assert!(script.operations.len() <= plan.operations.len(), "seed {seed}");
        }
    }

    #[test]
    fn at_most_one_broker_fault_lasts_at_a_time() {
        for seed in 1..200 {
            let mut back = Duration::ZERO;
            for trouble in Script::of(&draw(seed), true).troubles {
                if trouble.deed.breaks_brokers() {
                    assert!(trouble.at >= back, "seed {seed}: {trouble:?}");
                    back = trouble.at + trouble.lasts + BROKER_BACK;
                }
            }
        }
    }

    #[test]
    fn without_a_network_nothing_is_cut() {
        for seed in 1..200 {
            let script = Script::of(&draw(seed), false);
            assert!(script.troubles.iter().all(|trouble| !trouble.deed.needs_network()));
        }
    }
}
