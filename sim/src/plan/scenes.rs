//! Scenes: faults and operations that only do harm together, at the right distance from each other.
//!
//! Independent draws hardly ever take a node away for just as long as a tombstone lives, or let a log grow
//! again past what a stopped node had read. A scene draws such a course of events, with everything in it that
//! may vary still drawn; whatever else the seed draws goes on around it.

use super::faults::{Disk, Fault, FaultKind};
use super::operations::{Act, ForeignKey, Level, Operation};
use super::setting::{Policy, Setting};
use super::{License, Plan};
use crate::dice::Dice;

/// Keys that scenes write: few, so that records supersede each other, and beside the ones of other
/// operations, which would hide what became of them.
const KEYS: std::ops::Range<u32> = 50..56;
/// Enough keys for a rebuild that takes its time.
const MANY: std::ops::Range<u32> = 60..100;

/// Adds up to three scenes to a plan that knows its setting and its end.
pub(super) fn add(plan: &mut Plan) {
    let mut dice = Dice::at(plan.seed, "scenes", 0, 0);
    let mut kinds: Vec<fn(&mut Scene<'_>)> = vec![
        race, race, horizon, horizon, horizon, commotion, absence, incomplete, succession, hurry,
        farewell, marker,
    ];
    match plan.license {
        License::MayLose => kinds.extend([loss as fn(&mut Scene<'_>), loss, loss]),
        // Where records are lost no leader is isolated (sim/README.md, "What bounds it").
        License::NoLoss | License::MayDiverge => {
            kinds.extend([stale as fn(&mut Scene<'_>), deposed])
        }
    }
    for number in 0..dice.below(4) {
        let mut dice = Dice::at(plan.seed, "scene", number, 0);
        let kind = dice.pick(&kinds);
        kind(&mut scene_of(plan, dice));
    }
    let mut dice = Dice::at(plan.seed, "beyond", 0, 0);
    if plan.license == License::MayLose && plan.setting.nodes > 1 && dice.once_in(6) {
        beyond(&mut scene_of(plan, dice));
    }
}

fn scene_of(plan: &mut Plan, dice: Dice) -> Scene<'_> {
    let next_id = plan.operations.iter().map(|operation| operation.id + 1).max().unwrap_or(0);
    let Plan { setting, operations, faults, heal_ms, .. } = plan;
    Scene { dice, setting, at_ms: 0, heal_ms: *heal_ms, next_id, operations, faults }
}

struct Scene<'a> {
    dice: Dice,
    setting: &'a Setting,
    at_ms: u64,
    heal_ms: u64,
    next_id: u32,
    operations: &'a mut Vec<Operation>,
    faults: &'a mut Vec<Fault>,
}

impl Scene<'_> {
    fn node(&mut self) -> usize {
        self.dice.index(self.setting.nodes)
    }

    /// Draws the begin of a scene so long, before the heal if it can be.
    fn lasts(&mut self, ms: u64) {
        self.at_ms = self.dice.below(self.heal_ms.saturating_sub(ms) + 1);
    }

    fn nodes(&self) -> std::ops::Range<usize> {
        0..self.setting.nodes
    }

    /// `after_ms` the scene's begin; what would come after the heal is left out.
    fn fault(&mut self, after_ms: u64, lasts_ms: u64, what: FaultKind) {
        let at_ms = self.at_ms + after_ms;
        if at_ms < self.heal_ms {
            self.faults.push(Fault { at_ms, lasts_ms, what });
        }
    }

    fn act(&mut self, after_ms: u64, client: u32, act: Act) {
        let at_ms = self.at_ms + after_ms;
        if at_ms < self.heal_ms {
            self.operations.push(Operation { id: self.next_id, at_ms, client, act });
            self.next_id += 1;
        }
    }

    fn puts(&mut self, after_ms: u64, keys: impl IntoIterator<Item = u32>) {
        self.act(
            after_ms,
            0,
            Act::Foreign { records: keys.into_iter().map(ForeignKey::Put).collect() },
        );
    }

    fn deletes(&mut self, after_ms: u64, keys: impl IntoIterator<Item = u32>) {
        self.act(
            after_ms,
            0,
            Act::Foreign { records: keys.into_iter().map(ForeignKey::Delete).collect() },
        );
    }

    fn key(&mut self) -> u32 {
        self.dice.pick(&[50, 51, 52, 53, 54, 55])
    }

    /// Every client reads at every node, at or after what its session has seen.
    fn everybody_reads(&mut self, after_ms: u64, level: Level) {
        for node in self.nodes() {
            for client in 0..3 {
                let (key, wait_ms) = (self.key(), self.dice.pick(&[50, 1_000, 10_000]));
                self.act(after_ms, client, Act::get(node, key, level, wait_ms));
            }
        }
    }
}

/// Keys are replaced and cleaned while a node reads through them for the first time (K12, D5).
fn race(scene: &mut Scene<'_>) {
    let (node, up_to_ms) = (scene.node(), scene.dice.pick(&[10, 30, 100]));
    let latencies = &scene.setting.latencies;
    // About what one fetch takes: the keys are read once before the last of them is replaced.
    let step_ms = up_to_ms + (latencies.log_call_us + latencies.log_answer_us) / 2_000;
    scene.lasts(3_000 + 70 * step_ms);
    MANY.for_each(|key| scene.puts(0, [key]));
    let Policy { log_append_time, .. } = scene.setting.policy;
    match log_append_time == scene.dice.once_in(4) {
        // It is at the tail, where only what is young cannot be cleaned yet.
        true => {
            scene.fault(0, 10_000, FaultKind::OldTimestamps { behind_ms: 36_000_000 });
            scene.fault(2_000, 150, FaultKind::StallFetches { node });
            MANY.for_each(|key| scene.puts(2_050, [key]));
        }
        false => scene.fault(2_000, 100, FaultKind::WipeDisk { node }),
    }
    scene.fault(2_050, 80 * step_ms, FaultKind::SlowLog { node, up_to_ms });
    for step in 0..70 {
        let after_ms = 2_150 + step * step_ms;
        let key = MANY.start + scene.dice.small(40);
        match scene.dice.once_in(3) {
            true => scene.deletes(after_ms, [key]),
            false => scene.puts(after_ms, [key]),
        }
        if step % 3 == 2 {
            scene.fault(after_ms + step_ms / 2, 0, FaultKind::Clean);
        }
    }
    if scene.dice.once_in(2) {
        let (effects, keep_permille) = (scene.dice.small(12), 1_000);
        let what = FaultKind::Crash { node, effects, keep_permille };
        scene.fault(2_150 + 35 * step_ms, 50, what);
    }
    scene.everybody_reads(2_150 + 70 * step_ms, Level::Local);
}

/// A node is away for about as long as tombstones live, and keys that it holds are deleted meanwhile (K13).
///
/// Only what is promised: a clock that went back under a stopped process by less than the margin, under a
/// running one by any time; a retention lowered long enough before for the node to have seen it.
fn horizon(scene: &mut Scene<'_>) {
    let node = scene.node();
    let Setting { policy, limits, kafka, .. } = scene.setting;
    let (retention_ms, lag_ms) = (policy.delete_retention_ms, policy.min_compaction_lag_ms);
    let stopped = scene.dice.once_in(2);
    let lowered = !stopped && scene.dice.once_in(3);
    let expires_ms = if lowered { retention_ms / 4 } else { retention_ms };
    // What it has is confirmed before it goes, and what it asked for was answered before the deletes.
    let gone =
        1_000 + 3 * limits.ends_ms + if lowered { 2 * limits.describe_ms + 2_000 } else { 0 };
    // Or a question is on its way then, and its answer waits for the process to go on.
    let late = !stopped && scene.dice.once_in(2);
    let late_ms = 400;
    let deleted = gone
        + match (stopped, late) {
            (true, _) => 50,
            (false, true) => 50 + late_ms,
            (false, false) => 500 + 4 * kafka.pace_ms,
        };
    let cleaned = deleted + 50 + 4 * kafka.pace_ms + lag_ms;
    let expired = cleaned + expires_ms + 5;
    let away_ms = match scene.dice.below(6) {
        0 => expires_ms * 95 / 100,
        1 => expires_ms * 5 / 2,
        _ => expired + 30 - gone,
    };
    scene.lasts(gone + away_ms + 2_000);
    if lowered {
        let lasts_ms = scene.dice.pick(&[gone + away_ms - 10, gone + 2 * away_ms]);
        let delete_retention_ms = expires_ms;
        scene.fault(0, lasts_ms, FaultKind::Retention { delete_retention_ms });
    }
    // A process that ends, or opens its copy anew, knows only the wall clock.
    let hurt = scene
        .faults
        .iter()
        .any(|fault| fault.what.node() == Some(node) && fault.what.id().starts_with(['D', 'P']));
    if late {
        let key = scene.key();
        let hurries = Act::get(node, key, Level::Latest, 10_000);
        scene.act(gone - 20, 1, hurries);
        scene.fault(gone - 30, away_ms, FaultKind::SlowLog { node, up_to_ms: late_ms });
    }
    scene.puts(0, KEYS);
    let away = match (stopped, late || scene.dice.once_in(2)) {
        (true, _) => FaultKind::Crash { node, effects: 0, keep_permille: 1_000 },
        (false, true) => FaultKind::Pause { node },
        (false, false) => FaultKind::StallFetches { node },
    };
    scene.fault(gone, away_ms, away);
    let back_ms = match scene.dice.below(3) {
        0 => 0,
        1 => expires_ms * 8 / 100,
        _ if stopped || hurt => 0,
        _ => away_ms * 19 / 20,
    };
    if back_ms > 0 {
        let jump_ms = -i64::try_from(back_ms).expect("a retention is below 2^63");
        scene.fault(gone + 20, 2 * away_ms, FaultKind::Clock { node, jump_ms });
    }
    scene.puts(gone + 10, [KEYS.end]);
    scene.deletes(deleted, KEYS.skip(2));
    scene.fault(cleaned, 0, FaultKind::Clean);
    scene.puts(cleaned + 5, [KEYS.end]);
    scene.fault(expired, 0, FaultKind::Clean);
    scene.puts(expired + 10, [KEYS.end]);
    scene.everybody_reads(gone + away_ms + 1_000, Level::Local);
}

/// The log loses what a stopped node has read, and grows again past it (K4, P7). Clients hold tokens of
/// what was lost.
fn loss(scene: &mut Scene<'_>) {
    let node = scene.node();
    // Longer than tombstones live, and one partition alone: the others are merely too old.
    let (beside, retention_ms) = (scene.dice.once_in(3), scene.setting.policy.delete_retention_ms);
    let lasts_ms = if beside { retention_ms * 11 / 10 } else { scene.dice.scaled(100, 20_000) };
    scene.lasts(6_000 + lasts_ms);
    (0..4).for_each(|round| scene.puts(round, KEYS));
    scene.everybody_reads(1_500, Level::AtLeast);
    let away = match scene.dice.below(3) {
        0 | 1 => FaultKind::Crash { node, effects: 0, keep_permille: 1_000 },
        _ => FaultKind::Pause { node },
    };
    scene.fault(3_000, lasts_ms, away);
    let partitions = scene.setting.partitions;
    for partition in if beside { partitions - 1..partitions } else { 0..partitions } {
        let records = scene.dice.scaled(1, 20);
        scene.fault(3_020, 0, FaultKind::Truncate { partition, records });
    }
    for round in 0..scene.dice.below(12) {
        let key = scene.key();
        scene.puts(3_030 + round, [key, key + 10, key + 20]);
    }
    scene.everybody_reads(3_050, Level::AtLeast);
    scene.everybody_reads(3_100 + lasts_ms, Level::AtLeast);
    scene.everybody_reads(5_000 + lasts_ms, Level::AtLeast);
}

/// A node that hears of no records has never read what others have, nor of whom leads since the log lost it: the
/// tokens that it is shown are beyond the log, and only ends tell (K4, P7, K23).
fn beyond(scene: &mut Scene<'_>) {
    let node = scene.node();
    let Setting { limits, kafka, nodes, .. } = scene.setting;
    let other = (node + 1) % nodes;
    let shown = 2_000 + 4 * kafka.pace_ms + 2 * limits.ends_ms;
    let asked = 3 * limits.ends_ms + 2_000;
    scene.lasts(shown + asked + 2_000);
    scene.puts(0, KEYS);
    scene.fault(1_000, shown + asked, FaultKind::StallFetches { node });
    // No more than these are lost.
    (0..4).for_each(|round| scene.puts(1_100 + round, KEYS));
    for client in 0..6 {
        let (key, level) = (scene.key(), scene.dice.pick(&[Level::Local, Level::Latest]));
        scene.act(shown - 100, client, Act::get(other, key, level, 100));
    }
    for partition in 0..scene.setting.partitions {
        let records = scene.dice.scaled(1, 4);
        scene.fault(shown, 0, FaultKind::Truncate { partition, records });
    }
    for client in 0..6 {
        let (key, after_ms) = (scene.key(), shown + 200 + scene.dice.below(1_000));
        scene.act(after_ms, client, Act::get(node, key, Level::AtLeast, asked - 1_000));
    }
}

/// Many reads wait at one node for what does not come (K23, K24).
fn commotion(scene: &mut Scene<'_>) {
    let (node, lasts_ms) = (scene.node(), scene.dice.scaled(500, 20_000));
    let what = match scene.dice.once_in(2) {
        true => FaultKind::Outage,
        false => FaultKind::StallFetches { node },
    };
    scene.lasts(lasts_ms + 200);
    scene.fault(0, lasts_ms, what);
    scene.puts(50, KEYS);
    for client in 0..12 {
        let (key, wait_ms) = (scene.key(), scene.dice.pick(&[100, 1_000, 10_000]));
        scene.act(100, client, Act::get(node, key, Level::Latest, wait_ms));
    }
    scene.everybody_reads(lasts_ms + 100, Level::Latest);
}

/// Records are deleted that a stopped node has not read (K15).
fn absence(scene: &mut Scene<'_>) {
    let (node, lasts_ms) = (scene.node(), scene.dice.scaled(100, 5_000));
    scene.lasts(4_000 + lasts_ms);
    scene.puts(0, KEYS);
    scene.fault(2_000, lasts_ms, FaultKind::Crash { node, effects: 0, keep_permille: 1_000 });
    scene.deletes(2_010, KEYS.take(3));
    scene.puts(2_020, KEYS);
    scene.deletes(2_025, KEYS.take(3));
    for partition in 0..scene.setting.partitions {
        scene.fault(2_500, 0, FaultKind::DeleteRecords { partition, percent: 100 });
    }
    scene.puts(2_600, [KEYS.end]);
    scene.everybody_reads(3_000 + lasts_ms, Level::Local);
}

/// The beginning of the log is deleted, then a disk is lost: nothing can be rebuilt (K15, D5).
fn incomplete(scene: &mut Scene<'_>) {
    let (node, percent) = (scene.node(), scene.dice.between(10, 100));
    scene.lasts(6_000);
    scene.puts(0, KEYS);
    for partition in 0..scene.setting.partitions {
        scene.fault(1_000, 0, FaultKind::DeleteRecords { partition, percent });
    }
    scene.fault(2_000, 100, FaultKind::WipeDisk { node });
    scene.everybody_reads(5_000, Level::Local);
}

/// The topic is recreated while the nodes read and flush, and some are given an empty disk: clients come
/// with tokens of the old one (K16).
fn succession(scene: &mut Scene<'_>) {
    let flush_ms = scene.setting.limits.flush_ms;
    scene.lasts(10_000);
    scene.puts(0, KEYS);
    scene.everybody_reads(1_000, Level::AtLeast);
    scene.fault(1_500, 0, FaultKind::Recreate);
    if scene.dice.once_in(2) {
        // It grows past every position while questions about its id are on their way.
        for node in scene.nodes() {
            scene.fault(1_000, 1_000, FaultKind::SlowLog { node, up_to_ms: 500 });
        }
        (0..20).for_each(|step| scene.puts(1_100 + step * 20, [KEYS.end]));
        (0..20).for_each(|_| scene.puts(1_501, MANY));
    }
    // As many as before, so that positions of the old topic lie inside the new one.
    for round in 0..60 {
        let key = scene.key();
        scene.puts(1_505 + round * flush_ms.min(100) / 4, [key, key + 10, key + 20]);
    }
    for node in scene.nodes() {
        if scene.dice.once_in(2) {
            scene.fault(4_000, 100, FaultKind::WipeDisk { node });
        }
    }
    scene.everybody_reads(7_000, Level::AtLeast);
    scene.everybody_reads(9_000, Level::AtLeast);
}

/// A node restarts while it reaches only a deposed leader (K20).
fn stale(scene: &mut Scene<'_>) {
    let (node, broker) = (scene.node(), scene.dice.small(scene.setting.kafka.brokers));
    let lasts_ms = (scene.setting.policy.delete_retention_ms / 3).min(10_000);
    scene.lasts(2_000 + lasts_ms);
    let nodes = vec![u32::try_from(node).expect("few nodes")];
    scene.puts(0, KEYS);
    scene.fault(1_000, lasts_ms, FaultKind::IsolateBroker { broker, nodes });
    for round in 0..10 {
        let key = scene.key();
        scene.puts(1_200 + round * lasts_ms / 20, [key]);
    }
    scene.fault(
        1_100 + lasts_ms / 4,
        50,
        FaultKind::Crash { node, effects: 0, keep_permille: 1_000 },
    );
    scene.everybody_reads(1_100 + lasts_ms / 2, Level::Latest);
    scene.everybody_reads(1_200 + lasts_ms, Level::AtLeast);
}

/// A node that has seen the new leader reaches only the deposed one again, at a restart or while it runs (K20).
fn deposed(scene: &mut Scene<'_>) {
    let (node, broker) = (scene.node(), scene.dice.small(scene.setting.kafka.brokers));
    let Setting { policy, kafka, limits, .. } = scene.setting;
    let elected = kafka.session_ms + 4 * kafka.pace_ms + limits.ends_ms + 200;
    let flushed = elected + 2 * limits.flush_ms.min(2_000) + 2 * limits.ends_ms + 200;
    let lasts_ms = (2_000 + 4 * limits.ends_ms).min(policy.delete_retention_ms / 3);
    scene.lasts(flushed + lasts_ms + 2_000);
    scene.puts(0, KEYS);
    // Some of these its followers have, and it does not know yet that they do.
    (1..6).for_each(|step| scene.puts(500 - step * kafka.pace_ms / 3, KEYS));
    let alone = FaultKind::IsolateBroker { broker, nodes: Vec::new() };
    scene.fault(500, flushed + lasts_ms, alone);
    if scene.dice.once_in(2) {
        // Else the new term shows in answers only.
        (0..6).for_each(|round| scene.puts(500 + elected + round, KEYS));
    }
    let crashes = scene.dice.once_in(2);
    // Before it starts again, or between its first question and its first fetch.
    let again = if crashes && scene.dice.once_in(2) { 521 + scene.dice.below(150) } else { 500 };
    let nodes = vec![u32::try_from(node).expect("few nodes")];
    let joined = FaultKind::IsolateBroker { broker, nodes };
    scene.fault(again + flushed, lasts_ms, joined);
    if crashes {
        let crash = FaultKind::Crash { node, effects: 0, keep_permille: 1_000 };
        scene.fault(501 + flushed, 20, crash);
    }
    scene.everybody_reads(600 + flushed + lasts_ms / 2, Level::Latest);
    scene.everybody_reads(600 + flushed + lasts_ms, Level::Latest);
}

/// One node is slow to ask and to hear; what others were told meanwhile must be in what it answers (N1, K20).
fn hurry(scene: &mut Scene<'_>) {
    let (slow, quick) = (scene.node(), scene.node());
    let up_to_ms = scene.dice.pick(&[200, 1_000, 3_000]);
    scene.lasts(8_000);
    scene.fault(500, 6_000, FaultKind::SlowLog { node: slow, up_to_ms });
    for round in 0..40 {
        let (put_ms, key) = (600 + round * 120, scene.key());
        let get_ms = put_ms + scene.dice.below(120);
        scene.act(put_ms, 1, Act::Put { node: quick, key });
        scene.act(get_ms, 2, Act::get(slow, key, Level::Latest, 10_000));
    }
}

/// A node is told to end while writes are under way, and something else ends or holds up its copy (P6).
fn farewell(scene: &mut Scene<'_>) {
    let node = scene.node();
    scene.lasts(30_000);
    let what = match scene.dice.below(4) {
        // Nothing can be flushed, for the topic's id cannot be asked for.
        0 => Some((20, 25_000, FaultKind::Outage)),
        1 => Some((60, 0, FaultKind::DiskError { node, call: Disk::Apply, corrupt: false })),
        2 => Some((60, 0, FaultKind::Recreate)),
        _ => None,
    };
    scene.fault(0, 20_000, FaultKind::SlowLog { node, up_to_ms: 3_000 });
    for round in 0..6 {
        let key = scene.key();
        scene.act(round * 10, 1, Act::Put { node, key });
    }
    what.into_iter().for_each(|(after_ms, lasts_ms, what)| scene.fault(after_ms, lasts_ms, what));
    scene.fault(50, 28_000, FaultKind::Drain { node });
}

/// The log ends in the marker of a transaction that an election outlived: no record shows its epoch (K2, K8).
fn marker(scene: &mut Scene<'_>) {
    let (node, key) = (scene.node(), scene.key());
    let Setting { limits, kafka, .. } = scene.setting;
    let settled = 1_000 + 4 * kafka.pace_ms;
    let durable = settled + 2 * limits.flush_ms.min(3_000) + 2 * limits.ends_ms.min(3_000);
    scene.lasts(durable + 3_000);
    let (keys, commit) = (vec![key], scene.dice.once_in(2));
    scene.act(0, 0, Act::Transaction { keys, commit, lasts_ms: settled });
    for partition in 0..scene.setting.partitions {
        scene.fault(settled / 2, 0, FaultKind::Elect { partition });
    }
    let crash = FaultKind::Crash { node, effects: 0, keep_permille: 1_000 };
    scene.fault(durable, 100, crash);
    scene.everybody_reads(durable + 2_000, Level::Local);
}
