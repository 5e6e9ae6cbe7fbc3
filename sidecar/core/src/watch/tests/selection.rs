//! What is selected, however it is said, is selected once.

use proptest::prelude::*;

use super::super::selection::{SELECTED_MAX, Selection, TooMany};
use crate::keys::{Keys, Range};

fn range(start: &[u8], end: Option<&[u8]>) -> Keys {
    Keys::Range { start: start.to_vec(), end: end.map(<[u8]>::to_vec) }
}

fn ranges(keys: Vec<Keys>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let selection = Selection::new(keys).unwrap();
    let bounds = |Range { start, end }: &Range| (start.clone(), end.clone());
    selection.ranges().iter().map(bounds).collect()
}

#[test]
fn nothing_said_selects_everything_and_what_is_empty_nothing() {
    assert_eq!(ranges(Vec::new()), [(Vec::new(), None)]);
    assert_eq!(ranges(vec![range(b"b", Some(b"a"))]), []);
}

#[test]
fn what_overlaps_or_touches_is_one_range() {
    let keys = vec![
        range(b"c", Some(b"e")),
        Keys::Prefix(b"a".to_vec()),
        Keys::Key(b"ab".to_vec()),
        range(b"b", Some(b"c")),
    ];
    assert_eq!(ranges(keys), [(b"a".to_vec(), Some(b"e".to_vec()))]);
    let unbounded = vec![range(b"b", None), Keys::Key(b"z".to_vec()), Keys::Key(b"a".to_vec())];
    let a = (b"a".to_vec(), Some(b"a\0".to_vec()));
    assert_eq!(ranges(unbounded), [a, (b"b".to_vec(), None)]);
}

#[test]
fn a_prefix_without_an_end_selects_to_the_end() {
    assert_eq!(ranges(vec![Keys::Prefix(vec![255, 255])]), [(vec![255, 255], None)]);
    assert_eq!(ranges(vec![Keys::Prefix(vec![1, 255])]), [(vec![1, 255], Some(vec![2]))]);
}

#[test]
fn too_many_are_refused() {
    let asked = SELECTED_MAX + 1;
    let keys = |count| (0..count).map(|_| Keys::Key(Vec::new())).collect::<Vec<_>>();
    assert_eq!(Selection::new(keys(asked)), Err(TooMany { asked }));
    assert!(Selection::new(keys(SELECTED_MAX)).is_ok());
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, 97, 254, 255]), 0..4)
}

fn keys() -> impl Strategy<Value = Keys> {
    prop_oneof![
        key().prop_map(Keys::Key),
        key().prop_map(Keys::Prefix),
        (key(), prop::option::of(key())).prop_map(|(start, end)| Keys::Range { start, end }),
    ]
}

fn selects(keys: &Keys, key: &[u8]) -> bool {
    match keys {
        Keys::Key(selected) => key == selected,
        Keys::Prefix(prefix) => key.starts_with(prefix),
        Keys::Range { start, end } => {
            start.as_slice() <= key && end.as_ref().is_none_or(|end| key < end.as_slice())
        }
    }
}

proptest! {
    #[test]
    fn a_key_is_selected_if_anything_selects_it(
        asked in prop::collection::vec(keys(), 1..8),
        key in key(),
    ) {
        let selection = Selection::new(asked.clone()).unwrap();
        prop_assert_eq!(selection.contains(&key), asked.iter().any(|keys| selects(keys, &key)));
        for pair in selection.ranges().windows(2) {
            prop_assert!(pair[0].end.as_ref().is_some_and(|end| *end < pair[1].start), "{:?}", pair);
        }
    }
}
