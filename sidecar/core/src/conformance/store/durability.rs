//! Data and lineage as one unit: what is there after a process ended, in whatever way.

use super::StoreUnderTest;
use super::fixture::{Copy, G1, PARTITIONS, done, empty_lineages, key_in, number, open_copy, view};
use crate::offset::Partition;
use crate::store::StoreCall;

pub(super) fn a_new_generation_is_durable_at_once(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    copy.store.crash();
    copy.reopen();
    let lineages = view(copy.store, G1).lineages().expect("readable");
    assert_eq!(lineages, empty_lineages());
}

pub(super) fn what_was_flushed_survives_a_crash(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1")), (b"b", Some(b"1")), (b"c", Some(b"1"))]);
    copy.write(&[(b"a", None), (b"b", Some(b"2"))]);
    copy.flush();
    copy.store.crash();
    copy.reopen();
    copy.check();
}

pub(super) fn a_crash_leaves_each_partition_a_prefix_of_its_applies(
    store: &mut dyn StoreUnderTest,
) {
    let mut copy = Copy::first(store);
    for round in 0..6_u32 {
        for step in 0..12_u32 {
            let partition = Partition((round + step * step) % PARTITIONS);
            let [first, second] = [key_in(partition, step % 5), key_in(partition, (step + 1) % 5)];
            let value = format!("{round}/{step}");
            let second_value = (step % 4 != 0).then_some(value.as_bytes());
            copy.write(&[(&first, Some(value.as_bytes())), (&second, second_value)]);
            if step == round {
                copy.flush();
            }
        }
        copy.store.crash();
        copy.reopen();
        copy.check();
    }
}

pub(super) fn a_confirm_is_durable_with_the_next_flush(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    copy.confirm(Partition(1));
    copy.check();
    copy.flush();
    copy.confirm(Partition(2));
    let confirmed = copy.lineage(Partition(1)).confirmed_at_ms;
    copy.store.crash();
    copy.reopen();
    let lineages = view(copy.store, G1).lineages().expect("readable");
    assert_eq!(lineages[1].confirmed_at_ms, confirmed);
}

fn flushed_and_not(store: &mut dyn StoreUnderTest) -> Copy<'_> {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"kept")), (b"b", Some(b"kept")), (b"c", Some(b"kept"))]);
    copy.flush();
    copy.write(&[(b"a", Some(b"forgotten")), (b"b", None), (b"d", Some(b"forgotten"))]);
    copy.confirm(Partition(0));
    copy.check();
    copy
}

pub(super) fn close_forgets_what_was_not_flushed(store: &mut dyn StoreUnderTest) {
    let mut copy = flushed_and_not(store);
    done(copy.store, StoreCall::Close { generation: G1 });
    assert!(copy.store.view(G1).is_none());
    copy.forget_unflushed();
    copy.reopen();
    copy.check();
}

pub(super) fn a_stop_in_good_order_does_not_flush(store: &mut dyn StoreUnderTest) {
    let mut copy = flushed_and_not(store);
    copy.store.stop();
    copy.forget_unflushed();
    copy.reopen();
    copy.check();
}

pub(super) fn opening_again_forgets_what_was_not_flushed(store: &mut dyn StoreUnderTest) {
    let mut copy = flushed_and_not(store);
    copy.forget_unflushed();
    copy.reopen();
    copy.check();
}

pub(super) fn a_copy_goes_on_after_many_reopenings(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    for round in 0..5_u32 {
        let value = round.to_le_bytes();
        let keys: Vec<Vec<u8>> =
            Partition::all(PARTITIONS).map(|partition| key_in(partition, round % 2)).collect();
        copy.write(&keys.iter().map(|key| (key.as_slice(), Some(&value[..]))).collect::<Vec<_>>());
        copy.flush();
        copy.store.stop();
        copy.reopen();
        copy.check();
    }
    assert_eq!(number(&open_copy(copy.store).current), Some(G1));
}
