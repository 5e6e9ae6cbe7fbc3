//! Volumes that come back: an old snapshot, an empty one, somebody else's.

use super::StoreUnderTest;
use super::fixture::{Copy, G1, G2, create, done, identity, number, open, open_copy};
use crate::offset::Partition;
use crate::store::{Found, StoreCall, StoreEvent};
use crate::topic::{Identity, TopicId};

fn current(store: &mut dyn StoreUnderTest) -> Copy<'_> {
    let mut copy = Copy::first(store);
    copy.write(&[(b"a", Some(b"1")), (b"b", Some(b"1"))]);
    copy.flush();
    copy
}

pub(super) fn an_old_volume_is_what_it_was_then(store: &mut dyn StoreUnderTest) {
    let mut copy = current(store);
    copy.store.stop();
    copy.store.keep_volume();
    copy.reopen();
    let then = copy.histories();
    copy.write(&[(b"a", None), (b"c", Some(b"2"))]);
    copy.confirm(Partition(1));
    copy.flush();
    done(copy.store, create(G2));
    done(copy.store, StoreCall::Activate { generation: G2 });
    done(copy.store, StoreCall::Remove { generation: G1 });
    copy.store.crash();
    copy.store.mount_kept_volume();
    copy.go_back_to(then);
    copy.reopen();
    copy.check();
    let found = open_copy(copy.store);
    assert_eq!((number(&found.current), number(&found.building)), (Some(G1), None));
    done(copy.store, create(found.next));
}

pub(super) fn a_volume_from_before_there_was_a_copy_is_nothing(store: &mut dyn StoreUnderTest) {
    assert_eq!(open(store), Found::Nothing);
    store.stop();
    store.keep_volume();
    assert_eq!(open(store), Found::Nothing);
    done(store, create(G1));
    store.crash();
    store.mount_kept_volume();
    assert_eq!(open(store), Found::Nothing);
    done(store, create(G1));
}

pub(super) fn an_old_volume_of_something_else_is_foreign(store: &mut dyn StoreUnderTest) {
    let copy = current(store);
    copy.store.stop();
    copy.store.keep_volume();
    copy.store.mount_kept_volume();
    let expected = Identity { topic: TopicId([9; 16]), ..identity() };
    let found = copy.store.call(StoreCall::Open { expected });
    assert_eq!(found, StoreEvent::Found(Found::Foreign { is: identity().to_string() }));
    assert!(copy.store.view(G1).is_none(), "a foreign copy must not be opened");
}
