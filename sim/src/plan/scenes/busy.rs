//! Much is under way at once.

use std::num::NonZeroU64;

use super::{KEYS, MANY, Scene};
use crate::plan::faults::{Disk, FaultKind};
use crate::plan::operations::{Act, Level};
use crate::plan::setting::{Policy, Setting};

/// Keys are replaced and cleaned while a node reads through them for the first time (K12, D5).
pub(super) fn race(scene: &mut Scene<'_>) {
    let (node, up_to_ms) = (scene.node(), scene.dice.pick(&[10, 30, 100]));
    let latencies = &scene.setting.latencies;
    // A step takes about as long as one fetch: the keys are read once before the last of them is replaced.
    let step_ms = up_to_ms + (latencies.log_call_us + latencies.log_answer_us) / 2_000;
    scene.lasts(3_000 + 70 * step_ms);
    for key in MANY {
        scene.puts(0, [key]);
    }
    let Policy { log_append_time, .. } = scene.setting.policy;
    if log_append_time == scene.dice.once_in(4) {
        // It is at the tail, where only what is young cannot be cleaned yet.
        scene.fault(0, 10_000, FaultKind::OldTimestamps { behind_ms: 36_000_000 });
        scene.fault(2_000, 150, FaultKind::StallFetches { node });
        for key in MANY {
            scene.puts(2_050, [key]);
        }
    } else {
        scene.fault(2_000, 100, FaultKind::WipeDisk { node });
    }
    scene.fault(2_050, 80 * step_ms, FaultKind::SlowLog { node, up_to_ms });
    for step in 0..70 {
        let after_ms = 2_150 + step * step_ms;
        let key = MANY.start + scene.dice.small(40);
        if scene.dice.once_in(3) {
            scene.deletes(after_ms, [key])
        } else {
            scene.puts(after_ms, [key])
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

/// Many reads wait at one node for what does not come (K23, K24).
pub(super) fn commotion(scene: &mut Scene<'_>) {
    let (node, lasts_ms) = (scene.node(), scene.dice.scaled(500, 20_000));
    let what =
        if scene.dice.once_in(2) { FaultKind::Outage } else { FaultKind::StallFetches { node } };
    scene.lasts(lasts_ms + 200);
    scene.fault(0, lasts_ms, what);
    scene.puts(50, KEYS);
    for client in 0..12 {
        let (key, wait_ms) = (scene.key(), scene.dice.pick(&[100, 1_000, 10_000]));
        scene.act(100, client, Act::get(node, key, Level::Latest, wait_ms));
    }
    scene.everybody_reads(lasts_ms + 100, Level::Latest);
}

/// One node is slow to ask and to hear; what others were told meanwhile must be in what it answers (N1, K20).
pub(super) fn hurry(scene: &mut Scene<'_>) {
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
pub(super) fn farewell(scene: &mut Scene<'_>) {
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
    if let Some((after_ms, lasts_ms, what)) = what {
        scene.fault(after_ms, lasts_ms, what);
    }
    scene.fault(50, 28_000, FaultKind::Drain { node });
}

/// An operator cancels a rebuild at bad moments and lets it go on, while it is slow or meets an accident (P8).
///
/// A node that opens its copy anew knows only the wall clock and the present retention: where those change, nothing
/// is cancelled (sim/README.md, "What bounds it").
pub(super) fn cancelled(scene: &mut Scene<'_>) {
    let node = scene.node();
    let unheard = |what: &FaultKind| {
        matches!(
            what,
            FaultKind::Clock { .. } | FaultKind::Retention { .. } | FaultKind::Protection { .. }
        )
    };
    if scene.faults.iter().any(|fault| unheard(&fault.what)) {
        return;
    }
    let up_to_ms = scene.dice.pick(&[20, 100, 400]);
    scene.lasts(20_000);
    for key in MANY {
        scene.puts(0, [key]);
    }
    scene.fault(1_000, 100, FaultKind::WipeDisk { node });
    scene.fault(1_050, 12_000, FaultKind::SlowLog { node, up_to_ms });
    let accident = match scene.dice.below(6) {
        0 => Some(FaultKind::Crash { node, effects: scene.dice.small(20), keep_permille: 1_000 }),
        1 => Some(FaultKind::DiskError { node, call: Disk::Create, corrupt: false }),
        2 => Some(FaultKind::DiskError { node, call: Disk::Flush, corrupt: false }),
        3 => Some(FaultKind::Outage),
        4 => Some(FaultKind::SlowDisk { node, up_to_ms: 500, answers_ms: 0 }),
        _ => None,
    };
    if let Some(what) = accident {
        let after_ms = 1_100 + scene.dice.below(1_500);
        scene.fault(after_ms, 1_500, what);
    }
    let mut after_ms = 1_100;
    for _ in 0..scene.dice.between(1, 4) {
        after_ms += scene.dice.scaled(5, 3_000);
        let lasts_ms = scene.dice.scaled(10, 2_000);
        scene.fault(after_ms, lasts_ms, FaultKind::Cancel { node });
        for (client, level) in (0..).zip([Level::Stale, Level::Local, Level::AtLeast]) {
            let (key, wait_ms) = (scene.key(), scene.dice.pick(&[50, 1_000]));
            scene.act(after_ms + lasts_ms / 2, client, Act::get(node, key, level, wait_ms));
        }
        after_ms += lasts_ms;
    }
    scene.everybody_reads(after_ms + 1_000, Level::Local);
}

/// While restores may read next to nothing, a READY node reads a lot, and then its disk fails: for what it has to read again
/// it waits no longer than for that alone (P9, D8).
pub(super) fn indebted(scene: &mut Scene<'_>) {
    /// Longer than anything may hold up a node without a name.
    const LASTS_MS: u64 = 115_000;
    let node = scene.node();
    let Setting { limits, latencies, .. } = scene.setting;
    let round_ms = (latencies.log_call_us + latencies.log_answer_us + latencies.disk_us) / 1_000;
    let settled = 1_000 + 3 * limits.ends_ms + 2 * limits.flush_ms;
    let read = settled + 2_000 + 80 * round_ms;
    scene.lasts(read + LASTS_MS + 1_000);
    scene.puts(0, KEYS);
    let what = FaultKind::RestoreRate { node, bytes_per_second: NonZeroU64::MIN };
    scene.fault(settled, read + LASTS_MS - settled, what);
    for key in MANY {
        scene.puts(settled + 10, [key]);
    }
    scene.fault(read, 0, FaultKind::DiskError { node, call: Disk::Apply, corrupt: false });
    scene.puts(read + 10, KEYS);
    scene.everybody_reads(read + LASTS_MS, Level::AtLeast);
}
