//! A store's directory: its names, and the steps that a crash may interrupt.
//!
//! Every step becomes visible by one rename, so a generation is there or not. What an interrupted step
//! left is told by its name, or by WHY inside of a generation, and finished when the store is opened.

mod aside;
mod fetched;
mod listing;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use outrigger_core::offset::Generation;
use outrigger_core::store::{Found, StoreError};
use outrigger_core::topic::Identity;

use super::error::{full, io as failed, refused};
use super::files;
use super::identity::{self, IdentityError};

pub use self::aside::Quarantined;
use self::aside::WHY;
pub(crate) use self::fetched::OWNER;
pub(super) use self::listing::{Listing, Roles};

const CREATING: &str = "creating-";
/// A checkpoint that a peer reads.
pub(super) const GIVING: &str = "giving-";
const REMOVING: &str = "removing-";
const RESEED: &str = "RESEED";

#[derive(Debug)]
pub(super) struct StoreDirectory {
    path: PathBuf,
}

/// Whom the directory belongs to.
pub(super) enum Owned {
    Ours(Listing),
    /// The directory is `Nothing` or `Foreign`.
    Not(Found),
}

impl StoreDirectory {
    pub(super) fn new(data: &Path, store: &str) -> StoreDirectory {
        let mut parts = Path::new(store).components();
        let one_name =
            matches!(parts.next(), Some(std::path::Component::Normal(name)) if name == store);
        assert!(one_name && parts.next().is_none(), "{store:?} cannot name a directory");
        StoreDirectory { path: data.join(store) }
    }

    /// The directory of a store that is there.
    pub(super) fn at(path: &Path) -> StoreDirectory {
        StoreDirectory { path: path.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The data directory.
    pub(super) fn data(&self) -> &Path {
        self.path.parent().expect("it is inside of the data directory")
    }

    /// Whether there is a directory. A file in its place is an error.
    pub(super) fn exists(&self) -> Result<bool, StoreError> {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => Ok(true),
            Ok(_) => Err(failed("use", &self.path, &io::ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("look at", &self.path, &error)),
        }
    }

    /// What IDENTITY says, if it says that this is a copy of `store`.
    pub(super) fn identity_of(&self, store: &str) -> Result<Option<Identity>, StoreError> {
        if !self.exists()? {
            return Ok(None);
        }
        let identity = self.identity()?.and_then(Result::ok);
        Ok(identity.filter(|identity| identity.store == store))
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
            read if is_nobodys(&read, &listing) => Ok(Owned::Not(Found::Nothing)),
            Some(Err(error)) => foreign(format!("an IDENTITY that cannot be read: {error}")),
            None => foreign("generations without an IDENTITY".to_owned()),
        }
    }

    /// Finishes what a crash interrupted.
    pub(super) fn sweep(&self, listing: &mut Listing) -> Result<(), StoreError> {
        for debris in listing.creating.drain(..).chain(listing.removing.drain(..)) {
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

    pub(super) fn progress(&self) -> PathBuf {
        self.path.join(RESEED)
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
        let made = fs::create_dir_all(&self.path).and_then(|()| files::sync_dir(self.data()));
        made.map_err(|error| failed("create", &self.path, &error))
    }

    /// Writes IDENTITY when the directory is nobody's yet; refuses any other than `identity`.
    pub(super) fn claim(&self, identity: &Identity) -> Result<(), StoreError> {
        self.make()?;
        match self.identity()? {
            Some(Ok(is)) if is == *identity => Ok(()),
            Some(Ok(is)) => Err(refused(format!("{} belongs to {is}", self.path.display()))),
            read if is_nobodys(&read, &self.list()?) => self.take_over(identity),
            Some(Err(error)) => {
                Err(refused(format!("IDENTITY in {} cannot be read: {error}", self.path.display())))
            }
            None => {
                Err(refused(format!("{} has generations and no IDENTITY", self.path.display())))
            }
        }
    }

    /// A CURRENT that is left there would name a generation that is yet to come.
    fn take_over(&self, identity: &Identity) -> Result<(), StoreError> {
        let text = identity::encode(identity).map_err(|error| refused(error.to_string()))?;
        self.delete_file("CURRENT")?;
        let path = self.path.join("IDENTITY");
        files::replace(&path, text.as_bytes()).map_err(|error| failed("write", &path, &error))
    }

    /// The generation that CURRENT names, whether it is there or not. An unreadable CURRENT names nothing.
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
        if free < bytes {
            Err(full(format!("{what} may take {bytes} bytes, {free} are free")))
        } else {
            Ok(())
        }
    }

    fn check_unused(&self, generation: Generation) -> Result<(), StoreError> {
        let listing = self.list()?;
        if listing.generations.contains(&generation) || listing.quarantined.contains(&generation) {
            Err(refused(format!("{generation} is there already in {}", self.path.display())))
        } else {
            Ok(())
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

    fn remove(&self, generation: Generation) -> Result<(), StoreError> {
        let path = self.generation(generation);
        if !path.exists() {
            return Ok(());
        }
        self.delete(&path, generation)
    }

    /// Moves a generation out of sight, to be deleted. Returns where it is now; none when it is not there.
    pub(super) fn hide(&self, generation: Generation) -> Result<Option<PathBuf>, StoreError> {
        let path = self.generation(generation);
        if !path.exists() {
            return Ok(None);
        }
        self.move_away(&path, generation).map(Some)
    }

    fn move_away(&self, path: &Path, generation: Generation) -> Result<PathBuf, StoreError> {
        let removing = self.path.join(format!("{REMOVING}{generation}"));
        files::rename(path, &removing).map_err(|error| failed("rename", path, &error))?;
        Ok(removing)
    }

    fn delete(&self, path: &Path, generation: Generation) -> Result<(), StoreError> {
        let removing = self.move_away(path, generation)?;
        if let Err(error) = fs::remove_dir_all(&removing) {
            tracing::warn!(path = %removing.display(), %error, "its files remain until the next start");
        }
        Ok(())
    }
}

/// Nothing is lost where there is no generation, unless a later version keeps them elsewhere.
fn is_nobodys(identity: &Option<Result<Identity, IdentityError>>, listing: &Listing) -> bool {
    let known = matches!(identity, Some(Ok(_) | Err(IdentityError::Format(_))));
    !known && listing.is_empty()
}

impl StoreDirectory {
    /// Deletes the copy, IDENTITY last: a crash leaves a copy or less of one. What was set aside stays.
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
}
