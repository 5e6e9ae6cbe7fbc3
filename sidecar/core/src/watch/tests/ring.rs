//! What the ring keeps, for how long, and what it can tell of a place.

use super::*;
use crate::fixtures::OTHER_TOPIC;

const A: Option<&[u8]> = Some(b"a");

fn lane(copy: &Copy) -> (u64, u64) {
    let lane = &copy.ring.lanes()[0];
    (lane.from().0, lane.end().0)
}

fn epoch_below(copy: &Copy, at: u64) -> Option<u32> {
    copy.ring.lanes()[0].below(Offset(at)).epoch().map(|epoch| epoch.0)
}

#[test]
fn offsets_that_are_missing_leave_no_hole_in_it() {
    let mut copy = Copy::empty();
    copy.write(&[(2, 0, b"k", A)]);
    copy.write(&[(7, 0, b"k", A), (8, 0, b"k", A)]);
    let next = |at| {
        let applied = copy.ring.lanes()[0].next(Offset(at))?;
        Some((applied.batch.range.start.0, applied.end().0))
    };
    assert_eq!((lane(&copy), next(0), next(2)), ((0, 9), Some((0, 3)), Some((0, 3))));
    assert_eq!((next(3), next(5), next(9)), (Some((3, 9)), Some((3, 9)), None));
}

#[test]
fn it_is_bounded_and_forgets_the_oldest_of_all_partitions() {
    let mut copy = Copy::of_partitions(2);
    copy.ring = Ring::new(1_000);
    copy.begin();
    for offset in 0..100 {
        let partition = Partition(u32::from(offset % 3 == 0));
        let from = copy.lineages[partition.index()].position;
        let mut builder = BatchBuilder::new(partition, 2, from);
        builder.push(from, Some(Epoch(0)), None, None);
        copy.apply(builder.finish(from.next()));
        assert!(copy.ring.bytes() <= 1_000, "{}", copy.ring.bytes());
    }
    let kept: Vec<_> = copy.ring.lanes().iter().map(|lane| lane.end().since(lane.from())).collect();
    assert_eq!(kept.iter().sum::<u64>(), 3, "{kept:?}");
    let large = vec![7; 2_000];
    let mut builder = BatchBuilder::new(Partition(0), 1, copy.lineages[0].position);
    builder.push(copy.lineages[0].position, Some(Epoch(0)), Some(b"k"), Some(&large));
    copy.apply(builder.finish(Offset::ZERO));
    assert_eq!(copy.ring.bytes(), 0, "what is larger than all of it is not kept");
}

#[test]
fn a_reading_that_begins_within_it_goes_on_there() {
    let mut copy = Copy::empty();
    copy.write(&[(0, 0, b"k", A)]);
    let disk = copy.lineages.clone();
    copy.write(&[(1, 0, b"k", A)]);
    copy.reopen(disk);
    assert_eq!(lane(&copy), (0, 1));
    copy.write(&[(1, 0, b"k", A), (2, 0, b"k", A)]);
    assert_eq!(lane(&copy), (0, 3));
}

#[test]
fn one_that_begins_elsewhere_or_in_another_history_leaves_nothing_of_it() {
    let begin = |position: u64, epochs: &[(u32, u64)]| {
        let mut copy = Copy::empty();
        copy.write(&[(0, 0, b"k", A), (1, 0, b"k", A)]);
        copy.write(&[(2, 1, b"k", A)]);
        copy.reopen(vec![Lineage::empty(0, DAY_MS).read_to(position).of_epochs(epochs)]);
        lane(&copy)
    };
    assert_eq!(begin(3, &[(0, 0), (1, 2)]), (0, 3));
    assert_eq!(begin(1, &[(0, 0)]), (1, 1), "no batch ends there");
    assert_eq!(begin(7, &[(0, 0)]), (7, 7), "beyond it");
    assert_eq!(begin(3, &[(0, 0), (2, 2)]), (3, 3), "another leader wrote there");
    let mut copy = Copy::empty();
    copy.write(&[(0, 0, b"k", A)]);
    let from = copy.lineages.iter().map(Origin::of).collect();
    copy.ring.take(RingNews::Begun { topic: OTHER_TOPIC, from });
    assert_eq!(lane(&copy), (1, 1));
}

#[test]
fn the_record_right_below_a_place_tells_its_history() {
    let mut copy = Copy::empty();
    assert_eq!(epoch_below(&copy, 0), None);
    copy.write(&[(0, 3, b"k", A), (1, 3, b"k", A), (2, 4, b"k", A)]);
    copy.write(&[(3, 4, b"k", A)]);
    let below: Vec<_> = (0..=4).map(|at| epoch_below(&copy, at)).collect();
    assert_eq!(below, [None, Some(3), Some(3), Some(4), Some(4)]);
}

/// A log that lost [5, 8) may have others there, of which the cleaner has left nothing.
#[test]
fn below_a_hole_the_next_record_tells_or_nobody_has_heard_of_a_later_leader() {
    let mut copy = Copy::empty();
    copy.write(&[(4, 3, b"k", A)]);
    copy.apply(batch(Partition(0), Offset(5), &[]).at_end(Offset(8), None));
    assert_eq!(epoch_below(&copy, 8), Some(3));
    copy.write(&[(9, 3, b"k", A)]);
    assert_eq!((epoch_below(&copy, 5), epoch_below(&copy, 8)), (Some(3), Some(3)));
    copy.write(&[(12, 5, b"k", A)]);
    assert_eq!((epoch_below(&copy, 10), epoch_below(&copy, 11)), (Some(3), Some(5)));
}

#[test]
fn what_was_shed_is_remembered_by_its_epoch_unless_a_hole_ends_it() {
    let mut copy = Copy::empty();
    copy.ring = Ring::new(700);
    copy.begin();
    copy.write(&[(0, 3, b"k", A)]);
    copy.write(&[(1, 4, b"k", A)]);
    copy.write(&[(2, 4, b"k", A)]);
    assert_eq!((lane(&copy), epoch_below(&copy, 1)), ((1, 3), Some(3)));
    copy.apply(batch(Partition(0), Offset(3), &[]).at_end(Offset(5), None));
    copy.write(&[(5, 6, b"k", A)]);
    copy.write(&[(6, 6, b"k", A)]);
    assert_eq!((lane(&copy), epoch_below(&copy, 5)), ((5, 7), Some(6)), "it may be of either");
}
