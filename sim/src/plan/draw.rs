//! Swarm testing: a seed draws which kinds of faults its run knows at all, then how many, when, and whom
//! they hit (Groce et al., Swarm Testing, ISSTA 2012).
//!
//! Kafka's constants are tiny so that rare things are common: segments of a few records, tombstones that
//! live for seconds. Every draw is keyed by its place.

use super::faults::{Fault, FaultKind};
use super::kinds::{faults, pace_faults, peer_faults};
use super::operations::{Act, ForeignKey, Level, Operation};
use super::setting::{Kafka, Latencies, NodeLimits, Peers, Policy, Setting};
use super::{FORMAT, License, Plan, lockfile, pins, scenes, watches};
use crate::dice::Dice;

/// Operations of a plan beside those that faults bring along: about three hundred in all.
const OPERATIONS: (u64, u64) = (180, 260);

/// Runs whose nodes give each other copies.
const PEERS_PERCENT: u64 = 25;

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
    faults.extend(peer_faults(seed, &setting, heal_ms));
    faults.sort_by_key(|fault| fault.at_ms);
    let mut operations = operations(seed, &setting, heal_ms);
    operations.extend(around(seed, &setting, &faults, heal_ms));
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
        pins: Vec::new(),
        watches: None,
        heal_ms,
    };
    scenes::add(&mut plan);
    plan.faults.extend(pace_faults(seed, &plan.setting, heal_ms));
    plan.operations.sort_by_key(|operation| (operation.at_ms, operation.id));
    plan.faults.sort_by_key(|fault| fault.at_ms);
    plan.pins = pins::draw(seed, &plan.setting, &plan.operations, plan.heal_ms);
    plan.watches = watches::draw(&plan);
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
    // Nodes refuse a topic whose tombstones live no longer than it takes to confirm a copy.
    limits.ends_ms = limits.ends_ms.min(delete_retention_ms * 3 / 5);
    let latencies = latencies(&mut dice);
    // A restore that takes longer than tombstones live can never end; no more than a few records must
    // not take as long as that.
    let round_us = latencies.log_call_us + latencies.log_answer_us + latencies.disk_us;
    if round_us * 400 > delete_retention_ms * 1_000 / 4 {
        limits.fetch_bytes = limits.fetch_bytes.max(4_096);
    }
    let log_append_time = !dice.once_in(4);
    // Where writers' clocks count, only a lag makes a difference.
    let lags: &[u64] = if log_append_time {
        &[0, 0, 0, 1_000, delete_retention_ms]
    } else {
        &[0, 1_000, delete_retention_ms]
    };
    let policy = Policy {
        cleanup: "compact".to_owned(),
        delete_retention_ms,
        min_compaction_lag_ms: dice.pick(lags),
        log_append_time,
        min_insync_replicas,
        replication,
        unclean_election: license == License::MayLose,
    };
    let (kafka, peers) = (kafka(&mut dice, brokers), peers(seed, nodes));
    Setting { nodes, partitions, kafka, policy, limits, latencies, peers }
}

/// Only some runs have peers, so that the others stay as they are.
fn peers(seed: u64, nodes: usize) -> Option<Peers> {
    let mut dice = Dice::at(seed, "peers", 0, 0);
    (dice.percent(PEERS_PERCENT) && nodes > 1).then(|| Peers {
        offsets_min: dice.pick(&[0, 0, 20, 200]),
        retry_ms: dice.scaled(500, 60_000),
        takes_up_to_ms: dice.pick(&[0, 100, 2_000, 20_000]),
        gives_up_ms: dice.scaled(500, 30_000),
        forward_reads: dice.once_in(2),
    })
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
            let at_ms = if dice.percent(60) {
                (dice.pick(&bursts) + dice.below(200)).min(heal_ms - 1)
            } else {
                dice.below(heal_ms)
            };
            let client = dice.small(clients);
            let act = of_an_age(seed, id, act(&mut dice, setting, mix, heal_ms));
            Operation { id, at_ms, client, act }
        })
        .collect()
}

/// Some reads ask for a copy that is not too old.
fn of_an_age(seed: u64, id: u32, mut act: Act) -> Act {
    let mut dice = Dice::at(seed, "age", u64::from(id), 0);
    if let Act::Get { max_staleness_ms, .. } | Act::Scan { max_staleness_ms, .. } = &mut act {
        *max_staleness_ms = dice.once_in(4).then(|| dice.scaled(50, 50_000));
    }
    act
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
                (fault.at_ms + 100, Act::get(node, key, level, 10_000))
            } else if place % 2 == 0 {
                let records = vec![ForeignKey::Put(key)];
                (fault.at_ms + 1 + dice.below(2_000), Act::Foreign { records })
            } else {
                let node = dice.index(setting.nodes);
                let read = Act::get(node, key, Level::AtLeast, 1_000);
                (fault.at_ms + 1 + dice.below(4_000), read)
            };
            let id = AROUND_IDS + u32::try_from(number * 16 + place).expect("a few");
            let client = dice.small(6);
            operations.push(Operation { id, at_ms: at_ms.min(heal_ms - 1), client, act });
        }
    }
    operations
}

/// These ids are above those of all other operations.
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
        return if dice.once_in(6) {
            Act::Scan { node, level, wait_ms, max_staleness_ms: None }
        } else {
            Act::get(node, key, level, wait_ms)
        };
    }
    if dice.once_in(10) {
        let changes =
            (0..dice.between(2, 5)).map(|_| (dice.small(mix.keys), dice.percent(mix.deletes)));
        return Act::Batch { node, changes: changes.collect() };
    }
    if dice.percent(mix.deletes) { Act::Delete { node, key } } else { Act::Put { node, key } }
}

fn foreign(dice: &mut Dice, mix: Mix) -> ForeignKey {
    let key = dice.small(mix.keys);
    match dice.below(20) {
        0 => ForeignKey::Keyless,
        1 => ForeignKey::Misplaced(key),
        2..8 => ForeignKey::Delete(key),
        8..11 => ForeignKey::Empty(key),
        _ => ForeignKey::Put(key),
    }
}
