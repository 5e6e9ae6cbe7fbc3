//! What a cursor is made of, and which points may be committed.

use proptest::prelude::*;

use super::super::cursor::{
    Committed, Cursor, CursorName, CursorNameError, KEPT_FOR_MS, Verdict, check, is_ahead,
    judge_commit,
};
use super::super::point::{Lost, NoPoint};
use super::*;
use crate::fixtures::OTHER_TOPIC;

const A: Option<&[u8]> = Some(b"a");
const UNKNOWN: Result<Cursor, Lost> = Err(Lost::Cursor(NoPoint::Unknown));

/// Two partitions; of the first there are 4 records of epoch 3, of the second there is none.
fn copy() -> Copy {
    let mut copy = Copy::of_partitions(2);
    copy.write(&[(0, 3, b"k", A), (1, 3, b"k", A), (2, 3, b"k", A), (3, 3, b"k", A)]);
    copy
}

fn at(position: u64) -> Point {
    point(&[(position, (position > 0).then_some(3)), (0, None)])
}

fn cursor(position: u64) -> Cursor {
    Cursor { point: at(position), committed_at_ms: CONFIRMED_MS }
}

fn verdict(point: &Point, kept: &Result<Cursor, Lost>) -> Verdict {
    judge_commit(point, kept, &copy().sight(&Limits::PRODUCTION))
}

fn with_metadata(metadata: &str) -> Result<Cursor, Lost> {
    let mut committed = cursor(4).committed();
    committed[1].metadata = metadata.to_owned();
    Cursor::of(TOPIC, 2, &committed)
}

#[test]
fn a_point_goes_on_and_never_back() {
    for (new, kept) in [(4, Ok(cursor(3))), (4, Ok(cursor(4))), (1, UNKNOWN), (0, UNKNOWN)] {
        assert_eq!(verdict(&at(new), &kept), Verdict::Commit, "{new} over {kept:?}");
    }
    let back = Verdict::Back { partition: Partition(0), position: Offset(2), kept: Offset(3) };
    assert_eq!(verdict(&at(2), &Ok(cursor(3))), back);
}

/// Another node has seen more, or the log has lost it: the log knows.
#[test]
fn a_cursor_ahead_of_the_copy_is_waited_for_before_anything_below_it_is_called_back() {
    let kept = Verdict::WaitForKept(at(9));
    assert_eq!(verdict(&at(4), &Ok(cursor(9))), kept);
    let elsewhere = Cursor { point: point(&[(9, Some(3)), (0, None)]), ..cursor(9) };
    let beside = Cursor { point: point(&[(3, Some(3)), (9, Some(3))]), ..cursor(9) };
    assert_eq!(verdict(&at(4), &Ok(elsewhere)), kept);
    let in_the_other = Verdict::WaitForKept(beside.point.clone());
    assert_eq!(verdict(&at(2), &Ok(beside)), in_the_other, "it may be lost in the other one");
    assert_eq!(verdict(&at(9), &Ok(cursor(9))), Verdict::Wait, "as the point itself");
    let (copy, limits) = (copy(), Limits::PRODUCTION);
    let ahead = [4, 5].map(|position| is_ahead(&at(position), &copy.sight(&limits)));
    assert_eq!((ahead, check(&at(5), &copy.sight(&limits))), ([false, true], Ok(())));
}

#[test]
fn a_point_that_no_watch_could_go_on_from_is_not_committed() {
    assert_eq!(verdict(&at(5), &UNKNOWN), Verdict::Wait);
    let mut other = at(4);
    other.token.topic = OTHER_TOPIC;
    assert_eq!(verdict(&other, &UNKNOWN), Verdict::Lost(Lost::Topic));
    let fewer = point(&[(4, Some(3))]);
    assert_eq!(verdict(&fewer, &UNKNOWN), Verdict::Lost(Lost::Topic));
    let history = point(&[(4, Some(2)), (0, None)]);
    assert_eq!(verdict(&history, &UNKNOWN), Verdict::Lost(Lost::History));
    let never = Point { confirmed_at_ms: 0, ..at(4) };
    assert_eq!(verdict(&never, &UNKNOWN), Verdict::Lost(Lost::Horizon));
}

#[test]
fn over_a_cursor_that_is_lost_anything_is_committed() {
    let mut topic = cursor(9);
    topic.point.token.topic = OTHER_TOPIC;
    let history = Cursor { point: point(&[(4, Some(2)), (0, None)]), ..cursor(4) };
    let mut horizon = cursor(4);
    horizon.point.confirmed_at_ms = 0;
    for lost in [topic, history, horizon] {
        assert_eq!(verdict(&at(1), &Ok(lost.clone())), Verdict::Commit, "{lost:?}");
    }
}

#[test]
fn what_is_kept_of_a_cursor_is_the_cursor_or_lost_by_name() {
    let kept = cursor(4).committed();
    let text = format!("outrigger 1 topic={TOPIC} confirmed_at_ms=1000000 committed_at_ms=1000000");
    assert!(kept.iter().all(|committed| committed.metadata == text), "{kept:?}");
    assert_eq!(Cursor::of(TOPIC, 2, &kept), Ok(cursor(4)));
    let reversed: Vec<Committed> = kept.iter().rev().cloned().collect();
    assert_eq!(Cursor::of(TOPIC, 2, &reversed), Ok(cursor(4)));
    assert_eq!(Cursor::of(TOPIC, 2, &[]), UNKNOWN);
    for part in [&kept[..1], &kept[1..]] {
        assert_eq!(Cursor::of(TOPIC, 2, part), Err(Lost::Cursor(NoPoint::Partial)));
    }
    assert_eq!(Cursor::of(TOPIC, 3, &kept), Err(Lost::Cursor(NoPoint::Partial)));
    assert_eq!(Cursor::of(TOPIC, 1, &kept), Err(Lost::Topic));
    assert_eq!(Cursor::of(OTHER_TOPIC, 2, &kept), Err(Lost::Topic));
}

/// What is committed goes over the partitions that there are.
#[test]
fn what_a_topic_with_more_partitions_left_behind_is_nobodys() {
    let mut kept = cursor(4).committed();
    kept[1].metadata = kept[1].metadata.replace(&TOPIC.to_string(), &OTHER_TOPIC.to_string());
    let one = Cursor { point: point(&[(4, Some(3))]), ..cursor(4) };
    assert_eq!(Cursor::of(TOPIC, 1, &kept), Ok(one));
    assert_eq!(Cursor::of(TOPIC, 2, &kept), Err(Lost::Topic));
    assert_eq!(Cursor::of(TOPIC, 1, &kept[1..]), UNKNOWN);
}

#[test]
fn metadata_of_others_is_no_cursor_and_of_two_commits_the_older_counts() {
    let foreign = Err(Lost::Cursor(NoPoint::Foreign));
    let ours = cursor(4).committed()[0].metadata.clone();
    for wrong in [
        String::new(),
        "outrigger".to_owned(),
        "outrigger 1".to_owned(),
        ours.replace("outrigger 1", "outrigger 2"),
        ours.replace("outrigger", "another"),
        ours.replace(" committed_at_ms=1000000", ""),
        ours.replace("confirmed_at_ms=1000000 ", ""),
        ours.replace("=1000000", "=+1000000"),
        ours.replace("=1000000", "=99999999999999999999"),
        ours.replace("topic=", "topic=zz"),
        format!("{ours} "),
        format!("{ours} more=1"),
    ] {
        assert_eq!(with_metadata(&wrong), foreign, "{wrong:?}");
    }
    let older = Cursor { committed_at_ms: 7, ..cursor(4) };
    assert_eq!(with_metadata(&older.committed()[0].metadata), Ok(older));
}

#[test]
fn a_cursor_is_behind_by_offsets_and_committed_anew_after_a_day() {
    let cursor = cursor(4);
    assert_eq!(cursor.lag(&[Offset(9), Offset(2)]), 7);
    assert_eq!(cursor.lag(&[Offset(3), Offset(0)]), 0, "it is ahead");
    let at = cursor.committed_at_ms;
    assert!(!cursor.is_due(at) && !cursor.is_due(at + KEPT_FOR_MS - 1));
    assert!(cursor.is_due(at + KEPT_FOR_MS));
    assert!(!cursor.is_due(at - 1), "another clock is ahead");
    let ahead = Cursor { committed_at_ms: at + KEPT_FOR_MS, ..cursor };
    assert!(ahead.is_due(at), "that clock is wrong");
}

#[test]
fn a_name_is_short_and_of_letters_that_every_tool_takes() {
    for name in ["a", "A.b_c-9", &"x".repeat(128)] {
        assert_eq!(name.parse::<CursorName>().map(|name| name.to_string()), Ok(name.to_owned()));
    }
    for wrong in ["", "a b", "a/b", "\u{e4}", "a\n", &"x".repeat(129)] {
        assert_eq!(wrong.parse::<CursorName>(), Err(CursorNameError), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_kept_is_read_without_a_panic(
        kept in prop::collection::vec((0..4_u32, any::<u64>(), any::<Option<u32>>(), ".{0,90}"), 0..5),
        partitions in 0..4_usize,
    ) {
        let committed = |(partition, position, epoch, metadata): (u32, u64, Option<u32>, String)| {
            let (partition, position, epoch) = (Partition(partition), Offset(position), epoch.map(Epoch));
            Committed { partition, position, epoch, metadata }
        };
        let kept: Vec<_> = kept.into_iter().map(committed).collect();
        prop_assert!(Cursor::of(TOPIC, partitions, &kept).is_err());
    }
}
