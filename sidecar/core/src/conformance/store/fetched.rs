//! What a peer gave: adopted whole, under the identity that it was fetched for, or not at all.

use super::StoreUnderTest;
use super::fixture::{
    Copy, G1, G2, G3, create, done, failed, identity, number, open, open_copy, rows, view,
};
use super::identity::others;
use crate::conformance::store::Damage;
use crate::offset::Generation;
use crate::store::{Found, GenerationState, StoreCall, StoreCallKind, Why};

pub(super) fn adopt(generation: Generation) -> StoreCall {
    StoreCall::Adopt { generation, identity: identity(), delete_retention_ms_min: u64::MAX }
}

/// g1 is in use and flushed, with a row that is not; g2 was fetched and is as g1 on disk. The store is open.
pub(super) fn fetched(store: &mut dyn StoreUnderTest) -> Copy<'_> {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1")), (b"b", Some(b"2")), (b"c", Some(b"3")), (b"d", None)]);
    copy.flush();
    copy.store.stop();
    copy.store.place_fetched(G2, G1, identity());
    copy.reopen();
    copy
}

fn numbers(store: &mut dyn StoreUnderTest) -> (Option<Generation>, Option<Generation>, Generation) {
    let copy = open_copy(store);
    (number(&copy.current), number(&copy.building), copy.next)
}

fn adoptable(store: &mut dyn StoreUnderTest, generation: Generation) {
    done(store, adopt(generation));
    assert_eq!(number(&open_copy(store).building), Some(generation));
}

pub(super) fn what_was_fetched_becomes_an_unfinished_generation(store: &mut dyn StoreUnderTest) {
    let copy = fetched(store);
    done(copy.store, adopt(G2));
    assert!(copy.store.view(G2).is_none(), "it is judged before anybody reads it");
    copy.store.crash();
    let found = open_copy(copy.store);
    assert_eq!((number(&found.current), found.next), (Some(G1), G3));
    let building = found.building.expect("adopted");
    assert_eq!(building.generation, G2);
    let GenerationState::Intact(lineages) = building.state else { panic!("{building:?}") };
    let [old, new] = [G1, G2].map(|generation| view(copy.store, generation));
    assert_eq!(lineages, old.lineages().expect("an undamaged copy can be read"));
    assert_eq!(rows(&*new), rows(&*old));
    assert_eq!(rows(&*new).len(), 3);
}

/// A process that ends before it has opened the copy must not forget what speaks against it.
pub(super) fn a_retention_that_was_heard_is_durable_with_what_is_adopted(
    store: &mut dyn StoreUnderTest,
) {
    let copy = fetched(store);
    let delete_retention_ms_min = 1_500;
    let heard = StoreCall::Adopt { generation: G2, identity: identity(), delete_retention_ms_min };
    done(copy.store, heard);
    for _ in 0..2 {
        copy.store.crash();
        let building = open_copy(copy.store).building.expect("adopted");
        let GenerationState::Intact(lineages) = building.state else { panic!("{building:?}") };
        assert!(lineages.iter().all(|lineage| lineage.delete_retention_ms_min == 1_500));
    }
}

pub(super) fn an_adopted_generation_goes_on_and_is_put_into_use(store: &mut dyn StoreUnderTest) {
    let copy = fetched(store);
    let then = copy.histories();
    done(copy.store, adopt(G2));
    let mut adopted = Copy { store: copy.store, generation: G2, histories: Vec::new() };
    adopted.go_back_to(then);
    adopted.reopen();
    adopted.write(&[(b"a", None), (b"e", Some(b"5"))]);
    adopted.flush();
    done(adopted.store, StoreCall::Activate { generation: G2 });
    done(adopted.store, StoreCall::Remove { generation: G1 });
    adopted.check();
    adopted.write(&[(b"f", Some(b"6"))]);
    adopted.flush();
    adopted.store.crash();
    adopted.reopen();
    adopted.check();
    assert_eq!(numbers(adopted.store), (Some(G2), None, G3));
}

pub(super) fn a_first_generation_may_be_adopted(store: &mut dyn StoreUnderTest) {
    let copy = fetched(store);
    done(copy.store, StoreCall::Remove { generation: G1 });
    copy.store.stop();
    copy.store.damage(Damage::NoIdentity);
    assert_eq!(open(copy.store), Found::Nothing);
    done(copy.store, adopt(G2));
    copy.store.crash();
    assert_eq!(numbers(copy.store), (None, Some(G2), G3));
}

pub(super) fn what_was_not_fetched_is_not_adopted(store: &mut dyn StoreUnderTest) {
    assert_eq!(open(store), Found::Nothing);
    failed(store.call(adopt(G1)), StoreCallKind::Adopt);
    assert_eq!(open(store), Found::Nothing, "nor does the store belong to anything now");
    let copy = fetched(store);
    failed(copy.store.call(adopt(G3)), StoreCallKind::Adopt);
    assert_eq!(numbers(copy.store), (Some(G1), None, G2));
    adoptable(copy.store, G2);
}

pub(super) fn what_was_fetched_for_something_else_is_not_adopted(store: &mut dyn StoreUnderTest) {
    let copy = fetched(store);
    for other in others() {
        copy.store.stop();
        copy.store.place_fetched(G2, G1, other.clone());
        open_copy(copy.store);
        failed(copy.store.call(adopt(G2)), StoreCallKind::Adopt);
        let delete_retention_ms_min = u64::MAX;
        let call = StoreCall::Adopt { generation: G2, identity: other, delete_retention_ms_min };
        failed(copy.store.call(call), StoreCallKind::Adopt);
        assert_eq!(numbers(copy.store), (Some(G1), None, G2), "IDENTITY is as it was");
    }
}

pub(super) fn a_number_that_was_used_is_not_adopted(store: &mut dyn StoreUnderTest) {
    let copy = fetched(store);
    copy.store.stop();
    copy.store.place_fetched(G1, G1, identity());
    open_copy(copy.store);
    failed(copy.store.call(adopt(G1)), StoreCallKind::Adopt);
    done(
        copy.store,
        StoreCall::Quarantine { generation: G1, why: Why::Damaged("it is in the way".into()) },
    );
    failed(copy.store.call(adopt(G1)), StoreCallKind::Adopt);
    assert_eq!(numbers(copy.store), (None, None, G2));
}

pub(super) fn an_interrupted_adopt_leaves_what_was_fetched_or_a_generation(
    store: &mut dyn StoreUnderTest,
) {
    let mut copy = fetched(store);
    copy.store.crash_during(adopt(G2));
    copy.reopen();
    copy.check();
    match numbers(copy.store) {
        (Some(G1), None, G2) => adoptable(copy.store, G2),
        found => assert_eq!(found, (Some(G1), Some(G2), G3)),
    }
}

pub(super) fn what_was_fetched_survives_opening_and_goes_with_a_create(
    store: &mut dyn StoreUnderTest,
) {
    let copy = fetched(store);
    copy.store.crash();
    assert_eq!(numbers(copy.store), (Some(G1), None, G2));
    done(copy.store, create(G2));
    done(copy.store, StoreCall::Remove { generation: G2 });
    failed(copy.store.call(adopt(G2)), StoreCallKind::Adopt);
}

pub(super) fn adopting_removes_what_else_was_fetched(store: &mut dyn StoreUnderTest) {
    let copy = fetched(store);
    copy.store.stop();
    copy.store.place_fetched(G3, G1, identity());
    open_copy(copy.store);
    done(copy.store, adopt(G2));
    failed(copy.store.call(adopt(G3)), StoreCallKind::Adopt);
    assert_eq!(numbers(copy.store), (Some(G1), Some(G2), G3));
}

/// It is whole or not, and of this topic or not: nobody looked yet.
pub(super) fn what_was_fetched_is_no_generation(store: &mut dyn StoreUnderTest) {
    let copy = fetched(store);
    assert_eq!(numbers(copy.store), (Some(G1), None, G2));
    assert!(copy.store.view(G2).is_none());
    failed(copy.store.call(StoreCall::Activate { generation: G2 }), StoreCallKind::Activate);
    done(copy.store, StoreCall::Remove { generation: G2 });
    adoptable(copy.store, G2);
}
