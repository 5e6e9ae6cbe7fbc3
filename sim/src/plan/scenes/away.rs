//! A node is away for as long as tombstones live, or as records.

use super::{KEYS, Scene};
use crate::plan::faults::FaultKind;
use crate::plan::operations::{Act, Level};
use crate::plan::setting::Setting;

/// A node is away for about as long as tombstones live, and keys that it holds are deleted meanwhile (K13).
///
/// It draws only what is promised: a clock that went back under a stopped process by less than the margin, under a
/// running one by any time; a retention lowered long enough before for the node to have seen it.
pub(super) fn horizon(scene: &mut Scene<'_>) {
    let node = scene.node();
    let Setting { policy, limits, kafka, .. } = scene.setting;
    let retention_ms = policy.delete_retention_ms;
    let stopped = scene.dice.once_in(2);
    let lowered = !stopped && scene.dice.once_in(3);
    let shorter_ms = (retention_ms / 4).max(2 * limits.ends_ms).min(retention_ms);
    let expires_ms = if lowered { shorter_ms } else { retention_ms };
    // What it has is confirmed before it goes, and what it asked for was answered before the deletes.
    let gone = 1_000 + 3 * limits.ends_ms + if lowered { scene.setting.heard_ms() } else { 0 };
    // Otherwise a question is on its way then, and its answer waits for the process to go on.
    let late = !stopped && scene.dice.once_in(2);
    let late_ms = 400;
    let deleted = gone
        + match (stopped, late) {
            (true, _) => 50,
            (false, true) => 50 + late_ms,
            (false, false) => 500 + 4 * kafka.pace_ms,
        };
    let (cleaned, expired) = scene.setting.tombstones_gone(deleted, expires_ms);
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
    scene.tombstones_go([gone, deleted, cleaned, expired]);
    scene.everybody_reads(gone + away_ms + 1_000, Level::Local);
}

/// A retention is lowered and raised again while a node is behind by more than the lower one: what it has seen
/// of both must not make it trust a copy that tombstones may be missing from (K13, K18).
pub(super) fn raised(scene: &mut Scene<'_>) {
    let node = scene.node();
    let Setting { policy, limits, kafka, .. } = scene.setting;
    let retention_ms = policy.delete_retention_ms;
    // Longer than what nodes that keep up are ever behind by, and than brokers are away.
    let lowered_ms = (retention_ms / 4).max(2 * limits.ends_ms + 500);
    let answer_ms = scene.setting.answer_ms();
    // What it asked for last before it gets nothing more shows the lower one.
    let gone = 1_000 + 2 * limits.describe_ms + 3 * limits.ends_ms + 2 * answer_ms;
    let deleted = gone + 500 + 4 * kafka.pace_ms;
    let (cleaned, expired) = scene.setting.tombstones_gone(deleted, lowered_ms);
    let raised = expired + 20;
    // The last one before it goes on shows the higher one.
    let back = raised + limits.describe_ms + answer_ms;
    if back + limits.ends_ms - gone >= retention_ms * 85 / 100 {
        return;
    }
    scene.lasts(back + 3_000);
    scene.fault(0, raised, FaultKind::Retention { delete_retention_ms: lowered_ms });
    scene.puts(0, KEYS);
    scene.fault(gone, back - gone, FaultKind::StallFetches { node });
    if scene.dice.once_in(3) {
        scene.fault(gone + 300, expired - gone - 300, FaultKind::Pause { node });
    }
    scene.tombstones_go([gone, deleted, cleaned, expired]);
    scene.everybody_reads(back + 1_000, Level::Local);
}

/// A retention is lowered, a node hears of it, ends, and is started again once it was raised: it has been away for longer
/// than tombstones lived. A node that refuses the topic's policy writes nothing else meanwhile (K13, K18, P1).
pub(super) fn forgotten(scene: &mut Scene<'_>) {
    let node = scene.node();
    let refuses = scene.dice.once_in(2);
    let limits = &scene.setting.limits;
    // Longer than what nodes that keep up are ever behind by.
    let lowered_ms = 2 * limits.ends_ms + 500;
    let hears_ms = scene.setting.heard_ms();
    let refused = 1_000 + 3 * limits.ends_ms;
    let lowered = refused + if refuses { hears_ms } else { 0 };
    let gone = lowered + hears_ms + scene.dice.below(500);
    let deleted = gone + 50;
    let (cleaned, expired) = scene.setting.tombstones_gone(deleted, lowered_ms);
    let raised = expired + 20;
    let back = raised + scene.dice.below(200);
    let since = if refuses { refused } else { gone };
    scene.tombstones_live((back + 4_000 - since) * 4 / 3);
    scene.lasts(back + 3_000);
    scene.puts(0, KEYS);
    if refuses {
        let policy = "compact,delete".to_owned();
        scene.fault(refused, raised - refused, FaultKind::Cleanup { policy });
    }
    let shorter = FaultKind::Retention { delete_retention_ms: lowered_ms };
    scene.fault(lowered, raised - lowered, shorter);
    let keep_permille = scene.dice.pick(&[0, 500, 1_000]);
    scene.fault(gone, back - gone, FaultKind::Crash { node, effects: 0, keep_permille });
    scene.tombstones_go([gone, deleted, cleaned, expired]);
    scene.everybody_reads(back + 1_000, Level::Local);
}

/// A process sleeps while the retention is lowered and tombstones come and go, and wakes with a batch (K13, K18, D2).
pub(super) fn asleep(scene: &mut Scene<'_>) {
    let node = scene.node();
    let Setting { limits, kafka, .. } = scene.setting;
    let trust_ms = scene.setting.policy_trust_ms();
    // Longer than what nodes that keep up are ever behind by, and than what they trust in unseen.
    let lowered_ms = (2 * limits.ends_ms + 500).max(trust_ms * 6 / 5 + 200);
    let gone = 1_000 + 3 * limits.ends_ms;
    let deleted = gone + 100 + 4 * kafka.pace_ms;
    let (cleaned, expired) = scene.setting.tombstones_gone(deleted, lowered_ms);
    let back = expired + 30;
    let over = back + 2 * limits.describe_ms + 4_000;
    scene.tombstones_live((back + 4_000 - gone) * 4 / 3);
    scene.lasts(over);
    let shorter = FaultKind::Retention { delete_retention_ms: lowered_ms };
    scene.puts(0, KEYS);
    scene.fault(gone, back - gone, FaultKind::Pause { node });
    scene.fault(gone + 20, over - gone, shorter);
    scene.tombstones_go([gone, deleted, cleaned, expired]);
    for after_ms in [1, 10, 1_000] {
        scene.everybody_reads(back + after_ms, Level::Local);
    }
}

/// All sleep while what protects records from compaction is taken away, and wake where records were superseded (K12,
/// K18, D2).
pub(super) fn unprotected(scene: &mut Scene<'_>) {
    let Setting { policy, limits, .. } = scene.setting;
    let away_ms = scene.setting.policy_trust_ms() + 1_500;
    if !policy.log_append_time || policy.min_compaction_lag_ms * 8 / 10 < away_ms {
        return;
    }
    let gone = 1_000 + 3 * limits.ends_ms;
    let back = gone + away_ms;
    let over = back + 2 * limits.describe_ms + 4_000;
    scene.lasts(over);
    let (min_compaction_lag_ms, log_append_time) =
        scene.dice.pick(&[(0, true), (0, false), (100, true)]);
    for node in scene.nodes() {
        scene.fault(gone, away_ms, FaultKind::Pause { node });
    }
    let taken_away = FaultKind::Protection { min_compaction_lag_ms, log_append_time };
    scene.fault(gone + 20, over - gone, taken_away);
    scene.puts(0, KEYS);
    for round in 0..3 {
        for key in KEYS {
            scene.puts(gone + 50 + 10 * round, [key]);
        }
    }
    scene.fault(back - 50, 0, FaultKind::Clean);
    for after_ms in [1, 3, 10, 30, 100, 1_000] {
        scene.everybody_reads(back + after_ms, Level::Local);
    }
}

/// Records are deleted that a stopped node has not read (K15).
pub(super) fn absence(scene: &mut Scene<'_>) {
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
pub(super) fn incomplete(scene: &mut Scene<'_>) {
    let (node, percent) = (scene.node(), scene.dice.between(10, 100));
    scene.lasts(6_000);
    scene.puts(0, KEYS);
    for partition in 0..scene.setting.partitions {
        scene.fault(1_000, 0, FaultKind::DeleteRecords { partition, percent });
    }
    scene.fault(2_000, 100, FaultKind::WipeDisk { node });
    scene.everybody_reads(5_000, Level::Local);
}
