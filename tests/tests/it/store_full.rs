//! A disk that has no space, made by a file-size limit in a child process.

use std::process::Command;
use std::sync::Arc;

use outrigger::rocks::RocksStore;
use outrigger_core::batch::{Batch, BatchBuilder};
use outrigger_core::conformance::store::identity;
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Generation, Offset, Partition};
use outrigger_core::store::{Found, StoreCall, StoreCallKind, StoreErrorKind, StoreEvent, View};
use outrigger_core::topic::Identity;

use crate::store_conformance::shared;

const CHILD: &str = "OUTRIGGER_TEST_FULL_DISK";
const G1: Generation = Generation(1);
const G2: Generation = Generation(2);

/// A value that does not compress.
fn noise(length: u64) -> Vec<u8> {
    let numbers = (0..length / 8)
        .map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ at.pow(2));
    numbers.flat_map(u64::to_le_bytes).collect()
}

fn one_partition() -> Identity {
    Identity { partitions: 1, ..identity() }
}

fn batch(from: Offset, value: &[u8]) -> Batch {
    let mut builder = BatchBuilder::new(Partition(0), 1, from);
    builder.push(from, None, Some(&from.0.to_be_bytes()), Some(value));
    builder.finish(from.next())
}

/// Every write beyond this many bytes of a file fails from now on; none: no limit again.
fn limit_files(bytes: Option<u64>) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only read and write the struct they are given.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit), 0);
        limit.rlim_cur = bytes.unwrap_or(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
}

#[test]
fn a_full_disk_is_named_loses_nothing_flushed_and_is_left_behind() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store_full::full_disk_child", "--ignored", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
}

#[test]
#[ignore = "the child of the test above: its limit must not meet other tests"]
fn full_disk_child() {
    std::env::var_os(CHILD).expect("started by the test above");
    // SAFETY: SIG_IGN installs no code that could run in a signal's context.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let data = tempfile::tempdir().unwrap();
    let mut store = RocksStore::new(data.path(), &identity().store, shared());
    let mut lineage = Lineage::empty(1_000, 60_000);
    done(&mut store, create(G1, &lineage));
    done(&mut store, StoreCall::Activate { generation: G1 });
    apply(&mut store, &mut lineage, b"flushed");
    done(&mut store, StoreCall::Flush { generation: G1 });
    let flushed = lineage.clone();

    limit_files(Some(64 << 10));
    apply(&mut store, &mut lineage, &noise(1 << 20));
    assert_eq!(
        failed(&mut store, StoreCall::Flush { generation: G1 }),
        (StoreCallKind::Flush, StoreErrorKind::Full)
    );
    let next = Arc::new(batch(lineage.position, b"after it failed"));
    let after = lineage.after(&next, true);
    let refused =
        failed(&mut store, StoreCall::Apply { generation: G1, batch: next, lineage: after });
    assert_eq!(refused, (StoreCallKind::Apply, StoreErrorKind::Full));
    let view = store.views().view(G1).expect("reads go on");
    assert_eq!(view.get(&0_u64.to_be_bytes()).unwrap().unwrap().value, b"flushed");
    assert_eq!(view.lineages().unwrap(), [lineage.clone()]);
    drop(view);

    limit_files(Some(16));
    assert_eq!(failed(&mut store, create(G2, &lineage)).1, StoreErrorKind::Full);

    limit_files(None);
    let found = store.handle(StoreCall::Open { expected: one_partition() });
    let StoreEvent::Found(Found::Copy(copy)) = found else { panic!("{found:?}") };
    assert_eq!(copy.building, None, "a failed create left something");
    let view = store.views().view(G1).expect("the copy is usable again");
    assert_eq!(view.lineages().unwrap(), std::slice::from_ref(&flushed));
    drop(view);
    lineage = flushed;
    apply(&mut store, &mut lineage, &noise(1 << 20));
    done(&mut store, StoreCall::Flush { generation: G1 });
    done(&mut store, create(copy.next, &lineage));
}

#[test]
fn a_rebuild_that_cannot_fit_beside_its_copy_is_not_begun() {
    let data = tempfile::tempdir().unwrap();
    let mut store = RocksStore::new(data.path(), &identity().store, shared());
    let lineage = Lineage::empty(1_000, 60_000);
    done(&mut store, create(G1, &lineage));
    done(&mut store, StoreCall::Activate { generation: G1 });
    // A file of holes: the copy looks larger than what is free, and takes nothing.
    let copy = data.path().join(&identity().store).join(G1.to_string());
    let hollow = copy.join("hollow");
    let free = outrigger::rocks::free_bytes(&copy).unwrap();
    std::fs::File::create(&hollow).unwrap().set_len(2 * free).unwrap();
    assert_eq!(
        failed(&mut store, create(G2, &lineage)),
        (StoreCallKind::Create, StoreErrorKind::Full)
    );
    std::fs::remove_file(&hollow).unwrap();
    done(&mut store, create(G2, &lineage));
}

fn create(generation: Generation, lineage: &Lineage) -> StoreCall {
    StoreCall::Create { generation, identity: one_partition(), lineages: vec![lineage.clone()] }
}

fn apply(store: &mut RocksStore, lineage: &mut Lineage, value: &[u8]) {
    let batch = Arc::new(batch(lineage.position, value));
    *lineage = lineage.after(&batch, true);
    done(store, StoreCall::Apply { generation: G1, batch, lineage: lineage.clone() });
}

fn done(store: &mut RocksStore, call: StoreCall) {
    let event = store.handle(call);
    assert!(matches!(event, StoreEvent::Done { .. } | StoreEvent::Applied { .. }), "{event:?}");
}

fn failed(store: &mut RocksStore, call: StoreCall) -> (StoreCallKind, StoreErrorKind) {
    match store.handle(call) {
        StoreEvent::Failed { call, error } => (call, error.kind),
        other => panic!("expected a failure, got {other:?}"),
    }
}
