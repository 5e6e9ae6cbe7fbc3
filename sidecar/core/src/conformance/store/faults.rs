//! Disks that refuse: a failed call had no effect, or all of it, and nothing is skipped after it.

use super::fetched::{adopt, fetched};
use super::fixture::{Copy, G1, G2, G3, create, done, failed, identity, number, open_copy};
use super::{Fault, StoreUnderTest};
use crate::offset::Partition;
use crate::store::{StoreCall, StoreCallKind, StoreErrorKind, Why};

fn current(store: &mut dyn StoreUnderTest) -> Copy<'_> {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1"))]);
    copy.flush();
    copy
}

/// Were the next batch applied after one that failed, its position would claim what is missing.
pub(super) fn after_a_failed_apply_nothing_is_applied_until_reopened(
    store: &mut dyn StoreUnderTest,
) {
    let mut copy = current(store);
    copy.write(&[(b"a", Some(b"2"))]);
    let next = copy.apply_call((b"a", Some(b"3")));
    copy.store.arm(Fault::Next(StoreCallKind::Apply, StoreErrorKind::Io));
    assert_eq!(failed(copy.store.call(next.clone()), StoreCallKind::Apply), StoreErrorKind::Io);
    copy.check();
    failed(copy.store.call(next), StoreCallKind::Apply);
    failed(copy.store.call(copy.confirm_call(Partition(0))), StoreCallKind::Confirm);
    failed(copy.store.call(StoreCall::Flush { generation: G1 }), StoreCallKind::Flush);
    copy.check();
    copy.reopen();
    copy.write(&[(b"a", Some(b"4"))]);
    copy.flush();
    copy.check();
}

pub(super) fn a_failed_confirm_stops_the_generation_too(store: &mut dyn StoreUnderTest) {
    let mut copy = current(store);
    copy.store.arm(Fault::Next(StoreCallKind::Confirm, StoreErrorKind::Io));
    let confirm = copy.confirm_call(Partition(1));
    failed(copy.store.call(confirm), StoreCallKind::Confirm);
    let next = copy.apply_call((b"a", Some(b"3")));
    failed(copy.store.call(next), StoreCallKind::Apply);
    copy.check();
    copy.reopen();
    copy.confirm(Partition(1));
    copy.check();
}

/// The system may forget what it could not write: the next sync succeeds, and the rows are not there.
pub(super) fn a_failed_flush_is_not_made_good_by_the_next_one(store: &mut dyn StoreUnderTest) {
    let mut copy = current(store);
    copy.write(&[(b"a", Some(b"2")), (b"b", Some(b"2")), (b"c", Some(b"2"))]);
    copy.store.arm(Fault::Next(StoreCallKind::Flush, StoreErrorKind::Io));
    let flush = StoreCall::Flush { generation: G1 };
    for _ in 0..2 {
        let answer = copy.store.call(flush.clone());
        assert_eq!(failed(answer, StoreCallKind::Flush), StoreErrorKind::Io);
    }
    let next = copy.apply_call((b"a", Some(b"3")));
    failed(copy.store.call(next), StoreCallKind::Apply);
    copy.check();
    copy.store.crash();
    copy.reopen();
    copy.write(&[(b"a", Some(b"4"))]);
    copy.flush();
    copy.store.crash();
    copy.reopen();
    copy.check();
}

pub(super) fn a_full_disk_fails_the_flush_and_a_reopened_copy_goes_on(
    store: &mut dyn StoreUnderTest,
) {
    let mut copy = current(store);
    copy.write(&[(b"a", Some(b"2")), (b"b", Some(b"2"))]);
    copy.store.arm(Fault::Full);
    let flush = StoreCall::Flush { generation: G1 };
    assert_eq!(failed(copy.store.call(flush.clone()), StoreCallKind::Flush), StoreErrorKind::Full);
    copy.check();
    copy.store.arm(Fault::Free);
    failed(copy.store.call(flush), StoreCallKind::Flush);
    copy.reopen();
    copy.write(&[(b"a", Some(b"3")), (b"b", Some(b"3"))]);
    copy.flush();
    copy.store.crash();
    copy.reopen();
    copy.check();
}

pub(super) fn a_failed_create_leaves_nothing(store: &mut dyn StoreUnderTest) {
    let copy = current(store);
    for kind in [StoreErrorKind::Full, StoreErrorKind::Io] {
        copy.store.arm(Fault::Next(StoreCallKind::Create, kind));
        assert_eq!(failed(copy.store.call(create(G2)), StoreCallKind::Create), kind);
        assert!(copy.store.view(G2).is_none());
        assert_eq!(open_copy(copy.store).building, None);
    }
    done(copy.store, create(G2));
}

pub(super) fn a_failed_activate_changes_nothing(store: &mut dyn StoreUnderTest) {
    let copy = current(store);
    done(copy.store, create(G2));
    copy.store.arm(Fault::Full);
    let activate = StoreCall::Activate { generation: G2 };
    assert_eq!(
        failed(copy.store.call(activate.clone()), StoreCallKind::Activate),
        StoreErrorKind::Full
    );
    copy.store.crash();
    copy.store.arm(Fault::Free);
    assert_eq!(number(&open_copy(copy.store).current), Some(G1));
    done(copy.store, activate);
    assert_eq!(number(&open_copy(copy.store).current), Some(G2));
}

/// Set aside or there: whatever became of it, asking again ends it.
pub(super) fn a_failed_quarantine_can_be_repeated(store: &mut dyn StoreUnderTest) {
    let copy = current(store);
    done(copy.store, create(G2));
    copy.store.arm(Fault::Next(StoreCallKind::Quarantine, StoreErrorKind::Io));
    let quarantine =
        StoreCall::Quarantine { generation: G2, why: Why::Damaged("it is in the way".into()) };
    let answer = copy.store.call(quarantine.clone());
    assert_eq!(failed(answer, StoreCallKind::Quarantine), StoreErrorKind::Io);
    open_copy(copy.store);
    done(copy.store, quarantine);
    let found = open_copy(copy.store);
    assert_eq!((number(&found.current), number(&found.building)), (Some(G1), None));
    assert_eq!(found.next, G3);
}

pub(super) fn a_failed_remove_can_be_repeated(store: &mut dyn StoreUnderTest) {
    let copy = current(store);
    done(copy.store, create(G2));
    copy.store.arm(Fault::Next(StoreCallKind::Remove, StoreErrorKind::Io));
    let remove = StoreCall::Remove { generation: G2 };
    // A store that hides the generation first is done with it, whatever of its files is left.
    copy.store.call(remove.clone());
    open_copy(copy.store);
    done(copy.store, remove);
    assert!(copy.store.view(G2).is_none());
    assert_eq!(number(&open_copy(copy.store).building), None);
}

pub(super) fn a_failed_open_opens_nothing_and_can_be_repeated(store: &mut dyn StoreUnderTest) {
    let mut copy = current(store);
    copy.store.stop();
    copy.store.arm(Fault::Next(StoreCallKind::Open, StoreErrorKind::Io));
    let answer = copy.store.call(StoreCall::Open { expected: identity() });
    assert_eq!(failed(answer, StoreCallKind::Open), StoreErrorKind::Io);
    assert!(copy.store.view(G1).is_none());
    copy.reopen();
    copy.check();
}

pub(super) fn a_failed_adopt_can_be_repeated(store: &mut dyn StoreUnderTest) {
    let copy = fetched(store);
    copy.store.arm(Fault::Next(StoreCallKind::Adopt, StoreErrorKind::Io));
    assert_eq!(failed(copy.store.call(adopt(G2)), StoreCallKind::Adopt), StoreErrorKind::Io);
    if open_copy(copy.store).building.is_none() {
        done(copy.store, adopt(G2));
    }
    assert_eq!(number(&open_copy(copy.store).building), Some(G2));
}
