//! One partition's numbers, at the borders where they decide.

use std::time::Duration;

use super::reader::{Fetch, Reader};
use crate::batch::{Batch, BatchBuilder};
use crate::clock::{Clock, Moment};
use crate::fixtures::{self, P0, facts};
use crate::limits::Limits;
use crate::lineage::Lineage;
use crate::log::PartitionEnd;
use crate::offset::{Epoch, Offset};
use crate::time::Now;
use crate::topic::TopicPolicy;

const RETENTION_MS: u64 = 1_000_000;
const START: Now = Now { mono: Duration::from_secs(50_000), wall_ms: 70_000_000 };

fn clock() -> Clock {
    Clock::new(START)
}

fn reads(lineage: Lineage, end: PartitionEnd) -> Reader {
    let age_ms = clock().age_ms(lineage.confirmed_at_ms, None);
    Reader::new(P0, lineage, start().before(age_ms), end, start())
}

fn start() -> Moment {
    clock().now()
}

/// The last of these looks at the clocks.
fn moment(looks: impl IntoIterator<Item = Now>) -> Moment {
    let mut clock = clock();
    for now in looks {
        clock.observe(now);
    }
    clock.now()
}

fn later(ms: u64) -> Moment {
    let mono = START.mono + Duration::from_millis(ms);
    moment([Now { mono, wall_ms: START.wall_ms + ms }])
}

fn lineage(position: u64, confirmed_at_ms: u64) -> Lineage {
    Lineage::empty(confirmed_at_ms, RETENTION_MS).read_to(position).of_epochs(&[(1, 0)])
}

/// At 5 of 9, confirmed when it started.
fn reader() -> Reader {
    reads(lineage(5, START.wall_ms), end(9))
}

fn end(high_watermark: u64) -> PartitionEnd {
    fixtures::end(high_watermark, Some(1))
}

/// Records up to `to` (exclusive); `gap` leaves out the first.
fn records(from: u64, to: u64, gap: bool) -> Batch {
    fixtures::records(from, from + u64::from(gap)..to, Some(1), 20)
}

fn nothing_at_end(position: u64, epoch: u32) -> Batch {
    BatchBuilder::new(P0, 1, Offset(position)).at_end(Offset(position), Some(Epoch(epoch)))
}

impl Reader {
    fn takes(&mut self, batch: Batch) {
        let end = batch.range.end;
        let (limits, policy) = (Limits::PRODUCTION, facts().policy);
        self.accept(batch, false, &policy, start(), &limits);
        self.on_applied(end);
    }
}

#[test]
fn the_horizon_is_past_a_margin_before_the_retention_by_either_clock() {
    let limits = Limits::PRODUCTION;
    let trusted = RETENTION_MS - limits.margin_ms(RETENTION_MS);
    let past = |now| reader().past_horizon(now, &limits);
    assert!(!past(start()));
    assert!(!past(later(trusted - 1)) && past(later(trusted)));
    let (mono, wall_ms) = (later(trusted).mono, later(trusted).wall_ms);
    assert!(past(moment([Now { mono, ..START }])) && past(moment([Now { wall_ms, ..START }])));

    let old = reads(lineage(5, START.wall_ms - trusted + 1), end(9));
    assert!(!old.past_horizon(start(), &limits));
    assert!(
        old.past_horizon(moment([Now { mono: later(1).mono, ..START }]), &limits),
        "age from the disk"
    );
}

#[test]
fn a_wall_clock_that_is_set_back_makes_a_copy_neither_younger_nor_worthless() {
    let limits = Limits::PRODUCTION;
    let trusted = RETENTION_MS - limits.margin_ms(RETENTION_MS);
    let set_back = Now { wall_ms: START.wall_ms - RETENTION_MS, ..START };
    let past = |ms| {
        let Moment { mono, wall_ms, .. } = later(ms);
        let now = moment([set_back, Now { mono, wall_ms: wall_ms - RETENTION_MS }]);
        reader().past_horizon(now, &limits)
    };
    assert!(!past(0) && !past(trusted - 1) && past(trusted));
}

#[test]
fn a_shorter_retention_counts_at_once_and_a_longer_one_never() {
    let limits = Limits::PRODUCTION;
    let mut reader = reader();
    reader.see_retention(10 * RETENTION_MS);
    assert!(reader.past_horizon(later(RETENTION_MS), &limits));
    reader.see_retention(1_000);
    assert!(reader.past_horizon(later(1_000), &limits));
    assert_eq!(reader.applied().delete_retention_ms_min, 1_000);
}

/// A deposed leader goes on to confirm what it has, while its successor has compacted what it appended.
#[test]
fn a_gap_of_a_later_leader_than_the_one_that_confirmed_counts() {
    let accepted = |confirmed_by, records_of| {
        let mut reader = reader();
        let asked = later(1_000);
        reader.on_end(&fixtures::end(5, Some(confirmed_by)), asked);
        let batch = fixtures::records(5, [6], Some(records_of), 20);
        let (_, lineage) = reader.accept(batch, false, &facts().policy, asked, &Limits::PRODUCTION);
        lineage.exact_from
    };
    assert_eq!(accepted(2, 2), Offset(0));
    assert_eq!(accepted(2, 1), Offset(0), "an older record that a later leader gave");
    assert_eq!(accepted(1, 2), Offset(20));
    // Who confirmed what is on disk it does not tell.
    let batch = records(5, 8, true);
    let (policy, limits) = (facts().policy, Limits::PRODUCTION);
    let (_, lineage) = reader().accept(batch, false, &policy, start(), &limits);
    assert_eq!(lineage.exact_from, Offset(20));
}

/// Nothing younger than min.compaction.lag.ms is compacted, if the broker's clock stamps the records.
#[test]
fn a_gap_in_what_is_younger_than_the_compaction_lag_is_markers_only() {
    let limits = Limits::PRODUCTION;
    let lag_ms = facts().policy.min_compaction_lag_ms;
    let trusted = lag_ms - limits.margin_ms(lag_ms);
    let exact_from = |log_append_time, ms, rebuilding| {
        let policy = TopicPolicy { log_append_time, ..facts().policy };
        let mut reader = reader();
        reader.on_end(&end(5), start());
        reader.accept(records(5, 8, true), rebuilding, &policy, later(ms), &limits).1.exact_from
    };
    let (holed, exact) = (Offset(20), Offset(0));
    assert_eq!(exact_from(true, trusted - 1, false), exact);
    assert_eq!(exact_from(true, trusted, false), holed, "a pass of the cleaner may have been");
    assert_eq!(exact_from(false, 0, false), holed, "writers' clocks prove nothing");
    assert_eq!(exact_from(true, 0, true), holed, "below a rebuild's target nothing is confirmed");
}

#[test]
fn beyond_its_target_a_rebuild_is_confirmed_like_any_copy() {
    let mut reader = reader();
    reader.takes(records(5, 9, false));
    assert!(reader.reached_target());
    let (limits, policy) = (Limits::PRODUCTION, facts().policy);
    let (_, lineage) = reader.accept(records(9, 12, true), true, &policy, start(), &limits);
    assert_eq!(lineage.exact_from, Offset(0));
}

#[test]
fn an_end_that_says_nothing_new_is_not_worth_a_write() {
    let mut reader = reader();
    assert!(reader.knows(&nothing_at_end(5, 1)));
    assert!(!reader.knows(&nothing_at_end(5, 2)), "a new epoch");
    assert!(!reader.knows(&records(5, 6, false)), "a record");
}

#[test]
fn a_batch_is_asked_for_only_when_it_can_be_taken() {
    let limits = Limits { applying_batches_max: 2, ..Limits::PRODUCTION };
    let policy = facts().policy;
    let mut reader = reader();
    assert!(!reader.wants_batch(&limits), "not assigned");
    reader.fetch = Fetch::Idle;
    for from in 5..7 {
        assert!(reader.wants_batch(&limits));
        reader.accept(records(from, from + 1, false), false, &policy, start(), &limits);
    }
    assert!(!reader.wants_batch(&limits), "the store is behind");
    reader.on_applied(Offset(6));
    assert!(reader.wants_batch(&limits));
    reader.hold(records(7, 8, false));
    assert!(!reader.wants_batch(&limits), "one waits already");
    assert!(reader.release().is_some() && reader.release().is_none());
}

#[test]
fn a_target_is_taken_back_only_by_an_answer_to_a_later_question() {
    let mut reader = reader();
    reader.on_end(&end(7), start());
    assert_eq!((reader.target, reader.end_known()), (Offset(9), Offset(7)));
    reader.on_end(&end(8), later(1));
    assert_eq!(reader.target, Offset(8), "the log lost a record");
    reader.on_end(&end(30), later(2));
    assert_eq!((reader.target, reader.end_known()), (Offset(8), Offset(30)));
}

#[test]
fn an_end_reached_confirms_when_it_was_asked_for() {
    let mut reader = reader();
    reader.on_end(&end(12), later(10));
    reader.takes(records(5, 8, false));
    assert_eq!(reader.applied().confirmed_at_ms, START.wall_ms, "8 of 9");
    reader.on_end(&end(12), later(20));
    reader.takes(records(8, 9, false));
    assert_eq!(reader.hidden(), None, "the first end is reached: nothing is waited for");
    reader.on_end(&end(12), later(30));
    reader.takes(records(9, 12, false));
    for lineage in [reader.applied(), reader.fetched()] {
        assert_eq!(lineage.confirmed_at_ms, later(30).wall_ms);
    }
    assert_eq!(reader.age(later(31)), Duration::from_millis(1));
}

/// Else a copy would wait for ever for an end that is no more.
#[test]
fn an_end_waited_for_follows_a_log_that_loses_records_by_a_later_answer_only() {
    let waits_for = |answers: &[(u64, u64)]| {
        let mut reader = reads(lineage(5, 0), end(5));
        for asked in [start(), later(10)] {
            reader.on_end(&end(5), asked);
        }
        for (high_watermark, ms) in answers {
            reader.on_end(&end(*high_watermark), later(*ms));
        }
        reader.takes(records(5, 7, false));
        reader.applied().confirmed_at_ms
    };
    assert_eq!(waits_for(&[(9, 20)]), later(10).wall_ms, "9 is not reached");
    assert_eq!(waits_for(&[(9, 20), (7, 20)]), later(10).wall_ms, "no later than the first");
    assert_eq!(waits_for(&[(9, 20), (7, 21)]), later(20).wall_ms);
}

#[test]
fn a_confirmation_is_stored_when_it_is_old_enough_and_nothing_carries_it() {
    let interval = Duration::from_millis(100);
    let mut reader = reads(lineage(5, START.wall_ms), end(5));
    reader.on_end(&end(5), start());
    reader.on_end(&end(5), later(99));
    assert_eq!(reader.unsaved_confirmation(interval), None);
    reader.on_end(&end(5), later(100));
    let (limits, policy) = (Limits::PRODUCTION, facts().policy);
    let mut busy = reads(lineage(5, START.wall_ms), end(5));
    busy.accept(records(5, 6, false), false, &policy, start(), &limits);
    busy.on_end(&end(5), later(100));
    assert_eq!(busy.unsaved_confirmation(interval), None, "a batch is on its way with it");
    let saved = reader.unsaved_confirmation(interval).map(|lineage| lineage.confirmed_at_ms);
    assert_eq!(saved, Some(later(100).wall_ms));
    assert_eq!(reader.unsaved_confirmation(interval), None, "once");
}

#[test]
fn a_confirmation_of_a_clock_that_was_set_back_since_is_replaced() {
    let interval = Duration::from_millis(100);
    let ahead = START.wall_ms + 36_000_000;
    let mut reader = reads(lineage(5, ahead), end(5));
    reader.on_end(&end(5), start());
    let saved = reader.unsaved_confirmation(interval).map(|lineage| lineage.confirmed_at_ms);
    assert_eq!(saved, Some(START.wall_ms));
    assert_eq!(reader.unsaved_confirmation(interval), None, "once");
}

#[test]
fn what_follows_is_hidden_only_where_an_end_was_met_below_a_committed_one() {
    let mut reader = reader();
    assert_eq!(reader.hidden(), None, "no end was met");
    let nothing = BatchBuilder::new(P0, 1, Offset(5)).finish(Offset(5));
    assert!(reader.knows(&nothing));
    assert_eq!(reader.hidden(), None, "nothing came, and no end");
    assert!(reader.knows(&nothing_at_end(5, 1)));
    assert_eq!(reader.hidden(), Some((Offset(5), START.mono)), "an end that brings nothing new");
    let end_at = |from, position| {
        let mut builder = BatchBuilder::new(P0, 1, Offset(from));
        builder.push(Offset(from), Some(Epoch(1)), Some(b"k"), None);
        builder.at_end(Offset(position), None)
    };
    reader.takes(end_at(5, 7));
    assert_eq!(reader.hidden(), Some((Offset(7), START.mono)));
    reader.takes(records(7, 8, false));
    assert_eq!(reader.hidden(), None, "records came after it");
    reader.takes(end_at(8, 9));
    assert_eq!(reader.hidden(), None, "that was the end");
    reader.on_end(&end(12), later(10));
    assert_eq!(reader.hidden(), Some((Offset(9), later(10).mono)), "a later one is committed");

    let mut idle = reads(lineage(5, START.wall_ms), end(5));
    assert!(idle.knows(&nothing_at_end(5, 1)));
    assert_eq!(idle.hidden(), None, "the end that was met is the committed one");
}
