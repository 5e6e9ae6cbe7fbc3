//! What a watch that is behind the ring is given from the log, and when nothing can be proven.

use super::super::reader::{Given, Missed, Wanted};
use super::super::watcher::{Start, Step};
use super::watcher::{A, Watch, demand, short};
use super::*;
use crate::fixtures::{OTHER_TOPIC, facts};
use crate::log::Loss;
use crate::topic::{TopicFacts, TopicId};

/// Epoch 0 ends at 4; the ring has what comes after 6.
fn copy() -> Copy {
    let mut copy = Copy::empty();
    copy.ring = Ring::new(700);
    copy.begin();
    for offset in 0..8 {
        copy.write(&[(offset, u32::from(offset >= 4), b"k", A)]);
    }
    copy
}

fn told(topic: TopicId, delete_retention_ms: u64) -> TopicFacts {
    let facts = facts().retaining(delete_retention_ms);
    TopicFacts { cluster: facts.cluster, topic, policy: facts.policy, partitions: 1 }
}

fn given(batch: Batch) -> Result<Given, Missed> {
    Ok(Given { batch, topic: told(TOPIC, DAY_MS) })
}

fn read(from: u64, written: &[Written]) -> BatchBuilder {
    batch(Partition(0), Offset(from), written)
}

/// Behind the ring by all but two records, after the log has told who leads.
fn behind(copy: &Copy) -> Watch {
    let mut watch = Watch::new(copy, demand(Start::Point(point(&[(2, Some(0))]))));
    assert_eq!(step(&mut watch, copy), "from 2 false");
    assert_eq!(step(&mut watch, copy), "reads 8 of 1");
    answer(&mut watch, copy, given(read(8, &[]).at_end(Offset(8), None)));
    assert_eq!(step(&mut watch, copy), "reads 2 of 0");
    watch
}

/// The topic has as many partitions as the copy.
fn answer(watch: &mut Watch, copy: &Copy, mut answer: Result<Given, Missed>) {
    if let Ok(given) = &mut answer {
        given.topic.partitions = u32::try_from(copy.lineages.len()).unwrap();
    }
    watch.watcher.read(answer, &copy.sight(&Limits::PRODUCTION));
}

fn step(watch: &mut Watch, copy: &Copy) -> String {
    match watch.next(copy) {
        Step::Send(message) => short(&message),
        Step::Filter => watch.watcher.filter().as_ref().map_or_else(String::new, short),
        Step::Read(Wanted { from, epoch: Some(Epoch(epoch)), .. }) => {
            format!("reads {from} of {epoch}")
        }
        Step::Idle { .. } => "rests".to_owned(),
        step => panic!("{step:?}"),
    }
}

fn after(copy: &Copy, batch: Batch) -> String {
    let mut watch = behind(copy);
    answer(&mut watch, copy, given(batch));
    step(&mut watch, copy)
}

#[test]
fn what_was_missed_comes_from_the_log_and_the_rest_from_the_ring() {
    let copy = copy();
    let mut watch = behind(&copy);
    assert_eq!(step(&mut watch, &copy), "rests");
    answer(
        &mut watch,
        &copy,
        given(read(2, &[(2, 0, b"k", A), (3, 0, b"k", A)]).finish(Offset(8))),
    );
    assert_eq!(step(&mut watch, &copy), "2,3 then 4");
    assert_eq!(step(&mut watch, &copy), "reads 4 of 0");
    let more = [(4, 1, &b"k"[..], A), (5, 1, b"k", A), (6, 1, b"k", A)];
    answer(&mut watch, &copy, given(read(4, &more).finish(Offset(8))));
    assert_eq!(step(&mut watch, &copy), "4,5,6 then 7");
    assert!(watch.watcher.reads_log());
    assert_eq!(step(&mut watch, &copy), "7 then 8");
    assert!(!watch.watcher.reads_log());
    assert_eq!(step(&mut watch, &copy), "rests");
}

/// The gap hides a record for the sake of one that comes later, and is in the ring already.
#[test]
fn there_is_no_point_before_the_end_that_was_told_with_a_gap() {
    let copy = copy();
    let mut watch = behind(&copy);
    let holed = [(5, 1, &b"k"[..], A), (6, 1, b"k", A)];
    answer(&mut watch, &copy, given(read(2, &holed).finish(Offset(8))));
    assert_eq!(step(&mut watch, &copy), "5,6 then inexact");
    assert_eq!(step(&mut watch, &copy), "reads 7 of 1");
    answer(&mut watch, &copy, given(read(7, &[(7, 1, b"k", A)]).finish(Offset(8))));
    assert_eq!(step(&mut watch, &copy), "7 then 8");
}

#[test]
fn what_the_copy_has_not_applied_waits() {
    let mut copy = copy();
    let mut watch = behind(&copy);
    let all: Vec<Written> = (2..9).map(|at| (at, u32::from(at >= 4), &b"k"[..], A)).collect();
    answer(&mut watch, &copy, given(read(2, &all).finish(Offset(9))));
    assert_eq!(step(&mut watch, &copy), "rests");
    copy.write(&[(8, 1, b"k", A)]);
    assert_eq!(step(&mut watch, &copy), "2,3,4,5,6,7,8 then 9");
}

#[test]
fn each_batch_comes_within_the_horizon_that_the_log_tells_behind_it() {
    let mut copy = copy();
    let mut late = behind(&copy);
    let mut lowered = behind(&copy);
    copy.pass(Duration::from_secs(4));
    let batch = read(2, &[(2, 0, b"k", A)]).finish(Offset(8));
    let short_lived = Given { batch: batch.clone(), topic: told(TOPIC, 4_000) };
    answer(&mut lowered, &copy, Ok(short_lived));
    assert_eq!(step(&mut lowered, &copy), "again: Horizon");
    answer(&mut late, &copy, given(batch));
    copy.pass(Limits::PRODUCTION.trusted(DAY_MS));
    assert_eq!(step(&mut late, &copy), "at 2");
    assert_eq!(step(&mut late, &copy), "again: Horizon");
}

#[test]
fn another_topic_or_another_history_is_lost() {
    let copy = copy();
    let mut other = behind(&copy);
    let batch = read(2, &[(2, 0, b"k", A)]).finish(Offset(8));
    answer(&mut other, &copy, Ok(Given { batch, topic: told(OTHER_TOPIC, DAY_MS) }));
    assert_eq!(step(&mut other, &copy), "again: Topic");
    for loss in [Loss::Diverged, Loss::OutOfRange] {
        let mut lost = behind(&copy);
        answer(&mut lost, &copy, Err(Missed::Lost(loss)));
        assert_eq!(step(&mut lost, &copy), "again: History");
    }
    let meets = read(2, &[(2, 0, b"k", A), (7, 0, b"k", A)]).finish(Offset(8));
    let mut watch = behind(&copy);
    answer(&mut watch, &copy, given(meets));
    assert_eq!(step(&mut watch, &copy), "2,7 then 8");
    assert_eq!(step(&mut watch, &copy), "again: History", "the ring has 7 of epoch 1");
}

/// Whoever answered may have told an end that the log has lost since, with what the gap was made for.
fn told_before_an_election(lost: bool) {
    let mut copy = copy();
    let mut watch = behind(&copy);
    answer(&mut watch, &copy, given(read(2, &[(3, 0, b"k", A)]).finish(Offset(9))));
    assert_eq!(step(&mut watch, &copy), "3 then inexact");
    copy.write(&[(8, 2, b"k", A)]);
    assert_eq!(step(&mut watch, &copy), "reads 9 of 2");
    answer(&mut watch, &copy, given(read(9, &[]).at_end(Offset(9), None)));
    assert_eq!(step(&mut watch, &copy), "reads 4 of 0");
    let more: Vec<Written> = (4..8).map(|at| (at, 1, &b"k"[..], A)).collect();
    let more = [&more[..], &[(8, 2, b"k", A)]].concat();
    let more = || given(read(4, &more).finish(Offset(9)));
    answer(&mut watch, &copy, more());
    assert_eq!(step(&mut watch, &copy), "reads 9 of 1");
    let doubtful = |watch: &mut Watch, told| {
        answer(watch, &copy, told);
        step(watch, &copy)
    };
    if lost {
        assert_eq!(doubtful(&mut watch, Err(Missed::Lost(Loss::Diverged))), "again: History");
        return;
    }
    let has = given(read(9, &[]).at_end(Offset(9), None));
    assert_eq!(doubtful(&mut watch, has), "reads 4 of 0");
    assert_eq!(doubtful(&mut watch, more()), "4,5,6,7,8 then 9");
}

#[test]
fn the_log_is_asked_whether_it_has_an_end_that_is_in_doubt() {
    told_before_an_election(false);
    told_before_an_election(true);
}

#[test]
fn epochs_never_fall() {
    let copy = copy();
    let falls = read(2, &[(2, 1, b"k", A), (3, 0, b"k", A)]).finish(Offset(8));
    assert_eq!(after(&copy, falls), "again: History");
}

/// Whoever answers next may have heard of less.
#[test]
fn where_nobody_answers_who_knows_it_is_asked_again_who_leads() {
    let mut copy = copy();
    for missed in [Missed::Failed, Missed::Lost(Loss::UnknownEpoch)] {
        let mut watch = behind(&copy);
        answer(&mut watch, &copy, Err(missed));
        let until = copy.now.mono + Limits::PRODUCTION.retry_min;
        assert_eq!(watch.next(&copy), Step::Idle { until: Some(until) });
        copy.pass(Limits::PRODUCTION.retry_min);
        assert_eq!(step(&mut watch, &copy), "reads 8 of 1");
    }
}

#[test]
fn whose_state_is_not_exact_when_it_falls_behind_has_no_point_before_it_is() {
    let mut copy = Copy::empty();
    copy.ring = Ring::new(700);
    copy.begin();
    let mut watch = Watch::new(&copy, demand(Start::Now));
    assert_eq!(step(&mut watch, &copy), "from 0 false");
    copy.apply(read(0, &[(1, 0, b"k", A)]).finish(Offset(6)));
    assert_eq!(step(&mut watch, &copy), "1 then inexact");
    for offset in 2..8 {
        copy.write(&[(offset, 0, b"k", A)]);
    }
    assert_eq!(step(&mut watch, &copy), "reads 2 of 0");
    let more: Vec<Written> = (2..5).map(|at| (at, 0, &b"k"[..], A)).collect();
    answer(&mut watch, &copy, given(read(2, &more).finish(Offset(8))));
    assert_eq!(step(&mut watch, &copy), "2,3,4 then inexact");
    assert_eq!(step(&mut watch, &copy), "reads 5 of 0");
    answer(&mut watch, &copy, given(read(5, &[(5, 0, b"k", A)]).finish(Offset(8))));
    assert_eq!(step(&mut watch, &copy), "5 then 6");
}

/// What was asked for before may be of a history that neither log nor copy has any more; a gap that is not over goes on.
#[test]
fn what_came_before_a_new_reading_is_asked_for_again() {
    let mut copy = copy();
    let mut watch = behind(&copy);
    let holed = [(5, 1, &b"k"[..], A), (6, 1, b"k", A)];
    answer(&mut watch, &copy, given(read(2, &holed).finish(Offset(8))));
    assert_eq!(step(&mut watch, &copy), "5,6 then inexact");
    assert_eq!(step(&mut watch, &copy), "reads 7 of 1");
    let read_to = |position| Lineage::empty(CONFIRMED_MS, DAY_MS).read_to(position);
    copy.reopen(vec![read_to(6).of_epochs(&[(0, 3), (1, 5)])]);
    copy.write(&[(6, 1, b"k", A), (7, 1, b"k", A)]);
    assert_eq!(step(&mut watch, &copy), "rests");
    let last = || given(read(7, &[(7, 1, b"k", A)]).finish(Offset(8)));
    answer(&mut watch, &copy, last());
    assert_eq!(step(&mut watch, &copy), "reads 7 of 1");
    answer(&mut watch, &copy, last());
    assert_eq!(step(&mut watch, &copy), "7 then 8");
}

/// Another history may have as many records.
#[test]
fn what_the_copy_has_of_an_older_epoch_waits() {
    let mut copy = copy();
    let mut watch = behind(&copy);
    let all: Vec<Written> = (2..8).map(|at| (at, u32::from(at >= 4) * 2, &b"k"[..], A)).collect();
    answer(&mut watch, &copy, given(read(2, &all).finish(Offset(8))));
    assert_eq!(step(&mut watch, &copy), "rests");
    let read_to = |position| Lineage::empty(CONFIRMED_MS, DAY_MS).read_to(position);
    copy.reopen(vec![read_to(4).of_epochs(&[(0, 3)])]);
    let read: Vec<Written> = (4..8).map(|at| (at, 2, &b"k"[..], A)).collect();
    copy.write(&read);
    assert_eq!(step(&mut watch, &copy), "reads 8 of 2");
}

/// Each partition is proven anew, by the same reader of the log.
#[test]
fn partitions_are_read_from_the_log_one_after_the_other() {
    let mut copy = Copy::of_partitions(2);
    copy.ring = Ring::new(700);
    copy.begin();
    let in_second = |offset| batch(Partition(1), Offset(offset), &[(offset, 0, b"d", A)]);
    for offset in 0..4 {
        copy.write(&[(offset, 0, b"k", A)]);
        copy.apply(in_second(offset).finish(Offset(offset + 1)));
    }
    let start = Start::Point(point(&[(2, Some(0)), (2, Some(0))]));
    let mut watch = Watch::new(&copy, demand(start));
    assert_eq!(step(&mut watch, &copy), "from 2+2 false");
    assert_eq!(step(&mut watch, &copy), "reads 2 of 0");
    answer(&mut watch, &copy, given(read(2, &[(2, 0, b"k", A)]).finish(Offset(3))));
    assert_eq!(step(&mut watch, &copy), "2 then 3+2");
    let Step::Read(wanted) = watch.next(&copy) else { panic!("the second is behind as well") };
    assert_eq!((wanted.partition, wanted.from), (Partition(1), Offset(2)));
    assert!(watch.watcher.reads_log());
    answer(&mut watch, &copy, given(in_second(2).finish(Offset(3))));
    assert_eq!(step(&mut watch, &copy), "2 then 3+3");
    assert_eq!(step(&mut watch, &copy), "3 then 4+3");
    assert!(!watch.watcher.reads_log());
}

/// The copy went on in another history than that of what came, whose positions it has reached.
#[test]
fn what_came_is_asked_for_again_where_the_copy_has_heard_of_a_later_epoch() {
    let mut copy = copy();
    let mut watch = behind(&copy);
    let ahead: Vec<Written> = (2..10).map(|at| (at, u32::from(at >= 4), &b"k"[..], A)).collect();
    answer(&mut watch, &copy, given(read(2, &ahead).finish(Offset(10))));
    assert_eq!(step(&mut watch, &copy), "rests");
    copy.write(&[(8, 2, b"k", A), (9, 2, b"k", A)]);
    assert_eq!(step(&mut watch, &copy), "reads 10 of 2");
    answer(&mut watch, &copy, given(read(10, &[]).at_end(Offset(10), None)));
    assert_eq!(step(&mut watch, &copy), "reads 2 of 0");
}

/// Epoch 3 ends in a marker at 2, and 3 is the first record of epoch 4.
fn with_a_marker_before_an_election() -> Copy {
    let mut copy = Copy::empty();
    copy.write(&[(0, 3, b"k", A), (1, 3, b"k", A)]);
    copy.apply(read(2, &[]).at_end(Offset(3), None));
    copy.write(&[(3, 4, b"k", A)]);
    copy
}

/// In the ring, behind a marker. The log has told who leads, and is asked whether it has what lies right below.
fn behind_a_marker(copy: &Copy) -> Watch {
    let mut watch = Watch::new(copy, demand(Start::Point(point(&[(3, Some(3))]))));
    assert_eq!(step(&mut watch, copy), "from 3 false");
    assert_eq!(step(&mut watch, copy), "reads 4 of 4");
    answer(&mut watch, copy, given(read(4, &[]).at_end(Offset(4), None)));
    assert_eq!(step(&mut watch, copy), "reads 3 of 3");
    assert_eq!(step(&mut watch, copy), "rests", "nothing is told before that is known");
    watch
}

fn has_what_is_below() -> Result<Given, Missed> {
    given(read(3, &[(3, 4, b"k", A)]).finish(Offset(4)))
}

#[test]
fn where_a_marker_hides_who_wrote_below_a_point_the_log_is_asked() {
    let copy = with_a_marker_before_an_election();
    let mut watch = behind_a_marker(&copy);
    answer(&mut watch, &copy, has_what_is_below());
    assert_eq!(step(&mut watch, &copy), "3 then 4");
    assert!(!watch.watcher.reads_log());
}

#[test]
fn before_it_is_known_who_wrote_below_a_point_no_later_one_is_told() {
    let mut copy = with_a_marker_before_an_election();
    let mut watch = Watch::new(&copy, demand(Start::Point(point(&[(3, Some(3))]))));
    assert_eq!(step(&mut watch, &copy), "from 3 false");
    copy.pass(Duration::from_secs(60));
    assert_eq!(step(&mut watch, &copy), "reads 4 of 4", "progress was due");
}

#[test]
fn where_the_log_ends_the_epoch_of_a_point_below_it_the_point_is_lost() {
    let copy = with_a_marker_before_an_election();
    let mut watch = behind_a_marker(&copy);
    answer(&mut watch, &copy, Err(Missed::Lost(Loss::Diverged)));
    assert_eq!(step(&mut watch, &copy), "again: History");
}

#[test]
fn what_the_log_said_of_a_point_holds_for_the_leader_that_the_copy_knows() {
    let mut copy = with_a_marker_before_an_election();
    let mut failed = behind_a_marker(&copy);
    answer(&mut failed, &copy, Err(Missed::Failed));
    assert_eq!(step(&mut failed, &copy), "rests");
    copy.pass(Limits::PRODUCTION.retry_min);
    assert_eq!(step(&mut failed, &copy), "reads 4 of 4", "another may answer");
    let mut watch = behind_a_marker(&copy);
    answer(&mut watch, &copy, has_what_is_below());
    copy.write(&[(4, 5, b"k", A)]);
    assert_eq!(step(&mut watch, &copy), "reads 5 of 5");
    answer(&mut watch, &copy, given(read(5, &[]).at_end(Offset(5), None)));
    assert_eq!(step(&mut watch, &copy), "reads 3 of 3");
    copy.reopen(copy.lineages.clone());
    answer(&mut watch, &copy, has_what_is_below());
    assert_eq!(step(&mut watch, &copy), "reads 3 of 3", "the copy may be of another history");
}

/// A log without the epoch of a point would answer for an older one, which may reach beyond it.
#[test]
fn where_the_copy_has_not_seen_the_epoch_of_a_point_the_log_is_not_asked() {
    let mut copy = Copy::empty();
    copy.write(&[(0, 2, b"k", A), (1, 2, b"k", A)]);
    copy.apply(read(2, &[]).at_end(Offset(3), None));
    copy.write(&[(3, 4, b"k", A)]);
    let mut watch = Watch::new(&copy, demand(Start::Point(point(&[(3, Some(3))]))));
    assert_eq!(step(&mut watch, &copy), "from nowhere true");
    assert_eq!(step(&mut watch, &copy), "again: History");
}

/// The copy of whoever follows is opened anew in the moment after an election.
#[test]
fn a_watch_whose_copy_is_read_anew_goes_on_behind_a_marker_too() {
    let mut copy = Copy::empty();
    copy.write(&[(0, 3, b"k", A), (1, 3, b"k", A)]);
    let disk = copy.lineages.clone();
    copy.apply(read(2, &[]).at_end(Offset(3), None));
    let mut watch = Watch::new(&copy, demand(Start::Now));
    assert_eq!(step(&mut watch, &copy), "from 3 false");
    copy.reopen(disk);
    copy.write(&[(3, 4, b"k", A)]);
    assert_eq!(step(&mut watch, &copy), "reads 4 of 4");
    answer(&mut watch, &copy, given(read(4, &[]).at_end(Offset(4), None)));
    assert_eq!(step(&mut watch, &copy), "reads 3 of 3");
    answer(&mut watch, &copy, has_what_is_below());
    assert_eq!(step(&mut watch, &copy), "3 then 4");
}
