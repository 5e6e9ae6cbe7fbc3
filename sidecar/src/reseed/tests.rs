//! Copies that may not be written into a topic: refused before Kafka is asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use outrigger_core::lineage::Lineage;
use outrigger_core::store::{StoreCall, StoreEvent, Why};
use outrigger_core::topic::TopicId;

use super::*;
use crate::exit::Exit;
use crate::rocks::{Resources, RocksStore, SourceError};

const G1: Generation = Generation(1);

fn lineage(position: u64, exact_from: u64) -> Lineage {
    let (position, exact_from) = (Offset(position), Offset(exact_from));
    Lineage { position, exact_from, ..Lineage::empty(1, 2) }
}

/// Makes a generation by these calls, as a process that has ended left it.
fn made(data: &Path, lineages: Vec<Lineage>, calls: Vec<StoreCall>) {
    let resources =
        Resources { block_cache_bytes: 1 << 20, load_bytes: 1 << 20, background_threads: 2 };
    let mut store = RocksStore::new(data, "notes", Arc::new(Shared::new(resources)));
    let partitions = u32::try_from(lineages.len()).unwrap();
    let (name, cluster) = ("notes".to_owned(), "c".to_owned());
    let identity = Identity { store: name, cluster, topic: TopicId([7; 16]), partitions };
    let create = StoreCall::Create { generation: G1, identity, lineages };
    for call in [vec![create], calls].concat() {
        let event = store.handle(call);
        assert!(matches!(event, StoreEvent::Done { .. }), "{event:?}");
    }
}

fn refused(data: &Path, from: Option<Generation>) -> ReseedError {
    let bootstrap = "127.0.0.1:1".to_owned();
    let request = Request {
        data: data.to_owned(),
        store: StoreName::parse("notes").unwrap(),
        kafka: KafkaConfig { bootstrap, properties: BTreeMap::new() },
        topic: TopicName::parse("new").unwrap(),
        from,
        create: Some(None),
    };
    Prepared::new(request).err().expect("nothing of this may be written")
}

const ACTIVATE: StoreCall = StoreCall::Activate { generation: G1 };

#[test]
fn a_directory_without_the_store_is_named_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let error = refused(&missing, None);
    assert!(matches!(error, ReseedError::NoCopy { .. }), "{error}");
    assert!(error.exit() == Exit::Usage && !missing.exists());
}

#[test]
fn a_copy_that_may_lack_records_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), vec![lineage(9, 0), lineage(5, 6)], vec![ACTIVATE]);
    let error = refused(dir.path(), None);
    let ReseedError::NotExact { partition, position, exact_from, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((partition, position, exact_from), (Partition(1), Offset(5), Offset(6)));
}

#[test]
fn a_rebuild_that_never_ended_is_refused_even_by_name() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), vec![lineage(9, 0)], Vec::new());
    let error = refused(dir.path(), None);
    let ReseedError::Source(SourceError::NotFinished { there }) = &error else { panic!("{error}") };
    assert_eq!((there.as_str(), error.exit()), ("g1", Exit::Refused));
    let error = refused(dir.path(), Some(G1));
    assert!(matches!(error, ReseedError::Source(SourceError::NotHere { .. })), "{error}");
}

#[test]
fn what_was_set_aside_is_taken_by_name_only() {
    let dir = tempfile::tempdir().unwrap();
    let aside = StoreCall::Quarantine { generation: G1, why: Why::Lost("it ends".to_owned()) };
    made(dir.path(), vec![lineage(5, 6)], vec![ACTIVATE, aside]);
    let error = refused(dir.path(), None);
    assert!(error.to_string().contains("g1 (set aside)"), "{error}");
    let error = refused(dir.path(), Some(G1));
    assert!(matches!(error, ReseedError::NotExact { .. }), "it is opened: {error}");
}

#[test]
fn a_copy_that_cannot_be_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), vec![lineage(9, 0)], vec![ACTIVATE]);
    fs::write(dir.path().join("notes/g1/CURRENT"), "MANIFEST-999999\n").unwrap();
    let error = refused(dir.path(), None);
    assert!(matches!(error, ReseedError::Source(SourceError::Unusable { .. })), "{error}");
    assert_eq!(error.exit(), Exit::Refused);
}

#[test]
fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), vec![lineage(9, 0)], vec![ACTIVATE]);
    let _held = DataDir::lock(dir.path()).unwrap();
    assert_eq!(refused(dir.path(), None).exit(), Exit::DataDirectory);
}
