//! Whose copy it is: judged before anything is opened.

use super::fixture::{
    Copy, G1, G2, create, done, empty_lineages, failed, identity, number, open, open_copy,
};
use super::{Damage, StoreUnderTest};
use crate::store::{Found, StoreCall, StoreCallKind, StoreEvent};
use crate::topic::{Identity, TopicId};

pub(super) fn an_empty_disk_is_nothing(store: &mut dyn StoreUnderTest) {
    assert_eq!(open(store), Found::Nothing);
    assert_eq!(open(store), Found::Nothing);
    store.stop();
    assert_eq!(open(store), Found::Nothing);
}

pub(super) fn others() -> [Identity; 4] {
    [
        Identity { store: "invoices".into(), ..identity() },
        Identity { cluster: "kafka-2".into(), ..identity() },
        Identity { topic: TopicId([8; 16]), ..identity() },
        Identity { partitions: identity().partitions + 1, ..identity() },
    ]
}

pub(super) fn a_copy_of_something_else_is_foreign_and_stays_as_it_was(
    store: &mut dyn StoreUnderTest,
) {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1"))]);
    copy.flush();
    for expected in others() {
        copy.store.stop();
        let found = copy.store.call(StoreCall::Open { expected });
        let StoreEvent::Found(Found::Foreign { is }) = found else {
            panic!("expected foreign, got {found:?}")
        };
        assert_eq!(is, identity().to_string());
        assert!(copy.store.view(G1).is_none(), "a foreign copy must not be opened");
    }
    copy.store.stop();
    copy.reopen();
    copy.check();
    assert_eq!(number(&open_copy(copy.store).current), Some(G1));
}

fn is_foreign(store: &mut dyn StoreUnderTest) {
    let found = open(store);
    let Found::Foreign { is } = found else { panic!("expected foreign, got {found:?}") };
    assert!(!is.is_empty());
    assert!(store.view(G1).is_none(), "a foreign copy must not be opened");
}

pub(super) fn an_unreadable_identity_is_foreign(store: &mut dyn StoreUnderTest) {
    let copy = Copy::first(store);
    copy.store.stop();
    copy.store.damage(Damage::Identity);
    is_foreign(copy.store);
    copy.store.stop();
    is_foreign(copy.store);
}

/// A disk that rots may take IDENTITY while a node is about to replace the only generation.
pub(super) fn an_identity_without_generations_need_not_be_readable(store: &mut dyn StoreUnderTest) {
    let copy = Copy::first(store);
    done(copy.store, StoreCall::Remove { generation: G1 });
    for damage in [Damage::Identity, Damage::NoIdentity] {
        copy.store.stop();
        copy.store.damage(damage);
        assert_eq!(open(copy.store), Found::Nothing, "{damage:?}");
        done(copy.store, create(G1));
        copy.store.stop();
        let found = open_copy(copy.store);
        assert_eq!((found.current, number(&found.building)), (None, Some(G1)), "{damage:?}");
        done(copy.store, StoreCall::Remove { generation: G1 });
    }
}

pub(super) fn generations_without_an_identity_are_foreign(store: &mut dyn StoreUnderTest) {
    let copy = Copy::first(store);
    copy.store.stop();
    copy.store.damage(Damage::NoIdentity);
    is_foreign(copy.store);
    failed(copy.store.call(create(G2)), StoreCallKind::Create);
    is_foreign(copy.store);
}

pub(super) fn a_generation_of_something_else_is_not_created(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::building(store);
    for identity in others() {
        let lineages = empty_lineages().into_iter().cycle();
        let count = usize::try_from(identity.partitions).expect("few partitions");
        let call = StoreCall::Create {
            generation: G2,
            identity,
            lineages: lineages.take(count).collect(),
        };
        failed(copy.store.call(call), StoreCallKind::Create);
    }
    copy.reopen();
    copy.check();
    let found = open_copy(copy.store);
    assert_eq!((found.current, number(&found.building), found.next), (None, Some(G1), G2));
}
