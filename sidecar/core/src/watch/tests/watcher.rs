//! What a watch is sent, in which order, and where it begins anew.

use super::super::message::Message;
use super::super::point::{Lost, NoPoint};
use super::super::selection::Selection;
use super::super::watcher::{Demand, End, OnLost, Start, Step, Watcher};
use super::*;
use crate::gate::{Rejection, Until};
use crate::keys::Keys;

pub(super) const A: Option<&[u8]> = Some(b"a");
const PROGRESS: Duration = Duration::from_secs(5);

pub(super) struct Watch {
    pub(super) watcher: Watcher,
    limits: Limits,
}

pub(super) fn demand(start: Start) -> Demand {
    let selection = Arc::new(Selection::new(Vec::<Keys>::new()).unwrap());
    let wait = Duration::from_secs(1);
    Demand { start, selection, on_lost: OnLost::State, progress: PROGRESS, wait }
}

fn failing(start: Start) -> Demand {
    Demand { on_lost: OnLost::Fail, ..demand(start) }
}

impl Watch {
    pub(super) fn new(copy: &Copy, demand: Demand) -> Watch {
        Watch { watcher: Watcher::new(demand, copy.now), limits: Limits::PRODUCTION }
    }

    pub(super) fn next(&mut self, copy: &Copy) -> Step {
        self.watcher.next(&copy.sight(&self.limits))
    }

    /// What is sent until there is nothing more, in short; each snapshot is the copy as it is.
    fn takes(&mut self, copy: &Copy) -> Vec<String> {
        let mut sent = Vec::new();
        loop {
            match self.next(copy) {
                Step::Send(message) => sent.push(short(&message)),
                Step::Filter => sent.extend(self.watcher.filter().as_ref().map(short)),
                Step::Open(_) => self.watcher.opened(Some(&copy.lineages), copy.now),
                Step::Rows => {
                    sent.push("rows".to_owned());
                    self.watcher.rows_sent();
                }
                Step::Idle { .. } => return sent,
                Step::Read(wanted) => panic!("{wanted:?}"),
                Step::Wait { .. } => {
                    sent.push("waits".to_owned());
                    return sent;
                }
                Step::End(end) => {
                    sent.push(end.to_string());
                    return sent;
                }
            }
        }
    }
}

pub(super) fn short(message: &Message) -> String {
    let at = |point: &Point| {
        let at: Vec<_> = point.token.positions.iter().map(|(at, _)| at.to_string()).collect();
        at.join("+")
    };
    match message {
        Message::Started { point } => {
            let from = point.as_ref().map_or_else(|| "nowhere".to_owned(), at);
            // Whether a state follows.
            format!("from {from} {}", point.is_none())
        }
        Message::StateEnd { point } => format!("state {}", at(point)),
        Message::Progress { point } => format!("at {}", at(point)),
        Message::Again { why } => format!("again: {why:?}"),
        Message::Changes(changes) => {
            let offsets: Vec<_> =
                changes.records().map(|record| record.offset.to_string()).collect();
            let point = changes.point.as_ref().map_or("inexact".to_owned(), at);
            format!("{} then {point}", offsets.join(","))
        }
    }
}

#[test]
fn a_state_begins_and_ends_also_where_there_is_none() {
    let mut copy = Copy::empty();
    let mut watch = Watch::new(&copy, demand(Start::State));
    assert_eq!(watch.takes(&copy), ["from nowhere true", "rows", "state 0"]);
    copy.write(&[(0, 0, b"k", A), (1, 0, b"l", None)]);
    assert_eq!(watch.takes(&copy), ["0,1 then 2"]);
}

#[test]
fn changes_go_on_behind_the_snapshot_that_the_state_was_read_from() {
    let mut copy = Copy::empty();
    copy.write(&[(0, 0, b"k", A)]);
    let mut watch = Watch::new(&copy, demand(Start::State));
    assert_eq!(watch.next(&copy), Step::Send(Message::Started { point: None }));
    assert_eq!(watch.next(&copy), Step::Open(G1));
    // The store is a batch ahead of what it has answered.
    let ahead = Lineage { position: Offset(2), ..copy.lineages[0].clone() };
    watch.watcher.opened(Some(&[ahead]), copy.now);
    assert_eq!(watch.takes(&copy), ["rows", "state 2"]);
    copy.write(&[(1, 0, b"k", None)]);
    assert_eq!(watch.takes(&copy), [""; 0]);
    copy.write(&[(2, 0, b"l", A)]);
    assert_eq!(watch.takes(&copy), ["2 then 3"]);
}

#[test]
fn a_closed_snapshot_is_opened_anew_and_rows_that_were_sent_are_forgotten() {
    let copy = Copy::empty();
    let mut watch = Watch::new(&copy, demand(Start::State));
    watch.next(&copy);
    assert_eq!(watch.next(&copy), Step::Open(G1));
    watch.watcher.opened(None, copy.now);
    assert_eq!(watch.next(&copy), Step::Open(G1));
    watch.watcher.opened(Some(&copy.lineages), copy.now);
    assert_eq!(watch.next(&copy), Step::Rows);
    watch.watcher.rows_lost();
    assert_eq!(watch.takes(&copy), ["again: Snapshot", "rows", "state 0"]);
}

#[test]
fn a_state_that_is_broken_off_ends_a_watch_that_is_to_fail() {
    let copy = Copy::empty();
    let mut watch = Watch::new(&copy, failing(Start::State));
    watch.next(&copy);
    assert_eq!(watch.next(&copy), Step::Open(G1));
    watch.watcher.opened(Some(&copy.lineages), copy.now);
    assert_eq!(watch.next(&copy), Step::Rows);
    watch.watcher.rows_lost();
    assert_eq!(watch.takes(&copy), [End::Lost(Lost::Snapshot).to_string()]);
}

#[test]
fn points_come_in_time_when_nothing_happens_and_never_before_what_they_cover() {
    let mut copy = Copy::empty();
    let mut watch = Watch::new(&copy, demand(Start::Now));
    assert_eq!(watch.takes(&copy), ["from 0 false"]);
    assert_eq!(watch.next(&copy), Step::Idle { until: Some(copy.now.mono + PROGRESS) });
    copy.write(&[(0, 0, b"k", A)]);
    copy.pass(PROGRESS);
    assert_eq!(watch.takes(&copy), ["at 0", "0 then 1"]);
    copy.pass(PROGRESS);
    assert_eq!(watch.takes(&copy), ["at 1"]);
}

#[test]
fn what_is_not_selected_is_passed_in_silence_and_told_by_the_next_point() {
    let mut copy = Copy::empty();
    let keys = vec![Keys::Key(b"k".to_vec()), Keys::Prefix(b"k".to_vec())];
    let selection = Arc::new(Selection::new(keys).unwrap());
    let mut watch = Watch::new(&copy, Demand { selection, ..demand(Start::Now) });
    watch.takes(&copy);
    copy.write(&[(0, 0, b"a", A)]);
    assert_eq!(watch.takes(&copy), [""; 0]);
    copy.write(&[(1, 0, b"k", A), (2, 0, b"l", A), (3, 0, b"km", A)]);
    assert_eq!(watch.takes(&copy), ["1,3 then 4"]);
    copy.write(&[(4, 0, b"a", A)]);
    assert_eq!(watch.takes(&copy), [""; 0]);
    copy.pass(PROGRESS);
    assert_eq!(watch.takes(&copy), ["at 5"]);
}

/// What compaction removed for the sake of a record after the gap is not there yet.
#[test]
fn no_point_lies_where_the_state_is_not_exact() {
    let mut copy = Copy::empty();
    let mut watch = Watch::new(&copy, demand(Start::Now));
    watch.takes(&copy);
    copy.apply(batch(Partition(0), Offset(0), &[(1, 0, b"k", A)]).finish(Offset(4)));
    copy.write(&[(2, 0, b"k", A)]);
    copy.pass(PROGRESS);
    assert_eq!(watch.takes(&copy), ["at 0", "1 then inexact", "2 then inexact"]);
    copy.write(&[(3, 0, b"k", A)]);
    assert_eq!(watch.takes(&copy), ["3 then 4"]);
}

#[test]
fn a_point_is_gone_on_from_anywhere_in_a_batch() {
    let mut copy = Copy::empty();
    copy.write(&[(0, 0, b"k", A), (1, 0, b"k", A), (2, 0, b"k", A)]);
    let mut watch = Watch::new(&copy, demand(Start::Point(point(&[(1, Some(0))]))));
    assert_eq!(watch.takes(&copy), ["from 1 false", "1,2 then 3"]);
}

#[test]
fn a_point_that_is_lost_at_the_start_is_answered_with_the_state_or_by_name() {
    let copy = Copy::empty();
    let old = Start::Point(Point { confirmed_at_ms: 0, ..point(&[(0, None)]) });
    let mut watch = Watch::new(&copy, demand(old.clone()));
    let again = ["from nowhere true", "again: Horizon", "rows", "state 0"];
    assert_eq!(watch.takes(&copy), again);
    let lost = End::Lost(Lost::Horizon).to_string();
    assert_eq!(Watch::new(&copy, failing(old)).takes(&copy), [lost.as_str()]);
}

#[test]
fn a_beginning_that_cannot_be_told_is_answered_as_one_that_is_lost() {
    let copy = Copy::empty();
    let lost = Lost::Cursor(NoPoint::Unknown);
    let mut watch = Watch::new(&copy, demand(Start::Lost(lost)));
    let again = ["from nowhere true", "again: Cursor(Unknown)", "rows", "state 0"];
    assert_eq!(watch.takes(&copy), again);
    let named = End::Lost(lost).to_string();
    assert_eq!(Watch::new(&copy, failing(Start::Lost(lost))).takes(&copy), [named.as_str()]);
}

#[test]
fn a_point_beyond_the_copy_waits_as_a_read_does() {
    let mut copy = Copy::empty();
    let wanted = point(&[(1, Some(0))]);
    let start = Start::Point(wanted.clone());
    let mut watch = Watch::new(&copy, demand(start.clone()));
    let (until, deadline) = (Until::AtLeast(wanted.token), Duration::from_secs(1));
    assert_eq!(watch.next(&copy), Step::Wait { until, deadline });
    watch.watcher.waited(Ok(()));
    copy.write(&[(0, 0, b"k", A)]);
    assert_eq!(watch.takes(&copy), ["from 1 false"]);
    let answered = |answer: Rejection| {
        let copy = Copy::empty();
        let mut watch = Watch::new(&copy, failing(start.clone()));
        watch.next(&copy);
        watch.watcher.waited(Err(answer));
        watch.takes(&copy)
    };
    let beyond = Rejection::TokenBeyondLog { position: Offset(1), end: Offset(0) };
    assert_eq!(answered(beyond), [End::Lost(Lost::History).to_string()]);
    let late = Rejection::Deadline { stall: None };
    assert_eq!(answered(late.clone()), [late.to_string()]);
    assert_eq!(answered(Rejection::NotReady(Phase::CatchingUp)), ["waits"]);
}

/// The copy lost what was not flushed, and reads it again.
#[test]
fn a_copy_that_is_opened_further_back_repeats_nothing_and_skips_nothing() {
    let mut copy = Copy::empty();
    let disk = copy.lineages.clone();
    let mut watch = Watch::new(&copy, demand(Start::Now));
    watch.takes(&copy);
    copy.write(&[(0, 0, b"k", A), (1, 0, b"k", A)]);
    assert_eq!(watch.takes(&copy), ["0,1 then 2"]);
    copy.reopen(disk);
    assert_eq!(watch.takes(&copy), ["waits"]);
    watch.watcher.waited(Ok(()));
    copy.write(&[(0, 0, b"k", A), (1, 0, b"k", A), (2, 0, b"k", A)]);
    assert_eq!(watch.takes(&copy), ["2 then 3"]);
}

#[test]
fn a_log_that_lost_what_was_sent_has_it_forgotten() {
    let mut copy = Copy::empty();
    let disk = copy.lineages.clone();
    let mut watch = Watch::new(&copy, demand(Start::Now));
    watch.takes(&copy);
    copy.write(&[(0, 0, b"k", A), (1, 0, b"k", A)]);
    watch.takes(&copy);
    copy.reopen(disk);
    copy.write(&[(0, 0, b"k", A), (1, 1, b"l", A), (2, 1, b"l", A)]);
    assert_eq!(watch.takes(&copy), ["again: History", "rows", "state 3"]);
}

#[test]
fn nothing_is_sent_while_the_copy_does_not_admit_reads() {
    let mut copy = Copy::empty();
    let mut watch = Watch::new(&copy, demand(Start::Now));
    watch.takes(&copy);
    copy.write(&[(0, 0, b"k", A)]);
    copy.pass(PROGRESS);
    let phase = Phase::CatchingUp;
    copy.gate = Arc::new(Gate { phase, ..copy.gate.as_ref().clone() });
    assert_eq!(watch.next(&copy), Step::Idle { until: None });
    copy.show();
    // The gate shows more than the ring has: it is of what was read before, or a moment ahead.
    let positions = vec![Offset(2)];
    copy.gate = Arc::new(Gate { positions, ..copy.gate.as_ref().clone() });
    assert_eq!(watch.next(&copy), Step::Idle { until: None });
    copy.gate = Arc::new(Gate { phase: Phase::Stopped, ..copy.gate.as_ref().clone() });
    assert_eq!(watch.next(&copy), Step::End(End::Rejected(Rejection::Draining)));
}

/// The confirmation of a point is that of what is below it, not of the copy.
#[test]
fn a_watch_that_lags_has_an_older_confirmation_than_the_copy() {
    let mut copy = Copy::empty();
    let mut watch = Watch::new(&copy, demand(Start::Now));
    watch.takes(&copy);
    copy.write(&[(0, 0, b"k", A)]);
    copy.write(&[(1, 0, b"k", A)]);
    let confirmed_at_ms = CONFIRMED_MS + 7_000;
    copy.gate = Arc::new(Gate { confirmed_at_ms, ..copy.gate.as_ref().clone() });
    copy.pass(PROGRESS);
    let mut confirmed = Vec::new();
    loop {
        match watch.next(&copy) {
            Step::Filter => {
                let Some(Message::Changes(changes)) = watch.watcher.filter() else { panic!() };
                confirmed.extend(changes.point.map(|point| point.confirmed_at_ms));
            }
            Step::Send(Message::Progress { point }) => confirmed.push(point.confirmed_at_ms),
            Step::Idle { .. } => break,
            step => panic!("{step:?}"),
        }
    }
    assert_eq!(confirmed, [CONFIRMED_MS, CONFIRMED_MS, confirmed_at_ms]);
}

/// Else whatever lags in one partition would have the date of its beginning in all quiet ones, until no tombstone lives that long.
#[test]
fn a_watch_that_lags_in_one_partition_has_its_own_confirmation_in_the_others() {
    let mut copy = Copy::of_partitions(2);
    let mut watch = Watch::new(&copy, demand(Start::Now));
    watch.takes(&copy);
    copy.lineages[0].confirmed_at_ms = CONFIRMED_MS + 5_000;
    copy.write(&[(0, 0, b"k", A)]);
    copy.write(&[(1, 0, b"k", A)]);
    let confirmed_at_ms = CONFIRMED_MS + 7_000;
    copy.gate = Arc::new(Gate { confirmed_at_ms, ..copy.gate.as_ref().clone() });
    let mut confirmed = || {
        assert_eq!(watch.next(&copy), Step::Filter);
        let Some(Message::Changes(changes)) = watch.watcher.filter() else { panic!() };
        changes.point.expect("it is exact").confirmed_at_ms
    };
    assert_eq!((confirmed(), confirmed()), (CONFIRMED_MS + 5_000, confirmed_at_ms));
}
