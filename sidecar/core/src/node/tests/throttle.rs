//! A restore reads no faster than an operator wants, and a READY node as fast as it can.

use std::num::NonZeroU64;

use super::*;
use crate::horizon::Horizon;

fn rate(bytes: u64) -> Event {
    Event::RestoreRate(Some(NonZeroU64::new(bytes).unwrap()))
}

/// A batch with one record of 100 bytes.
fn hundred(from: u64) -> Batch {
    let mut builder = BatchBuilder::new(P0, 1, Offset(from));
    builder.push(Offset(from), None, Some(&[b'k'; 10]), Some(&[b'v'; 90]));
    builder.finish(Offset(from + 1))
}

/// A rebuild of five records that may read this many bytes a second, with a credit out.
fn restoring(bytes: u64) -> Driven {
    let mut driven = Driven::rebuilding(facts().reaching(0, 5), Limits::PRODUCTION);
    driven.event(rate(bytes));
    driven.log(LogEvent::Assigned { partition: P0 });
    driven
}

impl Driven {
    /// The size of the credit that was given.
    fn credit(&mut self) -> Option<u32> {
        self.effects().into_iter().find_map(|effect| match effect {
            Effect::Log(LogCall::Fetch { bytes_max, .. }) => Some(bytes_max),
            _ => None,
        })
    }
}

#[test]
fn a_batch_is_paid_for_with_time_before_the_next_credit() {
    let mut driven = restoring(1_000);
    assert_eq!(driven.credit(), Some(100), "a tenth of a second's");
    driven.takes(hundred(0));
    assert_eq!(driven.credit(), None);
    let due = driven.now.mono + SECOND / 10;
    assert_eq!(driven.node.next_timer(), Some(due));
    driven.pass(SECOND / 10 - Duration::from_millis(1));
    assert_eq!(driven.credit(), None);
    driven.pass(Duration::from_millis(1));
    assert_eq!(driven.credit(), Some(100));
}

/// Large records come whole, however low the rate is.
#[test]
fn what_is_held_back_on_purpose_is_no_stall() {
    let mut driven = restoring(1);
    driven.takes(hundred(0));
    driven.effects();
    for _ in 0..59 {
        driven.pass(SECOND);
        driven.log(ends(5, None));
        assert_eq!((driven.credit(), driven.node.status().stalls), (None, vec![]));
    }
    driven.pass(SECOND);
    assert_eq!(driven.credit(), Some(1));
    driven.pass(Limits::PRODUCTION.stall_after);
    let stalls = driven.node.status().stalls;
    assert_eq!(stalls[0].kind, crate::stall::StallKind::NoProgress, "nothing comes: a stall");
}

#[test]
fn another_rate_holds_at_once() {
    let mut driven = restoring(1);
    driven.takes(hundred(0));
    driven.effects();
    driven.event(rate(1 << 40));
    assert_eq!(driven.credit(), Some(Limits::PRODUCTION.fetch_bytes_max));
    driven.event(Event::RestoreRate(None));
    driven.takes(hundred(1));
    assert_eq!(driven.credit(), Some(Limits::PRODUCTION.fetch_bytes_max));
    assert_eq!(driven.node.status().restore_rate, None);
}

#[test]
fn a_ready_node_is_never_held_back() {
    let mut driven = Driven::reading();
    driven.event(rate(1));
    for offset in 0..3 {
        driven.takes(hundred(offset));
        driven.event(Event::Timer);
        assert_eq!(driven.credit(), Some(Limits::PRODUCTION.fetch_bytes_max));
    }
}

/// One record behind a gap, read while the log's cleaner may have come nine offsets further.
fn gap(at: u64) -> Batch {
    let mut builder = BatchBuilder::new(P0, 1, Offset(at));
    builder.push(Offset(at + 1), None, Some(b""), None);
    builder.finish(Offset(at + 9))
}

/// What a READY node reads is no restore: a gap after an hour of it must not be paid for with hours.
#[test]
fn a_node_that_was_ready_owes_nothing() {
    let mut driven = Driven::ready(facts().on_writers_clocks(), GAPS_AT_ONCE);
    driven.event(rate(100));
    for offset in 0..100 {
        driven.takes(hundred(offset));
    }
    driven.takes(gap(100));
    assert_eq!(driven.node.shared.phase, Phase::CatchingUp);
    driven.effects();
    driven.takes(hundred(102));
    assert_eq!(driven.credit(), None);
    driven.pass(SECOND);
    assert_eq!(driven.credit(), Some(10), "only that one is paid for");
}

#[test]
fn a_restore_owes_nothing_once_it_has_ended() {
    let mut driven = Driven::rebuilding(facts().reaching(0, 1).on_writers_clocks(), GAPS_AT_ONCE);
    driven.event(rate(100));
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.takes(hundred(0));
    assert!(driven.flushed());
    driven.done(StoreCallKind::Flush);
    driven.done(StoreCallKind::Activate);
    assert_eq!(driven.node.shared.phase, Phase::Ready);
    assert_eq!(driven.credit(), Some(Limits::PRODUCTION.fetch_bytes_max), "at once");
    driven.takes(gap(1));
    assert_eq!(driven.node.shared.phase, Phase::CatchingUp);
    driven.effects();
    driven.takes(hundred(3));
    driven.pass(SECOND);
    assert_eq!(driven.credit(), Some(10), "only that one is paid for");
}

/// Credits of many partitions may be answered at once, and with more than was asked for.
#[test]
fn a_debt_is_bounded() {
    let mut driven = restoring(1);
    let mut much = BatchBuilder::new(P0, 1, Offset(0));
    much.push(Offset(0), None, Some(b"k"), Some(&[b'v'; 1_000_000]));
    driven.takes(much.finish(Offset(1)));
    driven.effects();
    driven.pass(Limits::PRODUCTION.restore_debt_max - Duration::from_millis(1));
    driven.log(ends(5, None));
    assert_eq!(driven.credit(), None);
    driven.pass(Duration::from_millis(1));
    assert_eq!(driven.credit(), Some(1));
}

#[test]
fn a_status_tells_how_long_the_horizon_is_away() {
    let mut driven = restoring(1);
    let before = driven.node.status().horizon.unwrap();
    // A tenth of the retention, a day, is the margin.
    assert_eq!(before.of, Duration::from_secs(86_400) / 10 * 9);
    driven.pass(SECOND);
    let after = Horizon { left: before.left - SECOND, ..before };
    assert_eq!(driven.node.status().horizon, Some(after));
}
