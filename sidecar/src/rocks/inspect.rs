//! A store's directory from outside its node: what `Open` would find, how large it is, what was set aside.
//!
//! Only [`begin_fetch`], [`drop_quarantined`] and [`reset`] change anything.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrigger_core::offset::Generation;
use outrigger_core::store::{Found, FoundCopy, FoundGeneration, StoreError};
use outrigger_core::topic::Identity;

use super::data_dir::DataDir;
use super::directory::{Owned, Quarantined, Roles, StoreDirectory};
use super::options::Shared;
use super::{files, generation};

/// What `Open` would find of `store` in a data directory that no process writes to meanwhile.
pub fn inspect(
    data: &Path,
    store: &str,
    expected: &Identity,
    shared: &Arc<Shared>,
) -> Result<Found, StoreError> {
    let directory = StoreDirectory::new(data, store);
    let listing = match directory.judge(expected)? {
        Owned::Ours(listing) => listing,
        Owned::Not(found) => return Ok(found),
    };
    let Roles { current, building, highest } = listing.roles(directory.current()?);
    let look = |generation: Generation| -> Result<FoundGeneration, StoreError> {
        let path = directory.generation(generation);
        let state = generation::inspect(&path, expected.partitions, shared)?;
        Ok(FoundGeneration { generation, state })
    };
    let current = current.map(look).transpose()?;
    let building = building.map(look).transpose()?;
    Ok(Found::Copy(FoundCopy { current, building, next: Generation(highest + 1) }))
}

/// The directory in which what a peer gives for `generation` is gathered: a checkpoint of a generation that the peer
/// has under `identity`, its files with their names, FORMAT included. It holds what an earlier fetch of the same left;
/// a file may be cut off. What was fetched for anything else is removed. The next `Adopt` takes it as it is then.
pub fn begin_fetch(
    data: &Path,
    store: &str,
    generation: Generation,
    identity: &Identity,
) -> Result<PathBuf, StoreError> {
    StoreDirectory::new(data, store).begin_fetch(generation, identity)
}

/// Bytes that the generation in use takes; none where there is none.
pub fn size_in_use(data: &Path, store: &str) -> Result<Option<u64>, StoreError> {
    let directory = StoreDirectory::new(data, store);
    if !directory.exists()? {
        return Ok(None);
    }
    directory.size_in_use()
}

/// Bytes of everything that a store has on disk, what was set aside included; 0 where it has nothing.
pub fn size_of(data: &Path, store: &str) -> io::Result<u64> {
    match files::size(&data.join(store)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        size => size,
    }
}

/// What the copy belongs to; none where there is no copy, or nobody can tell.
pub fn identity(data: &Path, store: &str) -> Result<Option<Identity>, StoreError> {
    let directory = StoreDirectory::new(data, store);
    if directory.exists()? { Ok(directory.identity()?.and_then(Result::ok)) } else { Ok(None) }
}

/// What IDENTITY says, in words for a person; none where there is no copy.
pub fn owner(data: &Path, store: &str) -> Result<Option<String>, StoreError> {
    let directory = StoreDirectory::new(data, store);
    if !directory.exists()? {
        return Ok(None);
    }
    Ok(directory.identity()?.map(|identity| match identity {
        Ok(identity) => identity.to_string(),
        Err(error) => format!("nobody known: its IDENTITY cannot be read: {error}"),
    }))
}

/// Deletes the copy of `store`. `data` is locked: no node uses it meanwhile.
pub fn reset(data: &DataDir, store: &str) -> Result<(), StoreError> {
    StoreDirectory::new(data.path(), store).reset()
}

/// What was set aside of `store`. A node may use the directory meanwhile.
pub fn quarantined(data: &Path, store: &str) -> Result<Vec<Quarantined>, StoreError> {
    StoreDirectory::new(data, store).set_aside()
}

/// Bytes of everything that was set aside of `store`. What is set aside does not change, and may have many files: each
/// is measured once; `measured` is what earlier calls found.
pub fn set_aside_bytes(
    data: &Path,
    store: &str,
    measured: &mut BTreeMap<Generation, u64>,
) -> Result<u64, StoreError> {
    StoreDirectory::new(data, store).set_aside_bytes(measured)
}

/// Deletes a generation that was set aside. A node may use the directory meanwhile: nobody opens that generation any
/// more.
pub fn drop_quarantined(
    data: &Path,
    store: &str,
    generation: Generation,
) -> Result<(), StoreError> {
    StoreDirectory::new(data, store).drop_quarantined(generation)
}
