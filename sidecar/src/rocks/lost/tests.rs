//! Two generations on a real disk, merged.

use outrigger_core::batch::BatchBuilder;
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Epoch, Offset, Partition};
use outrigger_core::partitioner::partition_of;
use outrigger_core::store::{StoreCall, StoreEvent, Why};
use outrigger_core::topic::{Identity, TopicId};
use serde_json::{Value, json};

use super::*;
use crate::rocks::{Resources, RocksStore};

const G1: Generation = Generation(1);
const G2: Generation = Generation(2);
const STORE: &str = "notes";

struct Copies {
    data: tempfile::TempDir,
    shared: Arc<Shared>,
    store: RocksStore,
    partitions: u32,
}

impl Copies {
    fn new(partitions: u32) -> Copies {
        let data = tempfile::tempdir().unwrap();
        let resources =
            Resources { block_cache_bytes: 1 << 20, load_bytes: 1 << 20, background_threads: 2 };
        let shared = Arc::new(Shared::new(resources));
        let store = RocksStore::new(data.path(), STORE, Arc::clone(&shared));
        Copies { data, shared, store, partitions }
    }

    fn done(&mut self, call: StoreCall) {
        match self.store.handle(call) {
            StoreEvent::Failed { call, error } => panic!("{call:?}: {error}"),
            StoreEvent::Found(_)
            | StoreEvent::Looked(_)
            | StoreEvent::Applied { .. }
            | StoreEvent::Pinned { .. }
            | StoreEvent::Done { .. } => {}
        }
    }

    /// A generation in use that read these records, each at the next offset, under this leader epoch from `start` on.
    fn fill(
        &mut self,
        generation: Generation,
        start: u64,
        epoch: u32,
        records: &[(&[u8], Option<&[u8]>)],
    ) {
        let topic = TopicId([7; 16]);
        let (store, cluster) = (STORE.to_owned(), "c".to_owned());
        let identity = Identity { store, cluster, topic, partitions: self.partitions };
        let lineage = Lineage { position: Offset(start), ..Lineage::empty(1, 2) };
        let lineages = vec![lineage.clone(); usize::try_from(self.partitions).unwrap()];
        self.done(StoreCall::Create { generation, identity, lineages });
        for partition in Partition::all(self.partitions) {
            let mut batch = BatchBuilder::new(partition, self.partitions, Offset(start));
            let own =
                records.iter().filter(|(key, _)| partition_of(key, self.partitions) == partition);
            for (offset, (key, value)) in (start..).zip(own) {
                batch.push(Offset(offset), Some(Epoch(epoch)), Some(key), *value);
            }
            let batch = Arc::new(batch.finish(Offset(start)));
            let lineage = lineage.after(&batch, true);
            self.done(StoreCall::Apply { generation, batch, lineage });
        }
        self.done(StoreCall::Flush { generation });
        self.done(StoreCall::Activate { generation });
    }

    fn set_aside(&mut self, why: Why) {
        self.done(StoreCall::Quarantine { generation: G1, why });
    }

    fn write(&self, ended: bool) -> Option<LostRows> {
        let live = self.store.views().view(G2).unwrap();
        write_lost(self.data.path(), STORE, G1, &live, &self.shared, &|| ended).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let [file] = &lost_files(self.data.path(), STORE).unwrap()[..] else { panic!("one file") };
        let text = fs::read_to_string(&file.path).unwrap();
        let lines: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(file.rows().unwrap(), u64::try_from(lines.len()).unwrap());
        lines
    }
}

fn lost() -> Why {
    Why::Lost("the log ends at 3".to_owned())
}

fn truncated() -> Copies {
    let mut copies = Copies::new(1);
    let before: [(&[u8], Option<&[u8]>); 7] = [
        (b"same", Some(b"1")),
        (b"changed", Some(b"1")),
        (b"deleted", Some(b"1")),
        (b"changed", Some(b"\xff\n2")),
        (b"deleted", None),
        (b"new\0", Some(b"")),
        (b"same again", Some(b"1")),
    ];
    copies.fill(G1, 0, 1, &before);
    copies.set_aside(lost());
    copies.fill(G2, 0, 1, &before[..3]);
    copies
}

#[test]
fn each_key_of_which_the_log_lost_something_is_a_line() {
    let copies = truncated();
    assert_eq!(unreported(copies.data.path(), STORE).unwrap(), [G1]);
    assert_eq!(copies.write(false), Some(LostRows { certain: 3, possible: 1 }));
    let at = |offset: u64| json!({ "offset": offset });
    let line = |loss: &str, key: &str, old: Value, new: Value| json!({ "loss": loss, "partition": 0, "key": key, "old": old, "new": new });
    let old = |offset: u64, value: &str| json!({ "offset": offset, "value": value });
    let expected = [
        line("certain", "changed", old(3, "\\xff\\n2"), at(1)),
        line("possible", "deleted", Value::Null, at(2)),
        line("certain", "new\\x00", old(5, ""), Value::Null),
        line("certain", "same again", old(6, "1"), Value::Null),
    ];
    assert_eq!(copies.lines(), expected);
    assert!(unreported(copies.data.path(), STORE).unwrap().is_empty(), "it is made once");
}

#[test]
fn what_is_interrupted_leaves_no_file_and_is_begun_again() {
    let copies = truncated();
    assert_eq!(copies.write(true), None);
    assert!(lost_files(copies.data.path(), STORE).unwrap().is_empty());
    assert_eq!(unreported(copies.data.path(), STORE).unwrap(), [G1]);
    assert!(copies.write(false).is_some());
}

#[test]
fn what_is_damaged_has_no_file() {
    let mut copies = Copies::new(1);
    copies.fill(G1, 0, 1, &[(b"k", Some(b"1"))]);
    copies.set_aside(Why::Damaged("a bad block".to_owned()));
    assert!(unreported(copies.data.path(), STORE).unwrap().is_empty());
}

#[test]
fn partitions_are_judged_each_by_its_own_history() {
    let keys: Vec<String> = (0..200).map(|number| format!("key {number}")).collect();
    let before: Vec<(&[u8], Option<&[u8]>)> =
        keys.iter().map(|key| (key.as_bytes(), Some(&b"1"[..]))).collect();
    let mut copies = Copies::new(3);
    copies.fill(G1, 0, 1, &before);
    copies.set_aside(lost());
    copies.fill(G2, 0, 2, &before[..150]);
    assert_eq!(copies.write(false), Some(LostRows { certain: 50, possible: 0 }));
    let lines = copies.lines();
    let mut lost: Vec<&str> = lines.iter().map(|line| line["key"].as_str().unwrap()).collect();
    let mut expected: Vec<&str> = keys[150..].iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert!(lost.is_sorted(), "{lost:?}");
    lost.sort_unstable();
    assert_eq!(lost, expected);
}
