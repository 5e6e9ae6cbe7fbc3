//! Snapshots of single partitions that together are one copy at one position.

use super::StoreUnderTest;
use super::fixture::{
    Copy, G1, G2, PARTITIONS, Rows, create, done, failed, held_or_failed, identity, key_in,
    open_copy, rows,
};
use crate::offset::{Partition, RequestId};
use crate::store::{StoreCall, StoreCallKind, StoreErrorKind, View, Why};

const PIN: RequestId = RequestId(7);
const OTHER: RequestId = RequestId(8);

/// One row per partition, rewritten with every round.
fn round(copy: &mut Copy, round: u32) {
    let value = format!("{round}");
    for partition in Partition::all(PARTITIONS) {
        copy.write(&[(&key_in(partition, 0), Some(value.as_bytes()))]);
    }
}

fn pin_all(copy: &mut Copy, pin: RequestId) {
    for partition in Partition::all(PARTITIONS) {
        copy.pin(partition, pin);
    }
}

fn pinned(store: &dyn StoreUnderTest, pin: RequestId) -> Box<dyn View> {
    store.pinned(pin).unwrap_or_else(|| panic!("{pin:?} has no view"))
}

fn values(rows: &Rows) -> Vec<&[u8]> {
    Partition::all(PARTITIONS).map(|of| &rows[&key_in(of, 0)].value[..]).collect()
}

pub(super) fn each_partition_is_pinned_where_it_stands(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    let mut lineages = Vec::new();
    for partition in Partition::all(PARTITIONS) {
        round(&mut copy, partition.0);
        lineages.push(copy.lineage(partition).clone());
        copy.pin(partition, PIN);
    }
    for more in 10..13 {
        round(&mut copy, more);
        copy.write(&[(b"later", Some(b"row"))]);
        copy.flush();
    }
    let view = pinned(copy.store, PIN);
    assert_eq!(view.lineages().expect("readable"), lineages);
    let found = rows(&*view);
    assert_eq!(values(&found), [b"0", b"1", b"2"]);
    assert_eq!(found.len(), values(&found).len(), "no later row");
    for (key, row) in &found {
        assert_eq!(view.get(key).expect("readable").as_ref(), Some(row));
    }
    assert_eq!(view.get(b"later").expect("readable"), None);
    copy.check();
}

pub(super) fn a_pin_is_there_when_all_partitions_are(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    for partition in Partition::all(PARTITIONS) {
        assert!(copy.store.pinned(PIN).is_none(), "partition {partition} is missing");
        copy.pin(partition, PIN);
    }
    assert_eq!(rows(&*pinned(copy.store, PIN)).len(), 0);
}

pub(super) fn pins_are_apart_and_end_one_by_one(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    round(&mut copy, 1);
    pin_all(&mut copy, PIN);
    round(&mut copy, 2);
    pin_all(&mut copy, OTHER);
    round(&mut copy, 3);
    copy.unpin(PIN);
    copy.unpin(PIN);
    assert!(copy.store.pinned(PIN).is_none());
    assert_eq!(values(&rows(&*pinned(copy.store, OTHER))), [b"2"; 3]);
    copy.unpin(OTHER);
    assert!(copy.store.pinned(OTHER).is_none());
    copy.check();
}

pub(super) fn only_what_is_in_use_is_pinned(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    done(copy.store, create(G2));
    for generation in [G2, super::fixture::G3] {
        let pin = StoreCall::Pin { generation, partition: Partition(0), pin: PIN };
        assert_eq!(failed(copy.store.call(pin), StoreCallKind::Pin), StoreErrorKind::Io);
    }
    assert!(copy.store.pinned(PIN).is_none());
    pin_all(&mut copy, PIN);
    round(&mut copy, 1);
    copy.check();
}

pub(super) fn a_pin_ends_with_its_generation(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    let ends = [
        StoreCall::Close { generation: G1 },
        StoreCall::Open { expected: identity() },
        StoreCall::Quarantine { generation: G1, why: Why::Damaged("a test".into()) },
    ];
    for end in ends {
        round(&mut copy, 1);
        copy.flush();
        pin_all(&mut copy, PIN);
        copy.store.call(end.clone());
        assert!(copy.store.pinned(PIN).is_none(), "{end:?}");
        let quarantined = matches!(end, StoreCall::Quarantine { .. });
        assert_eq!(open_copy(copy.store).current.is_none(), quarantined, "nothing keeps it open");
        done(copy.store, StoreCall::Unpin { generation: G1, pin: PIN });
    }
}

pub(super) fn a_read_of_a_pin_outlives_it(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    round(&mut copy, 1);
    pin_all(&mut copy, PIN);
    let view = pinned(copy.store, PIN);
    let before = rows(&*view);
    round(&mut copy, 2);
    copy.unpin(PIN);
    assert_eq!(rows(&*view), before);
    done(copy.store, StoreCall::Close { generation: G1 });
    held_or_failed(&*view, &before);
    drop(view);
    open_copy(copy.store);
}
