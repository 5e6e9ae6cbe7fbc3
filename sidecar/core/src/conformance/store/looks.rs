//! What is served while nobody can say whether it may be: opened for reads alone, whatever topic it is of.

use super::fixture::{
    Copy, G1, G2, create, done, empty_lineages, failed, identity, open_copy, rows, view,
};
use super::{Damage, StoreUnderTest};
use crate::offset::Partition;
use crate::store::{GenerationState, Looked, StoreCall, StoreCallKind, StoreEvent};
use crate::topic::{Identity, TopicId};

fn look_as(store: &mut dyn StoreUnderTest, name: &str) -> Option<Looked> {
    match store.call(StoreCall::Look { store: name.to_owned() }) {
        StoreEvent::Looked(looked) => looked,
        other => panic!("Look answered {other:?}"),
    }
}

fn look(store: &mut dyn StoreUnderTest) -> Option<Looked> {
    look_as(store, &identity().store)
}

pub(super) fn a_look_finds_what_is_in_use_and_changes_nothing(store: &mut dyn StoreUnderTest) {
    assert_eq!(look(store), None);
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1")), (b"b", None)]);
    copy.flush();
    let held = rows(&*view(copy.store, G1));
    copy.store.stop();
    for _ in 0..2 {
        let looked = look(copy.store).expect("a copy in use");
        assert_eq!((looked.identity, looked.found.generation), (identity(), G1));
        assert!(matches!(looked.found.state, GenerationState::Intact(_)));
        assert_eq!(rows(&*view(copy.store, G1)), held);
        done(copy.store, StoreCall::Close { generation: G1 });
        assert!(copy.store.view(G1).is_none(), "it was closed");
    }
    assert!(look(copy.store).is_some());
    copy.reopen();
    copy.check();
    copy.write(&[(b"c", Some(b"3"))]);
    copy.flush();
    copy.check();
}

pub(super) fn what_was_looked_at_is_read_alone_until_it_is_opened(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1"))]);
    copy.flush();
    copy.store.stop();
    assert!(look(copy.store).is_some());
    let [lineage, ..] = &empty_lineages()[..] else { unreachable!("there are partitions") };
    let (generation, partition, lineage) = (G1, Partition(0), lineage.clone());
    let confirm = StoreCall::Confirm { generation, partition, lineage };
    failed(copy.store.call(confirm), StoreCallKind::Confirm);
    failed(copy.store.call(StoreCall::Flush { generation }), StoreCallKind::Flush);
    copy.reopen();
    copy.check();
}

pub(super) fn a_look_does_not_ask_whose_topic_it_is_but_whose_store(
    store: &mut dyn StoreUnderTest,
) {
    let identity = Identity { topic: TopicId([9; 16]), cluster: "kafka-9".into(), ..identity() };
    let call = StoreCall::Create {
        generation: G1,
        identity: identity.clone(),
        lineages: empty_lineages(),
    };
    done(store, call);
    done(store, StoreCall::Flush { generation: G1 });
    done(store, StoreCall::Activate { generation: G1 });
    store.stop();
    assert_eq!(look_as(store, "invoices"), None);
    assert!(store.view(G1).is_none(), "another store's copy must not be opened");
    assert_eq!(look(store).map(|looked| looked.identity), Some(identity));
}

pub(super) fn a_look_does_not_see_a_rebuild_that_is_not_in_use(store: &mut dyn StoreUnderTest) {
    let copy = Copy::building(store);
    copy.store.stop();
    assert_eq!(look(copy.store), None);
    assert!(copy.store.view(G1).is_none(), "it is being filled");
}

pub(super) fn a_look_leaves_what_a_crash_interrupted(store: &mut dyn StoreUnderTest) {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1"))]);
    copy.flush();
    copy.store.crash_during(create(G2));
    assert_eq!(look(copy.store).map(|looked| looked.found.generation), Some(G1));
    copy.reopen();
    copy.check();
}

pub(super) fn a_damaged_copy_is_told_and_not_opened(store: &mut dyn StoreUnderTest) {
    for damage in [Damage::Format(G1), Damage::Index(G1)] {
        damaged(store, damage);
    }
}

fn damaged(store: &mut dyn StoreUnderTest, damage: Damage) {
    if store.view(G1).is_none() && look(store).is_none() {
        let mut copy = Copy::first(store);
        copy.write(&[(b"a", Some(b"1"))]);
        copy.flush();
    }
    store.stop();
    store.damage(damage);
    let looked = look(store).expect("CURRENT names it");
    assert!(!matches!(looked.found.state, GenerationState::Intact(_)), "{damage:?}");
    assert!(store.view(G1).is_none(), "{damage:?}");
    let found = open_copy(store).current.expect("it is still there");
    assert!(!matches!(found.state, GenerationState::Intact(_)), "{damage:?}");
}
