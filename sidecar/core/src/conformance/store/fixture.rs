//! One generation of a store under test, and what it must hold after each step.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::StoreUnderTest;
use crate::batch::{Batch, BatchBuilder};
use crate::lineage::Lineage;
use crate::offset::{Epoch, Generation, Offset, Partition, RequestId, Revision};
use crate::partitioner::partition_of;
use crate::store::{
    Found, FoundCopy, FoundGeneration, GenerationState, Row, Scan, StoreCall, StoreCallKind,
    StoreErrorKind, StoreEvent, View,
};
use crate::topic::{Identity, TopicId};

/// More than one: partitions are independent, and a scan has something to merge.
pub const PARTITIONS: u32 = 3;

pub(super) const G1: Generation = Generation(1);
pub(super) const G2: Generation = Generation(2);
pub(super) const G3: Generation = Generation(3);

pub(super) type Rows = BTreeMap<Vec<u8>, Row>;

/// A key with its new value, or none to delete it.
pub(super) type Put<'a> = (&'a [u8], Option<&'a [u8]>);

/// What the copies of all cases belong to.
pub fn identity() -> Identity {
    let topic = TopicId([7; 16]);
    Identity { store: "orders".into(), cluster: "kafka-1".into(), topic, partitions: PARTITIONS }
}

pub(super) fn empty_lineages() -> Vec<Lineage> {
    vec![Lineage::empty(1_000, 60_000); Partition::all(PARTITIONS).count()]
}

pub(super) fn create(generation: Generation) -> StoreCall {
    StoreCall::Create { generation, identity: identity(), lineages: empty_lineages() }
}

pub(super) fn done(store: &mut dyn StoreUnderTest, call: StoreCall) {
    let event = store.call(call.clone());
    assert!(matches!(event, StoreEvent::Done { .. }), "{call:?} answered {event:?}");
}

pub(super) fn failed(event: StoreEvent, expected: StoreCallKind) -> StoreErrorKind {
    match event {
        StoreEvent::Failed { call, error } if call == expected => error.kind,
        other => panic!("expected a failed {expected:?}, got {other:?}"),
    }
}

pub(super) fn open(store: &mut dyn StoreUnderTest) -> Found {
    match store.call(StoreCall::Open { expected: identity() }) {
        StoreEvent::Found(found) => found,
        other => panic!("Open answered {other:?}"),
    }
}

pub(super) fn open_copy(store: &mut dyn StoreUnderTest) -> FoundCopy {
    match open(store) {
        Found::Copy(copy) => copy,
        other => panic!("expected a copy, found {other:?}"),
    }
}

pub(super) fn number(found: &Option<FoundGeneration>) -> Option<Generation> {
    found.as_ref().map(|found| found.generation)
}

pub(super) fn view(store: &dyn StoreUnderTest, generation: Generation) -> Box<dyn View> {
    store.view(generation).unwrap_or_else(|| panic!("{generation} has no view"))
}

pub(super) fn rows(view: &dyn View) -> Rows {
    let mut rows = Rows::new();
    let scanned = view.scan(b"", None, false, &mut |key, revision, value| {
        let row = Row { revision, value: value.to_vec() };
        assert!(rows.insert(key.to_vec(), row).is_none(), "{key:?} came twice");
        Scan::Continue
    });
    scanned.expect("an undamaged copy can be read");
    rows
}

/// Asserts that the view of a closed generation shows what it held. A long scan may fail, so that it does not keep the
/// generation from being opened again.
pub(super) fn held_or_failed(view: &dyn View, held: &Rows) {
    let mut seen = Rows::new();
    let scanned = view.scan(b"", None, false, &mut |key, revision, value| {
        seen.insert(key.to_vec(), Row { revision, value: value.to_vec() });
        Scan::Continue
    });
    match scanned {
        Ok(()) => assert_eq!(seen, *held),
        Err(error) => {
            assert_eq!(error.kind, StoreErrorKind::Io);
            assert!(seen.iter().all(|(key, row)| held.get(key) == Some(row)), "{seen:?}");
        }
    }
    for (key, row) in held {
        assert_eq!(view.get(key).expect("it is not long").as_ref(), Some(row));
    }
}

/// A key of `partition` made from `seed`.
pub(super) fn key_in(partition: Partition, seed: u32) -> Vec<u8> {
    let candidates = (0_u32..).map(|salt| format!("{seed}/{salt}").into_bytes());
    let mut of_partition = candidates.filter(|key| partition_of(key, PARTITIONS) == partition);
    of_partition.next().expect("murmur2 reaches every partition")
}

/// A generation and the history of each of its partitions.
pub(super) struct Copy<'a> {
    pub(super) store: &'a mut dyn StoreUnderTest,
    pub(super) generation: Generation,
    pub(super) histories: Vec<History>,
}

pub(super) struct Histories(Vec<History>);

/// What one partition held after each call that changed it, from the last flushed state on.
#[derive(Clone)]
pub(super) struct History {
    flushed: State,
    since: Vec<State>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    lineage: Lineage,
    rows: Rows,
}

impl History {
    fn last(&self) -> &State {
        self.since.last().unwrap_or(&self.flushed)
    }
}

impl Copy<'_> {
    /// A first generation on an empty disk, in use.
    pub(super) fn first(store: &mut dyn StoreUnderTest) -> Copy<'_> {
        let copy = Copy::building(store);
        done(copy.store, StoreCall::Activate { generation: G1 });
        copy
    }

    /// A first generation on an empty disk, not in use.
    pub(super) fn building(store: &mut dyn StoreUnderTest) -> Copy<'_> {
        assert_eq!(open(store), Found::Nothing);
        Copy::create(store, G1)
    }

    pub(super) fn create(store: &mut dyn StoreUnderTest, generation: Generation) -> Copy<'_> {
        done(store, create(generation));
        let empty =
            |lineage| History { flushed: State { lineage, rows: Rows::new() }, since: Vec::new() };
        let histories = empty_lineages().into_iter().map(empty).collect();
        Copy { store, generation, histories }
    }

    /// Applies one batch per partition that has a key among these.
    pub(super) fn write(&mut self, puts: &[Put]) {
        for partition in Partition::all(PARTITIONS) {
            let of_partition = |put: &&Put| partition_of(put.0, PARTITIONS) == partition;
            let puts: Vec<Put> = puts.iter().filter(of_partition).copied().collect();
            if !puts.is_empty() {
                self.apply(partition, &puts);
            }
        }
    }

    fn apply(&mut self, partition: Partition, puts: &[Put]) {
        let (call, state) = self.next_apply(partition, puts);
        let position = state.lineage.position;
        let generation = self.generation;
        assert_eq!(self.store.call(call), StoreEvent::Applied { generation, partition, position });
        self.histories[partition.index()].since.push(state);
    }

    /// The call that comes next for `partition` and what it must make of it.
    fn next_apply(&self, partition: Partition, puts: &[Put]) -> (StoreCall, State) {
        let State { lineage, mut rows } = self.histories[partition.index()].last().clone();
        let batch = batch(partition, lineage.position, puts);
        for record in batch.records() {
            let revision = Revision { partition, offset: record.offset };
            match record.value {
                Some(value) => {
                    rows.insert(record.key.to_vec(), Row { revision, value: value.to_vec() })
                }
                None => rows.remove(record.key),
            };
        }
        let lineage = lineage.after(&batch, true);
        let generation = self.generation;
        let call =
            StoreCall::Apply { generation, batch: Arc::new(batch), lineage: lineage.clone() };
        (call, State { lineage, rows })
    }

    /// The next `Apply` that writes `put`, not sent.
    pub(super) fn apply_call(&self, put: Put) -> StoreCall {
        self.next_apply(partition_of(put.0, PARTITIONS), &[put]).0
    }

    /// The next `Confirm` of `partition`, not sent.
    pub(super) fn confirm_call(&self, partition: Partition) -> StoreCall {
        let mut lineage = self.lineage(partition).clone();
        lineage.confirmed_at_ms += 250;
        StoreCall::Confirm { generation: self.generation, partition, lineage }
    }

    pub(super) fn confirm(&mut self, partition: Partition) {
        let call = self.confirm_call(partition);
        done(self.store, call);
        let mut state = self.histories[partition.index()].last().clone();
        state.lineage.confirmed_at_ms += 250;
        self.histories[partition.index()].since.push(state);
    }

    pub(super) fn pin(&mut self, partition: Partition, pin: RequestId) {
        let call = StoreCall::Pin { generation: self.generation, partition, pin };
        assert_eq!(self.store.call(call), StoreEvent::Pinned { pin, partition });
    }

    pub(super) fn unpin(&mut self, pin: RequestId) {
        done(self.store, StoreCall::Unpin { generation: self.generation, pin });
    }

    pub(super) fn flush(&mut self) {
        done(self.store, StoreCall::Flush { generation: self.generation });
        for history in &mut self.histories {
            history.flushed = history.last().clone();
            history.since.clear();
        }
    }

    pub(super) fn lineage(&self, partition: Partition) -> &Lineage {
        &self.histories[partition.index()].last().lineage
    }

    /// Asserts that the open generation, in use or flushed, holds exactly what was applied.
    pub(super) fn check(&self) {
        let view = view(self.store, self.generation);
        let lineages: Vec<Lineage> =
            self.histories.iter().map(|history| history.last().lineage.clone()).collect();
        assert_eq!(view.lineages().expect("an undamaged copy can be read"), lineages);
        let found = rows(&*view);
        let expected: Rows =
            self.histories.iter().flat_map(|history| history.last().rows.clone()).collect();
        assert!(
            found == expected,
            "the rows differ: {:?} instead of {:?}",
            found.keys(),
            expected.keys()
        );
        for (key, row) in &expected {
            assert_eq!(view.get(key).expect("an undamaged copy can be read").as_ref(), Some(row));
        }
    }

    /// Opens the store, which must find this generation with, per partition, one of the states since the last flush.
    pub(super) fn reopen(&mut self) {
        let lineages = self.found_lineages();
        let view = view(self.store, self.generation);
        assert_eq!(view.lineages().expect("an undamaged copy can be read"), lineages);
        let found = rows(&*view);
        for (partition, history) in Partition::all(PARTITIONS).zip(&mut self.histories) {
            let of_partition = |(_, row): &(&Vec<u8>, &Row)| row.revision.partition == partition;
            let rows =
                found.iter().filter(of_partition).map(|(key, row)| (key.clone(), row.clone()));
            let state =
                State { lineage: lineages[partition.index()].clone(), rows: rows.collect() };
            let allowed = history.flushed == state || history.since.contains(&state);
            assert!(
                allowed,
                "partition {partition} holds no prefix of its applies: {:?}",
                state.lineage
            );
            *history = History { flushed: state, since: Vec::new() };
        }
    }

    fn found_lineages(&mut self) -> Vec<Lineage> {
        let copy = open_copy(self.store);
        let all = [copy.current, copy.building];
        let own = all.into_iter().flatten().find(|found| found.generation == self.generation);
        match own.map(|found| found.state) {
            Some(GenerationState::Intact(lineages)) => lineages,
            other => panic!("{} is {other:?}", self.generation),
        }
    }

    /// What `go_back_to` takes.
    pub(super) fn histories(&self) -> Histories {
        Histories(self.histories.clone())
    }

    /// From here on only what was right then is right.
    pub(super) fn go_back_to(&mut self, then: Histories) {
        self.histories = then.0;
    }

    /// From here on only the last flushed state is right.
    pub(super) fn forget_unflushed(&mut self) {
        for history in &mut self.histories {
            history.since.clear();
        }
    }
}

fn batch(partition: Partition, from: Offset, puts: &[Put]) -> Batch {
    let mut builder = BatchBuilder::new(partition, PARTITIONS, from);
    let mut offset = from;
    for (key, value) in puts {
        builder.push(offset, Some(Epoch(4)), Some(key), *value);
        offset = offset.next();
    }
    let batch = builder.finish(offset);
    assert_eq!(batch.records().len(), puts.len(), "every key belongs to its partition");
    batch
}
