//! The store on RocksDB passes the suite that the model passes.
//!
//! A crash is made inside of this process: the store is leaked as it is, and its files are copied while
//! it is still there. That needs no luck, but is not the real thing: `store_kill` is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger::rocks::{self, Resources, RocksStore, Shared};
use outrigger_core::conformance::store::{
    CASES, Damage, Fault, PARTITIONS, StoreUnderTest, identity,
};
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Generation, Partition, RequestId};
use outrigger_core::store::{
    Found, StoreCall, StoreCallKind, StoreError, StoreErrorKind, StoreEvent, View,
};
use outrigger_core::topic::Identity;
use tempfile::TempDir;

const OURS: &str = "nobody else touches the test's directory";

/// There is so little memory that loads are written in many runs.
pub(crate) fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(Resources {
        block_cache_bytes: 8 << 20,
        load_bytes: 4 << 10,
        background_threads: 2,
    }))
}

struct OnDisk {
    root: TempDir,
    /// Each crash continues with a copy of its own.
    crashes: u32,
    store: Option<RocksStore>,
    shared: Arc<Shared>,
}

impl OnDisk {
    fn new() -> OnDisk {
        OnDisk { root: tempfile::tempdir().expect(OURS), crashes: 0, store: None, shared: shared() }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join(format!("data-{}", self.crashes))
    }

    fn store_dir(&self) -> PathBuf {
        self.data().join(identity().store)
    }

    fn generation(&self, generation: Generation) -> PathBuf {
        self.store_dir().join(generation.to_string())
    }

    fn files(&self, generation: Generation) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.generation(generation)).expect(OURS);
        entries.map(|entry| entry.expect(OURS).path()).collect()
    }

    fn largest(&self, generation: Generation, extension: &str) -> PathBuf {
        let files = self.files(generation).into_iter();
        let of_kind = files.filter(|path| path.extension().is_some_and(|found| found == extension));
        let largest = of_kind.max_by_key(|path| fs::metadata(path).expect(OURS).len());
        largest.expect("a generation has files of every kind")
    }

    fn leave_half(&mut self, call: StoreCall) -> io::Result<()> {
        match call {
            StoreCall::Create { generation, .. } => {
                self.call(call);
                self.crash();
                let creating = self.store_dir().join(format!("creating-{generation}"));
                fs::rename(self.generation(generation), creating)
            }
            StoreCall::Adopt { .. } => {
                self.call(call);
                self.crash();
                Ok(())
            }
            StoreCall::Activate { generation } => {
                self.crash();
                // It is torn, as it is before it is synced.
                let half = &generation.to_string()[..1];
                fs::write(self.store_dir().join("CURRENT.new"), half)
            }
            StoreCall::Remove { generation } => {
                self.crash();
                let removing = self.store_dir().join(format!("removing-{generation}"));
                fs::remove_file(self.largest(generation, "sst"))?;
                fs::rename(self.generation(generation), removing)
            }
            StoreCall::Quarantine { generation, why } => {
                self.crash();
                fs::write(self.generation(generation).join("WHY"), why.to_string())
            }
            other => panic!("{other:?} has no half"),
        }
    }

    fn kept_volume(&self) -> PathBuf {
        self.root.path().join("kept")
    }

    /// Copies what is on disk; nothing where there is no volume yet.
    fn copy_volume(&self, from: &Path, to: &Path) {
        assert!(self.store.is_none(), "the volume of a running store is not exchanged");
        if to.exists() {
            fs::remove_dir_all(to).expect(OURS);
        }
        if from.exists() {
            copy_as_it_is(from, to);
        }
    }

    fn do_damage(&self, damage: Damage) -> io::Result<()> {
        let identity = self.store_dir().join("IDENTITY");
        match damage {
            Damage::Identity => fs::write(identity, b"format = 1\nstore = \xff\xfe"),
            Damage::NoIdentity => fs::remove_file(identity),
            Damage::Current => fs::write(self.store_dir().join("CURRENT"), b"g"),
            Damage::Format(generation) => {
                fs::write(self.generation(generation).join("FORMAT"), "format = 999\n")
            }
            Damage::Index(generation) => {
                let mut files = self.files(generation).into_iter();
                let manifest = files.find(|path| path.to_string_lossy().contains("MANIFEST-"));
                overwrite_middle(&manifest.expect("every database has one"))
            }
            Damage::MissingFile(generation) => fs::remove_file(self.largest(generation, "sst")),
            Damage::Rows(generation) => overwrite_middle(&self.largest(generation, "sst")),
        }
    }
}

impl StoreUnderTest for OnDisk {
    fn call(&mut self, call: StoreCall) -> StoreEvent {
        let (data, shared) = (self.data(), &self.shared);
        let open = || RocksStore::new(&data, &identity().store, Arc::clone(shared));
        self.store.get_or_insert_with(open).handle(call)
    }

    fn view(&self, generation: Generation) -> Option<Box<dyn View>> {
        let view = self.store.as_ref()?.views().view(generation)?;
        Some(Box::new(view))
    }

    fn pinned(&self, pin: RequestId) -> Option<Box<dyn View>> {
        let view = self.store.as_ref()?.views().pinned(pin)?;
        Some(Box::new(view))
    }

    fn crash(&mut self) {
        let before = self.data();
        self.crashes += 1;
        if before.exists() {
            copy_as_it_is(&before, &self.data());
        }
        std::mem::forget(self.store.take());
    }

    fn stop(&mut self) {
        self.store = None;
    }

    fn crash_during(&mut self, call: StoreCall) {
        self.leave_half(call).expect(OURS);
    }

    fn keep_volume(&mut self) {
        self.copy_volume(&self.data(), &self.kept_volume());
    }

    fn mount_kept_volume(&mut self) {
        self.copy_volume(&self.kept_volume(), &self.data());
    }

    fn place_fetched(&mut self, generation: Generation, from: Generation, is: Identity) {
        assert!(self.store.is_none(), "a generation is copied while nobody writes to it");
        let elsewhere = tempfile::tempdir().expect(OURS);
        let begun = rocks::begin_fetch(elsewhere.path(), &is.store, generation, &is).expect(OURS);
        let fetched = self.store_dir().join(begun.file_name().expect("it is named"));
        if fetched.exists() {
            fs::remove_dir_all(&fetched).expect(OURS);
        }
        copy_as_it_is(&self.generation(from), &fetched);
        for own in fs::read_dir(&begun).expect(OURS) {
            let own = own.expect(OURS);
            fs::copy(own.path(), fetched.join(own.file_name())).expect(OURS);
        }
    }

    fn damage(&mut self, damage: Damage) {
        assert!(
            self.store.is_none(),
            "only the disk of a stopped store can be damaged from outside"
        );
        self.do_damage(damage).expect(OURS);
    }

    fn arm(&mut self, fault: Fault) {
        unreachable!("{fault:?}: a real disk refuses in `store_full` only");
    }
}

fn overwrite_middle(path: &Path) -> io::Result<()> {
    let mut bytes = fs::read(path)?;
    let middle = bytes.len() / 3;
    for byte in &mut bytes[middle..middle + 16] {
        *byte ^= 0xa5;
    }
    fs::write(path, bytes)
}

/// Copies everything as it is at one moment: again until nothing (a compaction, say) changed meanwhile.
fn copy_as_it_is(from: &Path, to: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let before = sizes(from);
        let copied = before.keys().try_for_each(|file| {
            let target = to.join(file);
            fs::create_dir_all(target.parent().expect("it is below `to`"))?;
            fs::copy(from.join(file), target).map(|_| ())
        });
        if copied.is_ok() && sizes(from) == before && sizes(to) == before {
            return;
        }
        assert!(Instant::now() < deadline, "{} does not come to rest", from.display());
        fs::remove_dir_all(to).expect(OURS);
    }
}

/// Every file below `root` with its size.
fn sizes(root: &Path) -> BTreeMap<PathBuf, u64> {
    let mut sizes = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        // A directory or file that is gone by now is simply not there.
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                directories.push(entry.path());
            } else {
                let path = entry.path().strip_prefix(root).expect("it is below").to_owned();
                sizes.insert(path, metadata.len());
            }
        }
    }
    sizes
}

#[test]
fn rocksdb_conforms() {
    for case in CASES {
        println!("{}", case.name);
        (case.run)(&mut OnDisk::new());
    }
}

#[test]
fn a_file_where_the_store_should_be_fails_open_and_stays() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join(identity().store);
    fs::write(&file, "mine").unwrap();
    let mut store = RocksStore::new(data.path(), &identity().store, shared());
    let event = store.handle(StoreCall::Open { expected: identity() });
    let StoreEvent::Failed { error, .. } = event else { panic!("{event:?}") };
    assert!(error.detail.contains("move it away"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn the_options_that_keep_unconfirmed_rows_off_the_disk_reach_rocksdb() {
    let mut disk = OnDisk::new();
    disk.call(StoreCall::Open { expected: identity() });
    created(&mut disk);
    let mut files = disk.files(Generation(1)).into_iter();
    let options = files.find(|path| path.to_string_lossy().contains("OPTIONS-")).unwrap();
    let options = fs::read_to_string(options).unwrap();
    for option in [
        "avoid_flush_during_shutdown=true",
        "max_bgerror_resume_count=0",
        "db_write_buffer_size=0",
        "write_buffer_size=2147483648",
        "atomic_flush=false",
        "paranoid_checks=true",
        "max_open_files=-1",
    ] {
        assert!(options.contains(option), "{option} is not in {options}");
    }
}

fn created(disk: &mut OnDisk) {
    let lineages = vec![Lineage::empty(0, 1); Partition(PARTITIONS).index()];
    disk.call(StoreCall::Create { generation: Generation(1), identity: identity(), lineages });
}

fn open_error(disk: &mut OnDisk) -> StoreError {
    match disk.call(StoreCall::Open { expected: identity() }) {
        StoreEvent::Failed { call: StoreCallKind::Open, error } => error,
        other => panic!("Open answered {other:?}"),
    }
}

#[test]
fn open_waits_for_readers_of_what_was_closed_and_then_says_so() {
    let mut disk = OnDisk::new();
    created(&mut disk);
    let view = disk.view(Generation(1)).expect("created generations are open");
    let error = open_error(&mut disk);
    assert!(
        error.kind == StoreErrorKind::Held && error.detail.contains("g1 cannot be opened again"),
        "{error}"
    );
    assert_eq!(view.lineages().unwrap().len(), Partition(PARTITIONS).index());
    drop(view);
    let event = disk.call(StoreCall::Open { expected: identity() });
    assert!(matches!(event, StoreEvent::Found(Found::Copy(_))), "{event:?}");
}

/// `outrigger dev` stops and starts nodes inside of one process.
#[test]
fn a_second_store_on_the_same_directory_waits_for_the_readers_of_the_first() {
    let mut disk = OnDisk::new();
    created(&mut disk);
    let view = disk.view(Generation(1)).expect("created generations are open");
    disk.stop();
    assert_eq!(open_error(&mut disk).kind, StoreErrorKind::Held);
    drop(view);
    let event = disk.call(StoreCall::Open { expected: identity() });
    assert!(matches!(event, StoreEvent::Found(Found::Copy(_))), "{event:?}");
}
