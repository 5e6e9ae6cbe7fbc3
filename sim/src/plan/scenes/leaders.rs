//! Terms end, and not everybody hears of it.

use super::{KEYS, Scene};
use crate::plan::faults::{FaultKind, Reach};
use crate::plan::kinds::reach;
use crate::plan::operations::{Act, ForeignKey, Level};
use crate::plan::setting::Setting;

/// A node restarts while it reaches only a deposed leader (K20).
pub(super) fn stale(scene: &mut Scene<'_>) {
    let (node, broker) = (scene.node(), scene.dice.small(scene.setting.kafka.brokers));
    let lasts_ms = (scene.setting.policy.delete_retention_ms / 3).min(10_000);
    scene.lasts(2_000 + lasts_ms);
    let nodes = vec![u32::try_from(node).expect("few nodes")];
    scene.puts(0, KEYS);
    let reach = reach(&mut scene.dice);
    scene.fault(1_000, lasts_ms, FaultKind::IsolateBroker { broker, nodes, reach });
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
pub(super) fn deposed(scene: &mut Scene<'_>) {
    let (node, broker) = (scene.node(), scene.dice.small(scene.setting.kafka.brokers));
    let Setting { policy, kafka, limits, .. } = scene.setting;
    let elected = kafka.session_ms + 4 * kafka.pace_ms + limits.ends_ms + 200;
    let flushed = elected + 2 * limits.flush_ms.min(2_000) + 2 * limits.ends_ms + 200;
    let lasts_ms = (2_000 + 4 * limits.ends_ms).min(policy.delete_retention_ms / 3);
    // What comes back as a follower must not have missed tombstones (K14).
    scene.tombstones_live((flushed + lasts_ms) * 4 / 3);
    scene.lasts(flushed + lasts_ms + 2_000);
    scene.puts(0, KEYS);
    // Some of these its followers have, and it does not know yet that they do.
    for step in 1..6 {
        scene.puts(500 - step * kafka.pace_ms / 3, KEYS);
    }
    let alone = FaultKind::IsolateBroker { broker, nodes: Vec::new(), reach: Reach::Whole };
    scene.fault(500, flushed + lasts_ms, alone);
    if scene.dice.once_in(2) {
        // Otherwise the new term shows in answers only.
        for round in 0..6 {
            scene.puts(500 + elected + round, KEYS);
        }
    }
    let crashes = scene.dice.once_in(2);
    // This is before it starts again, or between its first question and its first fetch.
    let again = if crashes && scene.dice.once_in(2) { 521 + scene.dice.below(150) } else { 500 };
    let nodes = vec![u32::try_from(node).expect("few nodes")];
    let joined = FaultKind::IsolateBroker { broker, nodes, reach: reach(&mut scene.dice) };
    scene.fault(again + flushed, lasts_ms, joined);
    if crashes {
        let crash = FaultKind::Crash { node, effects: 0, keep_permille: 1_000 };
        scene.fault(501 + flushed, 20, crash);
    }
    scene.everybody_reads(600 + flushed + lasts_ms / 2, Level::Latest);
    scene.everybody_reads(600 + flushed + lasts_ms, Level::Latest);
}

/// A deposed leader confirms a copy on and on, while its successor compacts what it appended for long enough; then the
/// copy reads what is left of that, bit by bit (K12, K20).
pub(super) fn confirmed(scene: &mut Scene<'_>) {
    let (node, broker) = (scene.node(), scene.dice.small(scene.setting.kafka.brokers));
    let Setting { policy, kafka, limits, .. } = scene.setting;
    let lag_ms = policy.min_compaction_lag_ms;
    // What is confirmed once an interval looks younger than the lag.
    if !policy.log_append_time || lag_ms < 3 * limits.ends_ms / 2 || kafka.brokers < 2 {
        return;
    }
    let alone = 1_000 + 3 * limits.ends_ms;
    let elected = alone + kafka.session_ms + 4 * kafka.pace_ms + limits.ends_ms + 200;
    let cleaned = elected + 200 + 4 * kafka.pace_ms + lag_ms;
    let back = cleaned + 20;
    scene.tombstones_live(back * 3);
    scene.lasts(back + 3_000);
    scene.puts(0, KEYS);
    let nodes = vec![u32::try_from(node).expect("few nodes")];
    let deposed = FaultKind::IsolateBroker { broker, nodes, reach: Reach::Whole };
    scene.fault(alone, back - alone, deposed);
    for round in 0..6 {
        for key in KEYS {
            scene.puts(elected + 20 * round, [key]);
        }
    }
    scene.fault(cleaned, 0, FaultKind::Clean);
    for after_ms in [1, 10, 100, 1_000] {
        scene.everybody_reads(back + after_ms, Level::Local);
    }
}

/// The log begins with a hole that a new term left, and who restarts there is told where it ends by the new leader,
/// and by the deposed one that it does not reach as far: no epoch tells which of them is right (K20).
pub(super) fn beyond(scene: &mut Scene<'_>) {
    let node = scene.node();
    let Setting { policy, kafka, limits, partitions, .. } = scene.setting;
    // The first leader of the first partition, while nothing is in it.
    let broker = 0;
    let elected = 5 + kafka.session_ms + 2 * kafka.pace_ms;
    let written = elected + 50 + 4 * kafka.pace_ms;
    let opened = written + 50 + 4 * kafka.pace_ms;
    let cleaned = opened + policy.min_compaction_lag_ms;
    let restarts = cleaned + 600 + 2 * limits.flush_ms.min(1_000);
    let (joins, lasts_ms) = (restarts + 150 + scene.dice.below(400), 2_000);
    let short = joins + lasts_ms < policy.delete_retention_ms / 3;
    if kafka.brokers < 3 || kafka.session_ms > 1_000 || !short {
        return;
    }
    let alone = FaultKind::IsolateBroker { broker, nodes: Vec::new(), reach: Reach::Whole };
    scene.fault(1, joins + lasts_ms, alone);
    for _ in 0..*partitions {
        scene.act(elected, 0, Act::Foreign { records: vec![ForeignKey::Keyless] });
    }
    scene.fault(written, 0, FaultKind::Clean);
    let transaction =
        Act::Transaction { keys: KEYS.collect(), commit: true, lasts_ms: joins + lasts_ms };
    scene.act(written + 5, 0, transaction);
    scene.fault(cleaned, 0, FaultKind::Clean);
    scene.fault(cleaned + 5, 20, FaultKind::WipeDisk { node });
    // What is asked and what is fetched are far apart.
    scene.fault(restarts - 5, 2_000, FaultKind::SlowDisk { node, up_to_ms: 1_000, answers_ms: 0 });
    let crash = FaultKind::Crash { node, effects: 0, keep_permille: 1_000 };
    scene.fault(restarts, 20, crash);
    let nodes = vec![u32::try_from(node).expect("few nodes")];
    scene.fault(joins, lasts_ms, FaultKind::IsolateBroker { broker, nodes, reach: Reach::Whole });
    scene.everybody_reads(joins + lasts_ms + 2_000, Level::Latest);
}

/// The log ends in the marker of a transaction that an election outlived: no record shows its epoch (K2, K8).
pub(super) fn marker(scene: &mut Scene<'_>) {
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
