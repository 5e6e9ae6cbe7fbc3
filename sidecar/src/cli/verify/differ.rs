//! What differs between pinned copies: buckets by their sums, then keys by their rows.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use outrigger_client::proto::v1::{BucketSum, PinnedRow};
use outrigger_client::{Error, Pinned, Revision};

/// Buckets whose keys are looked at: of a copy whose rows all differ a small share is enough to see it.
const LOOKED_AT_MAX: usize = 16;

/// Returns the numbers of the buckets in which any copy differs from the first.
pub(super) fn buckets(pinned: &[Pinned]) -> Vec<u32> {
    let (first, others) = pinned.split_first().expect("copies are compared");
    let numbers: BTreeSet<u32> =
        others.iter().flat_map(|other| unlike(first.buckets(), other.buckets())).collect();
    numbers.into_iter().collect()
}

/// Returns the numbers of the buckets in which two copies differ.
pub(super) fn unlike<'a>(
    one: &'a [BucketSum],
    other: &'a [BucketSum],
) -> impl Iterator<Item = u32> + 'a {
    let pairs = (0_u32..).zip(one.iter().zip(other));
    pairs.filter(|(_, (one, other))| one != other).map(|(number, _)| number)
}

/// What one copy holds of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) revision: Revision,
    hash: Bytes,
}

/// A key and what each copy holds of it, in their order.
pub(super) type Difference = (Bytes, Vec<Option<Held>>);

/// Keys that differ.
pub(super) struct Keys {
    /// Differences in ascending order of the keys.
    pub(super) differences: Vec<Difference>,
    /// Buckets that differ and were not looked at.
    pub(super) buckets_left: usize,
}

impl Held {
    /// Whether it is another value of the same revision.
    pub(super) fn contradicts(&self, other: &Held) -> bool {
        self.revision == other.revision && self.hash != other.hash
    }
}

/// Returns the keys in these buckets that differ; the error tells of which copy it is.
pub(super) async fn keys(pinned: &mut [Pinned], different: &[u32]) -> Result<Keys, (usize, Error)> {
    let looked_at = &different[..different.len().min(LOOKED_AT_MAX)];
    let copies = pinned.len();
    let mut held: BTreeMap<Bytes, Vec<Option<Held>>> = BTreeMap::new();
    for (index, pinned) in pinned.iter_mut().enumerate() {
        let mut after = None;
        loop {
            let page = pinned.rows(looked_at, after).await;
            let (rows, more) = page.map_err(|error| (index, error))?;
            after = rows.last().map(|row| row.key.clone());
            for PinnedRow { key, revision, hash } in rows {
                let revision = revision.unwrap_or_default();
                let by_copy = held.entry(key).or_insert_with(|| vec![None; copies]);
                by_copy[index] = Some(Held { revision, hash });
            }
            if !more || after.is_none() {
                break;
            }
        }
    }
    let differs = |held: &Vec<Option<Held>>| held.iter().any(|other| *other != held[0]);
    let differences = held.into_iter().filter(|(_, held)| differs(held)).collect();
    Ok(Keys { differences, buckets_left: different.len() - looked_at.len() })
}
