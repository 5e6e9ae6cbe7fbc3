//! What a copy of a lost history has and the exact copy in use has not: the rule, key by key.
//!
//! | set aside | in use | |
//! |---|---|---|
//! | a row | the same value, at whatever offset | nothing is lost |
//! | a row at `apart` or above | anything else | certain: the log does not have this record |
//! | a row | a row at the same or a lower offset | certain: the log has an older state of the key |
//! | a row below `apart` | none | possible; below `shared` nothing is lost: the log has its delete |
//! | a row below `apart` | a row at a higher offset, below `apart` | possible: the histories parted before it |
//! | a row below `apart` | a row at `apart` or above | nothing: it was written again since |
//! | none | a row below `shared` | certain: a delete is lost, the key came back |
//! | none | a row below `apart` | possible: a lost delete, or a write of the other history |
//! | none | a row at `apart` or above | nothing: it was written since |
//!
//! Nobody tells where two histories part, so it is bounded from both sides by what the lineages prove; what lies
//! between is possible. Too much is reported rather than too little.

use crate::lineage::Lineage;
use crate::offset::Offset;

/// Where the history of a copy that was set aside and that of the copy in use part, in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parting {
    /// Below it, both are the same.
    shared: Offset,
    /// From here on they are different: what the old copy has there the log has not.
    apart: Offset,
}

/// What is known of a key that the two copies do not agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// The log does not have a record or a delete that it had.
    Certain,
    /// The two copies do not tell.
    Possible,
}

/// A key's record in one of the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: Offset,
    pub value: &'a [u8],
}

impl Parting {
    /// Where they part. `new` is exact, and has reached the end that the log had when `old` was set aside.
    ///
    /// They are apart at the latest where the old copy ends, where the new one does, and where the new one has seen a
    /// leader epoch begin that is later than any of the old copy's.
    pub fn of(old: &Lineage, new: &Lineage) -> Parting {
        let later = old.epochs.latest().and_then(|epoch| new.epochs.end(epoch));
        let ends = [Some(old.position), Some(new.position), later];
        let apart = ends.into_iter().flatten().min().expect("two of them are always there");
        Parting { shared: old.epochs.shared_with(&new.epochs).min(apart), apart }
    }

    /// What the log lost of a key that at least one copy has.
    pub fn judge(&self, old: Option<Record<'_>>, new: Option<Record<'_>>) -> Option<Loss> {
        let between = |offset: Offset| (offset < self.apart).then_some(Loss::Possible);
        match (old, new) {
            (None, None) => None,
            (Some(old), Some(new)) if old.value == new.value => None,
            (Some(old), _) if old.offset >= self.apart => Some(Loss::Certain),
            (Some(old), Some(new)) if new.offset <= old.offset => Some(Loss::Certain),
            (Some(_), Some(new)) => between(new.offset),
            (Some(old), None) => (old.offset >= self.shared).then_some(Loss::Possible),
            (None, Some(new)) if new.offset < self.shared => Some(Loss::Certain),
            (None, Some(new)) => between(new.offset),
        }
    }
}

#[cfg(test)]
mod tests;
