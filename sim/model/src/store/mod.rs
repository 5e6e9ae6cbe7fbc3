//! A disk in memory behind the store seam: deterministic, and as forgetful as a real one.
//!
//! It keeps apart what a crash leaves ([`disk`]) and what only the running process sees ([`open`]).
//! How much of the unflushed survives a crash, what fails, how far it comes, and what rots is the caller's
//! choice; so is how long a call takes: a slow disk is a late answer, which nothing here knows of.
//! A clone is the whole model at that moment, and shares its rows.

mod contents;
mod disk;
mod fault;
mod image;
mod inspect;
mod open;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_core::batch::Batch;
use outrigger_core::conformance::store::{Damage, Fault};
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Generation, Partition, RequestId};
use outrigger_core::store::{
    Found, FoundCopy, FoundGeneration, GenerationState, Looked, StoreCall, StoreCallKind,
    StoreError, StoreErrorKind, StoreEvent, Why,
};
use outrigger_core::topic::Identity;

use disk::{Disk, Health, Owner};
use fault::{Faults, Reach};
use open::OpenGeneration;

pub use contents::{Contents, Rows};
pub use image::{Checkpoint, Image};
pub use inspect::{LiveGeneration, StoredGeneration};
pub use view::ModelView;

#[derive(Clone, Debug, Default)]
pub struct StoreModel {
    disk: Disk,
    open: BTreeMap<Generation, OpenGeneration>,
    pins: BTreeMap<RequestId, Pinned>,
    /// Highest number this process has seen: a removed one is not used again either.
    highest: u64,
    faults: Faults,
}

/// Partitions of one generation, each as it was when it was pinned.
#[derive(Clone, Debug)]
struct Pinned {
    generation: Generation,
    parts: BTreeMap<Partition, Contents>,
}

type Answer = Result<StoreEvent, StoreError>;

impl StoreModel {
    pub fn handle(&mut self, call: StoreCall) -> StoreEvent {
        let kind = call.kind();
        let answer = match call {
            StoreCall::Open { expected } => self.open(&expected),
            StoreCall::Look { store } => self.look(&store),
            StoreCall::Create { generation, identity, lineages } => {
                self.create(generation, identity, lineages)
            }
            StoreCall::Adopt { generation, identity, delete_retention_ms_min } => {
                self.adopt(generation, identity, delete_retention_ms_min)
            }
            StoreCall::Apply { generation, batch, lineage } => {
                self.apply(generation, batch, lineage)
            }
            StoreCall::Confirm { generation, partition, lineage } => {
                self.confirm(generation, partition, lineage)
            }
            StoreCall::Flush { generation } => self.flush(generation),
            StoreCall::Activate { generation } => self.activate(generation),
            StoreCall::Quarantine { generation, why } => self.quarantine(generation, why),
            StoreCall::Remove { generation } => self.remove(generation),
            StoreCall::Close { generation } => self.close(generation),
            StoreCall::Pin { generation, partition, pin } => self.pin(generation, partition, pin),
            StoreCall::Unpin { generation, pin } => {
                self.pins.remove(&pin);
                Ok(StoreEvent::Done { call: kind, generation })
            }
        };
        self.check();
        answer.unwrap_or_else(|error| StoreEvent::Failed { call: kind, error })
    }

    /// A snapshot, while the generation is open: of what was applied, or flushed where it is not in use.
    pub fn view(&self, generation: Generation) -> Option<ModelView> {
        let open = self.open.get(&generation)?;
        let stored = self.disk.generations.get(&generation)?;
        let in_use = self.disk.current == Some(generation);
        let seen = if in_use { &open.live } else { &stored.partitions };
        Some(ModelView::new(seen.clone(), stored))
    }

    /// What is kept under `pin`, once all partitions are.
    pub fn pinned(&self, pin: RequestId) -> Option<ModelView> {
        let Pinned { generation, parts } = self.pins.get(&pin)?;
        let stored = self.disk.generations.get(generation)?;
        let all = parts.len() == stored.partitions.len();
        all.then(|| ModelView::new(parts.values().cloned().collect(), stored))
    }

    /// How many pins there are of which anything is kept.
    pub fn pins(&self) -> usize {
        self.pins.len()
    }

    /// The process is killed. `keep` is given the count of a partition's unflushed steps, and says how many of them, from
    /// the first on, reached the disk nevertheless.
    pub fn crash(&mut self, mut keep: impl FnMut(Generation, Partition, usize) -> usize) {
        self.pins.clear();
        for (generation, open) in std::mem::take(&mut self.open) {
            let stored = self.disk.stored(generation);
            open.keep_some(stored, |partition, steps| keep(generation, partition, steps));
        }
        self.highest = 0;
        self.check();
    }

    /// The process is killed in the middle of a call, after `steps` of its durable steps. If the call has fewer, all of
    /// it was done, and nobody heard.
    pub fn crash_during(
        &mut self,
        call: StoreCall,
        steps: usize,
        keep: impl FnMut(Generation, Partition, usize) -> usize,
    ) {
        let kind = call.kind();
        self.faults.arm(Fault::Next(kind, StoreErrorKind::Io));
        self.faults.tear(kind, steps);
        self.handle(call);
        self.crash(keep);
    }

    /// The process may run meanwhile: it learns of most of it only by a read or the next `Open`.
    pub fn damage(&mut self, damage: Damage) {
        self.disk.damage(damage);
    }

    /// The bytes of one durable row go bad: row number `number`, counted round. Whoever reads that row is told; nobody
    /// else, and nobody when it is written anew. Returns its key, if there is any row.
    pub fn rot_row(&mut self, generation: Generation, number: usize) -> Option<Vec<u8>> {
        self.disk.rot_row(generation, number)
    }

    pub fn arm(&mut self, fault: Fault) {
        self.faults.arm(fault);
    }

    /// The next call of this kind that fails does so after this many of its durable steps: `Create` and `Adopt`
    /// have 3, `Remove`, `Quarantine` and `Open` have 2, `Activate` has 1, `Flush` one per partition. A `Remove` that
    /// comes as far as its first step does not fail: what it could not delete stays behind, out of sight.
    pub fn tear_next(&mut self, call: StoreCallKind, steps: usize) {
        self.faults.tear(call, steps);
    }

    /// The next flush that fails does so after this many partitions are on disk.
    pub fn tear_next_flush(&mut self, partitions: usize) {
        self.tear_next(StoreCallKind::Flush, partitions);
    }

    /// What was set aside, and why.
    pub fn quarantined(&self) -> &BTreeMap<Generation, Why> {
        &self.disk.quarantined
    }

    fn open(&mut self, expected: &Identity) -> Answer {
        self.open.clear();
        self.pins.clear();
        let own = self.disk.identity() == Some(expected);
        let needs_space = own && !self.disk.generations.is_empty();
        let mut reach = self.faults.reach(StoreCallKind::Open, needs_space);
        match &self.disk.owner {
            None | Some(Owner::Unreadable) if self.disk.is_empty() => {
                return found(Found::Nothing, reach);
            }
            None => return foreign("no IDENTITY beside generations".into(), reach),
            Some(Owner::Unreadable) => return foreign("an unreadable IDENTITY".into(), reach),
            Some(Owner::Known(is)) if is != expected => return foreign(is.to_string(), reach),
            Some(Owner::Known(_)) => {}
        }
        reach.step()?;
        self.disk.sweep();
        reach.step()?;
        self.disk.set_superseded_aside();
        reach.end()?;
        let [current, building] = [self.disk.current_there(), self.disk.building()];
        let current = current.map(|generation| self.open_generation(generation));
        let building = building.map(|generation| self.open_generation(generation));
        self.highest = self.highest.max(self.disk.highest());
        let next = Generation(self.highest + 1);
        Ok(StoreEvent::Found(Found::Copy(FoundCopy { current, building, next })))
    }

    fn look(&mut self, store: &str) -> Answer {
        self.open.clear();
        self.pins.clear();
        let identity = self.disk.identity().filter(|identity| identity.store == store).cloned();
        let reach = self.faults.reach(StoreCallKind::Look, false);
        reach.end()?;
        let looked = identity.zip(self.disk.current_there()).map(|(identity, generation)| {
            let found = self.open_generation(generation);
            if let Some(open) = self.open.get_mut(&generation) {
                open.only_read();
            }
            Looked { identity, found }
        });
        Ok(StoreEvent::Looked(looked))
    }

    fn open_generation(&mut self, generation: Generation) -> FoundGeneration {
        let stored = self.disk.stored(generation);
        let state = match stored.health {
            Health::Sound | Health::RowsDamaged => {
                let open = OpenGeneration::new(stored.partitions.clone());
                let lineages = open.lineages();
                self.open.insert(generation, open);
                GenerationState::Intact(lineages)
            }
            Health::UnknownFormat => GenerationState::UnknownFormat("format 999".into()),
            Health::Unreadable => GenerationState::Corrupt("its files are damaged".into()),
        };
        FoundGeneration { generation, state }
    }

    fn create(
        &mut self,
        generation: Generation,
        identity: Identity,
        lineages: Vec<Lineage>,
    ) -> Answer {
        assert_eq!(
            u32::try_from(lineages.len()),
            Ok(identity.partitions),
            "one lineage per partition"
        );
        let mut reach = self.faults.reach(StoreCallKind::Create, true);
        self.disk.create(generation, identity, lineages, &mut reach)?;
        reach.end()?;
        self.highest = self.highest.max(generation.0);
        self.open_generation(generation);
        Ok(StoreEvent::Done { call: StoreCallKind::Create, generation })
    }

    fn adopt(
        &mut self,
        generation: Generation,
        identity: Identity,
        delete_retention_ms_min: u64,
    ) -> Answer {
        let mut reach = self.faults.reach(StoreCallKind::Adopt, false);
        self.disk.adopt(generation, identity, delete_retention_ms_min, &mut reach)?;
        reach.end()?;
        self.highest = self.highest.max(generation.0);
        Ok(StoreEvent::Done { call: StoreCallKind::Adopt, generation })
    }

    fn apply(&mut self, generation: Generation, batch: Arc<Batch>, lineage: Lineage) -> Answer {
        let injected = self.faults.reach(StoreCallKind::Apply, false).step();
        let (partition, position) = (batch.partition, lineage.position);
        self.writable(generation, injected)?.step(partition, lineage, Some(batch));
        Ok(StoreEvent::Applied { generation, partition, position })
    }

    fn confirm(
        &mut self,
        generation: Generation,
        partition: Partition,
        lineage: Lineage,
    ) -> Answer {
        let injected = self.faults.reach(StoreCallKind::Confirm, false).step();
        self.writable(generation, injected)?.step(partition, lineage, None);
        Ok(StoreEvent::Done { call: StoreCallKind::Confirm, generation })
    }

    fn flush(&mut self, generation: Generation) -> Answer {
        let reach = self.faults.reach(StoreCallKind::Flush, true);
        self.writable(generation, Ok(()))?;
        let in_use = self.disk.current == Some(generation);
        let open = self.open.get_mut(&generation).expect("writable generations are open");
        let flushed = open.flush(self.disk.stored(generation), in_use, reach);
        self.writable(generation, flushed)?;
        Ok(StoreEvent::Done { call: StoreCallKind::Flush, generation })
    }

    /// The open generation, if nothing failed on it before. Were a batch applied after one that failed,
    /// its position would claim what is missing: what fails now fails everything until the next `Open`.
    fn writable(
        &mut self,
        generation: Generation,
        now: Result<(), StoreError>,
    ) -> Result<&mut OpenGeneration, StoreError> {
        let open = self.open.get_mut(&generation).ok_or_else(|| not_open(generation))?;
        if let Err(error) = now {
            open.failed.get_or_insert(error);
        }
        match &open.failed {
            Some(error) => Err(error.clone()),
            None => Ok(open),
        }
    }

    fn activate(&mut self, generation: Generation) -> Answer {
        let mut reach = self.faults.reach(StoreCallKind::Activate, true);
        if !self.disk.generations.contains_key(&generation) {
            return Err(io(format!("{generation} is not there to be activated")));
        }
        if self.open.get(&generation).is_some_and(OpenGeneration::has_unflushed_rows) {
            return Err(io("rows that are not flushed would be put into use".into()));
        }
        reach.step()?;
        self.disk.current = Some(generation);
        reach.end()?;
        Ok(StoreEvent::Done { call: StoreCallKind::Activate, generation })
    }

    fn pin(&mut self, generation: Generation, partition: Partition, pin: RequestId) -> Answer {
        let injected = self.faults.reach(StoreCallKind::Pin, false).end();
        if self.disk.current != Some(generation) {
            return Err(io(format!("{generation} is not in use")));
        }
        injected?;
        let open = self.writable(generation, Ok(()))?;
        let contents = open.live[partition.index()].clone();
        let empty = || Pinned { generation, parts: BTreeMap::new() };
        let pinned = self.pins.entry(pin).or_insert_with(empty);
        assert_eq!(pinned.generation, generation, "a pin is of one generation");
        pinned.parts.insert(partition, contents);
        Ok(StoreEvent::Pinned { pin, partition })
    }

    fn forget(&mut self, generation: Generation) {
        self.open.remove(&generation);
        self.pins.retain(|_, pinned| pinned.generation != generation);
    }

    fn quarantine(&mut self, generation: Generation, why: Why) -> Answer {
        self.forget(generation);
        let mut reach = self.faults.reach(StoreCallKind::Quarantine, true);
        self.disk.set_aside(generation, why, &mut reach)?;
        reach.end()?;
        Ok(StoreEvent::Done { call: StoreCallKind::Quarantine, generation })
    }

    fn remove(&mut self, generation: Generation) -> Answer {
        self.forget(generation);
        let mut reach = self.faults.reach(StoreCallKind::Remove, false);
        self.disk.remove(generation, &mut reach)?;
        Ok(StoreEvent::Done { call: StoreCallKind::Remove, generation })
    }

    fn close(&mut self, generation: Generation) -> Answer {
        self.faults.reach(StoreCallKind::Close, false).end()?;
        self.forget(generation);
        Ok(StoreEvent::Done { call: StoreCallKind::Close, generation })
    }

    /// Asserts what no call, no crash and no fault may break.
    fn check(&self) {
        let Disk { generations, quarantined, debris, .. } = &self.disk;
        for (generation, open) in &self.open {
            let stored = generations.get(generation).expect("an open generation is on disk");
            assert_eq!(stored.partitions.len(), open.live.len(), "{generation}: partitions");
        }
        for generation in generations.keys() {
            assert!(!quarantined.contains_key(generation), "{generation} is there and set aside");
            assert!(!debris.contains(generation), "{generation} is there whole and half");
        }
    }
}

fn found(found: Found, reach: Reach) -> Answer {
    reach.end()?;
    Ok(StoreEvent::Found(found))
}

fn foreign(is: String, reach: Reach) -> Answer {
    found(Found::Foreign { is }, reach)
}

fn io(detail: String) -> StoreError {
    StoreError { kind: StoreErrorKind::Io, detail }
}

fn not_open(generation: Generation) -> StoreError {
    io(format!("{generation} is not open"))
}
