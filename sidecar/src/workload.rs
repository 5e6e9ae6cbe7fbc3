//! Generated writes: a pure function of mix and seed, so that a load can be repeated and checked.

/// How many writes of each kind, in a random order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    /// Distinct keys; each is written once.
    pub(crate) keys: u64,
    /// Further writes of keys that were written before.
    pub(crate) overwrites: u64,
    /// Deletes of keys that were written before.
    pub(crate) deletes: u64,
    pub(crate) value_bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: Vec<u8>,
    /// None: the change deletes the key.
    pub(crate) value: Option<Vec<u8>>,
}

/// Yields `Mix::writes` changes.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    left: Mix,
    /// How many keys were written so far: `0..written`.
    written: u64,
    random: SplitMix,
}

impl Mix {
    pub(crate) fn writes(&self) -> u64 {
        self.keys.saturating_add(self.overwrites).saturating_add(self.deletes)
    }
}

impl Workload {
    pub(crate) fn new(mix: Mix, seed: u64) -> Workload {
        Workload { left: mix, written: 0, random: SplitMix(seed) }
    }

    fn new_key(&mut self) -> Change {
        self.left.keys -= 1;
        self.written += 1;
        self.put(self.written - 1)
    }

    fn put(&mut self, number: u64) -> Change {
        let value = self.random.text(self.left.value_bytes);
        Change { key: key(number), value: Some(value) }
    }
}

impl Iterator for Workload {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        let Mix { keys, overwrites, .. } = self.left;
        let writes = self.left.writes();
        if writes == 0 || (self.written == 0 && keys == 0) {
            return None;
        }
        let drawn = self.random.below(writes);
        if self.written == 0 || drawn < keys {
            return Some(self.new_key());
        }
        let number = self.random.below(self.written);
        if drawn - keys < overwrites {
            self.left.overwrites -= 1;
            return Some(self.put(number));
        }
        self.left.deletes -= 1;
        Some(Change { key: key(number), value: None })
    }
}

/// Returns a key. All are of equal length, so that the order of the keys is that of the numbers.
fn key(number: u64) -> Vec<u8> {
    format!("key-{number:012}").into_bytes()
}

/// Sebastiano Vigna's splitmix64: equal seeds, equal sequences, on every machine.
#[derive(Clone, Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from `0..bound`; the bias of the remainder is far below what a load could notice.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn text(&mut self, bytes: usize) -> Vec<u8> {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = Vec::with_capacity(bytes);
        while text.len() < bytes {
            let word = self.next().to_le_bytes();
            let wanted = word.len().min(bytes - text.len());
            text.extend(word[..wanted].iter().map(|byte| LETTERS[usize::from(byte & 63)]));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MIX: Mix = Mix { keys: 500, overwrites: 300, deletes: 200, value_bytes: 13 };

    #[test]
    fn every_write_of_the_mix_is_made_and_no_other() {
        let changes: Vec<Change> = Workload::new(MIX, 7).collect();
        assert_eq!(changes.len(), 1_000);
        assert_eq!(changes.iter().filter(|change| change.value.is_none()).count(), 200);
        let keys: BTreeSet<&Vec<u8>> = changes.iter().map(|change| &change.key).collect();
        assert_eq!(keys.len(), 500);
        let sizes: BTreeSet<usize> =
            changes.iter().filter_map(|change| Some(change.value.as_ref()?.len())).collect();
        assert_eq!(sizes, BTreeSet::from([13]));
    }

    #[test]
    fn only_keys_that_were_written_are_overwritten_or_deleted() {
        let mut seen = BTreeSet::new();
        for change in Workload::new(MIX, 8) {
            assert!(change.value.is_some() || seen.contains(&change.key), "{change:?}");
            seen.insert(change.key);
        }
    }

    #[test]
    fn equal_seeds_give_equal_writes_and_other_seeds_others() {
        assert!(Workload::new(MIX, 1).eq(Workload::new(MIX, 1)));
        assert!(Workload::new(MIX, 1).ne(Workload::new(MIX, 2)));
    }

    #[test]
    fn without_keys_there_is_nothing_to_overwrite() {
        assert_eq!(Workload::new(Mix { keys: 0, ..MIX }, 1).count(), 0);
    }
}
