//! Swarm testing: a seed draws which kinds of faults its run knows at all, then how many, when, and whom
//! they hit (Groce et al., Swarm Testing, ISSTA 2012).
//!
//! Kafka's constants are tiny so that rare things are common: segments of a few records, tombstones that
//! live for seconds. Every draw is keyed by its place.

use super::faults::{Ambiguity, Disk, Fault, FaultKind, Rot};
use super::operations::{Act, ForeignKey, Level, Operation};
use super::setting::{Kafka, Latencies, NodeLimits, Policy, Setting};
use super::{FORMAT, License, Plan, lockfile, scenes};
use crate::dice::Dice;

/// Operations of most plans.
const OPERATIONS: (u64, u64) = (250, 350);

pub fn draw(seed: u64) -> Plan {
    let mut dice = Dice::at(seed, "plan", 0, 0);
    let license = match dice.below(10) {
        0..6 => License::NoLoss,
        6..9 => License::MayLose,
        _ => License::MayDiverge,
    };
    let heal_ms = dice.scaled(15_000, 600_000);
    let setting = setting(seed, license);
    let mut faults = faults(seed, license, &setting, heal_ms);
    faults.sort_by_key(|fault| fault.at_ms);
    let mut operations = operations(seed, &setting, heal_ms);
    operations.extend(around(seed, &setting, &faults, heal_ms));
    operations.sort_by_key(|operation| (operation.at_ms, operation.id));
    let (format, caught) = (FORMAT, String::new());
    let mut plan = Plan {
        format,
        caught,
        lockfile: lockfile(),
        seed,
        license,
        setting,
        operations,
        faults,
        heal_ms,
    };
    scenes::add(&mut plan);
    plan.operations.sort_by_key(|operation| (operation.at_ms, operation.id));
    plan.faults.sort_by_key(|fault| fault.at_ms);
    plan
}

fn setting(seed: u64, license: License) -> Setting {
    let mut dice = Dice::at(seed, "setting", 0, 0);
    let nodes = dice.pick(&[1, 2, 2, 3, 3, 3, 3, 4, 5]);
    let partitions = dice.pick(&[1, 1, 1, 2, 2, 3, 5]);
    let brokers = dice.pick(&[1, 3, 3, 3, 3, 4]);
    let replication = if brokers == 1 { 1 } else { 3 };
    let strict = if license == License::MayLose { 40 } else { 80 };
    let min_insync_replicas = if brokers > 1 && dice.percent(strict) { 2 } else { 1 };
    let delete_retention_ms = dice.scaled(2_000, 120_000);
    let mut limits = limits(&mut dice);
    let latencies = latencies(&mut dice);
    // A restore that takes longer than tombstones live can never end; no more than a few records must
    // not take as long as that.
    let round_us = latencies.log_call_us + latencies.log_answer_us + latencies.disk_us;
    if round_us * 400 > delete_retention_ms * 1_000 / 4 {
        limits.fetch_bytes = limits.fetch_bytes.max(4_096);
    }
    let policy = Policy {
        cleanup: "compact".to_owned(),
        delete_retention_ms,
        min_compaction_lag_ms: dice.pick(&[0, 0, 0, 1_000, delete_retention_ms]),
        log_append_time: !dice.once_in(4),
        min_insync_replicas,
        replication,
        unclean_election: license == License::MayLose,
    };
    Setting { nodes, partitions, kafka: kafka(&mut dice, brokers), policy, limits, latencies }
}

fn kafka(dice: &mut Dice, brokers: u32) -> Kafka {
    Kafka {
        brokers,
        pace_ms: dice.pick(&[0, 5, 20, 200]),
        lag_max_ms: dice.scaled(500, 10_000),
        session_ms: dice.pick(&[0, 1_000, 9_000]),
        transaction_timeout_ms: dice.pick(&[0, 5_000, 60_000]),
        segment_offsets: dice.pick(&[2, 4, 4, 8, 16, 64]),
        segment_ms: dice.scaled(1_000, 1_000_000),
        cleaner_ms: dice.pick(&[0, 500, 1_000, 5_000, 15_000]),
        dirty_percent: dice.pick(&[1, 10, 50]),
        delivery_timeout_ms: dice.pick(&[1_000, 10_000, 30_000]),
        ask_timeout_ms: dice.pick(&[500, 5_000]),
        end_with_records: !dice.once_in(3),
    }
}

fn limits(dice: &mut Dice) -> NodeLimits {
    let ends_ms = dice.scaled(800, 6_000);
    let retry_min_ms = dice.scaled(50, 500);
    NodeLimits {
        fetch_bytes: dice.pick(&[1, 24, 64, 256, 4_096, 1 << 20]),
        applying_batches: dice.pick(&[1, 2, 4]),
        flush_bytes: dice.pick(&[64, 1_024, 1 << 20]),
        flush_ms: dice.scaled(50, 6_000),
        ends_ms,
        describe_ms: dice.scaled(1_000, 60_000),
        retry_min_ms,
        retry_max_ms: retry_min_ms * dice.pick(&[2, 10, 20]),
        stall_ms: ends_ms + dice.scaled(100, 5_000),
        confirm_ms: dice.scaled(100, 120_000),
        awaits: dice.pick(&[1, 4, 10_000]),
    }
}

fn latencies(dice: &mut Dice) -> Latencies {
    Latencies {
        log_call_us: dice.pick(&[0, 500, 5_000, 50_000]),
        log_answer_us: dice.pick(&[0, 500, 5_000, 50_000]),
        disk_us: dice.pick(&[0, 100, 2_000, 20_000]),
    }
}

fn operations(seed: u64, setting: &Setting, heal_ms: u64) -> Vec<Operation> {
    let mut dice = Dice::at(seed, "operations", 0, 0);
    let count = dice.between(OPERATIONS.0, OPERATIONS.1);
    let keys = dice.pick(&[2, 5, 10, 20, 40]);
    let clients = dice.pick(&[1, 2, 4, 6]);
    let foreign = dice.pick(&[0, 5, 20]);
    let transactions = dice.pick(&[0, 0, 3, 10]);
    let reads = dice.pick(&[10, 30, 60]);
    let bursts: Vec<u64> = (0..dice.between(1, 12)).map(|_| dice.below(heal_ms)).collect();
    let mix = Mix { keys, foreign, transactions, reads, deletes: dice.pick(&[5, 25, 50]) };
    (0..u32::try_from(count).expect("a few hundred"))
        .map(|id| {
            let mut dice = Dice::at(seed, "operation", u64::from(id), 0);
            let at_ms = match dice.percent(60) {
                true => (dice.pick(&bursts) + dice.below(200)).min(heal_ms - 1),
                false => dice.below(heal_ms),
            };
            let client = dice.small(clients);
            Operation { id, at_ms, client, act: act(&mut dice, setting, mix, heal_ms) }
        })
        .collect()
}

/// Faults of a plan that get operations of their own.
const AROUND_MAX: usize = 4;

/// What makes some faults tell: writes and reads with old tokens after the log lost records, and more
/// waiting reads than are admitted while nothing arrives.
fn around(seed: u64, setting: &Setting, faults: &[Fault], heal_ms: u64) -> Vec<Operation> {
    let mut operations = Vec::new();
    let loses =
        |what: &FaultKind| what.license() == License::MayLose || *what == FaultKind::Recreate;
    let stops =
        |what: &FaultKind| matches!(what, FaultKind::Outage | FaultKind::StallFetches { .. });
    let told = faults.iter().filter(|fault| loses(&fault.what) || stops(&fault.what));
    for (number, fault) in (0..).zip(told.take(AROUND_MAX)) {
        let mut dice = Dice::at(seed, "around", number, 0);
        let node = dice.index(setting.nodes);
        for place in 0..16 {
            let key = dice.small(10);
            let (at_ms, act) = if stops(&fault.what) {
                let level = dice.pick(&[Level::AtLeast, Level::Latest]);
                (fault.at_ms + 100, Act::Get { node, key, level, wait_ms: 10_000 })
            } else if place % 2 == 0 {
                let records = vec![ForeignKey::Put(key)];
                (fault.at_ms + 1 + dice.below(2_000), Act::Foreign { records })
            } else {
                let node = dice.index(setting.nodes);
                let read = Act::Get { node, key, level: Level::AtLeast, wait_ms: 1_000 };
                (fault.at_ms + 1 + dice.below(4_000), read)
            };
            let id = AROUND_IDS + u32::try_from(number * 16 + place).expect("a few");
            let client = dice.small(6);
            operations.push(Operation { id, at_ms: at_ms.min(heal_ms - 1), client, act });
        }
    }
    operations
}

/// Above the ids of all other operations.
const AROUND_IDS: u32 = 1_000;

#[derive(Clone, Copy)]
struct Mix {
    keys: u32,
    foreign: u64,
    transactions: u64,
    reads: u64,
    deletes: u64,
}

fn act(dice: &mut Dice, setting: &Setting, mix: Mix, heal_ms: u64) -> Act {
    let node = dice.index(setting.nodes);
    let key = dice.small(mix.keys);
    if dice.percent(mix.transactions) {
        let keys = (0..dice.between(1, 3)).map(|_| dice.small(mix.keys)).collect();
        let lasts_ms = dice.pick(&[1, 100, 2_000, heal_ms / 4]);
        return Act::Transaction { keys, commit: dice.once_in(2), lasts_ms };
    }
    if dice.percent(mix.foreign) {
        let records = (0..dice.between(1, 4)).map(|_| foreign(dice, mix)).collect();
        return Act::Foreign { records };
    }
    if dice.percent(mix.reads) {
        let level =
            dice.pick(&[Level::Stale, Level::Local, Level::AtLeast, Level::AtLeast, Level::Latest]);
        let wait_ms = dice.pick(&[0, 50, 1_000, 10_000]);
        return match dice.once_in(6) {
            true => Act::Scan { node, level, wait_ms },
            false => Act::Get { node, key, level, wait_ms },
        };
    }
    if dice.once_in(10) {
        let changes =
            (0..dice.between(2, 5)).map(|_| (dice.small(mix.keys), dice.percent(mix.deletes)));
        return Act::Batch { node, changes: changes.collect() };
    }
    match dice.percent(mix.deletes) {
        true => Act::Delete { node, key },
        false => Act::Put { node, key },
    }
}

fn foreign(dice: &mut Dice, mix: Mix) -> ForeignKey {
    let key = dice.small(mix.keys);
    match dice.below(20) {
        0 => ForeignKey::Keyless,
        1 => ForeignKey::Misplaced(key),
        2..8 => ForeignKey::Delete(key),
        _ => ForeignKey::Put(key),
    }
}

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
            FaultKind::IsolateBroker { broker: broker(dice, world), nodes }
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
        kind(Lasts::UpTo(60_000), |dice, _| FaultKind::Cleanup {
            policy: dice.pick(&["delete", "compact,delete"]).to_owned(),
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
            // Within the margin even when two meet, or so far that no age looks right: what lies between is
            // no promise (DESIGN section 5), for nothing tells a stopped process how long it was away.
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

fn faults(seed: u64, license: License, setting: &Setting, heal_ms: u64) -> Vec<Fault> {
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
        // A replica that is away for longer than tombstones live misses them, as a node would, and brings
        // deleted keys back when it leads; nobody can tell a deposed leader that nobody contradicts.
        let takes_a_broker =
            matches!(what, FaultKind::ElectUnclean { .. }) || what.broker().is_some();
        let lasts_ms = match takes_a_broker {
            true => lasts_ms.min(setting.policy.delete_retention_ms / 8),
            false => lasts_ms,
        };
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

/// What makes an unclean election possible: followers that fell behind before it.
fn out_of_sync(dice: &mut Dice, setting: &Setting, at_ms: u64, lasts_ms: u64) -> Vec<Fault> {
    let most_ms = setting.policy.delete_retention_ms / 8;
    let before = dice.scaled(500, 30_000).min(at_ms).min(most_ms);
    let lags = |broker| Fault {
        at_ms: at_ms - before,
        lasts_ms: (before + lasts_ms.max(1) / 2).min(most_ms.max(1)),
        what: FaultKind::LagBroker { broker },
    };
    (0..setting.kafka.brokers).map(lags).collect()
}
