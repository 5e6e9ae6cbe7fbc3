//! The rows of a cache: a sorted map, copies of which share what has not changed since.
//!
//! ```text
//! branches  [ "" | "k" | "t" ]      a key is in the last leaf that begins at or below it, or nowhere
//!             |     |     |         (whatever the first one says)
//! leaves     a..j  k..s  t..z       1 to LEAF_ROWS_MAX rows each, ascending
//! ```
//! Whoever reads takes a copy, at the price of a count, and looks at it for as long as it likes. A change copies the branches
//! and the leaf that it is in, and only where a copy shares them: of a plain `BTreeMap` it would be all of the map.

use std::sync::Arc;

use super::Undecodable;

/// A change copies this many rows at most, and a map of a million rows has a few thousand leaves.
const LEAF_ROWS_MAX: usize = 256;

/// What a key has: what became of its value.
pub(super) type Decoded<V> = Result<Arc<V>, Undecodable>;

type Leaf<V> = Vec<(Arc<[u8]>, Decoded<V>)>;

/// Where a leaf begins, and the leaf.
type Branch<V> = (Arc<[u8]>, Arc<Leaf<V>>);

pub(super) struct Rows<V> {
    branches: Arc<Vec<Branch<V>>>,
    len: usize,
}

impl<V> Rows<V> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Decoded<V>> {
        let (_, leaf) = self.branches.get(self.branch_of(key))?;
        let place = place_in(leaf, key).ok()?;
        Some(&leaf[place].1)
    }

    /// The rows from `start` on, ascending.
    pub(super) fn starting_at<'a>(
        &'a self,
        start: &[u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a Decoded<V>)> + use<'a, V> {
        let branches = &self.branches[self.branch_of(start)..];
        let first = branches.first().map_or(0, |(_, leaf)| match place_in(leaf, start) {
            Ok(place) | Err(place) => place,
        });
        let rows = branches.iter().flat_map(|(_, leaf)| leaf.iter());
        rows.skip(first).map(|(key, decoded)| (&**key, decoded))
    }

    pub(super) fn set(&mut self, key: Arc<[u8]>, decoded: Decoded<V>) {
        let at = self.branch_of(&key);
        let branches = Arc::make_mut(&mut self.branches);
        let is_last = at + 1 >= branches.len();
        let Some((_, leaf)) = branches.get_mut(at) else {
            self.len += 1;
            return branches.push((Arc::clone(&key), Arc::new(vec![(key, decoded)])));
        };
        let leaf = Arc::make_mut(leaf);
        match place_in(leaf, &key) {
            Ok(place) => leaf[place].1 = decoded,
            Err(place) if leaf.len() < LEAF_ROWS_MAX => {
                self.len += 1;
                leaf.insert(place, (key, decoded));
            }
            // The rows of a state come in ascending order, and leave full leaves behind them.
            Err(LEAF_ROWS_MAX) if is_last => {
                self.len += 1;
                branches.push((Arc::clone(&key), Arc::new(vec![(key, decoded)])));
            }
            Err(_) => {
                let upper = leaf.split_off(LEAF_ROWS_MAX / 2);
                branches.insert(at + 1, (Arc::clone(&upper[0].0), Arc::new(upper)));
                self.set(key, decoded);
            }
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        let at = self.branch_of(key);
        let Some((_, leaf)) = self.branches.get(at) else { return };
        let Ok(place) = place_in(leaf, key) else { return };
        let branches = Arc::make_mut(&mut self.branches);
        let leaf = Arc::make_mut(&mut branches[at].1);
        drop(leaf.remove(place));
        self.len -= 1;
        if leaf.is_empty() {
            branches.remove(at);
        } else if leaf.len() < LEAF_ROWS_MAX / 4 && at > 0 {
            merge(branches, at);
        }
    }

    /// The number of the leaf that has the key, if it is there; 0 where there is no leaf.
    fn branch_of(&self, key: &[u8]) -> usize {
        self.branches.partition_point(|(from, _)| **from <= *key).saturating_sub(1)
    }
}

impl<V> Clone for Rows<V> {
    fn clone(&self) -> Rows<V> {
        Rows { branches: Arc::clone(&self.branches), len: self.len }
    }
}

impl<V> Default for Rows<V> {
    fn default() -> Rows<V> {
        Rows { branches: Arc::default(), len: 0 }
    }
}

fn place_in<V>(leaf: &Leaf<V>, key: &[u8]) -> Result<usize, usize> {
    leaf.binary_search_by(|(own, _)| (**own).cmp(key))
}

/// Puts a leaf that has become small into the one before it, where there is room.
fn merge<V>(branches: &mut Vec<Branch<V>>, at: usize) {
    let (before, small) = (&branches[at - 1].1, &branches[at].1);
    if before.len() + small.len() <= LEAF_ROWS_MAX / 2 {
        let (_, small) = branches.remove(at);
        Arc::make_mut(&mut branches[at - 1].1).extend(small.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Model = BTreeMap<Vec<u8>, u32>;

    fn assert_equal(rows: &Rows<u32>, model: &Model) {
        assert_eq!(rows.len(), model.len());
        let all =
            rows.starting_at(b"").map(|(key, value)| (key, **value.as_ref().expect("decoded")));
        assert!(all.eq(model.iter().map(|(key, value)| (&key[..], *value))));
        for (number, (from, leaf)) in rows.branches.iter().enumerate() {
            assert!((1..=LEAF_ROWS_MAX).contains(&leaf.len()), "{}", leaf.len());
            assert!(number == 0 || **from <= *leaf[0].0, "it begins at or below its rows");
        }
    }

    fn key(number: u32) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    fn set(rows: &mut Rows<u32>, model: &mut Model, number: u32, value: u32) {
        rows.set(key(number).into(), Ok(Arc::new(value)));
        model.insert(key(number), value);
    }

    #[derive(Clone, Debug)]
    enum Change {
        /// Keys from a number on, ascending or descending.
        Set(u32, u32, bool),
        Remove(u32, u32),
        Copy,
    }

    fn any_change() -> impl Strategy<Value = Change> {
        let (number, count) = (0..3_000u32, 1..700u32);
        prop_oneof![
            (number.clone(), count.clone(), any::<bool>())
                .prop_map(|(at, n, up)| Change::Set(at, n, up)),
            (number, count).prop_map(|(at, n)| Change::Remove(at, n)),
            Just(Change::Copy),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_is_a_sorted_map_and_copies_stay_as_they_were(
            changes in prop::collection::vec(any_change(), 1..20),
            start in 0..4_000u32,
        ) {
            let (mut rows, mut model) = (Rows::default(), Model::new());
            let mut copies = Vec::new();
            for (value, change) in (0..).zip(changes) {
                match change {
                    Change::Set(at, count, true) => {
                        for number in at..at + count {
                            set(&mut rows, &mut model, number, value);
                        }
                    }
                    Change::Set(at, count, false) => {
                        for number in (at..at + count).rev() {
                            set(&mut rows, &mut model, number, value);
                        }
                    }
                    Change::Remove(at, count) => for number in at..at + count {
                        rows.remove(&key(number));
                        model.remove(&key(number));
                    },
                    Change::Copy => copies.push((rows.clone(), model.clone())),
                }
            }
            assert_equal(&rows, &model);
            let start = key(start);
            let from = rows.starting_at(&start).map(|(key, _)| key.to_vec());
            prop_assert!(from.eq(model.range(start.clone()..).map(|(key, _)| key.clone())));
            prop_assert_eq!(rows.get(&start).is_some(), model.contains_key(&start));
            for (rows, model) in &copies {
                assert_equal(rows, model);
            }
        }
    }

    #[test]
    fn what_comes_in_order_leaves_full_leaves_and_what_goes_takes_them_along() {
        let (mut rows, mut model) = (Rows::default(), Model::new());
        let leaf = u32::try_from(LEAF_ROWS_MAX).expect("it is small");
        for number in 0..10 * leaf {
            set(&mut rows, &mut model, number, 0);
        }
        assert_eq!(rows.branches.len(), 10);
        for number in (0..10 * leaf).filter(|number| number % 32 != 0) {
            rows.remove(&key(number));
            model.remove(&key(number));
        }
        assert_equal(&rows, &model);
        assert!(rows.branches.len() <= 3, "{} leaves for 80 rows", rows.branches.len());
    }

    #[test]
    fn a_change_copies_one_leaf_of_what_a_copy_shares() {
        let (mut rows, mut model) = (Rows::default(), Model::new());
        for number in 0..5_000 {
            set(&mut rows, &mut model, number, 0);
        }
        let copy = rows.clone();
        set(&mut rows, &mut model, 2_500, 1);
        let shared = rows.branches.iter().zip(copy.branches.iter());
        let own = shared.filter(|((_, own), (_, other))| !Arc::ptr_eq(own, other)).count();
        assert_eq!(own, 1);
    }
}
