//! A checkpoint of a copy, for a peer: hard links beside the generation, to what is durable and nothing else.
//!
//! Nothing is flushed for it: what is not flushed was not confirmed to be of this topic. There is
//! no write-ahead log either, so rows and lineage in it are a pair that a crash could have left.

use std::fs;
use std::path::{Path, PathBuf};

use outrigger_core::offset::Generation;
use outrigger_core::store::StoreError;
use outrigger_core::topic::Identity;
use rocksdb::checkpoint::Checkpoint as Links;

use super::directory::{GIVING, StoreDirectory};
use super::error::{corrupt, io, rocks};
use super::generation;
use super::view::GenerationViews;

/// The log may be as large as it likes: RocksDB flushes for a checkpoint when it has more than this.
const NEVER_FLUSH: u64 = u64::MAX;

/// Files that do not change and stay until this is dropped, whatever becomes of the generation.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    generation: Generation,
    identity: Identity,
    files: Vec<CheckpointFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFile {
    pub name: String,
    pub bytes: u64,
}

/// The layout of a generation, which a peer must know.
pub const FORMAT: u32 = generation::FORMAT_NUMBER;

impl GenerationViews {
    /// Makes a checkpoint of a generation; none when that is not open. `id` tells it from the store's others, in
    /// letters, digits and `-`. It takes longer the more files there are.
    pub fn checkpoint(
        &self,
        generation: Generation,
        id: &str,
    ) -> Option<Result<Checkpoint, StoreError>> {
        let open = self.open_generation(generation)?;
        Some(links(&open, generation, id))
    }
}

fn links(
    open: &generation::OpenGeneration,
    generation: Generation,
    id: &str,
) -> Result<Checkpoint, StoreError> {
    let store = open.db().path().parent().expect("a generation is in its store's directory");
    let identity = match StoreDirectory::at(store).identity()? {
        Some(Ok(identity)) => identity,
        Some(Err(error)) => return Err(corrupt(format!("IDENTITY cannot be read: {error}"))),
        None => return Err(corrupt(format!("{} has no IDENTITY", store.display()))),
    };
    let path = store.join(format!("{GIVING}{id}"));
    // Its drop removes what a failure leaves behind.
    let mut checkpoint = Checkpoint { path, generation, identity, files: Vec::new() };
    let path = &checkpoint.path;
    Links::new(open.db())
        .and_then(|links| links.create_checkpoint_with_log_size(path, NEVER_FLUSH))
        .map_err(|error| rocks(&error))?;
    generation::write_format(path)?;
    checkpoint.files = files(path).map_err(|error| io("list", path, &error))?;
    Ok(checkpoint)
}

/// The files of a checkpoint, sorted by name.
fn files(path: &Path) -> std::io::Result<Vec<CheckpointFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().into_string().expect("RocksDB's names are ASCII");
        files.push(CheckpointFile { name, bytes: entry.metadata()?.len() });
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

impl Checkpoint {
    /// The generation that was checkpointed, which may have been replaced since.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// What the copy belongs to.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The checkpoint's files: they are in a directory of their own, without directories in it.
    pub fn files(&self) -> &[CheckpointFile] {
        &self.files
    }

    pub fn file_path(&self, file: &CheckpointFile) -> PathBuf {
        self.path.join(&file.name)
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            let path = self.path.display();
            tracing::warn!(%path, %error, "a checkpoint remains until the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outrigger_core::lineage::Lineage;
    use outrigger_core::store::{Found, StoreCall, StoreEvent};
    use outrigger_core::topic::TopicId;

    use super::*;
    use crate::rocks::{Resources, RocksStore, Shared};

    const G1: Generation = Generation(1);

    fn identity() -> Identity {
        let topic = TopicId([7; 16]);
        Identity { store: "notes".into(), cluster: "c".into(), topic, partitions: 1 }
    }

    fn store(data: &Path) -> RocksStore {
        let resources =
            Resources { block_cache_bytes: 1 << 20, load_bytes: 1 << 20, background_threads: 2 };
        RocksStore::new(data, "notes", Arc::new(Shared::new(resources)))
    }

    fn open(store: &mut RocksStore) -> Found {
        match store.handle(StoreCall::Open { expected: identity() }) {
            StoreEvent::Found(found) => found,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_checkpoint_stays_when_its_store_is_opened_again_and_goes_when_its_process_is_gone() {
        let data = tempfile::tempdir().unwrap();
        let mut first = store(data.path());
        assert_eq!(open(&mut first), Found::Nothing);
        let lineages = vec![Lineage::empty(0, 1)];
        first.handle(StoreCall::Create { generation: G1, identity: identity(), lineages });
        let checkpoint = first.views().checkpoint(G1, "1-0").expect("it is open").unwrap();
        assert_eq!(checkpoint.identity(), &identity());
        assert!(matches!(open(&mut first), Found::Copy(_)));
        let there = |file| checkpoint.file_path(file).is_file();
        assert!(!checkpoint.files().is_empty() && checkpoint.files().iter().all(there));

        // The file is as a crash leaves it.
        let path = checkpoint.path.clone();
        std::mem::forget(checkpoint);
        drop(first);
        assert!(matches!(open(&mut store(data.path())), Found::Copy(_)));
        assert!(!path.exists());
    }

    #[test]
    fn a_checkpoint_that_is_dropped_leaves_nothing_and_the_generation_as_it_was() {
        let data = tempfile::tempdir().unwrap();
        let mut store = store(data.path());
        open(&mut store);
        let lineages = vec![Lineage::empty(0, 1)];
        store.handle(StoreCall::Create { generation: G1, identity: identity(), lineages });
        let views = store.views();
        drop(views.checkpoint(G1, "1-0").expect("it is open").unwrap());
        let names = |path: &Path| -> Vec<_> {
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect()
        };
        let mut left = names(&data.path().join("notes"));
        left.sort();
        assert_eq!(left, ["IDENTITY", "g1"]);
        assert!(views.checkpoint(Generation(2), "1-1").is_none(), "it is not open");
    }
}
