//! What the store model can do to a node beyond the seam's own suite, and that it does no more than that.

#![forbid(unsafe_code)]

use std::sync::Arc;

use outrigger_core::batch::BatchBuilder;
use outrigger_core::conformance::store::{Damage, Fault, PARTITIONS, identity};
use outrigger_core::digest::Digest;
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Generation, Offset, Partition};
use outrigger_core::partitioner::partition_of;
use outrigger_core::store::{
    Found, FoundCopy, FoundGeneration, GenerationState, StoreCall, StoreCallKind, StoreErrorKind,
    StoreEvent, View, Why,
};
use outrigger_core::topic::{Identity, TopicId};
use outrigger_model::store::{Image, StoreModel};

const G1: Generation = Generation(1);
const G2: Generation = Generation(2);
const NOTHING: fn(Generation, Partition, usize) -> usize = |_, _, _| 0;

fn create(generation: Generation) -> StoreCall {
    let lineages = vec![Lineage::empty(1_000, 60_000); Partition::all(PARTITIONS).count()];
    StoreCall::Create { generation, identity: identity(), lineages }
}

fn quarantine(generation: Generation) -> StoreCall {
    StoreCall::Quarantine { generation, why: Why::Damaged("a bad block".into()) }
}

fn done(store: &mut StoreModel, call: StoreCall) {
    let event = store.handle(call);
    assert!(!matches!(event, StoreEvent::Failed { .. }), "{event:?}");
}

fn failed(store: &mut StoreModel, call: StoreCall) -> StoreErrorKind {
    match store.handle(call) {
        StoreEvent::Failed { error, .. } => error.kind,
        other => panic!("expected a failure, got {other:?}"),
    }
}

fn open(store: &mut StoreModel) -> FoundCopy {
    match store.handle(StoreCall::Open { expected: identity() }) {
        StoreEvent::Found(Found::Copy(copy)) => copy,
        other => panic!("expected a copy, got {other:?}"),
    }
}

fn numbers(store: &mut StoreModel) -> (Option<Generation>, Option<Generation>) {
    let number = |found: Option<FoundGeneration>| found.map(|found| found.generation);
    let FoundCopy { current, building, .. } = open(store);
    (number(current), number(building))
}

/// Writes a key where the copy ends.
fn put(store: &mut StoreModel, generation: Generation, key: &str, value: &str) {
    let partition = partition_of(key.as_bytes(), PARTITIONS);
    let live = store.open_generations().find(|live| live.generation == generation);
    let lineage = live.expect("it is open").live[partition.index()].lineage().clone();
    let mut builder = BatchBuilder::new(partition, PARTITIONS, lineage.position);
    builder.push(lineage.position, None, Some(key.as_bytes()), Some(value.as_bytes()));
    let batch = builder.finish(lineage.position.next());
    let lineage = lineage.after(&batch, true);
    done(store, StoreCall::Apply { generation, batch: Arc::new(batch), lineage });
}

/// g1 is current and holds three flushed rows.
fn current() -> StoreModel {
    let mut store = StoreModel::default();
    done(&mut store, create(G1));
    done(&mut store, StoreCall::Activate { generation: G1 });
    for key in ["a", "b", "c"] {
        put(&mut store, G1, key, "1");
    }
    done(&mut store, StoreCall::Flush { generation: G1 });
    store
}

fn two() -> StoreModel {
    let mut store = current();
    done(&mut store, create(G2));
    store
}

fn value(store: &StoreModel, key: &str) -> Result<String, StoreErrorKind> {
    let row = store.view(G1).expect("g1 is open").get(key.as_bytes());
    let row = row.map_err(|error| error.kind)?.expect("it was written");
    Ok(String::from_utf8(row.value).expect("it was written as text"))
}

fn durable_rows(store: &StoreModel) -> usize {
    let partitions = store.generations().flat_map(|stored| stored.durable);
    partitions.map(|contents| contents.rows().len()).sum()
}

#[test]
fn what_is_durable_and_what_is_only_seen_can_be_told_apart() {
    let mut store = current();
    put(&mut store, G1, "d", "1");
    let partition = partition_of(b"d", PARTITIONS);
    let [stored] = store.generations().collect::<Vec<_>>()[..] else { panic!("one") };
    let [live] = store.open_generations().collect::<Vec<_>>()[..] else { panic!("one") };
    assert!(stored.current && stored.sound && !live.failed);
    let [durable, live] = [stored.durable, live.live].map(|side| &side[partition.index()]);
    assert_eq!(durable.lineage().position.next(), live.lineage().position);
    assert_eq!(durable.rows().len() + 1, live.rows().len());
    assert_eq!(store.unflushed(G1, partition), 1);
    store.crash(NOTHING);
    assert_eq!((durable_rows(&store), store.open_generations().count()), (3, 0));
}

#[test]
fn an_image_is_the_volume_of_its_moment_whatever_comes_after() {
    let mut store = current();
    put(&mut store, G1, "unflushed", "1");
    let image = store.image();
    put(&mut store, G1, "a", "2");
    done(&mut store, StoreCall::Flush { generation: G1 });
    store.crash(NOTHING);
    assert_eq!(durable_rows(&store), 4);
    store.mount(image.clone());
    assert_eq!(numbers(&mut store), (Some(G1), None));
    assert_eq!((durable_rows(&store), value(&store, "a")), (3, Ok("1".into())));
    let mut elsewhere = StoreModel::default();
    elsewhere.mount(image);
    assert_eq!(numbers(&mut elsewhere), (Some(G1), None));
}

#[test]
fn a_foreign_volume_is_refused_and_stays_as_it_was() {
    let others = [
        Identity { store: "invoices".into(), ..identity() },
        Identity { cluster: "kafka-2".into(), ..identity() },
        Identity { topic: TopicId([8; 16]), ..identity() },
    ];
    for other in others {
        let mut store = StoreModel::default();
        store.mount(current().image().of_another(other.clone()));
        // Whose it is can be read from a disk without space, too.
        store.arm(Fault::Full);
        let found = store.handle(StoreCall::Open { expected: identity() });
        assert_eq!(found, StoreEvent::Found(Found::Foreign { is: other.to_string() }));
        assert!(store.view(G1).is_none());
        assert_eq!((store.identity(), durable_rows(&store)), (Some(&other), 3));
    }
}

#[test]
fn a_wiped_volume_is_nothing() {
    let mut store = current();
    store.crash(NOTHING);
    store.mount(Image::default());
    let found = store.handle(StoreCall::Open { expected: identity() });
    assert_eq!(found, StoreEvent::Found(Found::Nothing));
}

#[test]
#[should_panic(expected = "the volume of a running process")]
fn the_volume_of_a_running_process_is_not_exchanged() {
    current().mount(Image::default());
}

#[test]
fn a_clone_goes_its_own_way() {
    let mut store = current();
    let mut other = store.clone();
    put(&mut store, G1, "a", "2");
    assert_eq!(value(&other, "a"), Ok("1".into()));
    put(&mut other, G1, "a", "3");
    assert_eq!(value(&store, "a"), Ok("2".into()));
}

#[test]
fn a_rotten_row_is_met_by_whoever_reads_it_and_by_nobody_else() {
    let mut store = current();
    let key = String::from_utf8(store.rot_row(G1, 4).unwrap()).unwrap();
    for other in ["a", "b", "c"].into_iter().filter(|other| *other != key) {
        assert_eq!(value(&store, other), Ok("1".into()));
    }
    assert_eq!(value(&store, &key), Err(StoreErrorKind::Corrupt));
    let digest = |store: &StoreModel| Digest::of(&store.view(G1).unwrap());
    assert_eq!(digest(&store).unwrap_err().kind, StoreErrorKind::Corrupt);
    store.crash(NOTHING);
    let image = store.image();
    assert!(image.generations().all(|stored| !stored.sound));
    store.mount(image);
    assert_eq!(numbers(&mut store), (Some(G1), None));
    assert_eq!(value(&store, &key), Err(StoreErrorKind::Corrupt));
    put(&mut store, G1, &key, "2");
    assert_eq!(value(&store, &key), Ok("2".into()));
    assert!(digest(&store).is_ok());
}

#[test]
fn there_is_nothing_to_rot_in_an_empty_copy() {
    let mut store = StoreModel::default();
    done(&mut store, create(G1));
    assert_eq!(store.rot_row(G1, 7), None);
}

#[test]
fn damage_to_what_is_open_is_found_when_it_is_opened_again() {
    for damage in [Damage::Index(G1), Damage::MissingFile(G1), Damage::Format(G1)] {
        let mut store = current();
        store.damage(damage);
        assert_eq!(value(&store, "a"), Ok("1".into()));
        put(&mut store, G1, "d", "1");
        done(&mut store, StoreCall::Flush { generation: G1 });
        let state = open(&mut store).current.unwrap().state;
        assert!(!matches!(state, GenerationState::Intact(_)), "{state:?}");
        assert!(store.view(G1).is_none());
    }
}

#[test]
fn a_half_removed_generation_does_not_come_back() {
    let mut store = two();
    store.arm(Fault::Next(StoreCallKind::Remove, StoreErrorKind::Io));
    store.tear_next(StoreCallKind::Remove, 1);
    done(&mut store, StoreCall::Remove { generation: G2 });
    assert!(store.halves().contains(&G2));
    assert_eq!(numbers(&mut store), (Some(G1), None));
    assert!(store.halves().is_empty());
    done(&mut store, StoreCall::Remove { generation: G1 });
    assert!(store.halves().is_empty());
    for steps in 1..4 {
        let mut store = two();
        store.crash_during(StoreCall::Remove { generation: G2 }, steps, NOTHING);
        assert_eq!(numbers(&mut store), (Some(G1), None));
    }
    let mut store = two();
    store.crash_during(StoreCall::Remove { generation: G2 }, 0, NOTHING);
    assert_eq!(numbers(&mut store), (Some(G1), Some(G2)));
}

#[test]
fn current_is_the_old_one_or_the_new_one() {
    for (steps, expected) in [(0, (Some(G1), Some(G2))), (1, (Some(G2), None))] {
        let mut store = two();
        store.crash_during(StoreCall::Activate { generation: G2 }, steps, NOTHING);
        assert_eq!(numbers(&mut store), expected);
        let mut store = two();
        store.arm(Fault::Next(StoreCallKind::Activate, StoreErrorKind::Io));
        store.tear_next(StoreCallKind::Activate, steps);
        failed(&mut store, StoreCall::Activate { generation: G2 });
        assert_eq!(numbers(&mut store), expected);
    }
}

#[test]
fn a_quarantine_that_said_why_is_finished_at_open() {
    for (steps, expected) in [(0, Some(G2)), (1, None), (2, None)] {
        let mut store = two();
        store.crash_during(quarantine(G2), steps, NOTHING);
        assert_eq!(store.quarantined().contains_key(&G2), steps == 2);
        assert_eq!(numbers(&mut store), (Some(G1), expected));
        assert_eq!(store.quarantined().contains_key(&G2), expected.is_none());
    }
}

#[test]
fn a_create_is_whole_or_out_of_sight() {
    for (steps, expected) in [(0, None), (1, None), (2, None), (3, Some(G2))] {
        let mut store = current();
        store.crash_during(create(G2), steps, NOTHING);
        assert_eq!(numbers(&mut store), (Some(G1), expected));
        let mut store = StoreModel::default();
        store.crash_during(create(G1), steps, NOTHING);
        assert_eq!(store.identity().is_some(), steps > 0);
        if steps > 0 {
            let next = if steps < 3 { G1 } else { G2 };
            assert_eq!(open(&mut store).next, next);
        }
    }
}

#[test]
fn a_create_may_be_whole_and_fail_all_the_same() {
    let mut store = current();
    store.arm(Fault::Next(StoreCallKind::Create, StoreErrorKind::Io));
    store.tear_next(StoreCallKind::Create, 3);
    assert_eq!(failed(&mut store, create(G2)), StoreErrorKind::Io);
    assert!(store.view(G2).is_none());
    assert_eq!(numbers(&mut store), (Some(G1), Some(G2)));
}

#[test]
fn an_open_finishes_halves_first_and_then_sets_aside() {
    for steps in 0..4 {
        let mut store = two();
        done(&mut store, StoreCall::Activate { generation: G2 });
        store.crash_during(create(Generation(3)), 2, NOTHING);
        store.crash_during(StoreCall::Open { expected: identity() }, steps, NOTHING);
        assert_eq!(store.halves().is_empty(), steps > 0);
        assert_eq!(store.quarantined().contains_key(&G1), steps > 1);
        assert_eq!(numbers(&mut store), (Some(G2), None));
        assert!(store.quarantined().contains_key(&G1));
    }
}

#[test]
fn a_disk_that_fails_says_nothing_of_what_is_on_it() {
    let mut foreign = current();
    foreign.damage(Damage::Identity);
    for mut store in [StoreModel::default(), foreign, current()] {
        store.arm(Fault::Next(StoreCallKind::Open, StoreErrorKind::Io));
        let open = StoreCall::Open { expected: identity() };
        assert_eq!(failed(&mut store, open.clone()), StoreErrorKind::Io);
        done(&mut store, open);
    }
}

#[test]
fn a_new_process_knows_only_what_the_disk_says() {
    let mut store = two();
    done(&mut store, StoreCall::Remove { generation: G2 });
    assert_eq!(open(&mut store).next, Generation(3));
    store.crash(NOTHING);
    assert_eq!(open(&mut store).next, G2);
}

#[test]
fn a_flush_that_a_crash_interrupts_has_done_some_partitions() {
    for done_partitions in 0..4 {
        let mut store = current();
        for number in 0..60 {
            put(&mut store, G1, &format!("k{number}"), "1");
        }
        let before: Vec<_> = positions(&store);
        let flush = StoreCall::Flush { generation: G1 };
        store.crash_during(flush, done_partitions, NOTHING);
        let moved = before.iter().zip(positions(&store)).filter(|(before, now)| *before != now);
        assert_eq!(moved.count(), done_partitions.min(3));
    }
}

fn positions(store: &StoreModel) -> Vec<Offset> {
    let partitions = store.generations().flat_map(|stored| stored.durable);
    partitions.map(|contents| contents.lineage().position).collect()
}

#[test]
fn a_full_disk_refuses_what_needs_space_and_nothing_else() {
    let mut store = two();
    store.arm(Fault::Full);
    put(&mut store, G1, "d", "1");
    let lineage = Lineage::empty(2_000, 60_000);
    let confirm = StoreCall::Confirm { generation: G2, partition: Partition(0), lineage };
    done(&mut store, confirm);
    done(&mut store.clone(), StoreCall::Close { generation: G2 });
    for call in [
        StoreCall::Open { expected: identity() },
        create(Generation(3)),
        StoreCall::Activate { generation: G2 },
        quarantine(G2),
    ] {
        assert_eq!(failed(&mut store.clone(), call), StoreErrorKind::Full);
    }
    done(&mut store, StoreCall::Remove { generation: G2 });
    assert_eq!(failed(&mut store, StoreCall::Flush { generation: G1 }), StoreErrorKind::Full);
    assert!(store.open_generations().all(|live| live.failed));
    assert_eq!(value(&store, "d"), Ok("1".into()));
    store.arm(Fault::Free);
    assert_eq!(failed(&mut store, StoreCall::Flush { generation: G1 }), StoreErrorKind::Full);
    assert_eq!(numbers(&mut store), (Some(G1), None));
    assert_eq!(durable_rows(&store), 3);
}

#[test]
fn what_was_armed_for_later_outlives_a_crash_in_a_call() {
    let mut store = two();
    store.arm(Fault::Next(StoreCallKind::Open, StoreErrorKind::Io));
    store.crash_during(StoreCall::Activate { generation: G2 }, 1, NOTHING);
    assert_eq!(failed(&mut store, StoreCall::Open { expected: identity() }), StoreErrorKind::Io);
    assert_eq!(numbers(&mut store), (Some(G2), None));
}
