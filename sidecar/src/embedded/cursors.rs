//! Cursors of an embedded log: one small file beside its journal, replaced whole with each change.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use outrigger_core::log::KafkaError;
use outrigger_core::offset::{Epoch, Offset, Partition};
use outrigger_core::watch::cursor::Committed;
use serde::{Deserialize, Serialize};

use super::OpenLogError;
use crate::index::StoreIndex;
use crate::log::{Cursors, CursorsError, Kept};

/// A clone is a reference. There is one topic, so that stores are told apart by their groups alone.
#[derive(Clone)]
pub(super) struct FileCursors(Arc<Shared>);

struct Shared {
    path: PathBuf,
    /// What the file holds. It is locked while that is written, and no other lock is taken meanwhile.
    groups: Mutex<Groups>,
}

type Groups = BTreeMap<String, Vec<Entry>>;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u8,
    groups: Groups,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    partition: u32,
    position: u64,
    epoch: Option<u32>,
    metadata: String,
}

const VERSION: u8 = 1;

/// Kafka's name and number of what a disk refuses.
const STORAGE_ERROR: (i32, &str) = (56, "KAFKA_STORAGE_ERROR");

impl FileCursors {
    /// Without a file there are none.
    pub(super) fn open(path: PathBuf) -> Result<FileCursors, OpenLogError> {
        let groups = match fs::read(&path) {
            Ok(bytes) => groups_in(&bytes).ok_or_else(|| OpenLogError::Cursors(path.clone()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Groups::new(),
            Err(source) => return Err(OpenLogError::Io { path, source }),
        };
        Ok(FileCursors(Arc::new(Shared { path, groups: Mutex::new(groups) })))
    }

    /// Runs on a thread that may wait for the disk.
    fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> Kept<T> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || act(&shared)).await;
            let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
            done.map_err(|error| {
                tracing::warn!(%error, "cannot write the cursors of the embedded log");
                let (code, name) = STORAGE_ERROR;
                let name = name.to_owned();
                CursorsError::Failed(KafkaError { code, name, not_persisted: false })
            })
        })
    }
}

impl Shared {
    fn look<T>(&self, look: impl FnOnce(&Groups) -> T) -> T {
        look(&self.groups.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was there before stays, in memory and in the file, when the file cannot be written.
    fn change(&self, change: impl FnOnce(&mut Groups)) -> io::Result<()> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = groups.clone();
        change(&mut changed);
        let contents = Contents { version: VERSION, groups: changed };
        write(&self.path, &serde_json::to_vec(&contents)?)?;
        *groups = contents.groups;
        Ok(())
    }
}

impl Cursors for FileCursors {
    fn commit(&self, _store: StoreIndex, group: &str, committed: Vec<Committed>) -> Kept<()> {
        let group = group.to_owned();
        self.run(move |shared| {
            shared.change(|groups| {
                let entries = groups.entry(group).or_default();
                for committed in committed {
                    entries.retain(|entry| entry.partition != committed.partition.0);
                    entries.push(Entry::of(committed));
                }
            })
        })
    }

    fn committed(&self, _store: StoreIndex, group: &str) -> Kept<Vec<Committed>> {
        let group = group.to_owned();
        self.run(move |shared| {
            let entries = shared.look(|groups| groups.get(&group).cloned().unwrap_or_default());
            Ok(entries.into_iter().map(Committed::from).collect())
        })
    }

    fn groups(&self, prefix: &str) -> Kept<Vec<String>> {
        let prefix = prefix.to_owned();
        self.run(move |shared| {
            let names = |groups: &Groups| groups.keys().cloned().collect::<Vec<_>>();
            let mut names = shared.look(names);
            names.retain(|name| name.starts_with(&prefix));
            Ok(names)
        })
    }

    fn delete(&self, _store: StoreIndex, group: &str, partitions: Vec<Partition>) -> Kept<()> {
        let group = group.to_owned();
        self.run(move |shared| {
            shared.change(|groups| {
                let Some(entries) = groups.get_mut(&group) else { return };
                entries.retain(|entry| !partitions.contains(&Partition(entry.partition)));
                if entries.is_empty() {
                    groups.remove(&group);
                }
            })
        })
    }
}

impl Entry {
    fn of(committed: Committed) -> Entry {
        let Committed { partition, position, epoch, metadata } = committed;
        let epoch = epoch.map(|epoch| epoch.0);
        Entry { partition: partition.0, position: position.0, epoch, metadata }
    }
}

impl From<Entry> for Committed {
    fn from(entry: Entry) -> Committed {
        let Entry { partition, position, epoch, metadata } = entry;
        let (partition, position) = (Partition(partition), Offset(position));
        Committed { partition, position, epoch: epoch.map(Epoch), metadata }
    }
}

/// None: they are none of this version.
fn groups_in(bytes: &[u8]) -> Option<Groups> {
    let contents: Contents = serde_json::from_slice(bytes).ok()?;
    (contents.version == VERSION).then_some(contents.groups)
}

/// Replaces the file: a crash leaves the old one or the new one.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(path.parent().expect("the file is in a directory"))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(position: u64) -> Vec<Committed> {
        let at = |partition, epoch| Committed {
            partition: Partition(partition),
            position: Offset(position),
            epoch,
            metadata: "m".to_owned(),
        };
        vec![at(0, Some(Epoch(3))), at(1, None)]
    }

    #[tokio::test]
    async fn cursors_outlive_the_process_and_a_file_of_others_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("cursors.json");
        let open = || FileCursors::open(path.clone());
        let store = StoreIndex(0);
        let cursors = open().expect("there are none");
        assert_eq!(cursors.committed(store, "g").await, Ok(Vec::new()));
        for position in [3, 4] {
            cursors.commit(store, "g", committed(position)).await.expect("a file");
        }
        cursors.commit(store, "other", committed(1)).await.expect("a file");
        let again = open().expect("it was written");
        assert_eq!(again.committed(store, "g").await, Ok(committed(4)));
        assert_eq!(again.groups("g").await, Ok(vec!["g".to_owned()]));
        for _ in 0..2 {
            again.delete(store, "g", vec![Partition(0), Partition(1)]).await.expect("a file");
        }
        assert_eq!(open().expect("it was written").groups("").await, Ok(vec!["other".to_owned()]));
        for foreign in ["", "{}", "{\"version\":2,\"groups\":{}}"] {
            fs::write(&path, foreign).expect("a file");
            assert!(matches!(open(), Err(OpenLogError::Cursors(_))), "{foreign}");
        }
    }
}
