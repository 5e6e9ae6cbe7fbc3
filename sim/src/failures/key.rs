//! What makes two failures the same bug.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64;

use crate::oracle::OracleId;
use crate::shrink::{Shrunk, headline};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub oracle: OracleId,
    /// What the oracle says, without numbers, keys and values.
    pub headline: String,
    /// Catalogue ids of the faults that it needs.
    pub kinds: BTreeSet<&'static str>,
}

impl Key {
    pub(super) fn of(shrunk: &Shrunk) -> Key {
        Key {
            oracle: shrunk.violation.oracle,
            headline: headline(&shrunk.violation),
            kinds: shrunk.plan.faults.iter().map(|fault| fault.what.id()).collect(),
        }
    }

    /// The same in every run that finds the bug.
    pub fn name(&self) -> String {
        let Key { oracle, headline, kinds } = self;
        let hash = xxh3_64(format!("{oracle} {headline} {kinds:?}").as_bytes());
        format!("{oracle}-{:08x}", hash >> 32)
    }

    pub fn show_kinds(&self) -> String {
        if self.kinds.is_empty() {
            "no fault".to_owned()
        } else {
            self.kinds.iter().copied().collect::<Vec<_>>().join(" ")
        }
    }
}
