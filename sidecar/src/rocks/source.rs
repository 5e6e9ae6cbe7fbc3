//! A finished copy of a stopped node, opened to be read, whatever log it belongs to.

use std::sync::Arc;

use outrigger_core::lineage::Lineage;
use outrigger_core::offset::Generation;
use outrigger_core::store::{GenerationState, StoreError, View, Visit};
use outrigger_core::topic::Identity;

use super::data_dir::DataDir;
use super::directory::StoreDirectory;
use super::generation::{self, Opening};
use super::options::Shared;
use super::view::RocksView;

/// A copy that stays open until this is dropped.
pub struct Source {
    pub identity: Identity,
    pub generation: Generation,
    /// One for each partition, in order.
    pub lineages: Vec<Lineage>,
    view: RocksView,
}

/// Why there is nothing to read, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{0} has no copy of this store: name the data directory of a node that has one")]
    NoCopy(String),
    #[error(
        "IDENTITY of this store cannot be read ({0}): nobody knows what is here; take another node's copy"
    )]
    Identity(String),
    #[error(
        "no copy is in use here, only {there}: take another node's copy, or name one that was set aside with --from"
    )]
    NotFinished { there: String },
    #[error("{wanted} is neither in use nor set aside here; there is {there}")]
    NotHere { wanted: Generation, there: String },
    #[error("{generation} cannot be read: {detail}; take another node's copy")]
    Unusable { generation: Generation, detail: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Source {
    /// Opens the generation in use, or `wanted`: that one, or one that was set aside. Nothing on disk is changed.
    pub fn open(
        data: &DataDir,
        store: &str,
        wanted: Option<Generation>,
        shared: &Shared,
    ) -> Result<Source, SourceError> {
        let directory = StoreDirectory::new(data.path(), store);
        let no_copy = || SourceError::NoCopy(data.path().display().to_string());
        if !directory.exists()? {
            return Err(no_copy());
        }
        let identity = directory.identity()?.ok_or_else(no_copy)?;
        let identity = identity.map_err(|error| SourceError::Identity(error.to_string()))?;
        let listing = directory.list()?;
        let current = listing.roles(directory.current()?).current;
        let set_aside = wanted.filter(|wanted| listing.quarantined.contains(wanted));
        let (generation, path) = match (wanted, current, set_aside) {
            (_, _, Some(aside)) => (aside, directory.quarantined(aside)),
            (None, Some(current), _) => (current, directory.generation(current)),
            (Some(wanted), Some(current), _) if wanted == current => {
                (current, directory.generation(current))
            }
            (Some(wanted), _, _) => {
                return Err(SourceError::NotHere { wanted, there: listing.to_string() });
            }
            (None, None, _) => {
                return Err(SourceError::NotFinished { there: listing.to_string() });
            }
        };
        match generation::open_read_only(&path, identity.partitions, shared)? {
            Opening::Open(open, _, lineages) => {
                let view = RocksView::new(Arc::new(open));
                Ok(Source { identity, generation, lineages, view })
            }
            Opening::Unusable(GenerationState::UnknownFormat(detail)) => {
                let detail = format!("it has the unknown format {detail}");
                Err(SourceError::Unusable { generation, detail })
            }
            Opening::Unusable(GenerationState::Corrupt(detail)) => {
                Err(SourceError::Unusable { generation, detail })
            }
            Opening::Unusable(GenerationState::Intact(_)) => {
                unreachable!("what is intact is open")
            }
        }
    }

    pub fn view(&self) -> &impl View {
        &self.view
    }

    /// Visits all rows in key order, from the first one above `after` on, until `row` says stop.
    pub fn rows_after(&self, after: Option<&[u8]>, row: Visit<'_>) -> Result<(), StoreError> {
        // No key lies between a key and itself with a zero byte behind it.
        let start = after.map(|after| [after, b"\0"].concat()).unwrap_or_default();
        self.view.scan(&start, None, false, row)
    }
}
