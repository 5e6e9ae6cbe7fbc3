//! The life of generations: created, built, activated, set aside, removed; what interrupts it.

use super::StoreUnderTest;
use super::fixture::{
    Copy, G1, G2, G3, create, done, failed, held_or_failed, identity, number, open, open_copy,
    rows, view,
};
use crate::offset::{Generation, Partition};
use crate::store::{Found, FoundCopy, StoreCall, StoreCallKind, StoreErrorKind, Why};

fn quarantine(generation: Generation) -> StoreCall {
    StoreCall::Quarantine { generation, why: Why::Lost("the log lost records that it has".into()) }
}

/// The open store's generations and its next number.
fn numbers(store: &mut dyn StoreUnderTest) -> (Option<Generation>, Option<Generation>, Generation) {
    let FoundCopy { current, building, next } = open_copy(store);
    (number(&current), number(&building), next)
}

/// g1 is current and holds one row, g2 is being built and holds another.
fn two(store: &mut dyn StoreUnderTest) -> Copy<'_> {
    let mut first = Copy::first(store);
    first.write(&[(b"of", Some(b"g1"))]);
    first.flush();
    let mut second = Copy::create(first.store, G2);
    second.write(&[(b"of", Some(b"g2"))]);
    second.flush();
    second
}

pub(super) fn a_generation_is_building_until_it_is_activated(store: &mut dyn StoreUnderTest) {
    let copy = Copy::building(store);
    assert_eq!(numbers(copy.store), (None, Some(G1), G2));
    done(copy.store, StoreCall::Activate { generation: G1 });
    copy.store.crash();
    assert_eq!(numbers(copy.store), (Some(G1), None, G2));
    done(copy.store, create(G2));
    assert_eq!(numbers(copy.store), (Some(G1), Some(G2), G3));
    done(copy.store, StoreCall::Activate { generation: G2 });
    done(copy.store, StoreCall::Remove { generation: G1 });
    copy.store.crash();
    assert_eq!(numbers(copy.store), (Some(G2), None, G3));
}

pub(super) fn a_crash_while_building_keeps_both_generations(store: &mut dyn StoreUnderTest) {
    let mut copy = two(store);
    copy.write(&[(b"unflushed", Some(b"g2"))]);
    copy.store.crash();
    copy.reopen();
    let value = |generation| {
        view(copy.store, generation).get(b"of").expect("readable").expect("written").value
    };
    assert_eq!((value(G1), value(G2)), (b"g1".to_vec(), b"g2".to_vec()));
    assert_eq!(numbers(copy.store), (Some(G1), Some(G2), G3));
}

pub(super) fn a_number_is_not_used_again(store: &mut dyn StoreUnderTest) {
    let copy = two(store);
    done(copy.store, quarantine(G2));
    assert_eq!(numbers(copy.store), (Some(G1), None, G3));
    copy.store.crash();
    assert_eq!(numbers(copy.store), (Some(G1), None, G3));
    failed(copy.store.call(create(G2)), StoreCallKind::Create);
    done(copy.store, create(G3));
    done(copy.store, StoreCall::Remove { generation: G3 });
    assert_eq!(numbers(copy.store), (Some(G1), None, Generation(4)));
}

pub(super) fn a_generation_that_is_there_is_not_created_again(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1"))]);
    failed(copy.store.call(create(G1)), StoreCallKind::Create);
    copy.check();
}

pub(super) fn a_current_that_is_gone_is_none(store: &mut dyn StoreUnderTest) {
    let copy = two(store);
    done(copy.store, StoreCall::Activate { generation: G2 });
    done(copy.store, quarantine(G1));
    done(copy.store, StoreCall::Remove { generation: G2 });
    copy.store.crash();
    assert_eq!(numbers(copy.store), (None, None, G3));
    failed(copy.store.call(StoreCall::Activate { generation: G2 }), StoreCallKind::Activate);
    assert_eq!(numbers(copy.store), (None, None, G3));
}

pub(super) fn a_quarantined_generation_is_neither_open_nor_found(store: &mut dyn StoreUnderTest) {
    let copy = two(store);
    done(copy.store, quarantine(G1));
    assert!(copy.store.view(G1).is_none());
    done(copy.store, quarantine(G1));
    assert_eq!(numbers(copy.store), (None, Some(G2), G3));
    failed(copy.store.call(quarantine(Generation(9))), StoreCallKind::Quarantine);
}

pub(super) fn an_interrupted_create_leaves_nothing(store: &mut dyn StoreUnderTest) {
    assert_eq!(open(store), Found::Nothing);
    store.crash_during(create(G1));
    let found = open_copy(store);
    assert_eq!((number(&found.current), number(&found.building)), (None, None));
    done(store, create(found.next));
    store.crash_during(create(Generation(found.next.0 + 1)));
    assert_eq!(number(&open_copy(store).building), Some(found.next));
}

pub(super) fn an_interrupted_activate_leaves_the_old_one_or_the_new_one(
    store: &mut dyn StoreUnderTest,
) {
    let mut copy = two(store);
    copy.store.crash_during(StoreCall::Activate { generation: G2 });
    let found = numbers(copy.store);
    assert!(
        found == (Some(G1), Some(G2), G3) || found == (Some(G2), None, G3),
        "CURRENT is neither the old one nor the new one: {found:?}"
    );
    copy.reopen();
    copy.check();
    done(copy.store, StoreCall::Activate { generation: G2 });
    copy.store.crash();
    assert_eq!(numbers(copy.store), (Some(G2), None, G3));
}

pub(super) fn an_interrupted_remove_is_finished_at_open(store: &mut dyn StoreUnderTest) {
    let copy = two(store);
    copy.store.crash_during(StoreCall::Remove { generation: G2 });
    let (current, building, _) = numbers(copy.store);
    assert_eq!((current, building), (Some(G1), None));
    copy.store.crash_during(StoreCall::Remove { generation: G1 });
    assert_eq!(numbers(copy.store).0, None);
}

pub(super) fn an_interrupted_quarantine_is_finished_at_open(store: &mut dyn StoreUnderTest) {
    let copy = two(store);
    copy.store.crash_during(quarantine(G2));
    assert_eq!(numbers(copy.store), (Some(G1), None, G3));
    copy.store.crash_during(quarantine(G1));
    assert_eq!(numbers(copy.store), (None, None, G3));
}

pub(super) fn a_superseded_generation_is_set_aside_at_open(store: &mut dyn StoreUnderTest) {
    let mut copy = two(store);
    done(copy.store, StoreCall::Activate { generation: G2 });
    copy.store.crash();
    copy.reopen();
    copy.check();
    assert!(copy.store.view(G1).is_none());
    failed(copy.store.call(create(G1)), StoreCallKind::Create);
    assert_eq!(numbers(copy.store), (Some(G2), None, G3));
}

pub(super) fn removing_what_is_not_there_is_no_error(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1"))]);
    done(copy.store, StoreCall::Remove { generation: G3 });
    done(copy.store, StoreCall::Close { generation: G3 });
    copy.check();
}

pub(super) fn a_call_to_a_generation_that_is_not_open_fails(store: &mut dyn StoreUnderTest) {
    let copy = Copy::first(store);
    let calls = [
        (copy.apply_call((b"a", Some(b"1"))), StoreCallKind::Apply),
        (copy.confirm_call(Partition(0)), StoreCallKind::Confirm),
        (StoreCall::Flush { generation: G1 }, StoreCallKind::Flush),
    ];
    done(copy.store, StoreCall::Close { generation: G1 });
    for (call, kind) in calls {
        assert_eq!(failed(copy.store.call(call), kind), StoreErrorKind::Io);
    }
    let found = copy.store.call(StoreCall::Open { expected: identity() });
    assert!(matches!(found, crate::store::StoreEvent::Found(Found::Copy(_))), "{found:?}");
}

pub(super) fn a_view_of_what_was_closed_tells_what_it_held_or_fails(
    store: &mut dyn StoreUnderTest,
) {
    let mut copy = two(store);
    done(copy.store, StoreCall::Activate { generation: G2 });
    copy.write(&[(b"unflushed", Some(b"g2"))]);
    let closed = view(copy.store, G2);
    let removed = view(copy.store, G1);
    let before = (rows(&*closed), rows(&*removed));
    done(copy.store, StoreCall::Close { generation: G2 });
    done(copy.store, StoreCall::Remove { generation: G1 });
    assert_eq!(before.0.len(), 2);
    held_or_failed(&*closed, &before.0);
    held_or_failed(&*removed, &before.1);
    drop((closed, removed));
    assert_eq!(numbers(copy.store), (Some(G2), None, G3));
}
