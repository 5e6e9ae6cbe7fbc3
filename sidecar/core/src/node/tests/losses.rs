//! A log that does not have the copy's position any more: when that is another history, and when it is not.

use super::*;
use crate::lineage::EpochChain;
use crate::log::Loss;
use crate::phase::Cause;
use crate::stall::StallKind;

/// Never READY by itself: that would forget what was refused before.
const ON_DISK: u64 = 4;
const END: u64 = 5;

impl Driven {
    /// The copy on disk is opened and its position asked of the log.
    fn opens(&mut self) {
        self.opens_with(epochs(&[]));
    }

    fn opens_with(&mut self, epochs: EpochChain) {
        self.log(LogEvent::Facts(facts().reaching(0, END)));
        let lineage = Lineage::empty(self.now.wall_ms, DAY_MS).read_to(ON_DISK);
        let lineage = Lineage { epochs, ..lineage };
        self.store(StoreEvent::Found(copy(intact(G1, [lineage]), None)));
    }

    fn waits_for(&self) -> Vec<StallKind> {
        self.node.status().stalls.iter().map(|stall| stall.kind).collect()
    }

    /// The log refuses the position; the node pauses, closes and opens again. What it does then.
    fn refused(&mut self, loss: Loss) -> Cause {
        self.loses_by(LogEvent::Lost { partition: P0, loss })
    }

    fn loses_by(&mut self, event: LogEvent) -> Cause {
        self.log(event);
        self.pass(Limits::PRODUCTION.retry_max);
        self.done(StoreCallKind::Close);
        self.opens();
        if self.node.status().fed == Some(G1) {
            self.log(LogEvent::Assigned { partition: P0 });
        }
        self.node.status().progress.expect("the copy was decided on").cause
    }
}

fn resumed() -> Driven {
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.opens();
    driven.log(LogEvent::Assigned { partition: P0 });
    driven
}

#[test]
fn a_leader_that_says_another_history_is_believed_at_once() {
    assert_eq!(resumed().refused(Loss::Diverged), Cause::Diverged);
}

/// Inside the log's own ends: who answers the reader is not who answers the questions.
#[test]
fn an_offset_out_of_range_that_the_ends_contradict_is_a_named_wait_and_no_other_history() {
    let mut driven = resumed();
    assert_eq!(driven.refused(Loss::OutOfRange), Cause::Resume);
    assert_eq!(driven.waits_for(), []);
    for _ in 0..10 {
        assert_eq!(driven.refused(Loss::OutOfRange), Cause::Resume);
        assert_eq!(driven.waits_for(), [StallKind::StaleLeader]);
    }
    driven.log(LogEvent::Fetched(batch(4, b"a")));
    assert_eq!(driven.waits_for(), []);
}

/// The consumer's metadata may be of a leader that was deposed before the copy's epoch began.
#[test]
fn a_leader_that_does_not_know_the_copys_epoch_is_asked_again_and_nothing_is_closed() {
    let mut driven = resumed();
    driven.effects();
    for _ in 0..10 {
        driven.log(LogEvent::Lost { partition: P0, loss: Loss::UnknownEpoch });
        driven.log(ends(END, None));
        assert_eq!(driven.waits_for(), [StallKind::StaleLeader]);
        assert_eq!(driven.effects().iter().filter(|effect| assigns(effect)).count(), 0, "a pause");
        driven.pass(Limits::PRODUCTION.retry_max);
        let effects = driven.effects();
        assert_eq!(effects.iter().filter(|effect| assigns(effect)).count(), 1, "{effects:?}");
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Store(_))), "{effects:?}");
        driven.log(LogEvent::Assigned { partition: P0 });
    }
    driven.log(LogEvent::Fetched(batch(4, b"a")));
    assert_eq!(driven.waits_for(), []);
}

#[test]
fn a_ready_node_stays_ready_when_a_deposed_leader_answers_its_reader() {
    let mut driven = Driven::reading();
    driven.log(LogEvent::Lost { partition: P0, loss: Loss::UnknownEpoch });
    driven.pass(Limits::PRODUCTION.retry_max);
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.log(LogEvent::Lost { partition: P0, loss: Loss::UnknownEpoch });
    assert_eq!(driven.node.shared.phase, Phase::Ready);
    assert!(driven.node.next_timer() > Some(driven.now.mono), "no busy waiting");
}

fn assigns(effect: &Effect) -> bool {
    matches!(effect, Effect::Log(LogCall::Assign { .. }))
}

#[test]
fn what_was_read_since_the_copy_was_opened_is_not_held_against_the_disk() {
    let mut driven = resumed();
    driven.log(LogEvent::Fetched(batch(4, b"a")));
    assert_eq!(driven.refused(Loss::Diverged), Cause::Resume);
}

#[test]
fn the_loss_of_an_older_assignment_is_not_this_ones() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.opens();
    driven.effects();
    driven.log(LogEvent::Lost { partition: P0, loss: Loss::Diverged });
    assert_eq!(driven.effects(), []);
}

/// A topic of three partitions was made anew with one, and the copy of the old one was moved away meanwhile.
fn with_fewer_partitions() -> Driven {
    let mut driven = Driven::rebuilding(facts().of_partitions(3), Limits::PRODUCTION);
    for partition in Partition::all(3) {
        driven.log(LogEvent::Assigned { partition });
    }
    driven.log(LogEvent::TopicId(OTHER_TOPIC));
    driven.done(StoreCallKind::Close);
    let one = LogFacts { topic: OTHER_TOPIC, ..facts() };
    driven.log(LogEvent::Facts(one.clone()));
    driven.store(StoreEvent::Found(Found::Foreign { is: "its predecessor's".to_owned() }));
    driven.pass(Duration::from_secs(1));
    driven.log(LogEvent::Facts(one));
    driven.store(StoreEvent::Found(Found::Nothing));
    driven.done(StoreCallKind::Create);
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.effects();
    driven
}

#[test]
fn what_the_log_still_says_of_a_partition_that_is_gone_changes_nothing() {
    let gone = Partition(2);
    let fetched = BatchBuilder::new(gone, 3, Offset(0)).at_end(Offset(7), None);
    let lost = |loss| LogEvent::Lost { partition: gone, loss };
    for event in [LogEvent::Fetched(fetched), lost(Loss::OutOfRange), lost(Loss::Diverged)] {
        let mut driven = with_fewer_partitions();
        driven.log(event);
        assert!(matches!(driven.node.stage, Stage::Reading(_)));
        assert_eq!(driven.effects(), []);
    }
}

/// An assignment may be answered after the topic was made anew.
#[test]
fn an_assignment_of_a_partition_that_is_gone_is_answered() {
    let mut driven = with_fewer_partitions();
    driven.node.shared.assign(Partition(2));
    driven.log(LogEvent::Assigned { partition: Partition(2) });
    assert_eq!(driven.effects(), []);
}

/// The old topic's leaders had other epochs: by them the new one's would be deposed for ever.
#[test]
fn ends_asked_for_before_the_copy_was_opened_say_nothing_of_it() {
    let mut driven = with_fewer_partitions();
    driven.log(LogEvent::Ends(vec![Ok(end(9, Some(40))); 3]));
    assert_eq!(driven.node.status().partitions[0].high_watermark, Offset(0));
    driven.pass(Duration::from_secs(1));
    driven.log(ends(9, Some(1)));
    assert_eq!(driven.node.status().stalls, vec![]);
    assert_eq!(driven.node.status().partitions[0].high_watermark, Offset(9));
}

fn read(from: u64, epochs: &[u32]) -> LogEvent {
    let mut builder = BatchBuilder::new(P0, 1, Offset(from));
    for (offset, epoch) in (from..).map(Offset).zip(epochs) {
        builder.push(offset, Some(Epoch(*epoch)), Some(b"k"), Some(b"v"));
    }
    LogEvent::Fetched(builder.finish(Offset(9)))
}

/// It was read in epochs 1 and 2. A log that lost the second, and had more of the first instead, ends that at or behind
/// the copy's position, and so lets it be read on.
fn resumed_in_the_second_epoch() -> Driven {
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.opens_with(epochs(&[(1, 0), (2, 2)]));
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.effects();
    driven
}

#[test]
fn records_of_an_epoch_that_had_ended_are_of_another_history() {
    for epochs in [&[1][..], &[1, 3]] {
        let mut driven = resumed_in_the_second_epoch();
        driven.log(read(4, epochs));
        assert_eq!(applies(&driven.effects()), 0);
        assert_eq!(resumed_in_the_second_epoch().loses_by(read(4, epochs)), Cause::Diverged);
    }
    for epochs in [&[2][..], &[3], &[2, 4]] {
        let mut driven = resumed_in_the_second_epoch();
        driven.log(read(4, epochs));
        assert_eq!(applies(&driven.effects()), 1, "{epochs:?}");
    }
}

/// What was read since the copy was opened, or within one batch, may be all that the log lost.
#[test]
fn an_epoch_that_ended_after_what_is_on_disk_condemns_only_what_is_not() {
    let mut driven = resumed_in_the_second_epoch();
    driven.log(read(4, &[3]));
    assert_eq!(driven.loses_by(read(5, &[2, 4])), Cause::Resume);
    let mut driven = resumed_in_the_second_epoch();
    assert_eq!(driven.loses_by(read(4, &[3, 2])), Cause::Resume);
    assert_eq!(applies(&driven.effects()), 0);
}
