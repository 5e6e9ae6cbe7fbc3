//! A node is to be given a copy by a peer, and something is wrong with one of them.

use super::{KEYS, MANY, Scene};
use crate::plan::faults::{FaultKind, PeerFault, Rot};
use crate::plan::kinds::peer_fault;
use crate::plan::operations::Level;
use crate::plan::setting::Setting;

/// Longest transfer that a scene waits for.
const TAKES_MS_MAX: u64 = 5_000;

/// When everybody has read and flushed what a scene began with.
fn settled_ms(scene: &Scene<'_>) -> u64 {
    let Setting { limits, .. } = scene.setting;
    1_000 + 3 * limits.ends_ms + 2 * limits.flush_ms
}

fn takes_ms(scene: &Scene<'_>) -> u64 {
    let takes_ms = scene.setting.peers.as_ref().map_or(0, |peers| peers.takes_up_to_ms);
    takes_ms.min(TAKES_MS_MAX)
}

/// A copy is lost while records come and go, and whoever gives or takes the next one may end in the middle (D1, D5,
/// D9, P6, R1 to R6).
pub(super) fn lost(scene: &mut Scene<'_>) {
    let node = scene.node();
    let (settled, takes_ms) = (settled_ms(scene), takes_ms(scene));
    let gone = settled + 50;
    let over = gone + 2 * takes_ms + 2_000;
    scene.lasts(over + 2_000);
    scene.puts(0, KEYS);
    for key in MANY {
        scene.puts(10, [key]);
    }
    if scene.dice.once_in(2) {
        let what = peer_fault(&mut scene.dice, node);
        scene.fault(settled, over - settled, what);
    }
    match scene.dice.below(3) {
        0 => scene.fault(gone, 50, FaultKind::WipeDisk { node }),
        1 => {
            scene.fault(gone, 0, FaultKind::Rot { node, what: Rot::Index });
            let crash = FaultKind::Crash { node, effects: 0, keep_permille: 1_000 };
            scene.fault(gone + 5, 20, crash);
        }
        // However old the copy is, it looks ten hours older.
        _ => scene.fault(gone, over - gone, FaultKind::Clock { node, jump_ms: 36_000_000 }),
    }
    scene.deletes(gone + 10, KEYS.take(2));
    let meanwhile = gone + 60 + scene.dice.below(takes_ms + 1);
    scene.puts(meanwhile, KEYS.skip(2));
    scene.fault(meanwhile, 0, FaultKind::Clean);
    let other = (node + 1) % scene.setting.nodes;
    let effects = scene.dice.small(12);
    match scene.dice.below(4) {
        0 => {
            let crash = FaultKind::Crash { node, effects, keep_permille: 1_000 };
            scene.fault(meanwhile, 100, crash);
        }
        1 => {
            let crash = FaultKind::Crash { node: other, effects, keep_permille: 500 };
            scene.fault(meanwhile, 100, crash);
        }
        2 => scene.fault(meanwhile, 500, FaultKind::Drain { node }),
        _ => {}
    }
    scene.everybody_reads(over, Level::AtLeast);
}

/// The clocks of those who give are ahead, by no more than clocks may differ: what they give is as good as ever (R5, D3).
pub(super) fn ahead(scene: &mut Scene<'_>) {
    let node = scene.node();
    let (settled, takes_ms) = (settled_ms(scene), takes_ms(scene));
    let (gone, over) = (settled + 50, settled + 2 * takes_ms + 4_000);
    let jump_ms = scene.setting.policy.delete_retention_ms / 13;
    let jump_ms = i64::try_from(jump_ms).expect("a retention is below 2^63");
    scene.lasts(over + 1_000);
    for giver in scene.nodes().filter(|giver| *giver != node) {
        scene.fault(5, over, FaultKind::Clock { node: giver, jump_ms });
    }
    scene.puts(10, KEYS);
    for key in MANY {
        scene.puts(20, [key]);
    }
    if scene.dice.once_in(2) {
        for partition in 0..scene.setting.partitions {
            scene.fault(settled, 0, FaultKind::DeleteRecords { partition, percent: 50 });
        }
    }
    scene.puts(gone - 5, KEYS);
    scene.fault(gone, 20, FaultKind::WipeDisk { node });
    scene.everybody_reads(over, Level::AtLeast);
}

/// A peer gives what it had when keys were there whose tombstones have gone since (K13, R5).
pub(super) fn outdated(scene: &mut Scene<'_>) {
    let node = scene.node();
    let Setting { policy, kafka, .. } = scene.setting;
    let retention_ms = policy.delete_retention_ms;
    let taken = settled_ms(scene);
    let deleted = taken + 500 + 4 * kafka.pace_ms;
    let (cleaned, expired) = scene.setting.tombstones_gone(deleted, retention_ms);
    let gone = expired + 50;
    scene.lasts(gone + 2 * takes_ms(scene) + 4_000);
    scene.puts(0, KEYS);
    let how = PeerFault::Old;
    scene.fault(taken, gone + 2 * takes_ms(scene) + 3_000 - taken, FaultKind::Peer { node, how });
    scene.tombstones_go([taken, deleted, cleaned, expired]);
    scene.fault(gone, 50, FaultKind::WipeDisk { node });
    scene.everybody_reads(gone + 2 * takes_ms(scene) + 2_000, Level::Local);
}

/// A retention is lowered and raised again while a copy is on its way that was taken before: tombstones that it lacks
/// are gone, and whoever gives it cannot know (K13, K18, R5).
pub(super) fn shortened(scene: &mut Scene<'_>) {
    let node = scene.node();
    let takes_ms = takes_ms(scene);
    let taken = settled_ms(scene);
    let Setting { limits, kafka, .. } = scene.setting;
    let answer_ms = scene.setting.answer_ms();
    // Longer than what nodes that keep up are ever behind by: they may never hear of it.
    let lowered_ms = 2 * limits.ends_ms + 500;
    let lowered = taken + 5;
    let deleted = lowered + 500 + 4 * kafka.pace_ms;
    let (cleaned, expired) = scene.setting.tombstones_gone(deleted, lowered_ms);
    // By then all have heard of the shorter one. It hears of it too and asks its peers, and the copy comes when that
    // is over.
    let wiped = (expired + 20).max(lowered + scene.setting.heard_ms());
    let raised = wiped + 20 + answer_ms;
    let over = raised + takes_ms + 1_000;
    scene.tombstones_live((over + 1_000 - taken) * 4 / 3);
    scene.lasts(over + 3_000);
    scene.puts(0, KEYS);
    scene.fault(taken, over - taken, FaultKind::Peer { node, how: PeerFault::Old });
    let shorter = FaultKind::Retention { delete_retention_ms: lowered_ms };
    scene.fault(lowered, raised - lowered, shorter);
    scene.fault(wiped, 20, FaultKind::WipeDisk { node });
    scene.tombstones_go([lowered + 5, deleted, cleaned, expired]);
    scene.everybody_reads(over + 1_000, Level::Local);
}

/// Records are deleted, then a disk is lost: only a peer has the whole state (K15, D5).
pub(super) fn helpless(scene: &mut Scene<'_>) {
    let (node, percent) = (scene.node(), scene.dice.between(10, 100));
    let (settled, takes_ms) = (settled_ms(scene), takes_ms(scene));
    scene.lasts(settled + 2 * takes_ms + 4_000);
    scene.puts(0, KEYS);
    for partition in 0..scene.setting.partitions {
        scene.fault(settled, 0, FaultKind::DeleteRecords { partition, percent });
    }
    if scene.dice.once_in(2) {
        let what = peer_fault(&mut scene.dice, node);
        scene.fault(settled, takes_ms + 1_000, what);
    }
    scene.fault(settled + 200, 50, FaultKind::WipeDisk { node });
    scene.puts(settled + 300, KEYS);
    scene.everybody_reads(settled + 2 * takes_ms + 2_000, Level::Local);
}
