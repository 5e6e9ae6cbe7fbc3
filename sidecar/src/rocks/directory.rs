//! A store's directory: its names, and the steps that a crash may interrupt.
//!
//! Every step becomes visible by one rename, so a generation is there or not. What an interrupted step
//! left is told by its name, or by WHY inside of a generation, and finished when the store is opened.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use outrigger_core::offset::Generation;
use outrigger_core::store::{Found, StoreError, Why};
use outrigger_core::topic::Identity;

use super::error::{full, io as failed, refused};
use super::identity::{self, IdentityError};
use super::{files, why};

const CREATING: &str = "creating-";
/// A checkpoint that a peer reads.
pub(super) const GIVING: &str = "giving-";
const REMOVING: &str = "removing-";
/// What a peer gives, for `Adopt`.
const FETCHING: &str = "fetching-";
/// Beside its files: the identity that the peer has them under, as in IDENTITY, which is a name of RocksDB's there.
pub(crate) const OWNER: &str = "OWNER";
const QUARANTINED: &str = "quarantined-";
const RESEED: &str = "RESEED";
const LOST: &str = "lost-";
const JSONL: &str = ".jsonl";

/// In a generation that is set aside.
const WHY: &str = "WHY";

#[derive(Debug)]
pub(super) struct StoreDirectory {
    path: PathBuf,
}

/// What a store's directory holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) generations: BTreeSet<Generation>,
    pub(super) quarantined: BTreeSet<Generation>,
    /// Those of which there is a file with what the log lost.
    pub(super) lost: BTreeSet<Generation>,
    /// What peers gave that was not adopted, whole or not.
    pub(super) fetched: BTreeSet<Generation>,
    /// Halves of an interrupted `Create` or `Remove`.
    debris: Vec<PathBuf>,
    /// Checkpoints, of this process or of one that has ended.
    giving: Vec<PathBuf>,
}

/// Whose the directory is.
pub(super) enum Owned {
    Ours(Listing),
    /// `Nothing` or `Foreign`.
    Not(Found),
}

/// Which generation is for what.
pub(super) struct Roles {
    pub(super) current: Option<Generation>,
    pub(super) building: Option<Generation>,
    /// Of any that was ever seen here.
    pub(super) highest: u64,
}

impl StoreDirectory {
    pub(super) fn new(data: &Path, store: &str) -> StoreDirectory {
        let mut parts = Path::new(store).components();
        let one_name =
            matches!(parts.next(), Some(std::path::Component::Normal(name)) if name == store);
        assert!(one_name && parts.next().is_none(), "{store:?} cannot name a directory");
        StoreDirectory { path: data.join(store) }
    }

    /// The same, of a store that is there.
    pub(super) fn at(path: &Path) -> StoreDirectory {
        StoreDirectory { path: path.to_owned() }
    }

    /// False: there is no directory. A file in its place is an error.
    pub(super) fn exists(&self) -> Result<bool, StoreError> {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => Ok(true),
            Ok(_) => Err(failed("use", &self.path, &io::ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("look at", &self.path, &error)),
        }
    }

    /// Reads IDENTITY and names, and opens nothing.
    pub(super) fn judge(&self, expected: &Identity) -> Result<Owned, StoreError> {
        if !self.exists()? {
            return Ok(Owned::Not(Found::Nothing));
        }
        let listing = self.list()?;
        let foreign = |is| Ok(Owned::Not(Found::Foreign { is }));
        match self.identity()? {
            Some(Ok(is)) if is == *expected => Ok(Owned::Ours(listing)),
            Some(Ok(is)) => foreign(is.to_string()),
            Some(Err(error)) => foreign(format!("an IDENTITY that cannot be read: {error}")),
            None if listing.is_empty() => Ok(Owned::Not(Found::Nothing)),
            None => foreign("generations without an IDENTITY".to_owned()),
        }
    }

    pub(super) fn list(&self) -> Result<Listing, StoreError> {
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
            } else if [CREATING, REMOVING].iter().any(|debris| name.starts_with(debris)) {
                listing.debris.push(entry.path());
            } else if name.starts_with(GIVING) {
                listing.giving.push(entry.path());
            }
        }
        Ok(listing)
    }

    /// Finishes what a crash interrupted.
    pub(super) fn sweep(&self, listing: &mut Listing) -> Result<(), StoreError> {
        for debris in listing.debris.drain(..) {
            fs::remove_dir_all(&debris).map_err(|error| failed("remove", &debris, &error))?;
        }
        for generation in listing.generations.clone() {
            if self.generation(generation).join(WHY).exists() {
                self.move_aside(generation)?;
                listing.generations.remove(&generation);
                listing.quarantined.insert(generation);
            }
        }
        Ok(())
    }

    /// Removes the checkpoints of a process that has ended: whoever read them is gone with it.
    pub(super) fn remove_given(&self, listing: &Listing) -> Result<(), StoreError> {
        let mut giving = listing.giving.iter();
        giving.try_for_each(|path| {
            fs::remove_dir_all(path).map_err(|error| failed("remove", path, &error))
        })
    }

    pub(super) fn generation(&self, generation: Generation) -> PathBuf {
        self.path.join(generation.to_string())
    }

    pub(super) fn quarantined(&self, generation: Generation) -> PathBuf {
        self.path.join(format!("{QUARANTINED}{generation}"))
    }

    pub(super) fn progress(&self) -> PathBuf {
        self.path.join(RESEED)
    }

    /// The file with what the log lost of a generation that was set aside.
    pub(super) fn lost(&self, generation: Generation) -> PathBuf {
        self.path.join(format!("{LOST}{generation}{JSONL}"))
    }

    /// What IDENTITY says, when there is one.
    pub(super) fn identity(&self) -> Result<Option<Result<Identity, IdentityError>>, StoreError> {
        let path = self.path.join("IDENTITY");
        let bytes = files::read(&path).map_err(|error| failed("read", &path, &error))?;
        Ok(bytes.map(|bytes| identity::decode(&bytes)))
    }

    fn make(&self) -> Result<(), StoreError> {
        if self.exists()? {
            return Ok(());
        }
        let parent = self.path.parent().expect("it is inside of the data directory");
        let made = fs::create_dir_all(&self.path).and_then(|()| files::sync_dir(parent));
        made.map_err(|error| failed("create", &self.path, &error))
    }

    /// Writes IDENTITY when the directory is nobody's yet; refuses any other than `identity`.
    pub(super) fn claim(&self, identity: &Identity) -> Result<(), StoreError> {
        self.make()?;
        match self.identity()? {
            Some(Ok(is)) if is == *identity => Ok(()),
            Some(Ok(is)) => Err(refused(format!("{} belongs to {is}", self.path.display()))),
            Some(Err(error)) => {
                Err(refused(format!("IDENTITY in {} cannot be read: {error}", self.path.display())))
            }
            None if self.list()?.is_empty() => {
                let path = self.path.join("IDENTITY");
                let text =
                    identity::encode(identity).map_err(|error| refused(error.to_string()))?;
                files::replace(&path, text.as_bytes())
                    .map_err(|error| failed("write", &path, &error))
            }
            None => {
                Err(refused(format!("{} has generations and no IDENTITY", self.path.display())))
            }
        }
    }

    /// What CURRENT names, whether it is there or not. An unreadable CURRENT names nothing.
    pub(super) fn current(&self) -> Result<Option<Generation>, StoreError> {
        let path = self.path.join("CURRENT");
        let bytes = files::read(&path).map_err(|error| failed("read", &path, &error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).ok();
        let current = text.and_then(|text| text.strip_suffix('\n')?.parse().ok());
        if current.is_none() {
            tracing::warn!(file = %path.display(), "names no generation: ignored");
        }
        Ok(current)
    }

    pub(super) fn set_current(&self, generation: Generation) -> Result<(), StoreError> {
        let database = self.generation(generation);
        if !database.is_dir() {
            return Err(refused(format!("{} is not there to be activated", database.display())));
        }
        let path = self.path.join("CURRENT");
        let text = format!("{generation}\n");
        files::replace(&path, text.as_bytes()).map_err(|error| failed("write", &path, &error))
    }

    /// Bytes of the generation that CURRENT names; none where it is not there.
    pub(super) fn size_in_use(&self) -> Result<Option<u64>, StoreError> {
        let current = self.current()?.map(|current| self.generation(current));
        // What vanishes while it is added up was not in use any more.
        Ok(current.and_then(|path| files::size(&path).ok()))
    }

    /// Fails when fewer bytes are free than `what` may take.
    pub(super) fn check_free(&self, bytes: u64, what: &str) -> Result<(), StoreError> {
        let free = files::free_bytes(&self.path)
            .map_err(|error| failed("tell the free space of", &self.path, &error))?;
        match free < bytes {
            true => Err(full(format!("{what} may take {bytes} bytes, {free} are free"))),
            false => Ok(()),
        }
    }

    fn check_unused(&self, generation: Generation) -> Result<(), StoreError> {
        let listing = self.list()?;
        match listing.generations.contains(&generation) || listing.quarantined.contains(&generation)
        {
            true => {
                Err(refused(format!("{generation} is there already in {}", self.path.display())))
            }
            false => Ok(()),
        }
    }

    /// An empty directory in which a generation is made, out of sight until [`Self::reveal`].
    pub(super) fn begin(&self, generation: Generation) -> Result<PathBuf, StoreError> {
        self.check_unused(generation)?;
        let path = self.path.join(format!("{CREATING}{generation}"));
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|error| failed("remove", &path, &error))?;
        }
        fs::create_dir(&path).map_err(|error| failed("create", &path, &error))?;
        Ok(path)
    }

    pub(super) fn reveal(&self, creating: &Path, generation: Generation) -> Result<(), StoreError> {
        let revealed = files::sync_dir(creating)
            .and_then(|()| files::rename(creating, &self.generation(generation)));
        revealed.map_err(|error| failed("rename", creating, &error))
    }

    fn fetching(&self, generation: Generation) -> PathBuf {
        self.path.join(format!("{FETCHING}{generation}"))
    }

    /// The directory for what a peer gives as `generation` of `identity`, with what an earlier fetch of the same left.
    pub(super) fn begin_fetch(
        &self,
        generation: Generation,
        identity: &Identity,
    ) -> Result<PathBuf, StoreError> {
        self.make()?;
        self.check_unused(generation)?;
        let path = self.fetching(generation);
        let same = self.fetched_of(generation).is_ok_and(|of| of.as_ref() == Some(identity));
        self.remove_fetched(same.then_some(generation))?;
        if !same {
            fs::create_dir(&path).map_err(|error| failed("create", &path, &error))?;
            let owner = path.join(OWNER);
            let text = identity::encode(identity).map_err(|error| refused(error.to_string()))?;
            files::replace(&owner, text.as_bytes())
                .map_err(|error| failed("write", &owner, &error))?;
        }
        Ok(path)
    }

    /// The identity that what was fetched for `generation` is of; none where nothing was.
    fn fetched_of(&self, generation: Generation) -> Result<Option<Identity>, StoreError> {
        let path = self.fetching(generation).join(OWNER);
        let bytes = files::read(&path).map_err(|error| failed("read", &path, &error))?;
        let decode = |bytes: Vec<u8>| {
            identity::decode(&bytes)
                .map_err(|error| refused(format!("{} cannot be read: {error}", path.display())))
        };
        bytes.map(decode).transpose()
    }

    /// What was fetched becomes the generation: durable first, then visible.
    pub(super) fn adopt(
        &self,
        generation: Generation,
        identity: &Identity,
    ) -> Result<(), StoreError> {
        let path = self.fetching(generation);
        match self.fetched_of(generation)? {
            Some(of) if of == *identity => {}
            Some(of) => return Err(refused(format!("{} is of {of}", path.display()))),
            None => return Err(refused(format!("{} is not there", path.display()))),
        }
        self.check_unused(generation)?;
        self.claim(identity)?;
        let durable = files::sync_all(&path)
            .and_then(|()| files::rename(&path, &self.generation(generation)));
        durable.map_err(|error| failed("adopt", &path, &error))?;
        self.remove_fetched(None)
    }

    /// Removes what peers gave, but for `kept`.
    pub(super) fn remove_fetched(&self, kept: Option<Generation>) -> Result<(), StoreError> {
        let fetched = self.list()?.fetched;
        let mut others = fetched.into_iter().filter(|generation| Some(*generation) != kept);
        others.try_for_each(|generation| self.delete(&self.fetching(generation), generation))
    }

    pub(super) fn quarantine(&self, generation: Generation, why: &Why) -> Result<(), StoreError> {
        let path = self.generation(generation);
        if !path.exists() {
            return match self.quarantined(generation).exists() {
                true => Ok(()),
                false => Err(refused(format!("{} is not there to be set aside", path.display()))),
            };
        }
        if path.is_dir() {
            let file = path.join(WHY);
            let written = files::replace(&file, why::encode(why).as_bytes());
            written.map_err(|error| failed("write", &file, &error))?;
        }
        self.move_aside(generation)
    }

    fn move_aside(&self, generation: Generation) -> Result<(), StoreError> {
        let path = self.generation(generation);
        let moved = files::rename(&path, &self.quarantined(generation));
        moved.map_err(|error| failed("rename", &path, &error))
    }

    pub(super) fn remove(&self, generation: Generation) -> Result<(), StoreError> {
        let path = self.generation(generation);
        if !path.exists() {
            return Ok(());
        }
        self.delete(&path, generation)
    }

    fn delete(&self, path: &Path, generation: Generation) -> Result<(), StoreError> {
        let removing = self.path.join(format!("{REMOVING}{generation}"));
        files::rename(path, &removing).map_err(|error| failed("rename", path, &error))?;
        if let Err(error) = fs::remove_dir_all(&removing) {
            tracing::warn!(path = %removing.display(), %error, "its files remain until the next start");
        }
        Ok(())
    }
}

/// A generation that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    pub generation: Generation,
    pub why: String,
    /// It was set aside because the log lost records that it has.
    pub has_lost: bool,
    /// Of all its files.
    pub bytes: u64,
}

impl StoreDirectory {
    pub(super) fn set_aside(&self) -> Result<Vec<Quarantined>, StoreError> {
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

    /// Deletes what was set aside under this number; an error when there is none.
    pub(super) fn drop_quarantined(&self, generation: Generation) -> Result<(), StoreError> {
        let path = self.quarantined(generation);
        if !path.exists() {
            return Err(refused(format!("{} is not there", path.display())));
        }
        self.delete(&path, generation)?;
        // What a crash left of a file that nobody can complete any more.
        self.delete_file(&format!("{LOST}{generation}.new"))
    }

    /// Deletes the copy, IDENTITY last: whatever a crash leaves of it is a copy or less. What was set aside stays.
    pub(super) fn reset(&self) -> Result<(), StoreError> {
        let mut listing = self.list()?;
        self.sweep(&mut listing)?;
        self.remove_given(&listing)?;
        self.remove_fetched(None)?;
        self.delete_file("CURRENT")?;
        self.delete_file(RESEED)?;
        listing.generations.iter().try_for_each(|generation| self.remove(*generation))?;
        if listing.quarantined.is_empty() {
            self.delete_file("IDENTITY")?;
        }
        Ok(())
    }

    fn delete_file(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path.join(name);
        let deleted = match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            deleted => deleted.and_then(|()| files::sync_dir(&self.path)),
        };
        deleted.map_err(|error| failed("remove", &path, &error))
    }
}

impl Listing {
    /// `named` is what CURRENT says.
    pub(super) fn roles(&self, named: Option<Generation>) -> Roles {
        let current = named.filter(|named| self.generations.contains(named));
        let newest = self.generations.last().copied();
        let building = newest.filter(|newest| Some(*newest) > current);
        // The number of a CURRENT whose generation is gone counts too: a new generation of that number
        // would be the current one before it is complete.
        let seen = self.generations.iter().chain(&self.quarantined).chain(&named);
        let highest = seen.map(|generation| generation.0).max().unwrap_or(0);
        Roles { current, building, highest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.generations.is_empty() && self.quarantined.is_empty()
    }
}

/// What there is, for people.
impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.generations.iter().map(Generation::to_string);
        let aside = self.quarantined.iter().map(|aside| format!("{aside} (set aside)"));
        let all: Vec<String> = kept.chain(aside).collect();
        match all.is_empty() {
            true => f.write_str("nothing"),
            false => f.write_str(&all.join(", ")),
        }
    }
}

fn lost(name: &str) -> Option<Generation> {
    name.strip_prefix(LOST)?.strip_suffix(JSONL)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_place_of_the_directory_says_what_to_do() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("orders"), "mine").unwrap();
        let error = StoreDirectory::new(data.path(), "orders").exists().unwrap_err();
        assert!(error.detail.contains("move it away"), "{error}");
    }

    #[test]
    fn an_unreadable_current_names_nothing() {
        let data = tempfile::tempdir().unwrap();
        let store = StoreDirectory::new(data.path(), "orders");
        fs::create_dir(data.path().join("orders")).unwrap();
        assert_eq!(store.current().unwrap(), None);
        fs::create_dir(store.generation(Generation(3))).unwrap();
        store.set_current(Generation(3)).unwrap();
        assert_eq!(store.current().unwrap(), Some(Generation(3)));
        for text in ["", "g3", "g3\n\n", "\u{fffd}"] {
            fs::write(data.path().join("orders/CURRENT"), text).unwrap();
            assert_eq!(store.current().unwrap(), None, "{text:?}");
        }
    }

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
    }
}
