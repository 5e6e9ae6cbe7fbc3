//! A fingerprint of a whole copy: two exact copies at the same position have the same one.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

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
        self.rows += 1;
        self.sum = self.sum.wrapping_add(row_hash(key, revision, value));
    }
}

/// The hash of one row that a digest sums.
pub fn row_hash(key: &[u8], revision: Revision, value: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&revision.partition.0.to_le_bytes());
    hash.update(&revision.offset.0.to_le_bytes());
    // The key's length keeps ("a", "bc") and ("ab", "c") apart.
    hash.update(&u64::try_from(key.len()).expect("lengths fit 64 bits").to_le_bytes());
    hash.update(key);
    hash.update(value);
    hash.digest128()
}

/// Digests of parts of a copy: where two copies differ, few keys are left to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets(Vec<Digest>);

/// How many parts; with 100 million rows one has some 25,000 of them. A contract with other nodes: see the .proto.
pub const BUCKETS: usize = 1 << BUCKET_BITS;

const BUCKET_BITS: u32 = 12;

/// The part that a key belongs to, below [`BUCKETS`].
pub fn bucket_of(key: &[u8]) -> usize {
    usize::try_from(xxh3_64(key) >> (u64::BITS - BUCKET_BITS)).expect("it has few bits")
}

impl Default for Buckets {
    fn default() -> Buckets {
        Buckets(vec![Digest::default(); BUCKETS])
    }
}

impl Buckets {
    pub fn add(&mut self, key: &[u8], revision: Revision, value: &[u8]) {
        self.0[bucket_of(key)].add(key, revision, value);
    }

    /// The digests of the parts, indexed by number.
    pub fn digests(&self) -> &[Digest] {
        &self.0
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}
