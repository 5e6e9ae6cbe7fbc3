//! Options of an open generation that follow what it is for, and what a load has left in its level 0.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use outrigger_core::offset::{Generation, Partition};
use outrigger_core::store::StoreError;

use super::error::rocks;
use super::generation::OpenGeneration;
use super::options::{
    Changes, LEVEL_0_SETTLED, LEVEL_0_SLOWDOWN, Shared, Use, back_pressure, for_reads,
};

pub(super) struct Tuning {
    /// A writer tells it that it is done with the generation's options: whether back-pressure is as usual again.
    changing: Option<Receiver<bool>>,
    /// What a load has left in level 0 holds no writes up, while compaction has not caught up with it.
    lenient: bool,
}

impl Tuning {
    /// The tuning of what is not written to.
    pub(super) fn none() -> Tuning {
        Tuning { changing: None, lenient: false }
    }

    /// The tuning of a generation that was opened for `purpose` just now.
    pub(super) fn new(
        generation: Generation,
        open: &OpenGeneration,
        purpose: Use,
    ) -> Result<Tuning, rocksdb::Error> {
        let mut lenient = purpose == Use::Load;
        if purpose == Use::Reads {
            // There may have been a crash while what was loaded was compacted.
            for partition in Partition::all(open.partitions()) {
                let files = open.level_0_files(partition)?;
                if files >= LEVEL_0_SLOWDOWN {
                    lenient = true;
                    // On a full disk it fails, and the copy can still be read.
                    open.change(partition, &back_pressure(files))
                        .unwrap_or_else(|error| not_changed(generation, &rocks(&error)));
                }
            }
        }
        Ok(Tuning { changing: None, lenient })
    }

    /// The generation is in use now. No answer waits until its options show that: reads are right meanwhile, and only
    /// look into more files.
    pub(super) fn put_into_use(
        &mut self,
        generation: Generation,
        open: &Arc<OpenGeneration>,
        shared: &Shared,
    ) -> Result<(), rocksdb::Error> {
        let files =
            Partition::all(open.partitions()).map(|partition| open.level_0_files(partition));
        let changes = files.map(|files| Ok([for_reads(), back_pressure(files?)].concat()));
        let changes = changes.collect::<Result<_, rocksdb::Error>>()?;
        self.change(generation, open, shared, changes, false);
        Ok(())
    }

    /// The generation is in use and was flushed: back-pressure becomes as usual once compaction has caught up.
    pub(super) fn settle(
        &mut self,
        generation: Generation,
        open: &Arc<OpenGeneration>,
        shared: &Shared,
    ) -> Result<(), rocksdb::Error> {
        match self.changing.as_ref().map(Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) => return Ok(()),
            Some(Ok(true)) => self.lenient = false,
            Some(Ok(false) | Err(TryRecvError::Disconnected)) | None => {}
        }
        if !self.lenient {
            return Ok(());
        }
        for partition in Partition::all(open.partitions()) {
            if open.level_0_files(partition)? > LEVEL_0_SETTLED {
                return Ok(());
            }
        }
        let usual = Partition::all(open.partitions()).map(|_| back_pressure(0)).collect();
        self.change(generation, open, shared, usual, true);
        Ok(())
    }

    /// Has a writer change the options, partition by partition, for each takes tens of milliseconds. `usual`:
    /// back-pressure is as usual again after that.
    fn change(
        &mut self,
        generation: Generation,
        open: &Arc<OpenGeneration>,
        shared: &Shared,
        changes: Vec<Changes>,
        usual: bool,
    ) {
        let open = Arc::clone(open);
        let (done, changing) = sync_channel(1);
        let change = move || {
            let changed = Partition::all(open.partitions())
                .zip(&changes)
                .map(|(partition, changes)| open.change(partition, changes));
            // All partitions are changed, also those after one that failed.
            let changed = changed.fold(Ok(()), Result::and);
            drop(open);
            // This fails only when nobody wants to know any more.
            done.send(usual && changed.is_ok()).ok();
            if let Err(error) = changed {
                not_changed(generation, &rocks(&error));
            }
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

    /// Waits until nobody changes the generation's options any more.
    pub(super) fn end(self) {
        if let Some(changing) = self.changing {
            // The wait ends without an answer only when the writer has ended, or the process is about to.
            changing.recv().ok();
        }
    }
}

fn not_changed(generation: Generation, error: &StoreError) {
    tracing::warn!(%generation, %error, "not all options of RocksDB are as they should be: tried again at a flush, or when it is opened");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
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

    /// Applies one record, so large that many are not compacted at once.
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

    /// The option as RocksDB has written it down last.
    fn stop_trigger(generation: &Path) -> String {
        let files = fs::read_dir(generation).unwrap().map(|entry| entry.unwrap().path());
        let options = files.filter(|path| path.to_string_lossy().contains("OPTIONS-")).max();
        let text = fs::read_to_string(options.unwrap()).unwrap();
        let of_p0 = text.split("[CFOptions \"p0\"]").nth(1).unwrap();
        let (_, value) = of_p0.split_once("level0_stop_writes_trigger=").unwrap();
        value.lines().next().unwrap().to_owned()
    }

    fn many_files_hold_no_writes_up_and_back_pressure_returns(crash: bool) {
        let data = tempfile::tempdir().unwrap();
        // Each record is a run of its own.
        let resources =
            Resources { block_cache_bytes: 1 << 20, load_bytes: 400_000, background_threads: 2 };
        let open = || RocksStore::new(data.path(), "s", Arc::new(Shared::new(resources)));
        let mut store = open();
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
        for offset in 0..150 {
            apply(&mut store, offset);
        }
        call(&mut store, StoreCall::Flush { generation: G1 });
        assert!(store.tuned(G1).0.level_0_files(P0).unwrap() >= 150, "nothing is compacted yet");
        assert!(!is_held_up(&store), "while it loads");
        if crash {
            // Between CURRENT and the first compaction.
            drop(store);
            fs::write(data.path().join("s/CURRENT"), "g1\n").unwrap();
            store = open();
            call(&mut store, StoreCall::Open { expected: identity });
        } else {
            call(&mut store, StoreCall::Activate { generation: G1 })
        }
        assert!(store.tuned(G1).1, "there are many");
        let deadline = Instant::now() + SETTLES_WITHIN;
        for offset in 150.. {
            assert!(!is_held_up(&store), "in use");
            apply(&mut store, offset);
            call(&mut store, StoreCall::Flush { generation: G1 });
            if !store.tuned(G1).1 {
                break;
            }
            assert!(Instant::now() < deadline, "it is compacted");
        }
        assert_eq!(stop_trigger(&data.path().join("s/g1")), "36");
    }

    #[test]
    fn what_a_load_left_holds_no_writes_up() {
        many_files_hold_no_writes_up_and_back_pressure_returns(false);
    }

    #[test]
    fn nor_after_a_crash() {
        many_files_hold_no_writes_up_and_back_pressure_returns(true);
    }
}
