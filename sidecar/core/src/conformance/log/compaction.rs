//! Compacted logs: holes, tombstones, positions across both.

use super::LogUnderTest;
use super::fixture::{
    CREDIT, ONE, P0, appended, assign, delete, describe, expected, fetch, put, read_on, read_to,
    texts,
};
use crate::offset::Offset;

/// `a` at 0 and 3, `b` at 1 and 4, `c` at 2: the first two go.
fn overwritten(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1"), put("b", "1"), put("c", "1"), put("a", "2"), put("b", "2")]);
}

fn compacted(log: &mut dyn LogUnderTest) {
    overwritten(log);
    log.compact(P0, &[Offset(0), Offset(1)]);
}

pub(super) fn compaction_leaves_holes_and_the_newest_values(log: &mut dyn LogUnderTest) {
    compacted(log);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(5));
    let newest = [(2, "c", Some("1")), (3, "a", Some("2")), (4, "b", Some("2"))];
    assert_eq!(texts(&seen), expected(&newest));
    assert!(seen.gap, "offsets are missing before the first record");
}

pub(super) fn a_reader_that_was_ahead_of_the_holes_goes_on(log: &mut dyn LogUnderTest) {
    overwritten(log);
    assign(log, ONE, P0, Offset(0), None);
    let first = fetch(log, ONE, P0, 1).expect("offset 0 is valid");
    let at = first.range.end;
    log.compact(P0, &[Offset(0), Offset(1)]);
    let seen = read_on(log, ONE, P0, at, Offset(5));
    let last = seen.records.last().expect("the newest value of b");
    assert_eq!(last, &(Offset(4), b"b".to_vec(), Some(b"2".to_vec())));
}

pub(super) fn a_position_inside_a_hole_reads_on_behind_it(log: &mut dyn LogUnderTest) {
    compacted(log);
    assign(log, ONE, P0, Offset(1), None);
    let batch = fetch(log, ONE, P0, CREDIT).expect("a hole is no loss");
    assert_eq!(batch.range.start, Offset(1));
    assert!(batch.gap, "offset 1 is missing: {batch:?}");
    assert_eq!(batch.records().next().map(|record| record.offset), Some(Offset(2)));
}

pub(super) fn offsets_and_the_log_start_do_not_move(log: &mut dyn LogUnderTest) {
    compacted(log);
    let before = describe(log, ONE).partitions[0];
    assert_eq!(before.log_start, Offset(0), "compaction is no deletion (KAFKA-7556)");
    assert_eq!(appended(log, &[put("d", "1")]), [before.high_watermark]);
}

pub(super) fn a_tombstone_outlives_the_value_it_deletes(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1"), put("b", "1"), delete("a")]);
    log.compact(P0, &[Offset(0)]);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(3));
    assert_eq!(texts(&seen), expected(&[(1, "b", Some("1")), (2, "a", None)]));
}

pub(super) fn a_tombstone_goes_after_its_retention(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1"), put("b", "1"), delete("a"), put("c", "1")]);
    log.compact(P0, &[Offset(0), Offset(2)]);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(4));
    assert_eq!(texts(&seen), expected(&[(1, "b", Some("1")), (3, "c", Some("1"))]));
    assert!(seen.gap);
}
