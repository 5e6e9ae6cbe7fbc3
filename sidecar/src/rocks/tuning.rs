//! Options of an open generation that follow what it is for, and what a load has left in its level 0.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use outrigger_core::offset::Generation;
use outrigger_core::store::StoreError;

use super::error::rocks;
use super::generation::OpenGeneration;
use super::options::{Changes, LEVEL_0_SETTLED, Shared, Use, back_pressure, for_reads};

pub(super) struct Tuning {
    /// Told when a writer has done with the generation.
    changing: Option<Receiver<()>>,
    /// Level 0 holds no writes up: a load has left many files there, and compaction is not through with them.
    lenient: bool,
}

impl Tuning {
    /// Of a generation that was opened for this just now.
    pub(super) fn new(
        generation: Generation,
        open: &OpenGeneration,
        purpose: Use,
    ) -> Result<Tuning, rocksdb::Error> {
        let lenient = match purpose {
            Use::Load => true,
            // A crash may come while what was loaded is compacted.
            Use::Reads => open.level_0_files()? > LEVEL_0_SETTLED,
        };
        if lenient && purpose == Use::Reads {
            // On a full disk it fails, and the copy can still be read.
            open.change(&back_pressure(false))
                .unwrap_or_else(|error| not_changed(generation, &rocks(&error)));
        }
        Ok(Tuning { changing: None, lenient })
    }

    /// It is in use now. No answer waits until that shows: reads are right meanwhile, and only look into more files.
    pub(super) fn put_into_use(
        &mut self,
        generation: Generation,
        open: &Arc<OpenGeneration>,
        shared: &Shared,
    ) {
        self.change(generation, open, shared, for_reads());
    }

    /// It is in use and was flushed.
    pub(super) fn look(
        &mut self,
        generation: Generation,
        open: &Arc<OpenGeneration>,
        shared: &Shared,
    ) -> Result<(), rocksdb::Error> {
        if self.lenient && open.level_0_files()? <= LEVEL_0_SETTLED {
            self.lenient = false;
            self.change(generation, open, shared, back_pressure(true));
        }
        Ok(())
    }

    /// Has a writer do it, for it takes tens of milliseconds.
    fn change(
        &mut self,
        generation: Generation,
        open: &Arc<OpenGeneration>,
        shared: &Shared,
        changes: Changes,
    ) {
        let before = self.changing.take();
        let open = Arc::clone(open);
        let (done, changing) = sync_channel(1);
        let change = move || {
            // Submitted earlier, it is begun, or it has ended.
            before.map(|before| before.recv());
            if let Err(error) = open.change(&changes) {
                not_changed(generation, &rocks(&error));
            }
            drop(open);
            // Nobody waits while the generation is open.
            done.send(()).ok();
        };
        match shared.writers().submit(Box::new(change)) {
            Ok(()) => self.changing = Some(changing),
            Err(error) => not_changed(generation, &error),
        }
    }

    #[cfg(test)]
    pub(super) fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// Nobody changes the generation's options any more.
    pub(super) fn end(self) {
        if let Some(changing) = self.changing {
            // It has ended, or the process is about to.
            changing.recv().ok();
        }
    }
}

fn not_changed(generation: Generation, error: &StoreError) {
    tracing::warn!(%generation, %error, "options of RocksDB stay as they were: what was loaded may hold up writes, or be compacted late");
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use outrigger_core::batch::BatchBuilder;
    use outrigger_core::lineage::Lineage;
    use outrigger_core::offset::{Offset, Partition};
    use outrigger_core::store::{StoreCall, StoreEvent};
    use outrigger_core::topic::{Identity, TopicId};
    use rocksdb::properties;

    use super::*;
    use crate::rocks::{Resources, RocksStore};

    const P0: Partition = Partition(0);
    const G1: Generation = Generation(1);
    const SETTLES_WITHIN: Duration = Duration::from_secs(60);

    fn call(store: &mut RocksStore, call: StoreCall) {
        let event = store.handle(call);
        assert!(!matches!(event, StoreEvent::Failed { .. }), "{event:?}");
    }

    /// One record, large enough that many are not compacted at once.
    fn apply(store: &mut RocksStore, offset: u64) {
        let mut builder = BatchBuilder::new(P0, 1, Offset(offset));
        let key = format!("{}", offset % 997);
        builder.push(Offset(offset), None, Some(key.as_bytes()), Some(&[7; 200_000]));
        let batch = Arc::new(builder.finish(Offset(offset + 1)));
        let lineage = Lineage { position: batch.range.end, ..Lineage::empty(0, 86_400_000) };
        call(store, StoreCall::Apply { generation: G1, batch, lineage });
    }

    fn is_held_up(store: &RocksStore) -> bool {
        let (open, _) = store.tuned(G1);
        let family = open.column_family(P0);
        let held_up = [properties::IS_WRITE_STOPPED, properties::ACTUAL_DELAYED_WRITE_RATE];
        held_up
            .iter()
            .any(|name| open.db().property_int_value_cf(&family, *name).unwrap() != Some(0))
    }

    #[test]
    fn many_files_of_a_load_hold_no_writes_up_and_back_pressure_returns() {
        let data = tempfile::tempdir().unwrap();
        // Each record is a run of its own.
        let resources =
            Resources { block_cache_bytes: 1 << 20, load_bytes: 400_000, background_threads: 2 };
        let mut store = RocksStore::new(data.path(), "s", Arc::new(Shared::new(resources)));
        let identity = Identity {
            store: "s".to_owned(),
            cluster: "c".to_owned(),
            topic: TopicId([1; 16]),
            partitions: 1,
        };
        let lineages = vec![Lineage::empty(0, 86_400_000)];
        call(
            &mut store,
            StoreCall::Create { generation: G1, identity: identity.clone(), lineages },
        );
        (0..150).for_each(|offset| apply(&mut store, offset));
        call(&mut store, StoreCall::Flush { generation: G1 });
        assert!(store.tuned(G1).0.level_0_files().unwrap() > 100);
        assert!(!is_held_up(&store), "while it loads");
        call(&mut store, StoreCall::Activate { generation: G1 });
        assert!(!is_held_up(&store), "in use");

        // A crash comes before it is compacted, or after.
        drop(store);
        let mut store = RocksStore::new(data.path(), "s", Arc::new(Shared::new(resources)));
        call(&mut store, StoreCall::Open { expected: identity });
        let deadline = Instant::now() + SETTLES_WITHIN;
        for offset in 150.. {
            assert!(!is_held_up(&store), "in use, and opened again");
            apply(&mut store, offset);
            call(&mut store, StoreCall::Flush { generation: G1 });
            if !store.tuned(G1).1 {
                return;
            }
            assert!(Instant::now() < deadline, "it is compacted");
        }
    }
}
