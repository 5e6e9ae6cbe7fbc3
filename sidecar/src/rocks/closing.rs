//! Tells everybody who reads a generation that it was closed: RocksDB opens a directory once, so that a read that
//! stays would keep the store from coming back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Whether one open generation was closed; a clone is a reference to the same.
#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Reads look at it for every row.
    closed: AtomicBool,
    /// It wakes those who wait.
    told: CancellationToken,
}

impl Closing {
    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::Relaxed);
        self.0.told.cancel();
    }

    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Relaxed)
    }

    /// Waits until the generation is closed.
    pub async fn closed(&self) {
        self.0.told.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use outrigger_core::lineage::Lineage;
    use outrigger_core::offset::Generation;
    use outrigger_core::store::{Found, StoreCall, StoreError, StoreErrorKind, StoreEvent};
    use outrigger_core::topic::{Identity, TopicId};

    use super::*;
    use crate::rocks::{Resources, RocksStore, Shared};

    const G1: Generation = Generation(1);

    fn store(data: &Path) -> RocksStore {
        let resources =
            Resources { block_cache_bytes: 1 << 20, load_bytes: 1 << 20, background_threads: 2 };
        RocksStore::new(data, "notes", Arc::new(Shared::new(resources)))
    }

    fn open(store: &mut RocksStore) -> Result<Found, StoreError> {
        let topic = TopicId([7; 16]);
        let expected =
            Identity { store: "notes".into(), cluster: "c".into(), topic, partitions: 1 };
        match store.handle(StoreCall::Open { expected: expected.clone() }) {
            StoreEvent::Found(Found::Nothing) => {
                let lineages = vec![Lineage::empty(0, 1)];
                let create = StoreCall::Create { generation: G1, identity: expected, lineages };
                assert!(matches!(store.handle(create), StoreEvent::Done { .. }));
                Ok(Found::Nothing)
            }
            StoreEvent::Found(found) => Ok(found),
            StoreEvent::Failed { error, .. } => Err(error),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reader_that_stays_is_told_as_what_it_is_and_not_as_a_failed_disk() {
        let data = tempfile::tempdir().unwrap();
        let mut first = store(data.path());
        open(&mut first).unwrap();
        let reader = first.views().view(G1).expect("it is open");
        let error = open(&mut first).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Held);
        assert!(error.detail.contains("a peer's checkpoint"), "who: {error}");
        assert!(error.detail.contains("tries again by itself"), "what to do: {error}");

        drop(first);
        let mut second = store(data.path());
        assert_eq!(open(&mut second).unwrap_err().kind, StoreErrorKind::Held, "another store's");
        drop(reader);
        assert!(matches!(open(&mut second), Ok(Found::Copy(_))));
    }
}
