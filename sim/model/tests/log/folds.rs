//! Any mix of appends, transactions and cleaning: what readers fold is what was committed.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_core::conformance::log::{LogUnderTest, read_to};
use outrigger_core::lineage::Lineage;
use outrigger_core::log::{LogCall, LogEvent};
use outrigger_core::offset::{Offset, Partition};
use outrigger_model::log::{ProducerId, SegmentLimits, Verdict};
use proptest::prelude::*;

use crate::world::{World, config, foreign};

const P0: Partition = Partition(0);

#[derive(Clone, Debug)]
enum Deed {
    Put(u8),
    Delete(u8),
    /// Writes in a transaction that stays open until it is ended.
    Begin(u64, u8),
    End(u64, bool),
    Roll,
    Clean,
    Pass(u64),
    /// The stepwise reader takes one small batch.
    Read,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (0..5_u8).prop_map(Deed::Put),
        2 => (0..5_u8).prop_map(Deed::Delete),
        2 => (0..2_u64, 0..5_u8).prop_map(|(producer, key)| Deed::Begin(producer, key)),
        2 => (0..2_u64, any::<bool>()).prop_map(|(producer, commit)| Deed::End(producer, commit)),
        1 => Just(Deed::Roll),
        3 => Just(Deed::Clean),
        2 => (0..3_000_u64).prop_map(Deed::Pass),
        6 => Just(Deed::Read),
    ]
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

struct Written {
    offset: Offset,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    transaction: Option<usize>,
}

/// What was done, judged from outside: each record with the transaction that decides it.
#[derive(Default)]
struct Truth {
    records: Vec<Written>,
    committed: Vec<Option<bool>>,
    open: BTreeMap<u64, usize>,
}

impl Truth {
    fn wrote(
        &mut self,
        offset: Offset,
        key: &str,
        value: Option<&str>,
        transaction: Option<usize>,
    ) {
        let value = value.map(|value| value.as_bytes().to_vec());
        let key = key.as_bytes().to_vec();
        self.records.push(Written { offset, key, value, transaction });
    }

    /// The fold of every committed record below `position`.
    fn fold(&self, position: Offset) -> Rows {
        let mut rows = Rows::new();
        for Written { offset, key, value, transaction } in &self.records {
            let committed = transaction.is_none_or(|number| self.committed[number] == Some(true));
            if *offset >= position || !committed {
                continue;
            }
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        rows
    }
}

fn act(world: &mut World, truth: &mut Truth, deed: &Deed) {
    match deed {
        Deed::Put(key) => {
            let (key, value) = (format!("k{key}"), format!("v{}", truth.records.len()));
            let offset = world.put(&key, Some(&value));
            truth.wrote(offset, &key, Some(&value), None);
        }
        Deed::Delete(key) => {
            let key = format!("k{key}");
            let offset = world.put(&key, None);
            truth.wrote(offset, &key, None, None);
        }
        Deed::Begin(producer, key) => begin(world, truth, *producer, *key),
        Deed::End(producer, commit) => end(world, truth, *producer, *commit),
        Deed::Roll => world.model.roll(P0),
        Deed::Clean => world.model.clean(world.now),
        Deed::Pass(ms) => world.pass(Duration::from_millis(*ms)),
        Deed::Read => {}
    }
}

fn begin(world: &mut World, truth: &mut Truth, producer: u64, key: u8) {
    let next = truth.committed.len();
    let transaction = *truth.open.entry(producer).or_insert(next);
    if transaction == next {
        truth.committed.push(None);
    }
    let (key, value) = (format!("k{key}"), format!("t{}", truth.records.len()));
    let records = [foreign(&key, Some(&value))];
    let offsets = world.model.append_in_transaction(world.now, P0, ProducerId(producer), &records);
    truth.wrote(offsets[0], &key, Some(&value), Some(transaction));
}

fn end(world: &mut World, truth: &mut Truth, producer: u64, commit: bool) {
    let Some(transaction) = truth.open.remove(&producer) else {
        return;
    };
    let verdict = if commit { Verdict::Commit } else { Verdict::Abort };
    world.model.end_transaction(world.now, ProducerId(producer), verdict);
    truth.committed[transaction] = Some(commit);
}

fn small_world(retention_ms: u64) -> World {
    let mut config = config(1);
    config.policy.delete_retention_ms = retention_ms;
    config.segments = SegmentLimits { offsets_max: 3, age_ms: 3_600_000 };
    World::new(config)
}

proptest! {
    #[test]
    fn a_full_read_folds_to_everything_committed(deeds in prop::collection::vec(deed(), 1..120)) {
        let mut world = small_world(2_000);
        let mut truth = Truth::default();
        for deed in &deeds {
            act(&mut world, &mut truth, deed);
            let end = world.model.last_stable(P0);
            let seen = read_to(&mut world, 1, P0, Offset(0), end);
            prop_assert_eq!(seen.position, end);
            prop_assert_eq!(seen.fold(), truth.fold(end));
        }
    }

    /// Inside the tombstone horizon a copy that calls itself exact is exact, whatever was cleaned between its
    /// fetches.
    #[test]
    fn a_copy_that_calls_itself_exact_is(deeds in prop::collection::vec(deed(), 1..200)) {
        let mut world = small_world(1_000_000_000);
        let mut truth = Truth::default();
        let mut copy = Copy::start(&mut world);
        for deed in &deeds {
            act(&mut world, &mut truth, deed);
            if matches!(deed, Deed::Read) {
                copy.read(&mut world);
            }
            if copy.lineage.exact() {
                prop_assert_eq!(&copy.rows, &truth.fold(copy.lineage.position));
            }
        }
    }
}

/// A reader that takes its time, and what it has of the log.
struct Copy {
    lineage: Lineage,
    rows: Rows,
}

impl Copy {
    fn start(world: &mut World) -> Copy {
        world.call(2, LogCall::Assign { partition: P0, at: Offset(0), epoch: None });
        world.call(2, LogCall::Fetch { partition: P0, bytes_max: 1 });
        let copy = Copy { lineage: Lineage::empty(0, 0), rows: Rows::new() };
        assert_eq!(world.next_event(2, Duration::ZERO), Some(LogEvent::Assigned { partition: P0 }));
        copy
    }

    fn read(&mut self, world: &mut World) {
        let Some(event) = world.next_event(2, Duration::ZERO) else {
            return;
        };
        let LogEvent::Fetched(batch) = event else { panic!("{event:?}") };
        self.lineage = self.lineage.after(&batch, true);
        for record in batch.records() {
            match record.value {
                Some(value) => self.rows.insert(record.key.to_vec(), value.to_vec()),
                None => self.rows.remove(record.key),
            };
        }
        world.call(2, LogCall::Fetch { partition: P0, bytes_max: 1 });
    }
}
