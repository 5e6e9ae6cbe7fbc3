//! A process that writes to its store is killed with SIGKILL, again and again, at any moment.
//!
//! The child is this test binary itself, at the tests that end in `_child`; it says on its standard
//! output what was acknowledged. What a record is follows from its partition and offset alone, so that
//! what any position must hold is known without the child's help.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use outrigger::rocks::RocksStore;
use outrigger_core::batch::{Batch, BatchBuilder};
use outrigger_core::conformance::store::{PARTITIONS, identity};
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Epoch, Generation, Offset, Partition, Revision};
use outrigger_core::partitioner::partition_of;
use outrigger_core::store::{
    Found, FoundCopy, GenerationState, Row, Scan, StoreCall, StoreEvent, View, Why,
};

use crate::store_conformance::shared;

const DATA: &str = "OUTRIGGER_TEST_DATA";
const ROUNDS: u64 = 12;
const SMALL: &str = "numbers here are small";
const CHILD: &str = "the child runs until it is killed";

/// The keys that are written, by partition.
struct Keys(Vec<Vec<Vec<u8>>>);

impl Keys {
    fn new() -> Keys {
        let mut keys = vec![Vec::new(); Partition(PARTITIONS).index()];
        for number in 0_u32..300 {
            let key = format!("key-{number}").into_bytes();
            keys[partition_of(&key, PARTITIONS).index()].push(key);
        }
        Keys(keys)
    }

    fn record(&self, partition: Partition, offset: Offset) -> (&[u8], Option<Vec<u8>>) {
        let dice = mix(offset.0 * 31 + u64::from(partition.0));
        let keys = &self.0[partition.index()];
        let key = &keys[usize::try_from(dice).expect(SMALL) % keys.len()];
        let length = usize::try_from(dice >> 20).expect(SMALL) % 900;
        let value = (!dice.is_multiple_of(5))
            .then(|| offset.0.to_le_bytes().into_iter().cycle().take(length).collect());
        (key, value)
    }

    /// The batch that begins at `from`: where it ends follows from where it begins.
    fn batch(&self, partition: Partition, from: Offset) -> Batch {
        let mut builder = BatchBuilder::new(partition, PARTITIONS, from);
        let mut offset = from;
        for _ in 0..1 + mix(from.0) % 30 {
            let (key, value) = self.record(partition, offset);
            let epoch = Epoch(u32::try_from(offset.0 / 5_000).expect(SMALL));
            builder.push(offset, Some(epoch), Some(key), value.as_deref());
            offset = offset.next();
        }
        builder.finish(offset)
    }

    /// What a partition holds at `position`, which some batch must end at.
    fn fold(&self, partition: Partition, position: Offset) -> (Lineage, BTreeMap<Vec<u8>, Row>) {
        let (mut lineage, mut rows) = (first_lineage(), BTreeMap::new());
        while lineage.position < position {
            let batch = self.batch(partition, lineage.position);
            for record in batch.records() {
                let revision = Revision { partition, offset: record.offset };
                match record.value {
                    Some(value) => {
                        rows.insert(record.key.to_vec(), Row { revision, value: value.to_vec() })
                    }
                    None => rows.remove(record.key),
                };
            }
            lineage = lineage.after(&batch, true);
        }
        (lineage, rows)
    }
}

fn first_lineage() -> Lineage {
    Lineage::empty(1_000, 60_000)
}

/// SplitMix64's last step.
fn mix(number: u64) -> u64 {
    let number = (number.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ (number >> 30))
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn store(data: &Path) -> RocksStore {
    RocksStore::new(data, &identity().store, shared())
}

fn open(store: &mut RocksStore) -> Found {
    match store.handle(StoreCall::Open { expected: identity() }) {
        StoreEvent::Found(found) => found,
        other => panic!("Open answered {other:?}"),
    }
}

fn create(store: &mut RocksStore, generation: Generation) {
    let lineages = vec![first_lineage(); Partition(PARTITIONS).index()];
    done(store, StoreCall::Create { generation, identity: identity(), lineages });
}

fn done(store: &mut RocksStore, call: StoreCall) {
    let event = store.handle(call);
    assert!(matches!(event, StoreEvent::Done { .. } | StoreEvent::Applied { .. }), "{event:?}");
}

fn apply(
    store: &mut RocksStore,
    keys: &Keys,
    generation: Generation,
    partition: Partition,
    lineage: &mut Lineage,
) {
    let batch = Arc::new(keys.batch(partition, lineage.position));
    *lineage = lineage.after(&batch, true);
    done(store, StoreCall::Apply { generation, batch, lineage: lineage.clone() });
}

/// Checks that an intact generation has the contents that its lineages say. Returns these.
fn check(
    store: &RocksStore,
    keys: &Keys,
    generation: Generation,
    state: &GenerationState,
) -> Vec<Lineage> {
    let GenerationState::Intact(lineages) = state else { panic!("{generation} is {state:?}") };
    let view = store.views().view(generation).expect("an intact generation is open");
    let mut found: Vec<BTreeMap<Vec<u8>, Row>> = vec![BTreeMap::new(); lineages.len()];
    view.scan(b"", None, false, &mut |key, revision, value| {
        let row = Row { revision, value: value.to_vec() };
        found[revision.partition.index()].insert(key.to_vec(), row);
        Scan::Continue
    })
    .expect("an undamaged copy can be read");
    for (partition, (lineage, found)) in Partition::all(PARTITIONS).zip(lineages.iter().zip(found))
    {
        let (expected, rows) = keys.fold(partition, lineage.position);
        assert_eq!(*lineage, expected, "a position inside of a batch, or another history");
        assert!(found == rows, "partition {partition} at {} holds other rows", lineage.position);
    }
    lineages.clone()
}

/// Runs `test` of this binary on `data` and kills it after it said `lines` lines. Returns all that it ever said.
fn run_and_kill(test: &str, data: &Path, lines: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().expect(CHILD))
        .args(["--exact", &format!("store_kill::{test}"), "--ignored", "--nocapture"])
        .env(DATA, data)
        .stdout(Stdio::piped())
        .spawn()
        .expect(CHILD);
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().expect(CHILD)).lines() {
        let line = line.expect(CHILD);
        if let Some(line) = line.strip_prefix("> ") {
            said.push(line.to_owned());
            if u64::try_from(said.len()).expect(SMALL) == lines {
                child.kill().expect(CHILD);
            }
        }
    }
    let status = child.wait().expect(CHILD);
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(libc::SIGKILL),
        "{status}: {said:?}"
    );
    said
}

/// Begins a line of its own: the test harness leaves that line unfinished which it began.
fn say(text: &str) {
    println!("\n> {text}");
}

fn data_of_child() -> PathBuf {
    std::env::var_os(DATA).expect("started by the test of the same name").into()
}

#[test]
fn after_kill_9_each_partition_holds_a_prefix_and_all_that_was_flushed() {
    kill_while_writing("writing_child");
}

#[test]
fn after_kill_9_a_load_holds_a_prefix_and_all_that_was_flushed() {
    kill_while_writing("loading_child");
}

fn kill_while_writing(child: &str) {
    let data = tempfile::tempdir().expect(CHILD);
    let keys = Keys::new();
    let mut flushed = vec![Offset::ZERO; Partition(PARTITIONS).index()];
    for round in 0..ROUNDS {
        let said = run_and_kill(child, data.path(), 1 + mix(round) % 700);
        let mut applied = flushed.clone();
        for line in &said {
            match line.split_once(' ') {
                Some((partition, position)) => {
                    let partition = Partition(partition.parse().expect(CHILD));
                    applied[partition.index()] = Offset(position.parse().expect(CHILD));
                }
                None => flushed = applied.clone(),
            }
        }
        let mut store = store(data.path());
        let (found, next) = match open(&mut store) {
            Found::Copy(FoundCopy { current: Some(found), building: None, next })
            | Found::Copy(FoundCopy { current: None, building: Some(found), next }) => {
                (found, next)
            }
            other => panic!("the generation is gone: {other:?}"),
        };
        assert_eq!((found.generation, next), (Generation(1), Generation(2)));
        let lineages = check(&store, &keys, Generation(1), &found.state);
        for (flushed, lineage) in flushed.iter_mut().zip(lineages) {
            assert!(lineage.position >= *flushed, "flushed {flushed}, found {}", lineage.position);
            *flushed = lineage.position;
        }
    }
    assert!(flushed.iter().all(|position| *position > Offset::ZERO), "nothing was ever flushed");
}

#[test]
#[ignore = "the child of the test above"]
fn writing_child() {
    write_until_killed(|store, generation| done(store, StoreCall::Activate { generation }));
}

#[test]
#[ignore = "the child of the test above"]
fn loading_child() {
    write_until_killed(|_, _| {});
}

fn write_until_killed(created: fn(&mut RocksStore, Generation)) {
    let mut store = store(&data_of_child());
    let keys = Keys::new();
    let generation = Generation(1);
    if open(&mut store) == Found::Nothing {
        create(&mut store, generation);
        created(&mut store, generation);
    }
    say("begun");
    let view = store.views().view(generation).expect(CHILD);
    let mut lineages = view.lineages().expect(CHILD);
    drop(view);
    for step in 0_u64.. {
        let partition = Partition(u32::try_from(mix(step) % u64::from(PARTITIONS)).expect(SMALL));
        let lineage = &mut lineages[partition.index()];
        apply(&mut store, &keys, generation, partition, lineage);
        say(&format!("{partition} {}", lineage.position));
        if step % 50 == 49 {
            done(&mut store, StoreCall::Flush { generation });
            say("flushed");
        }
    }
}

#[test]
fn after_kill_9_the_generations_are_those_before_or_after_the_call() {
    let data = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    let mut activated = Generation(0);
    for round in 0..ROUNDS {
        let said = run_and_kill("generations_child", data.path(), 1 + mix(round) % 12);
        let last = said.iter().rev().find_map(|line| line.strip_prefix("activated "));
        activated = last.map_or(activated, |number| Generation(number.parse().unwrap()));
        let mut store = store(data.path());
        let found = open(&mut store);
        let Found::Copy(FoundCopy { current, building, next }) = found else {
            assert_eq!((found, activated), (Found::Nothing, Generation(0)));
            continue;
        };
        let number = current.as_ref().map_or(Generation(0), |current| current.generation);
        let after_next = Generation(activated.0 + 1);
        assert!(
            number == activated || number == after_next,
            "{activated} was activated, {number} is current"
        );
        activated = number;
        for found in current.iter().chain(&building) {
            let lineages = check(&store, &keys, found.generation, &found.state);
            let complete = lineages.iter().all(|lineage| lineage.position > Offset::ZERO);
            assert!(
                complete || Some(found) == building.as_ref(),
                "activated before it was flushed"
            );
            assert!(next > found.generation);
        }
    }
    assert!(activated > Generation(2), "the rounds must get somewhere");
}

#[test]
#[ignore = "the child of the test above"]
fn generations_child() {
    let mut store = store(&data_of_child());
    let keys = Keys::new();
    let (mut current, mut building, mut next) = match open(&mut store) {
        Found::Nothing => (None, None, Generation(1)),
        Found::Foreign { is } => panic!("{is}"),
        Found::Copy(FoundCopy { current, building, next }) => {
            let number = |found: &outrigger_core::store::FoundGeneration| found.generation;
            (current.as_ref().map(number), building.as_ref().map(number), next)
        }
    };
    say("opened");
    loop {
        let generation = building.take().unwrap_or_else(|| {
            create(&mut store, next);
            say("created");
            next
        });
        next = Generation(next.0.max(generation.0 + 1));
        let view = store.views().view(generation).unwrap();
        let lineages = view.lineages().unwrap();
        drop(view);
        for (partition, mut lineage) in Partition::all(PARTITIONS).zip(lineages) {
            apply(&mut store, &keys, generation, partition, &mut lineage);
        }
        done(&mut store, StoreCall::Flush { generation });
        say("filled");
        done(&mut store, StoreCall::Activate { generation });
        say(&format!("activated {}", generation.0));
        match current.replace(generation) {
            Some(before) if before.0.is_multiple_of(2) => {
                done(&mut store, StoreCall::Remove { generation: before });
                say("removed");
            }
            Some(before) => {
                done(
                    &mut store,
                    StoreCall::Quarantine {
                        generation: before,
                        why: Why::Damaged("replaced".into()),
                    },
                );
                say("set aside");
            }
            None => {}
        }
    }
}
