//! Shows whoever watches a disk thread that a long call goes on: files grow, come and go while it waits.
//!
//! RocksDB merges gigabytes in one step, and tells of it when it is done. What it writes grows on the disk meanwhile, as
//! what is deleted vanishes there; of a disk that hangs neither is seen, because the look itself does not come back.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, Builder};
use std::time::Duration;

use super::files::{self, Tally};
use crate::vital::Pulse;

/// Far more seldom than the watchdog loses its patience, and so seldom that a look at many thousand files costs nothing.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A clone is a reference.
#[derive(Clone, Debug)]
pub(super) struct Moves {
    data: PathBuf,
    pulse: Pulse,
    look_every: Duration,
}

impl Moves {
    /// `data` is the data directory.
    pub(super) fn new(data: &Path, pulse: Pulse) -> Moves {
        Moves { data: data.to_owned(), pulse, look_every: LOOK_EVERY }
    }

    /// Does `work`, during which what moves in the whole data directory is a sign of life: the databases of all stores
    /// share RocksDB's threads and the writers of runs, so that one store waits while another is merged.
    pub(super) fn of_all<T>(&self, work: impl FnOnce() -> T) -> T {
        self.during(&self.data, work)
    }

    /// Does `work`, during which what moves in `directory` is a sign of life.
    pub(super) fn during<T>(&self, directory: &Path, work: impl FnOnce() -> T) -> T {
        let (done, working) = channel();
        thread::scope(move |scope| {
            let looks = move || self.look(directory, &working);
            if let Err(error) = Builder::new().name("moves".to_owned()).spawn_scoped(scope, looks) {
                tracing::warn!(%error, "no thread to look whether a call of the disk goes on");
            }
            let result = work();
            drop(done);
            result
        })
    }

    /// Begins a piece of work whenever something has moved, until there is nobody who works.
    fn look(&self, directory: &Path, working: &Receiver<Infallible>) {
        let mut seen = None;
        while working.recv_timeout(self.look_every) == Err(RecvTimeoutError::Timeout) {
            if self.has_moved(directory, &mut seen) {
                self.pulse.begin();
            }
        }
    }

    fn has_moved(&self, directory: &Path, seen: &mut Option<Tally>) -> bool {
        // A disk that fails to list its files shows no sign of life.
        let Ok(now) = files::tally(directory) else { return false };
        seen.replace(now).is_some_and(|before| before != now)
    }

    #[cfg(test)]
    pub(super) fn often(data: &Path, pulse: Pulse) -> Moves {
        Moves { look_every: Duration::from_millis(1), ..Moves::new(data, pulse) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::sync::Arc;
    use std::time::Instant;

    use outrigger_core::batch::BatchBuilder;
    use outrigger_core::lineage::Lineage;
    use outrigger_core::offset::{Generation, Offset, Partition};
    use outrigger_core::store::{StoreCall, StoreEvent};
    use outrigger_core::topic::{Identity, TopicId};

    use super::*;
    use crate::rocks::{Resources, RocksStore, Shared};

    const G1: Generation = Generation(1);
    const P0: Partition = Partition(0);
    /// More than the files of level 0 at which a flush waits for compaction.
    const RUNS: u64 = 390;

    #[test]
    fn a_call_is_another_piece_of_work_whenever_a_file_has_grown() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("store")).unwrap();
        let mut file = File::create(data.path().join("store/000007.sst")).unwrap();
        let pulse = Pulse::default();
        pulse.begin();
        let first = pulse.under_way();
        let deadline = Instant::now() + Duration::from_secs(60);
        Moves::often(data.path(), pulse.clone()).of_all(|| {
            while pulse.under_way() == first {
                file.write_all(b"more").unwrap();
                assert!(Instant::now() < deadline, "it is seen");
            }
        });
        assert!(pulse.under_way().is_some(), "it works");
    }

    fn call(store: &mut RocksStore, call: StoreCall) {
        let event = store.handle(call);
        assert!(!matches!(event, StoreEvent::Failed { .. }), "{event:?}");
    }

    /// What no compression makes smaller.
    fn mix(number: u64) -> [u8; 8] {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes()
    }

    /// Applies one record, which is so large that it is a run of its own.
    fn apply(store: &mut RocksStore, offset: u64) {
        let mut builder = BatchBuilder::new(P0, 1, Offset(offset));
        let value: Vec<u8> = (0..12_500).flat_map(|word| mix(offset * 12_500 + word)).collect();
        builder.push(Offset(offset), None, Some(&mix(offset)), Some(&value));
        let batch = Arc::new(builder.finish(Offset(offset + 1)));
        let lineage = Lineage { position: batch.range.end, ..Lineage::empty(0, 1) };
        call(store, StoreCall::Apply { generation: G1, batch, lineage });
    }

    #[test]
    fn a_flush_that_waits_for_compaction_goes_on_as_long_as_files_move() {
        let data = tempfile::tempdir().unwrap();
        let resources =
            Resources { block_cache_bytes: 1 << 20, load_bytes: 200_000, background_threads: 2 };
        let mut store = RocksStore::new(data.path(), "s", Arc::new(Shared::new(resources)));
        let pulse = Pulse::default();
        store.beat_often(pulse.clone());
        let (cluster, topic) = ("c".to_owned(), TopicId([1; 16]));
        let identity = Identity { store: "s".to_owned(), cluster, topic, partitions: 1 };
        let lineages = vec![Lineage::empty(0, 1)];
        call(&mut store, StoreCall::Create { generation: G1, identity, lineages });
        (0..RUNS).for_each(|offset| apply(&mut store, offset));
        call(&mut store, StoreCall::Flush { generation: G1 });
        apply(&mut store, RUNS);
        assert!(store.tuned(G1).0.level_0_files(P0).unwrap() >= RUNS, "it is not merged yet");
        pulse.begin();
        let piece = pulse.under_way();
        call(&mut store, StoreCall::Flush { generation: G1 });
        assert_ne!(
            pulse.under_way(),
            piece,
            "one that takes minutes would be taken for a hung disk"
        );
    }

    #[test]
    fn only_what_moves_is_a_sign_of_life() {
        let data = tempfile::tempdir().unwrap();
        let [own, other] = ["own", "other"].map(|name| data.path().join(name));
        fs::create_dir(&own).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(own.join("file"), "1").unwrap();
        let moves = Moves::new(data.path(), Pulse::default());
        let mut seen = None;
        assert!(!moves.has_moved(&own, &mut seen), "the first look knows no other");
        assert!(!moves.has_moved(&own, &mut seen));
        fs::write(other.join("file"), "1").unwrap();
        assert!(!moves.has_moved(&own, &mut seen), "another store's");
        fs::write(own.join("file"), "12").unwrap();
        assert!(moves.has_moved(&own, &mut seen), "it grew");
        fs::remove_file(own.join("file")).unwrap();
        assert!(moves.has_moved(&own, &mut seen), "it vanished");
        fs::remove_dir(&own).unwrap();
        assert!(!moves.has_moved(&own, &mut seen), "nothing can be seen");
    }
}
