//! The log loses what nodes have read, or is another one.

use super::{KEYS, MANY, Scene};
use crate::plan::faults::FaultKind;
use crate::plan::operations::{Act, Level};
use crate::plan::setting::Setting;

/// The log loses what a stopped node has read, and grows again past it (K4, P7). Clients hold tokens of
/// what was lost.
pub(super) fn loss(scene: &mut Scene<'_>) {
    let node = scene.node();
    // Longer than tombstones live, and one partition alone: the others are merely too old.
    let (beside, retention_ms) = (scene.dice.once_in(3), scene.setting.policy.delete_retention_ms);
    let lasts_ms = if beside { retention_ms * 11 / 10 } else { scene.dice.scaled(100, 20_000) };
    scene.lasts(6_000 + lasts_ms);
    for round in 0..4 {
        scene.puts(round, KEYS);
    }
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

/// A rebuild is interrupted, and meanwhile the log loses what only the copy that it replaces has (K4, P7).
pub(super) fn unfinished(scene: &mut Scene<'_>) {
    let node = scene.node();
    let Setting { limits, partitions, .. } = scene.setting;
    let begun = 1_500 + 2 * limits.ends_ms;
    let interrupted = begun + 400 + scene.dice.below(2 * limits.flush_ms);
    let resumed = interrupted + 100;
    scene.lasts(resumed + 20_000);
    scene.puts(0, KEYS);
    for key in MANY {
        scene.puts(10, [key]);
    }
    // They are so few that the part of the rebuild that is on disk may lie below what is lost.
    for round in 0..3 {
        scene.puts(20 + round, KEYS);
    }
    // However old the copy is, it looks ten hours older.
    let what = FaultKind::Clock { node, jump_ms: 36_000_000 };
    scene.fault(begun, 60_000, what);
    // Slowness alone leaves a rebuild unfinished only where many fetches make it.
    let slowly = if limits.fetch_bytes <= 64 && scene.dice.once_in(2) {
        FaultKind::SlowLog { node, up_to_ms: scene.dice.pick(&[20, 100, 300]) }
    } else {
        FaultKind::StallFetches { node }
    };
    scene.fault(begun, resumed + 500 - begun, slowly);
    let crash = FaultKind::Crash { node, effects: 0, keep_permille: 1_000 };
    scene.fault(begun + 5, 20, crash.clone());
    scene.fault(interrupted, 100, crash);
    for partition in 0..*partitions {
        let records = scene.dice.scaled(1, 12);
        scene.fault(interrupted + 20, 0, FaultKind::Truncate { partition, records });
    }
    scene.everybody_reads(resumed + 3_000, Level::AtLeast);
    scene.everybody_reads(resumed + 15_000, Level::AtLeast);
}

/// A rebuild reads beyond the copy that it replaces, and the log loses that: the copy is good after all, and the
/// rebuild is all that is left of what was lost (D3, P7).
pub(super) fn overtaken(scene: &mut Scene<'_>) {
    let node = scene.node();
    let Setting { limits, latencies, partitions, .. } = scene.setting;
    if *partitions == 1 {
        return;
    }
    let settled = 1_000 + 2 * limits.ends_ms;
    // A confirmation of then is ten hours old when the clock is right again.
    let right = settled + 2 * limits.ends_ms + 200;
    let round_ms = (latencies.log_call_us + latencies.log_answer_us + latencies.disk_us) / 1_000;
    let read = right + 300 + 2 * limits.flush_ms.min(2_000) + 8 * round_ms;
    scene.lasts(read + 5_000);
    scene.puts(0, KEYS);
    // Nobody reads its partition to the end, so that the rebuild is not put into use.
    let keys = vec![scene.key()];
    scene.act(10, 0, Act::Transaction { keys, commit: true, lasts_ms: read + 3_000 });
    let what = FaultKind::Clock { node, jump_ms: -36_000_000 };
    scene.fault(settled, right - settled, what);
    for round in 1..3 {
        scene.puts(right + 50 * round, KEYS);
    }
    for partition in 0..*partitions {
        let records = scene.dice.between(1, 2);
        scene.fault(read, 0, FaultKind::Truncate { partition, records });
    }
    // Whoever saw the clock go back does not believe that copy as long as it lives.
    let crash = FaultKind::Crash { node, effects: 0, keep_permille: 1_000 };
    scene.fault(read - 5, 20, crash);
    scene.everybody_reads(read + 4_000, Level::AtLeast);
}

/// The topic is recreated while the nodes read and flush, and some are given an empty disk: callers come
/// with tokens of the old one (K16).
pub(super) fn succession(scene: &mut Scene<'_>) {
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
        for step in 0..20 {
            scene.puts(1_100 + step * 20, [KEYS.end]);
        }
        for _ in 0..20 {
            scene.puts(1_501, MANY);
        }
    }
    // There are as many as before, so that positions of the old topic lie inside the new one.
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

/// A node that hears of no records has never read what others have, nor of whom leads since the log lost it: the
/// tokens that it is shown are beyond the log, and only ends tell (K4, P7, K23).
pub(super) fn hopeless(scene: &mut Scene<'_>) {
    let node = scene.node();
    let Setting { limits, kafka, nodes, .. } = scene.setting;
    if *nodes == 1 {
        return;
    }
    let other = (node + 1) % nodes;
    let shown = 2_000 + 4 * kafka.pace_ms + 2 * limits.ends_ms;
    let asked = 3 * limits.ends_ms + 2_000;
    scene.lasts(shown + asked + 2_000);
    scene.puts(0, KEYS);
    scene.fault(1_000, shown + asked, FaultKind::StallFetches { node });
    // No more than these are lost.
    for round in 0..4 {
        scene.puts(1_100 + round, KEYS);
    }
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
