//! What a peer gives, until it is adopted or of no use any more.

use std::fs;
use std::path::PathBuf;

use outrigger_core::offset::Generation;
use outrigger_core::store::StoreError;
use outrigger_core::topic::Identity;

use super::StoreDirectory;
use crate::rocks::error::{io as failed, refused};
use crate::rocks::{files, identity, retention};

pub(super) const FETCHING: &str = "fetching-";

/// A file beside the fetched ones: the identity that the peer has them under, as in IDENTITY, which is a name of
/// RocksDB's there.
pub(crate) const OWNER: &str = "OWNER";

impl StoreDirectory {
    fn fetching(&self, generation: Generation) -> PathBuf {
        self.path.join(format!("{FETCHING}{generation}"))
    }

    /// The directory for what a peer gives as `generation` of `identity`, with what an earlier fetch of the same left.
    pub(in crate::rocks) fn begin_fetch(
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

    /// The identity of what was fetched for `generation`; none where nothing was.
    fn fetched_of(&self, generation: Generation) -> Result<Option<Identity>, StoreError> {
        let path = self.fetching(generation).join(OWNER);
        let bytes = files::read(&path).map_err(|error| failed("read", &path, &error))?;
        let decode = |bytes: Vec<u8>| {
            identity::decode(&bytes)
                .map_err(|error| refused(format!("{} cannot be read: {error}", path.display())))
        };
        bytes.map(decode).transpose()
    }

    /// Makes what was fetched the generation: durable first, then visible.
    pub(in crate::rocks) fn adopt(
        &self,
        generation: Generation,
        identity: &Identity,
        delete_retention_ms_min: u64,
    ) -> Result<(), StoreError> {
        let path = self.fetching(generation);
        match self.fetched_of(generation)? {
            Some(of) if of == *identity => {}
            Some(of) => return Err(refused(format!("{} is of {of}", path.display()))),
            None => return Err(refused(format!("{} is not there", path.display()))),
        }
        self.check_unused(generation)?;
        self.claim(identity)?;
        let durable = retention::write(&path, delete_retention_ms_min)
            .and_then(|()| files::sync_all(&path))
            .and_then(|()| files::rename(&path, &self.generation(generation)));
        durable.map_err(|error| failed("adopt", &path, &error))?;
        self.remove_fetched(None)
    }

    /// Removes what peers gave, except what came for `kept`.
    pub(in crate::rocks) fn remove_fetched(
        &self,
        kept: Option<Generation>,
    ) -> Result<(), StoreError> {
        let fetched = self.list()?.fetched;
        let mut others = fetched.into_iter().filter(|generation| Some(*generation) != kept);
        others.try_for_each(|generation| self.delete(&self.fetching(generation), generation))
    }
}
