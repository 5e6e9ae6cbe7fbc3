//! What a store's directory holds, by its names.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use outrigger_core::offset::Generation;
use outrigger_core::store::StoreError;

use super::aside::{QUARANTINED, lost};
use super::fetched::FETCHING;
use super::{CREATING, GIVING, REMOVING, StoreDirectory};
use crate::rocks::error::io as failed;

/// What a store's directory holds.
#[derive(Debug, Default)]
pub(in crate::rocks) struct Listing {
    pub(in crate::rocks) generations: BTreeSet<Generation>,
    pub(in crate::rocks) quarantined: BTreeSet<Generation>,
    /// Generations of which there is a file with what the log lost.
    pub(in crate::rocks) lost: BTreeSet<Generation>,
    /// What peers gave that was not adopted, whole or not.
    pub(in crate::rocks) fetched: BTreeSet<Generation>,
    /// What an interrupted `Create` left.
    pub(super) creating: Vec<PathBuf>,
    /// What a `Remove` left.
    pub(in crate::rocks) removing: Vec<PathBuf>,
    /// Checkpoints of this process or of one that has ended.
    pub(super) giving: Vec<PathBuf>,
}

/// Which generation is for what.
pub(in crate::rocks) struct Roles {
    pub(in crate::rocks) current: Option<Generation>,
    pub(in crate::rocks) building: Option<Generation>,
    /// Highest number of any generation that was ever seen here.
    pub(in crate::rocks) highest: u64,
}

impl StoreDirectory {
    pub(in crate::rocks) fn list(&self) -> Result<Listing, StoreError> {
        let failed = |error| failed("list", &self.path, &error);
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Ok(generation) = name.parse() {
                listing.generations.insert(generation);
            } else if let Some(Ok(generation)) = name.strip_prefix(QUARANTINED).map(str::parse) {
                listing.quarantined.insert(generation);
            } else if let Some(generation) = lost(name) {
                listing.lost.insert(generation);
            } else if let Some(Ok(generation)) = name.strip_prefix(FETCHING).map(str::parse) {
                listing.fetched.insert(generation);
            } else if name.starts_with(CREATING) {
                listing.creating.push(entry.path());
            } else if name.starts_with(REMOVING) {
                listing.removing.push(entry.path());
            } else if name.starts_with(GIVING) {
                listing.giving.push(entry.path());
            }
        }
        Ok(listing)
    }
}

impl Listing {
    /// `named` is what CURRENT says.
    pub(in crate::rocks) fn roles(&self, named: Option<Generation>) -> Roles {
        let current = named.filter(|named| self.generations.contains(named));
        let newest = self.generations.last().copied();
        let building = newest.filter(|newest| Some(*newest) > current);
        // The number in a CURRENT whose generation is gone counts, too: a new generation of that number would be the
        // current one before it is complete.
        let seen = self.generations.iter().chain(&self.quarantined).chain(&named);
        let highest = seen.map(|generation| generation.0).max().unwrap_or(0);
        Roles { current, building, highest }
    }

    pub(in crate::rocks) fn is_empty(&self) -> bool {
        self.generations.is_empty() && self.quarantined.is_empty()
    }
}

/// Prints what there is, for people.
impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.generations.iter().map(Generation::to_string);
        let aside = self.quarantined.iter().map(|aside| format!("{aside} (set aside)"));
        let all: Vec<String> = kept.chain(aside).collect();
        if all.is_empty() { f.write_str("nothing") } else { f.write_str(&all.join(", ")) }
    }
}
