//! What a generation holds after its batches.

use super::StoreUnderTest;
use super::fixture::{Copy, G1, G2, PARTITIONS, create, done, key_in, rows, view};
use crate::digest::Digest;
use crate::offset::{Offset, Partition, Revision};
use crate::store::Row;

pub(super) fn the_last_write_of_a_key_wins_within_and_across_batches(
    store: &mut dyn StoreUnderTest,
) {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1")), (b"b", Some(b"1")), (b"a", Some(b"2"))]);
    copy.check();
    copy.write(&[(b"b", Some(b"2")), (b"a", Some(b"3"))]);
    copy.check();
    copy.flush();
    copy.write(&[(b"a", Some(b"4"))]);
    copy.check();
}

pub(super) fn a_tombstone_deletes_and_a_later_put_brings_back(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1")), (b"a", None), (b"b", None), (b"b", Some(b"1"))]);
    copy.check();
    copy.flush();
    copy.write(&[(b"b", None)]);
    copy.check();
    copy.flush();
    copy.check();
    copy.write(&[(b"a", Some(b"2")), (b"b", Some(b"2"))]);
    copy.check();
}

pub(super) fn deleting_an_absent_key_changes_nothing_but_the_position(
    store: &mut dyn StoreUnderTest,
) {
    let mut copy = Copy::first(store);
    copy.write(&[(b"never", None)]);
    copy.check();
    copy.flush();
    copy.store.stop();
    copy.reopen();
    copy.check();
}

pub(super) fn an_empty_key_and_an_empty_value_are_a_key_and_a_value(
    store: &mut dyn StoreUnderTest,
) {
    let mut copy = Copy::first(store);
    copy.write(&[(b"", Some(b"of the empty key")), (b"empty", Some(b""))]);
    copy.check();
    copy.flush();
    copy.store.stop();
    copy.reopen();
    let view = view(copy.store, G1);
    let row = view.get(b"empty").expect("readable").expect("an empty value is no tombstone");
    assert!(row.value.is_empty());
    assert!(view.get(b"").expect("readable").is_some());
    drop(view);
    copy.write(&[(b"", None)]);
    copy.check();
}

pub(super) fn a_value_of_ten_megabytes_comes_back_whole(store: &mut dyn StoreUnderTest) {
    let value: Vec<u8> =
        (0..10_000_000_u32).map(|at| at.to_le_bytes()[1] ^ at.to_le_bytes()[0]).collect();
    let mut copy = Copy::first(store);
    copy.write(&[(b"big", Some(&value)), (b"small", Some(b"beside it"))]);
    copy.check();
    copy.flush();
    copy.store.stop();
    copy.reopen();
    copy.check();
}

pub(super) fn keys_of_any_bytes_come_back_in_byte_order(store: &mut dyn StoreUnderTest) {
    let keys: [&[u8]; 9] =
        [b"", b"\0", b"\0\0", b"\0\xff", b"\x01", b"\x02", b"a\0b", b"\xff", b"\xff\xff\xff"];
    let mut copy = Copy::first(store);
    let puts: Vec<_> = keys.iter().rev().map(|key| (*key, Some(*key))).collect();
    copy.write(&puts);
    copy.check();
    let found: Vec<Vec<u8>> = rows(&*view(copy.store, G1)).into_keys().collect();
    assert_eq!(found, keys);
}

pub(super) fn a_row_carries_the_record_that_wrote_it(store: &mut dyn StoreUnderTest) {
    let partition = Partition(2);
    let key = key_in(partition, 1);
    let mut copy = Copy::first(store);
    copy.write(&[(&key, Some(b"at 0")), (&key, Some(b"at 1"))]);
    copy.write(&[(&key, Some(b"at 2"))]);
    let revision = Revision { partition, offset: Offset(2) };
    let row = view(copy.store, G1).get(&key).expect("readable");
    assert_eq!(row, Some(Row { revision, value: b"at 2".to_vec() }));
}

pub(super) fn equal_contents_have_equal_digests_however_they_were_batched(
    store: &mut dyn StoreUnderTest,
) {
    let keys: Vec<Vec<u8>> = Partition::all(PARTITIONS)
        .flat_map(|partition| (0..40).map(move |seed| key_in(partition, seed % 25)))
        .collect();
    let value = |at: usize| at.to_le_bytes();
    let values: Vec<[u8; 8]> = (0..keys.len()).map(value).collect();
    let puts: Vec<_> = keys
        .iter()
        .zip(&values)
        .map(|(key, value)| (key.as_slice(), (value[0] % 7 != 3).then_some(&value[..])))
        .collect();
    let mut whole = Copy::first(store);
    whole.write(&puts);
    whole.flush();
    let first = Digest::of(&*view(whole.store, G1)).expect("readable");
    let mut pieces = Copy::create(whole.store, G2);
    for piece in puts.chunks(7) {
        pieces.write(piece);
        pieces.flush();
    }
    let second = Digest::of(&*view(pieces.store, G2)).expect("readable");
    assert!(first.rows > 0);
    assert_eq!(first, second);
    pieces.write(&[(b"one more", Some(b"difference"))]);
    pieces.flush();
    assert_ne!(second, Digest::of(&*view(pieces.store, G2)).expect("readable"));
}

pub(super) fn a_view_is_one_moment(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1")), (b"b", Some(b"1"))]);
    let before = view(copy.store, G1);
    let lineages = before.lineages().expect("readable");
    let contents = rows(&*before);
    copy.write(&[(b"a", Some(b"2")), (b"b", None), (b"c", Some(b"2"))]);
    copy.flush();
    copy.check();
    assert_eq!(before.lineages().expect("readable"), lineages);
    assert_eq!(rows(&*before), contents);
    assert_eq!(before.get(b"c").expect("readable"), None);
    assert_eq!(before.get(b"a").expect("readable").as_ref(), contents.get(&b"a"[..]));
}

pub(super) fn a_generation_that_is_not_open_has_no_view(store: &mut dyn StoreUnderTest) {
    let copy = Copy::first(store);
    assert!(copy.store.view(G2).is_none());
    done(copy.store, create(G2));
    assert!(copy.store.view(G2).is_some());
}
