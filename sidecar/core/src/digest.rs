//! A fingerprint of a whole copy: two exact copies at the same position have the same one.

use xxhash_rust::xxh3::Xxh3;

use crate::offset::Revision;
use crate::store::{Scan, StoreError, View};

/// Independent of the order in which rows are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    pub rows: u64,
    /// Wrapping sum over rows of the 128-bit hash of key, value and revision.
    pub sum: u128,
}

impl Digest {
    pub fn of(view: &dyn View) -> Result<Digest, StoreError> {
        let mut digest = Digest::default();
        view.scan(b"", None, false, &mut |key, revision, value| {
            digest.add(key, revision, value);
            Scan::Continue
        })?;
        Ok(digest)
    }

    pub fn add(&mut self, key: &[u8], revision: Revision, value: &[u8]) {
        let mut hash = Xxh3::new();
        hash.update(&revision.partition.0.to_le_bytes());
        hash.update(&revision.offset.0.to_le_bytes());
        // The key's length keeps ("a", "bc") and ("ab", "c") apart.
        hash.update(&u64::try_from(key.len()).expect("lengths fit 64 bits").to_le_bytes());
        hash.update(key);
        hash.update(value);
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash.digest128());
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}
