//! Disks that rot: found, named, never served, never fatal.

use super::fixture::{Copy, G1, G2, PARTITIONS, create, done, key_in, number, open_copy, view};
use super::{Damage, StoreUnderTest};
use crate::digest::Digest;
use crate::offset::Partition;
use crate::store::{GenerationState, StoreCall, StoreErrorKind, Why};

const VALUE: [u8; 100] = [b'v'; 100];

fn all_keys() -> impl Iterator<Item = Vec<u8>> {
    Partition::all(PARTITIONS)
        .flat_map(|partition| (0..200).map(move |seed| key_in(partition, seed)))
}

/// g1 is current, flushed and stopped.
fn stopped(store: &mut dyn StoreUnderTest) -> Copy<'_> {
    let mut copy = Copy::first(store);
    let keys: Vec<Vec<u8>> = all_keys().collect();
    copy.write(&keys.iter().map(|key| (key.as_slice(), Some(&VALUE[..]))).collect::<Vec<_>>());
    copy.flush();
    copy.store.stop();
    copy
}

fn current(store: &mut dyn StoreUnderTest) -> GenerationState {
    let found = open_copy(store);
    assert_eq!((number(&found.current), number(&found.building)), (Some(G1), None));
    assert_eq!(found.next, G2);
    found.current.expect("compared above").state
}

pub(super) fn an_unknown_format_is_not_opened(store: &mut dyn StoreUnderTest) {
    let copy = stopped(store);
    copy.store.damage(Damage::Format(G1));
    let state = current(copy.store);
    assert!(matches!(state, GenerationState::UnknownFormat(_)), "{state:?}");
    assert!(copy.store.view(G1).is_none());
}

fn is_corrupt(store: &mut dyn StoreUnderTest) {
    let state = current(store);
    assert!(matches!(state, GenerationState::Corrupt(_)), "{state:?}");
    assert!(store.view(G1).is_none());
}

pub(super) fn a_damaged_index_is_found_at_open(store: &mut dyn StoreUnderTest) {
    let copy = stopped(store);
    copy.store.damage(Damage::Index(G1));
    is_corrupt(copy.store);
    is_corrupt(copy.store);
}

pub(super) fn a_missing_file_is_found_at_open(store: &mut dyn StoreUnderTest) {
    let copy = stopped(store);
    copy.store.damage(Damage::MissingFile(G1));
    is_corrupt(copy.store);
}

pub(super) fn damaged_rows_are_found_and_never_served(store: &mut dyn StoreUnderTest) {
    let copy = stopped(store);
    copy.store.damage(Damage::Rows(G1));
    match current(copy.store) {
        GenerationState::Corrupt(_) => {}
        GenerationState::Intact(_) => {
            let read = Digest::of(&*view(copy.store, G1));
            assert_eq!(read.map_err(|error| error.kind), Err(StoreErrorKind::Corrupt));
        }
        GenerationState::UnknownFormat(format) => panic!("damage is not another format: {format}"),
    }
}

/// A disk that rots may hide rows, never change them.
pub(super) fn a_read_beside_damage_is_right_or_an_error(store: &mut dyn StoreUnderTest) {
    let copy = stopped(store);
    copy.store.damage(Damage::Rows(G1));
    let GenerationState::Intact(_) = current(copy.store) else { return };
    let view = view(copy.store, G1);
    let mut errors = 0;
    for key in all_keys() {
        match view.get(&key) {
            Ok(row) => assert_eq!(row.expect("every key was written").value, VALUE),
            Err(error) => {
                assert_eq!(error.kind, StoreErrorKind::Corrupt);
                errors += 1;
            }
        }
    }
    assert!(errors > 0, "the damage hit no row");
}

pub(super) fn a_current_that_cannot_be_read_names_nothing(store: &mut dyn StoreUnderTest) {
    let mut copy = stopped(store);
    copy.store.damage(Damage::Current);
    let found = open_copy(copy.store);
    assert_eq!((number(&found.current), number(&found.building)), (None, Some(G1)));
    copy.reopen();
    copy.check();
    done(copy.store, StoreCall::Activate { generation: G1 });
    assert!(matches!(current(copy.store), GenerationState::Intact(_)));
}

pub(super) fn a_corrupt_generation_can_be_set_aside_and_replaced(store: &mut dyn StoreUnderTest) {
    let copy = stopped(store);
    copy.store.damage(Damage::Index(G1));
    is_corrupt(copy.store);
    done(
        copy.store,
        StoreCall::Quarantine { generation: G1, why: Why::Damaged("its index is damaged".into()) },
    );
    done(copy.store, create(G2));
    done(copy.store, StoreCall::Activate { generation: G2 });
    copy.store.crash();
    let found = open_copy(copy.store);
    assert_eq!((number(&found.current), number(&found.building)), (Some(G2), None));
}
