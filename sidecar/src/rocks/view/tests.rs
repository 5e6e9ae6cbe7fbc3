//! What snapshots know without looking it up, on a real disk.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use outrigger_core::batch::BatchBuilder;
use outrigger_core::offset::Offset;
use outrigger_core::store::{StoreCall, StoreEvent};
use outrigger_core::topic::{Identity, TopicId};

use super::*;
use crate::rocks::{Resources, RocksStore, Shared};

const G1: Generation = Generation(1);
const PARTITIONS: u32 = 3;
const BATCHES: u64 = 2_000;

/// Four of them fill a block.
const VALUE: [u8; 4_096] = [b'v'; 4_096];

fn store(data: &Path) -> RocksStore {
    let resources =
        Resources { block_cache_bytes: 1 << 20, load_bytes: 1 << 20, background_threads: 2 };
    RocksStore::new(data, "notes", Arc::new(Shared::new(resources)))
}

fn identity() -> Identity {
    let (store, cluster) = ("notes".to_owned(), "c".to_owned());
    Identity { store, cluster, topic: TopicId([7; 16]), partitions: PARTITIONS }
}

fn done(store: &mut RocksStore, call: StoreCall) {
    let event = store.handle(call);
    assert!(!matches!(event, StoreEvent::Failed { .. }), "{event:?}");
}

/// A store whose generation is in use, and has read up to 0.
fn in_use(data: &Path) -> RocksStore {
    let mut store = store(data);
    let lineages = Partition::all(PARTITIONS).map(|_| Lineage::empty(1, 2)).collect();
    let create = StoreCall::Create { generation: G1, identity: identity(), lineages };
    done(&mut store, create);
    done(&mut store, StoreCall::Flush { generation: G1 });
    done(&mut store, StoreCall::Activate { generation: G1 });
    store
}

/// Applies batch number `number`: one record of a partition, each partition in its turn.
fn apply(store: &mut RocksStore, number: u64) {
    let partition = Partition(u32::try_from(number % u64::from(PARTITIONS)).unwrap());
    let offset = Offset(number / u64::from(PARTITIONS));
    let key = key(number, partition);
    let mut batch = BatchBuilder::new(partition, PARTITIONS, offset);
    batch.push(offset, None, Some(key.as_bytes()), Some(&VALUE));
    let batch = Arc::new(batch.finish(offset.next()));
    let lineage = Lineage { position: offset.next(), ..Lineage::empty(1, 2) };
    done(store, StoreCall::Apply { generation: G1, batch, lineage });
}

fn key(number: u64, partition: Partition) -> String {
    (0..)
        .map(|salt| format!("{number}-{salt}"))
        .find(|key| partition_of(key.as_bytes(), PARTITIONS) == partition)
        .expect("some key is of that partition")
}

fn looked_up(view: &RocksView) -> Vec<Lineage> {
    Partition::all(PARTITIONS).map(|partition| view.lineage(partition).unwrap()).collect()
}

/// Looks again and again while batches are written. Returns the store when all are.
fn look_while_it_is_written(data: &Path, look: impl Fn(&RocksView)) -> RocksStore {
    let mut store = in_use(data);
    let views = store.views();
    let written = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for number in 0..BATCHES {
                apply(&mut store, number);
            }
            written.store(true, Ordering::Release);
        });
        while !written.load(Ordering::Acquire) {
            look(&views.view(G1).unwrap());
        }
    });
    store
}

fn is_known(view: &RocksView) -> bool {
    let sequence = view.snapshot.sequence_number();
    view.generation.latest().of_snapshot(sequence).is_some()
}

#[test]
fn what_is_known_of_a_snapshot_is_what_is_in_it_whatever_is_written_meanwhile() {
    let data = tempfile::tempdir().unwrap();
    let store = look_while_it_is_written(data.path(), |view| {
        assert_eq!(view.lineages().unwrap(), looked_up(view));
    });
    let view = store.views().view(G1).unwrap();
    assert!(is_known(&view), "nobody writes");
    assert_eq!(view.lineages().unwrap(), looked_up(&view));
}

/// Offset by offset, each record under a key of its own: a position tells which keys are there.
#[test]
fn rows_and_positions_of_a_snapshot_are_of_one_moment_whatever_is_written_meanwhile() {
    let data = tempfile::tempdir().unwrap();
    look_while_it_is_written(data.path(), |view| {
        for (partition, lineage) in Partition::all(PARTITIONS).zip(looked_up(view)) {
            let has = |offset: u64| {
                let number = offset * u64::from(PARTITIONS) + u64::from(partition.0);
                view.get(key(number, partition).as_bytes()).unwrap().is_some()
            };
            let Offset(position) = lineage.position;
            assert!(
                position == 0 || has(position - 1),
                "{partition} lacks what is before {position}"
            );
            assert!(!has(position), "{partition} has what comes at {position}");
        }
    });
}

#[test]
fn a_copy_that_is_opened_again_is_known_as_well() {
    let data = tempfile::tempdir().unwrap();
    let mut before = in_use(data.path());
    for number in 0..10 {
        apply(&mut before, number);
    }
    done(&mut before, StoreCall::Flush { generation: G1 });
    drop(before);
    let mut store = store(data.path());
    done(&mut store, StoreCall::Open { expected: identity() });
    let view = store.views().view(G1).unwrap();
    assert!(is_known(&view));
    assert_eq!(view.lineages().unwrap(), looked_up(&view));
    apply(&mut store, 10);
    assert!(!is_known(&view), "it is older than the last write");
    assert_eq!(view.lineages().unwrap(), looked_up(&view));
}

#[test]
fn a_row_that_only_the_disk_has_is_unknown_to_memory_until_it_was_read() {
    let data = tempfile::tempdir().unwrap();
    let mut before = in_use(data.path());
    // The first block of a partition was read with its lineage, when it was opened.
    for number in 0..30 {
        apply(&mut before, number);
    }
    let key = key(27, Partition(0));
    let in_memtable = before.views().view(G1).unwrap().get_in_memory(key.as_bytes()).unwrap();
    assert!(matches!(in_memtable, InMemory::Known(Some(_))), "{in_memtable:?}");
    done(&mut before, StoreCall::Flush { generation: G1 });
    drop(before);

    let mut store = store(data.path());
    done(&mut store, StoreCall::Open { expected: identity() });
    let view = store.views().view(G1).unwrap();
    assert_eq!(view.get_in_memory(key.as_bytes()), Ok(InMemory::Unknown));
    let row = view.get(key.as_bytes()).unwrap();
    assert!(row.is_some());
    assert_eq!(view.get_in_memory(key.as_bytes()), Ok(InMemory::Known(row)));
}
