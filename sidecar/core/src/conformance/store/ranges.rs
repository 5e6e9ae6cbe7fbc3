//! Scans: bounds, direction, order across partitions.

use super::StoreUnderTest;
use super::fixture::{Copy, G1, PARTITIONS, key_in, view};
use crate::offset::Partition;
use crate::store::{Scan, View};

fn keys(view: &dyn View, start: &[u8], end: Option<&[u8]>, reverse: bool) -> Vec<String> {
    let mut keys = Vec::new();
    let scanned = view.scan(start, end, reverse, &mut |key, _, _| {
        keys.push(String::from_utf8_lossy(key).into_owned());
        Scan::Continue
    });
    scanned.expect("an undamaged copy can be read");
    keys
}

/// a, b, ba, c, d: half of them flushed, so that a range crosses what is on disk and what is not.
fn letters(store: &mut dyn StoreUnderTest) -> Copy<'_> {
    let mut copy = Copy::first(store);
    copy.write(&[
        (b"a", Some(b"1")),
        (b"c", Some(b"3")),
        (b"x", Some(b"gone")),
        (b"d", Some(b"old")),
    ]);
    copy.flush();
    copy.write(&[(b"b", Some(b"2")), (b"ba", Some(b"2")), (b"d", Some(b"4")), (b"x", None)]);
    copy
}

pub(super) fn a_scan_starts_inclusive_and_ends_exclusive(store: &mut dyn StoreUnderTest) {
    let copy = letters(store);
    let view = view(copy.store, G1);
    assert_eq!(keys(&*view, b"", None, false), ["a", "b", "ba", "c", "d"]);
    assert_eq!(keys(&*view, b"b", Some(b"d"), false), ["b", "ba", "c"]);
    assert_eq!(keys(&*view, b"b\0", Some(b"c\0"), false), ["ba", "c"]);
    assert_eq!(keys(&*view, b"c", None, false), ["c", "d"]);
    assert_eq!(keys(&*view, b"", Some(b"b"), false), ["a"]);
    assert_eq!(keys(&*view, b"\xff", None, false), [""; 0]);
}

pub(super) fn a_scan_goes_backwards_in_reverse(store: &mut dyn StoreUnderTest) {
    let copy = letters(store);
    let view = view(copy.store, G1);
    assert_eq!(keys(&*view, b"", None, true), ["d", "c", "ba", "b", "a"]);
    assert_eq!(keys(&*view, b"b", Some(b"d"), true), ["c", "ba", "b"]);
    assert_eq!(keys(&*view, b"c", None, true), ["d", "c"]);
}

pub(super) fn a_scan_merges_the_partitions_in_key_order(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    let of_all = Partition::all(PARTITIONS)
        .flat_map(|partition| (0..50).map(move |seed| key_in(partition, seed)));
    let mut expected: Vec<Vec<u8>> = of_all.collect();
    let puts: Vec<_> = expected.iter().map(|key| (key.as_slice(), Some(&b"v"[..]))).collect();
    for piece in puts.chunks(11) {
        copy.write(piece);
    }
    let view = view(copy.store, G1);
    expected.sort();
    expected.dedup();
    let mut found = Vec::new();
    let mut partitions = Vec::new();
    view.scan(b"", None, false, &mut |key, revision, _| {
        found.push(key.to_vec());
        partitions.push(revision.partition);
        Scan::Continue
    })
    .expect("an undamaged copy can be read");
    assert_eq!(found, expected);
    assert!(!partitions.is_sorted(), "the case must interleave partitions");
    let forward: Vec<_> = keys(&*view, b"1", Some(b"3"), false);
    let mut backward = keys(&*view, b"1", Some(b"3"), true);
    backward.reverse();
    assert!(!forward.is_empty());
    assert_eq!(forward, backward);
}

pub(super) fn a_scan_stops_when_told(store: &mut dyn StoreUnderTest) {
    let copy = letters(store);
    for reverse in [false, true] {
        let mut count = 0;
        view(copy.store, G1)
            .scan(b"", None, reverse, &mut |_, _, _| {
                count += 1;
                if count == 2 { Scan::Stop } else { Scan::Continue }
            })
            .expect("an undamaged copy can be read");
        assert_eq!(count, 2);
    }
}

pub(super) fn an_empty_or_inverted_range_has_no_rows(store: &mut dyn StoreUnderTest) {
    let copy = letters(store);
    let view = view(copy.store, G1);
    for reverse in [false, true] {
        assert_eq!(keys(&*view, b"b", Some(b"b"), reverse), [""; 0]);
        assert_eq!(keys(&*view, b"d", Some(b"a"), reverse), [""; 0]);
        assert_eq!(keys(&*view, b"", Some(b""), reverse), [""; 0]);
    }
}
