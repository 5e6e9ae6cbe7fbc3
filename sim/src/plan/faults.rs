//! What goes wrong, by the ids of the fault catalogue. The table with oracles is in docs/faults.md.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::{License, Setting};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub at_ms: u64,
    /// 0: a moment, or for good where it cannot be undone. What lasts is undone after this time, or when
    /// everything is healed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lasts_ms: u64,
    #[serde(flatten)]
    pub what: FaultKind,
}

fn is_zero(ms: &u64) -> bool {
    *ms == 0
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum FaultKind {
    /// Calls to the log and its answers take up to this long.
    SlowLog {
        node: usize,
        up_to_ms: u64,
    },
    /// The node reaches no broker, although others do.
    CutOff {
        node: usize,
    },
    /// The node's answers to its callers are lost.
    LoseReplies {
        node: usize,
    },
    StopBroker {
        broker: u32,
        clean: bool,
        unflushed_lost: u32,
    },
    Elect {
        partition: u32,
    },
    /// The broker is cut off from the others, yet these nodes reach it and only it.
    IsolateBroker {
        broker: u32,
        nodes: Vec<u32>,
        #[serde(default, skip_serializing_if = "Reach::is_whole")]
        reach: Reach,
    },
    /// The broker's followers fetch nothing and fall out of the in-sync sets.
    LagBroker {
        broker: u32,
    },
    ElectUnclean {
        partition: u32,
    },
    /// The log ends this many records earlier on all replicas.
    Truncate {
        partition: u32,
        records: u64,
    },
    /// What the next appends of any node meet.
    Ambiguous {
        appends: u32,
        how: Ambiguity,
    },
    /// The last segment rolls and every replica is cleaned.
    Clean,
    CleanReplica {
        broker: u32,
    },
    /// The log starts after this share of its records.
    DeleteRecords {
        partition: u32,
        percent: u64,
    },
    Recreate,
    /// One partition more, until an operator makes the topic anew with as many as before.
    AddPartition,
    /// Another policy for a time.
    Cleanup {
        policy: String,
    },
    Retention {
        delete_retention_ms: u64,
    },
    /// Records are protected from compaction for another time, or by their writers' clocks.
    Protection {
        min_compaction_lag_ms: u64,
        log_append_time: bool,
    },
    /// Other clients' clocks are behind, and with them the timestamps that they give.
    OldTimestamps {
        behind_ms: u64,
    },
    StallFetches {
        node: usize,
    },
    /// No broker answers anybody.
    Outage,
    /// Brokers answer everybody with this error: no topic (3), no right to it (29).
    Denied {
        code: i32,
    },
    /// A batch that cannot be read, for a time.
    Poison {
        node: usize,
    },
    /// The process ends after this many more effects; `keep_permille` of unflushed steps are on disk.
    Crash {
        node: usize,
        effects: u32,
        keep_permille: u32,
    },
    Pause {
        node: usize,
    },
    /// The node's wall clock jumps by this and back when the fault ends.
    Clock {
        node: usize,
        jump_ms: i64,
    },
    /// The disk's image of now is mounted when the fault ends, as the process restarts.
    OldDisk {
        node: usize,
    },
    WipeDisk {
        node: usize,
    },
    /// A data directory of something else is mounted.
    ForeignDisk {
        node: usize,
    },
    DiskFull {
        node: usize,
    },
    /// The next call of this kind fails.
    DiskError {
        node: usize,
        call: Disk,
        /// It meets damage, not a failing disk.
        corrupt: bool,
    },
    Rot {
        node: usize,
        what: Rot,
    },
    /// The next flush that fails had made this many partitions durable.
    TornFlush {
        node: usize,
        partitions: usize,
    },
    SlowDisk {
        node: usize,
        up_to_ms: u64,
        /// What is done is told up to this much later.
        #[serde(default, skip_serializing_if = "is_zero")]
        answers_ms: u64,
    },
    /// The disk does nothing that it is asked for.
    HungDisk {
        node: usize,
    },
    /// An operator lets restores read this many bytes a second.
    RestoreRate {
        node: usize,
        bytes_per_second: NonZeroU64,
    },
    /// Crashes and restarts, one after another, this far apart.
    CrashLoop {
        node: usize,
        every_ms: u64,
    },
    Drain {
        node: usize,
    },
    /// An operator cancels the node's restore, and lets it go on when the fault ends.
    Cancel {
        node: usize,
    },
    /// What the node is given by peers, while it lasts.
    Peer {
        node: usize,
        how: PeerFault,
    },
}

/// Which of a node's librdkafka clients reach only the isolated broker: each has metadata of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    #[default]
    Whole,
    Reads,
    Asks,
    Writes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerFault {
    Gone,
    Breaks,
    Silent,
    Damages(Rot),
    /// A peer's copy as it was when the fault began.
    Old,
    OfAnother,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ambiguity {
    AcknowledgementLost,
    RequestLost,
    NotPersisted,
    LandsAfterMs(u64),
    NotEnoughReplicasAfterAppend { landed: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disk {
    Open,
    Create,
    Adopt,
    Apply,
    Confirm,
    Flush,
    Activate,
    Quarantine,
    Remove,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rot {
    Identity,
    Format,
    Index,
    MissingFile,
    Rows,
}

impl Reach {
    fn is_whole(&self) -> bool {
        *self == Reach::Whole
    }
}

impl FaultKind {
    /// Its row in the catalogue.
    pub fn id(&self) -> &'static str {
        match self {
            FaultKind::SlowLog { .. } => "N1",
            FaultKind::CutOff { .. } => "N4",
            FaultKind::LoseReplies { .. } => "N6",
            FaultKind::StopBroker { .. } => "K1",
            FaultKind::Elect { .. } => "K2",
            FaultKind::LagBroker { .. } => "K3",
            FaultKind::ElectUnclean { .. } => "K4",
            FaultKind::Ambiguous {
                how: Ambiguity::NotEnoughReplicasAfterAppend { .. }, ..
            } => "K21",
            FaultKind::Ambiguous { .. } => "K5",
            FaultKind::Clean => "K12",
            FaultKind::CleanReplica { .. } => "K14",
            FaultKind::DeleteRecords { .. } => "K15",
            FaultKind::Recreate => "K16",
            FaultKind::AddPartition => "K17",
            FaultKind::Cleanup { .. }
            | FaultKind::Retention { .. }
            | FaultKind::Protection { .. } => "K18",
            FaultKind::IsolateBroker { .. } => "K20",
            FaultKind::Poison { .. } => "K22",
            FaultKind::OldTimestamps { .. } => "D3",
            FaultKind::StallFetches { .. } => "K23",
            FaultKind::Outage => "K24",
            FaultKind::Denied { .. } => "K19",
            FaultKind::Crash { .. } => "D1",
            FaultKind::Pause { .. } => "D2",
            FaultKind::Clock { .. } => "D3",
            FaultKind::OldDisk { .. } => "D4",
            FaultKind::WipeDisk { .. } => "D5",
            FaultKind::ForeignDisk { .. } => "D6",
            FaultKind::DiskFull { .. } => "D7",
            FaultKind::DiskError { .. } => "D8",
            FaultKind::Rot { .. } => "D9",
            FaultKind::TornFlush { .. } => "D10",
            FaultKind::SlowDisk { .. } => "D11",
            FaultKind::CrashLoop { .. } => "D12",
            FaultKind::HungDisk { .. } => "D13",
            FaultKind::RestoreRate { .. } => "P9",
            FaultKind::Drain { .. } => "P6",
            FaultKind::Cancel { .. } => "P8",
            FaultKind::Truncate { .. } => "P7",
            FaultKind::Peer { how: PeerFault::Gone, .. } => "R1",
            FaultKind::Peer { how: PeerFault::Breaks, .. } => "R2",
            FaultKind::Peer { how: PeerFault::Silent, .. } => "R3",
            FaultKind::Peer { how: PeerFault::Damages(_), .. } => "R4",
            FaultKind::Peer { how: PeerFault::Old, .. } => "R5",
            FaultKind::Peer { how: PeerFault::OfAnother, .. } => "R6",
        }
    }

    /// What a run with this fault must be licensed for.
    pub fn license(&self) -> License {
        match self {
            FaultKind::ElectUnclean { .. } | FaultKind::Truncate { .. } => License::MayLose,
            FaultKind::StopBroker { unflushed_lost, .. } if *unflushed_lost > 0 => License::MayLose,
            FaultKind::CleanReplica { .. } => License::MayDiverge,
            _ => License::NoLoss,
        }
    }

    pub fn node(&self) -> Option<usize> {
        match self {
            FaultKind::SlowLog { node, .. }
            | FaultKind::CutOff { node }
            | FaultKind::LoseReplies { node }
            | FaultKind::StallFetches { node }
            | FaultKind::Poison { node }
            | FaultKind::Crash { node, .. }
            | FaultKind::Pause { node }
            | FaultKind::Clock { node, .. }
            | FaultKind::OldDisk { node }
            | FaultKind::WipeDisk { node }
            | FaultKind::ForeignDisk { node }
            | FaultKind::DiskFull { node }
            | FaultKind::DiskError { node, .. }
            | FaultKind::Rot { node, .. }
            | FaultKind::TornFlush { node, .. }
            | FaultKind::SlowDisk { node, .. }
            | FaultKind::CrashLoop { node, .. }
            | FaultKind::HungDisk { node }
            | FaultKind::RestoreRate { node, .. }
            | FaultKind::Drain { node }
            | FaultKind::Cancel { node }
            | FaultKind::Peer { node, .. } => Some(*node),
            FaultKind::StopBroker { .. }
            | FaultKind::Elect { .. }
            | FaultKind::IsolateBroker { .. }
            | FaultKind::LagBroker { .. }
            | FaultKind::ElectUnclean { .. }
            | FaultKind::Truncate { .. }
            | FaultKind::Ambiguous { .. }
            | FaultKind::Clean
            | FaultKind::CleanReplica { .. }
            | FaultKind::DeleteRecords { .. }
            | FaultKind::Recreate
            | FaultKind::AddPartition
            | FaultKind::Cleanup { .. }
            | FaultKind::Retention { .. }
            | FaultKind::Protection { .. }
            | FaultKind::OldTimestamps { .. }
            | FaultKind::Outage
            | FaultKind::Denied { .. } => None,
        }
    }

    pub fn broker(&self) -> Option<u32> {
        match self {
            FaultKind::StopBroker { broker, .. }
            | FaultKind::IsolateBroker { broker, .. }
            | FaultKind::LagBroker { broker }
            | FaultKind::CleanReplica { broker } => Some(*broker),
            _ => None,
        }
    }

    pub fn partition(&self) -> Option<u32> {
        match self {
            FaultKind::Elect { partition }
            | FaultKind::ElectUnclean { partition }
            | FaultKind::Truncate { partition, .. }
            | FaultKind::DeleteRecords { partition, .. } => Some(*partition),
            _ => None,
        }
    }
}

impl Fault {
    pub(super) fn check(&self, setting: &Setting) -> Result<(), String> {
        if self.what.node().is_some_and(|node| node >= setting.nodes) {
            return Err(format!("there are {} nodes", setting.nodes));
        }
        if self.what.broker().is_some_and(|broker| broker >= setting.kafka.brokers) {
            return Err(format!("there are {} brokers", setting.kafka.brokers));
        }
        if self.what.partition().is_some_and(|partition| partition >= setting.partitions) {
            return Err(format!("there are {} partitions", setting.partitions));
        }
        Ok(())
    }
}
