//! Filling a generation that is not in use.

use super::StoreUnderTest;
use super::fixture::{Copy, G1, PARTITIONS, done, failed, key_in, rows, view};
use crate::offset::Partition;
use crate::store::{StoreCall, StoreCallKind};

const ACTIVATE: StoreCall = StoreCall::Activate { generation: G1 };

/// Writes and deletes the same few keys again and again, in every partition.
fn rounds(copy: &mut Copy, rounds: std::ops::Range<u32>) {
    for round in rounds {
        for partition in Partition::all(PARTITIONS) {
            let keys = [round % 5, (round + 1) % 5, 5 + round].map(|seed| key_in(partition, seed));
            let value = format!("{round}");
            let second = (round % 3 != 0).then_some(value.as_bytes());
            copy.write(&[
                (&keys[0], Some(value.as_bytes())),
                (&keys[1], second),
                (&keys[2], Some(b"")),
                (&keys[0], second),
            ]);
        }
    }
}

pub(super) fn what_is_loaded_is_read_when_it_is_flushed(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::building(store);
    rounds(&mut copy, 0..20);
    assert_eq!(rows(&*view(copy.store, G1)).len(), 0, "not flushed");
    copy.flush();
    copy.check();
    copy.flush();
    copy.check();
}

pub(super) fn later_runs_win_over_earlier_ones(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::building(store);
    let key = key_in(Partition(0), 0);
    for value in [Some(&b"1"[..]), None, Some(b"2"), Some(b"3"), None] {
        copy.write(&[(&key, value)]);
        copy.flush();
        copy.check();
    }
    for round in 0..10 {
        rounds(&mut copy, round * 3..round * 3 + 7);
        copy.flush();
    }
    copy.check();
}

pub(super) fn a_crash_leaves_a_load_at_its_last_flush_or_further(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::building(store);
    for round in 0..5 {
        rounds(&mut copy, round..round + 9);
        copy.flush();
        rounds(&mut copy, round..round + 4);
        copy.store.crash();
        copy.reopen();
        copy.check();
    }
}

pub(super) fn a_load_goes_on_after_it_was_opened_again(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::building(store);
    for round in 0..4 {
        rounds(&mut copy, round..round + 5);
        copy.flush();
        rounds(&mut copy, round..round + 2);
        copy.forget_unflushed();
        copy.reopen();
    }
    rounds(&mut copy, 0..3);
    copy.flush();
    done(copy.store, ACTIVATE);
    copy.check();
    copy.store.crash();
    copy.reopen();
    copy.check();
}

pub(super) fn rows_that_are_not_flushed_are_not_put_into_use(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::building(store);
    copy.write(&[(b"a", Some(b"1"))]);
    failed(copy.store.call(ACTIVATE), StoreCallKind::Activate);
    copy.flush();
    done(copy.store, ACTIVATE);
    copy.check();
}

pub(super) fn a_confirmation_that_is_not_flushed_is_put_into_use(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::building(store);
    rounds(&mut copy, 0..3);
    copy.flush();
    copy.confirm(Partition(1));
    done(copy.store, ACTIVATE);
    copy.check();
    copy.store.crash();
    copy.reopen();
}

pub(super) fn a_load_that_was_put_into_use_is_written_like_any_copy(
    store: &mut dyn StoreUnderTest,
) {
    let mut copy = Copy::building(store);
    rounds(&mut copy, 0..8);
    copy.confirm(Partition(0));
    copy.flush();
    done(copy.store, ACTIVATE);
    rounds(&mut copy, 4..12);
    copy.check();
    copy.flush();
    rounds(&mut copy, 0..2);
    copy.store.crash();
    copy.reopen();
    copy.check();
}
