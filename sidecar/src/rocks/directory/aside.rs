//! What is set aside, and kept until an operator drops it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use outrigger_core::offset::Generation;
use outrigger_core::store::{StoreError, Why};

use super::StoreDirectory;
use crate::rocks::error::{io as failed, refused};
use crate::rocks::{files, why};

pub(super) const QUARANTINED: &str = "quarantined-";
const LOST: &str = "lost-";
const JSONL: &str = ".jsonl";

/// The file in a generation that is set aside.
pub(super) const WHY: &str = "WHY";

/// A generation that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    pub generation: Generation,
    pub why: String,
    /// It was set aside because the log lost records that it has.
    pub has_lost: bool,
    /// Bytes of all its files.
    pub bytes: u64,
}

impl StoreDirectory {
    pub(in crate::rocks) fn quarantined(&self, generation: Generation) -> PathBuf {
        self.path.join(format!("{QUARANTINED}{generation}"))
    }

    /// The file with what the log lost of a generation that was set aside.
    pub(in crate::rocks) fn lost(&self, generation: Generation) -> PathBuf {
        self.path.join(format!("{LOST}{generation}{JSONL}"))
    }

    pub(in crate::rocks) fn quarantine(
        &self,
        generation: Generation,
        why: &Why,
    ) -> Result<(), StoreError> {
        let path = self.generation(generation);
        if !path.exists() {
            return if self.quarantined(generation).exists() {
                Ok(())
            } else {
                Err(refused(format!("{} is not there to be set aside", path.display())))
            };
        }
        if path.is_dir() {
            let file = path.join(WHY);
            let written = files::replace(&file, why::encode(why).as_bytes());
            written.map_err(|error| failed("write", &file, &error))?;
        }
        self.move_aside(generation)
    }

    pub(super) fn move_aside(&self, generation: Generation) -> Result<(), StoreError> {
        let path = self.generation(generation);
        let moved = files::rename(&path, &self.quarantined(generation));
        moved.map_err(|error| failed("rename", &path, &error))
    }

    pub(in crate::rocks) fn set_aside(&self) -> Result<Vec<Quarantined>, StoreError> {
        if !self.exists()? {
            return Ok(Vec::new());
        }
        let describe = |generation: &Generation| {
            let path = self.quarantined(*generation);
            let why =
                files::read(&path.join(WHY)).map_err(|error| failed("read", &path, &error))?;
            let (why, has_lost) = why::decode(&why.unwrap_or_default());
            let bytes = files::size(&path).map_err(|error| failed("look at", &path, &error))?;
            Ok(Quarantined { generation: *generation, why, has_lost, bytes })
        };
        self.list()?.quarantined.iter().map(describe).collect()
    }

    /// Bytes of all that was set aside; generations in `measured` are not looked at again.
    pub(in crate::rocks) fn set_aside_bytes(
        &self,
        measured: &mut BTreeMap<Generation, u64>,
    ) -> Result<u64, StoreError> {
        let aside = if self.exists()? { self.list()?.quarantined } else { BTreeSet::new() };
        measured.retain(|generation, _| aside.contains(generation));
        for generation in aside {
            if let Entry::Vacant(entry) = measured.entry(generation) {
                let path = self.quarantined(generation);
                let bytes = files::size(&path).map_err(|error| failed("look at", &path, &error))?;
                entry.insert(bytes);
            }
        }
        Ok(measured.values().sum())
    }

    /// Deletes what was set aside under this number; an error when there is none.
    pub(in crate::rocks) fn drop_quarantined(
        &self,
        generation: Generation,
    ) -> Result<(), StoreError> {
        let path = self.quarantined(generation);
        if !path.exists() {
            return Err(refused(format!("{} is not there", path.display())));
        }
        self.delete(&path, generation)?;
        // A crash may have left this of a file that nobody can complete any more.
        self.delete_file(&format!("{LOST}{generation}.new"))
    }
}

/// The generation whose file with what the log lost has this name.
pub(super) fn lost(name: &str) -> Option<Generation> {
    name.strip_prefix(LOST)?.strip_suffix(JSONL)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_quarantined_generation_keeps_its_files_and_says_why() {
        let data = tempfile::tempdir().unwrap();
        let store = StoreDirectory::new(data.path(), "orders");
        let generation = store.generation(Generation(3));
        fs::create_dir_all(&generation).unwrap();
        fs::write(generation.join("rows"), "kept").unwrap();
        let why = Why::Lost("the log ends\nbelow it".to_owned());
        store.quarantine(Generation(3), &why).unwrap();
        let aside = data.path().join("orders/quarantined-g3");
        assert_eq!(fs::read_to_string(aside.join("WHY")).unwrap(), "the log ends below it\nlost\n");
        assert_eq!(fs::read_to_string(aside.join("rows")).unwrap(), "kept");
        let [kept] = &store.set_aside().unwrap()[..] else { panic!("it is listed") };
        assert_eq!((kept.why.as_str(), kept.has_lost), ("the log ends below it", true));

        let mut measured = BTreeMap::new();
        assert_eq!(store.set_aside_bytes(&mut measured).unwrap(), kept.bytes);
        fs::write(aside.join("rows"), "not looked at again").unwrap();
        assert_eq!(store.set_aside_bytes(&mut measured).unwrap(), kept.bytes);
        store.drop_quarantined(Generation(3)).unwrap();
        assert_eq!(store.set_aside_bytes(&mut measured).unwrap(), 0);
    }
}
