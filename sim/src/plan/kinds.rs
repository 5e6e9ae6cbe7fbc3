//! Which faults a plan draws: the kinds that its run knows, how many, when, whom they hit, for how long.

use std::num::NonZeroU64;

use super::License;
use super::faults::{Ambiguity, Disk, Fault, FaultKind, PeerFault, Reach, Rot};
use super::setting::Setting;
use crate::dice::Dice;

/// Draws one fault of a kind, or a few that belong together.
type Draw = fn(&mut Dice, &Setting) -> FaultKind;

/// A kind of fault, its license, and how long it lasts: a moment, or up to a share of the run.
struct Kind {
    license: License,
    lasts: Lasts,
    draw: Draw,
}

#[derive(Clone, Copy)]
enum Lasts {
    Moment,
    /// Milliseconds at most.
    UpTo(u64),
}

const LONG: Lasts = Lasts::UpTo(u64::MAX);

fn node(dice: &mut Dice, setting: &Setting) -> usize {
    dice.index(setting.nodes)
}

fn broker(dice: &mut Dice, setting: &Setting) -> u32 {
    dice.small(setting.kafka.brokers)
}

fn partition(dice: &mut Dice, setting: &Setting) -> u32 {
    dice.small(setting.partitions)
}

/// The clients of one process mostly fare alike.
pub(super) fn reach(dice: &mut Dice) -> Reach {
    dice.pick(&[Reach::Whole, Reach::Whole, Reach::Reads, Reach::Reads, Reach::Asks, Reach::Writes])
}

fn kind(lasts: Lasts, draw: Draw) -> Kind {
    Kind { license: License::NoLoss, lasts, draw }
}

fn kinds() -> Vec<Kind> {
    vec![
        kind(LONG, |dice, world| FaultKind::SlowLog {
            node: node(dice, world),
            up_to_ms: dice.scaled(10, 3_000),
        }),
        kind(LONG, |dice, world| FaultKind::CutOff { node: node(dice, world) }),
        kind(LONG, |dice, world| FaultKind::LoseReplies { node: node(dice, world) }),
        kind(LONG, |dice, world| FaultKind::StopBroker {
            broker: broker(dice, world),
            clean: dice.once_in(2),
            unflushed_lost: 0,
        }),
        kind(Lasts::Moment, |dice, world| FaultKind::Elect { partition: partition(dice, world) }),
        kind(LONG, |dice, world| {
            let nodes =
                (0..u32::try_from(world.nodes).expect("few nodes")).filter(|_| dice.once_in(2));
            let nodes = nodes.collect();
            let broker = broker(dice, world);
            FaultKind::IsolateBroker { broker, nodes, reach: reach(dice) }
        }),
        kind(LONG, |dice, world| FaultKind::LagBroker { broker: broker(dice, world) }),
        kind(Lasts::Moment, |dice, _| {
            let how = match dice.below(6) {
                0 => Ambiguity::AcknowledgementLost,
                1 => Ambiguity::RequestLost,
                2 => Ambiguity::NotPersisted,
                3 => Ambiguity::LandsAfterMs(dice.scaled(10, 60_000)),
                4 => Ambiguity::NotEnoughReplicasAfterAppend { landed: true },
                _ => Ambiguity::NotEnoughReplicasAfterAppend { landed: false },
            };
            FaultKind::Ambiguous { appends: 1 + dice.small(3), how }
        }),
        kind(Lasts::Moment, |_, _| FaultKind::Clean),
        kind(Lasts::Moment, |dice, world| FaultKind::DeleteRecords {
            partition: partition(dice, world),
            percent: dice.between(1, 100),
        }),
        kind(Lasts::Moment, |_, _| FaultKind::Recreate),
        kind(Lasts::UpTo(60_000), |_, _| FaultKind::AddPartition),
        kind(Lasts::UpTo(60_000), |dice, _| FaultKind::Cleanup {
            policy: dice.pick(&["delete", "compact,delete"]).to_owned(),
        }),
        kind(LONG, |dice, _| FaultKind::OldTimestamps {
            behind_ms: dice.pick(&[10_000, 36_000_000]),
        }),
        kind(LONG, |dice, world| FaultKind::StallFetches { node: node(dice, world) }),
        kind(Lasts::UpTo(120_000), |_, _| FaultKind::Outage),
        kind(Lasts::UpTo(30_000), |dice, _| FaultKind::Denied { code: dice.pick(&[3, 29]) }),
        kind(Lasts::UpTo(30_000), |dice, world| FaultKind::Poison { node: node(dice, world) }),
        kind(LONG, |dice, world| FaultKind::Crash {
            node: node(dice, world),
            effects: dice.small(12),
            keep_permille: dice.pick(&[0, 200, 500, 1_000]),
        }),
        kind(Lasts::UpTo(2_000), |dice, world| FaultKind::Crash {
            node: node(dice, world),
            effects: dice.small(40),
            keep_permille: dice.pick(&[0, 200, 500, 1_000]),
        }),
        kind(LONG, |dice, world| FaultKind::Pause { node: node(dice, world) }),
        kind(LONG, |dice, world| {
            // The jump is within the margin even when two meet, or so far that no age looks right: for what lies
            // between nothing is promised, for nothing tells a stopped process how long it was away.
            let small_ms = (world.policy.delete_retention_ms / 24).max(1);
            let jump_ms = if dice.once_in(2) { dice.scaled(1, small_ms) } else { 36_000_000 };
            let jump_ms = i64::try_from(jump_ms).expect("ten hours at most");
            FaultKind::Clock {
                node: node(dice, world),
                jump_ms: if dice.once_in(2) { jump_ms } else { -jump_ms },
            }
        }),
        kind(LONG, |dice, world| FaultKind::OldDisk { node: node(dice, world) }),
        kind(Lasts::UpTo(10_000), |dice, world| FaultKind::WipeDisk { node: node(dice, world) }),
        kind(Lasts::UpTo(30_000), |dice, world| FaultKind::ForeignDisk { node: node(dice, world) }),
        kind(LONG, |dice, world| FaultKind::DiskFull { node: node(dice, world) }),
        kind(Lasts::Moment, |dice, world| {
            let call = dice.pick(&[
                Disk::Open,
                Disk::Create,
                Disk::Apply,
                Disk::Apply,
                Disk::Confirm,
                Disk::Flush,
                Disk::Flush,
                Disk::Activate,
                Disk::Quarantine,
                Disk::Remove,
                Disk::Close,
            ]);
            FaultKind::DiskError { node: node(dice, world), call, corrupt: dice.once_in(4) }
        }),
        kind(Lasts::Moment, |dice, world| {
            let what = dice.pick(&[
                Rot::Identity,
                Rot::Format,
                Rot::Index,
                Rot::MissingFile,
                Rot::Rows,
                Rot::Rows,
            ]);
            FaultKind::Rot { node: node(dice, world), what }
        }),
        kind(Lasts::Moment, |dice, world| FaultKind::TornFlush {
            node: node(dice, world),
            partitions: dice.index(3),
        }),
        kind(LONG, |dice, world| FaultKind::SlowDisk {
            node: node(dice, world),
            up_to_ms: dice.scaled(10, 30_000),
            answers_ms: dice.pick(&[0, 100, 5_000]),
        }),
        kind(Lasts::UpTo(20_000), |dice, world| FaultKind::CrashLoop {
            node: node(dice, world),
            every_ms: dice.scaled(20, 3_000),
        }),
        kind(Lasts::UpTo(30_000), |dice, world| FaultKind::Drain { node: node(dice, world) }),
        Kind {
            license: License::MayLose,
            lasts: Lasts::UpTo(60_000),
            draw: |dice, world| FaultKind::ElectUnclean { partition: partition(dice, world) },
        },
        Kind {
            license: License::MayLose,
            lasts: Lasts::UpTo(60_000),
            draw: |dice, world| FaultKind::StopBroker {
                broker: broker(dice, world),
                clean: false,
                unflushed_lost: 1 + dice.small(5),
            },
        },
        Kind {
            license: License::MayLose,
            lasts: Lasts::Moment,
            draw: |dice, world| FaultKind::Truncate {
                partition: partition(dice, world),
                records: dice.scaled(1, 60),
            },
        },
        Kind {
            license: License::MayDiverge,
            lasts: Lasts::Moment,
            draw: |dice, world| FaultKind::CleanReplica { broker: broker(dice, world) },
        },
    ]
}

pub(super) fn faults(seed: u64, license: License, setting: &Setting, heal_ms: u64) -> Vec<Fault> {
    let mut dice = Dice::at(seed, "faults", 0, 0);
    let known: Vec<Kind> = kinds()
        .into_iter()
        .filter(|kind| kind.license == License::NoLoss || kind.license == license)
        .filter(|_| dice.once_in(3))
        .collect();
    if known.is_empty() {
        return Vec::new();
    }
    let count = dice.scaled(1, 40);
    let mut faults = Vec::new();
    for number in 0..count {
        let mut dice = Dice::at(seed, "fault", number, 0);
        let kind = &known[dice.index(known.len())];
        let at_ms = dice.below(heal_ms);
        let lasts_ms = match kind.lasts {
            Lasts::Moment => 0,
            Lasts::UpTo(most) => dice.scaled(10, most.min(heal_ms)),
        };
        let what = (kind.draw)(&mut dice, setting);
        if license == License::MayLose && matches!(what, FaultKind::IsolateBroker { .. }) {
            // KIP-320 judges by end offsets alone: two histories that lost records one after the other,
            // a deposed leader's among them, can hide from it.
            continue;
        }
        let takes_a_broker =
            matches!(what, FaultKind::ElectUnclean { .. }) || what.broker().is_some();
        let lasts_ms =
            if takes_a_broker { lasts_ms.min(broker_away_ms_max(setting)) } else { lasts_ms };
        let lossy = |what: &FaultKind| {
            matches!(
                what,
                FaultKind::ElectUnclean { .. } | FaultKind::StopBroker { unflushed_lost: 1.., .. }
            )
        };
        if lossy(&what) && faults.iter().any(|fault: &Fault| lossy(&fault.what)) {
            // A second one can bring a lost history back, which epochs alone do not tell from the present.
            continue;
        }
        if let FaultKind::ElectUnclean { .. } = what {
            faults.extend(out_of_sync(&mut dice, setting, at_ms, lasts_ms));
        }
        faults.push(Fault { at_ms, lasts_ms, what });
    }
    faults
}

/// A replica that is away for longer than tombstones live misses them, as a node would, and brings deleted keys
/// back when it leads; nobody can tell a deposed leader that nobody contradicts.
fn broker_away_ms_max(setting: &Setting) -> u64 {
    setting.policy.delete_retention_ms / 8
}

/// What makes an unclean election possible: followers that fell behind before it.
fn out_of_sync(dice: &mut Dice, setting: &Setting, at_ms: u64, lasts_ms: u64) -> Vec<Fault> {
    let most_ms = broker_away_ms_max(setting);
    let before = dice.scaled(500, 30_000).min(at_ms).min(most_ms);
    let lags = |broker| Fault {
        at_ms: at_ms - before,
        lasts_ms: (before + lasts_ms.max(1) / 2).min(most_ms.max(1)),
        what: FaultKind::LagBroker { broker },
    };
    (0..setting.kafka.brokers).map(lags).collect()
}

/// A disk that hangs, and a rate for restores, in some runs; drawn apart, so that no other draw depends on it.
pub(super) fn pace_faults(seed: u64, setting: &Setting, heal_ms: u64) -> Vec<Fault> {
    let mut dice = Dice::at(seed, "pace faults", 0, 0);
    let count = if dice.once_in(3) { dice.between(1, 5) } else { 0 };
    let draw = |number| {
        let mut dice = Dice::at(seed, "pace fault", number, 0);
        let (node, at_ms) = (dice.index(setting.nodes), dice.below(heal_ms));
        let lasts_ms = dice.scaled(100, heal_ms);
        let what = if dice.once_in(3) {
            let bytes_per_second = dice.pick(&[1, 20, 200, 5_000]);
            let bytes_per_second = NonZeroU64::new(bytes_per_second).expect("above 0");
            FaultKind::RestoreRate { node, bytes_per_second }
        } else {
            FaultKind::HungDisk { node }
        };
        Fault { at_ms, lasts_ms, what }
    };
    (0..count).map(draw).collect()
}

/// Where nodes give each other copies; drawn apart, so that no other draw depends on it.
pub(super) fn peer_faults(seed: u64, setting: &Setting, heal_ms: u64) -> Vec<Fault> {
    if setting.peers.is_none() {
        return Vec::new();
    }
    let count = Dice::at(seed, "peer faults", 0, 0).below(6);
    let draw = |number| {
        let mut dice = Dice::at(seed, "peer fault", number, 0);
        let (node, at_ms) = (dice.index(setting.nodes), dice.below(heal_ms));
        let lasts_ms = dice.scaled(10, heal_ms);
        if dice.once_in(8) {
            let (call, corrupt) = (Disk::Adopt, dice.once_in(4));
            let what = FaultKind::DiskError { node, call, corrupt };
            Fault { at_ms, lasts_ms: 0, what }
        } else {
            Fault { at_ms, lasts_ms, what: peer_fault(&mut dice, node) }
        }
    };
    (0..count).map(draw).collect()
}

pub(super) fn peer_fault(dice: &mut Dice, node: usize) -> FaultKind {
    let rot = dice.pick(&[Rot::Format, Rot::Index, Rot::MissingFile, Rot::Rows]);
    let how = dice.pick(&[
        PeerFault::Gone,
        PeerFault::Breaks,
        PeerFault::Silent,
        PeerFault::Damages(rot),
        PeerFault::Old,
        PeerFault::Old,
        PeerFault::OfAnother,
    ]);
    FaultKind::Peer { node, how }
}
