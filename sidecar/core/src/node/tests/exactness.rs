//! A copy that waits for an end of the log which the log then loses: it is rebuilt, and never READY as it is.

use super::*;
use crate::log::Loss;
use crate::phase::Cause;
use crate::stall::StallKind;

fn log(high_watermark: u64, epoch: u32) -> LogFacts {
    facts().reaching(0, high_watermark).led_by(epoch)
}

fn unbroken(range: std::ops::Range<u64>, epoch: u32, bound: u64) -> Batch {
    records(range.start, range, Some(epoch), bound)
}

/// A rebuild read up to 60. The leader of epoch 5, which ends at 120, had removed the record at 10 for a later one.
fn holed() -> Driven {
    let mut driven = Driven::rebuilding(log(120, 5), Limits::PRODUCTION);
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.takes(records(0, (0..10).chain(11..60), Some(5), 120));
    driven
}

impl Driven {
    fn decides(&mut self, facts: LogFacts, lineage: Option<Lineage>) -> Cause {
        self.log(LogEvent::Facts(facts));
        let current = lineage.and_then(|lineage| intact(G1, [lineage]));
        self.store(StoreEvent::Found(copy(current, None)));
        self.node.status().progress.expect("the copy was decided on").cause
    }
}

/// On disk: read to `position`, exact only from 120 on, as a leader of epoch 5 had told.
fn waiting(driven: &Driven, position: u64) -> Lineage {
    let lineage = Lineage::empty(driven.now.wall_ms, DAY_MS).read_to(position);
    let mut lineage = Lineage { exact_from: Offset(120), ..lineage.of_epochs(&[(5, 0)]) };
    lineage.ends.tell(Epoch(5), Offset(120));
    lineage
}

#[test]
fn an_end_that_went_back_below_a_gaps_is_a_loss() {
    let mut driven = holed();
    driven.log(ends(120, Some(5)));
    driven.pass(Limits::PRODUCTION.ends_interval);
    driven.log(ends(110, Some(6)));
    assert_eq!(driven.node.shared.phase, Phase::Opening);
}

#[test]
fn the_leader_that_told_an_end_is_deposed_when_it_tells_less() {
    let mut driven = holed();
    driven.log(ends(120, Some(5)));
    driven.pass(Limits::PRODUCTION.ends_interval);
    driven.log(ends(110, Some(5)));
    assert!(driven.node.status().stalls.iter().any(|stall| stall.kind == StallKind::StaleLeader));
    assert!(matches!(driven.node.shared.phase, Phase::Restoring(_)));
}

/// Reads records of epoch 6 from 110 on, where the leader of epoch 5 had told 120: that is asked for.
fn doubts(driven: &mut Driven) {
    driven.log(LogEvent::Fetched(unbroken(110..130, 6, 130)));
    let (at, epoch) = (Offset(120), Some(Epoch(5)));
    let asked = Effect::Log(LogCall::Assign { partition: P0, at, epoch });
    assert!(driven.effects().contains(&asked), "the leader knows whether it has what epoch 5 had");
    driven.log(LogEvent::Assigned { partition: P0 });
}

#[test]
fn a_log_that_grew_again_has_lost_what_its_new_epoch_begins_below() {
    let mut driven = holed();
    driven.takes(unbroken(60..110, 5, 130));
    doubts(&mut driven);
    driven.log(LogEvent::Lost { partition: P0, loss: Loss::Diverged });
    driven.pass(Limits::PRODUCTION.retry_max);
    assert!(matches!(driven.node.stage, Stage::Closing(_)), "epoch 5 had reached 120");
}

#[test]
fn an_end_in_doubt_that_the_log_has_is_read_on_to() {
    let mut driven = holed();
    driven.takes(unbroken(60..110, 5, 130));
    doubts(&mut driven);
    driven.log(LogEvent::Fetched(unbroken(120..130, 6, 130)));
    let (at, epoch) = (Offset(110), Some(Epoch(5)));
    let reads_on = Effect::Log(LogCall::Assign { partition: P0, at, epoch });
    let effects = driven.effects();
    assert!(effects.contains(&reads_on), "{effects:?}");
    let applies = |effect: &Effect| matches!(effect, Effect::Store(StoreCall::Apply { .. }));
    assert!(!effects.iter().any(applies), "what lies between was not read");
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.takes(unbroken(110..130, 6, 130));
}

#[test]
fn a_leader_that_has_not_heard_of_the_epoch_that_told_an_end_is_asked_again() {
    let mut driven = holed();
    driven.takes(unbroken(60..110, 5, 130));
    doubts(&mut driven);
    driven.log(LogEvent::Lost { partition: P0, loss: Loss::UnknownEpoch });
    driven.pass(Limits::PRODUCTION.retry_max);
    let (at, epoch) = (Offset(120), Some(Epoch(5)));
    let asked = Effect::Log(LogCall::Assign { partition: P0, at, epoch });
    assert!(driven.effects().contains(&asked));
}

#[test]
fn an_epoch_that_begins_where_a_gaps_end_was_is_a_clean_election() {
    let mut driven = holed();
    driven.takes(unbroken(60..120, 5, 130));
    driven.takes(unbroken(120..130, 6, 130));
    assert!(!matches!(driven.node.shared.phase, Phase::Opening), "{:?}", driven.node.shared.phase);
}

#[test]
fn a_gap_read_while_the_leader_changed_is_read_again() {
    let mut driven = holed();
    driven.log(ends(120, Some(5)));
    assert!(matches!(driven.node.stage, Stage::Reading(_)), "asked before the gap was read");
    driven.pass(Limits::PRODUCTION.ends_interval);
    driven.log(ends(140, Some(6)));
    assert!(matches!(driven.node.stage, Stage::Closing(_)), "either leader may have told 120");
    let mut settled = holed();
    settled.log(ends(120, Some(5)));
    for epoch in [5, 6] {
        settled.pass(Limits::PRODUCTION.ends_interval);
        settled.log(ends(140, Some(epoch)));
    }
    assert!(matches!(settled.node.stage, Stage::Reading(_)), "it was the old one");
}

#[test]
fn each_gap_is_held_against_the_leader_that_was_known_when_it_was_asked_for() {
    let holed =
        |range: std::ops::Range<u64>, bound| records(range.start, [range.end - 1], Some(5), bound);
    let mut driven = Driven::rebuilding(log(120, 5), Limits::PRODUCTION);
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.log(ends(120, Some(6)));
    driven.takes(holed(0..10, 120));
    driven.takes(holed(10..20, 121));
    driven.pass(Limits::PRODUCTION.ends_interval);
    driven.log(ends(121, Some(6)));
    assert!(matches!(driven.node.stage, Stage::Closing(_)), "either may have told 120");
}

#[test]
fn a_copy_on_disk_that_waits_for_what_the_log_lost_is_rebuilt_at_start() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    let lineage = waiting(&driven, 110);
    assert_eq!(driven.decides(log(110, 6), Some(lineage)), Cause::Truncated);
    assert_eq!(driven.node.gate().generation, Some(G1), "it answers STALE meanwhile");
}

#[test]
fn a_copy_on_disk_that_finds_the_loss_while_it_reads_on_is_rebuilt() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    let lineage = waiting(&driven, 110);
    assert_eq!(driven.decides(log(200, 6), Some(lineage.clone())), Cause::Resume);
    driven.log(LogEvent::Assigned { partition: P0 });
    doubts(&mut driven);
    driven.log(LogEvent::Lost { partition: P0, loss: Loss::Diverged });
    driven.pass(Limits::PRODUCTION.retry_max);
    driven.done(StoreCallKind::Close);
    assert_eq!(driven.decides(log(200, 6), Some(lineage)), Cause::Truncated);
}

#[test]
fn a_gap_that_is_not_on_disk_is_not_held_against_the_disk() {
    let mut driven = holed();
    driven.takes(unbroken(60..110, 5, 130));
    doubts(&mut driven);
    driven.log(LogEvent::Lost { partition: P0, loss: Loss::Diverged });
    driven.pass(Limits::PRODUCTION.retry_max);
    driven.done(StoreCallKind::Close);
    let before = Lineage::empty(driven.now.wall_ms, DAY_MS);
    assert_eq!(driven.decides(log(130, 6), Some(before)), Cause::Resume);
}

#[test]
fn a_gap_is_flushed_once_it_is_known_who_told_its_end() {
    let mut driven = holed();
    driven.log(ends(120, Some(5)));
    driven.pass(Limits::PRODUCTION.flush_interval);
    assert!(!driven.flushed(), "the ends were last asked for before the gap was read");
    driven.log(ends(120, Some(5)));
    assert!(flushes(&driven.effects()));
    let mut settled = holed();
    settled.log(ends(120, Some(5)));
    settled.pass(Limits::PRODUCTION.flush_interval);
    settled.log(ends(120, Some(5)));
    assert!(settled.flushed());
}
