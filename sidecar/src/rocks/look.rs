//! What `Open` would find, without being it: nothing on disk is made, swept, renamed or written.

use std::path::Path;
use std::sync::Arc;

use outrigger_core::offset::Generation;
use outrigger_core::store::{Found, FoundCopy, FoundGeneration, StoreError};
use outrigger_core::topic::Identity;

use super::directory::{Owned, Roles, StoreDirectory};
use super::generation;
use super::options::Shared;

/// The copies of `store` inside of a data directory that no process writes to meanwhile.
pub fn look(
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
        let state = generation::look(&path, expected.partitions, shared)?;
        Ok(FoundGeneration { generation, state })
    };
    let current = current.map(look).transpose()?;
    let building = building.map(look).transpose()?;
    Ok(Found::Copy(FoundCopy { current, building, next: Generation(highest + 1) }))
}
