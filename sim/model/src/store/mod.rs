//! A disk in memory behind the store seam: deterministic, and as forgetful as a real one.
//!
//! It keeps apart what a crash leaves ([`disk`]) and what only the running process sees ([`open`]).
//! How much of the unflushed survives a crash, what fails and what rots is the caller's choice.

mod disk;
mod open;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_core::batch::Batch;
use outrigger_core::conformance::store::{Damage, Fault};
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Generation, Partition};
use outrigger_core::store::{
    Found, FoundCopy, FoundGeneration, GenerationState, StoreCall, StoreCallKind, StoreError,
    StoreErrorKind, StoreEvent,
};
use outrigger_core::topic::Identity;

use disk::{Disk, Health, Owner};
use open::OpenGeneration;

pub use view::ModelView;

#[derive(Debug, Default)]
pub struct StoreModel {
    disk: Disk,
    open: BTreeMap<Generation, OpenGeneration>,
    /// Highest number this process has seen: a removed one is not used again either.
    highest: u64,
    failing: BTreeMap<StoreCallKind, StoreErrorKind>,
    full: bool,
    torn_flush: usize,
}

type Answer = Result<StoreEvent, StoreError>;

impl StoreModel {
    pub fn handle(&mut self, call: StoreCall) -> StoreEvent {
        let (kind, answer) = match call {
            StoreCall::Open { expected } => (StoreCallKind::Open, self.open(&expected)),
            StoreCall::Create { generation, identity, lineages } => {
                (StoreCallKind::Create, self.create(generation, identity, lineages))
            }
            StoreCall::Apply { generation, batch, lineage } => {
                (StoreCallKind::Apply, self.apply(generation, batch, lineage))
            }
            StoreCall::Confirm { generation, partition, lineage } => {
                (StoreCallKind::Confirm, self.confirm(generation, partition, lineage))
            }
            StoreCall::Flush { generation } => (StoreCallKind::Flush, self.flush(generation)),
            StoreCall::Activate { generation } => {
                (StoreCallKind::Activate, self.activate(generation))
            }
            StoreCall::Quarantine { generation, why } => {
                (StoreCallKind::Quarantine, self.quarantine(generation, why))
            }
            StoreCall::Remove { generation } => (StoreCallKind::Remove, self.remove(generation)),
            StoreCall::Close { generation } => (StoreCallKind::Close, self.close(generation)),
        };
        answer.unwrap_or_else(|error| StoreEvent::Failed { call: kind, error })
    }

    /// A snapshot, while the generation is open.
    pub fn view(&self, generation: Generation) -> Option<ModelView> {
        let rotten = self.disk.health(generation) == Some(Health::RowsDamaged);
        self.open.get(&generation).map(|open| open.view(rotten))
    }

    /// The process is killed. `keep` says how many of a partition's unflushed steps, which it is given
    /// the count of, reached the disk nevertheless: the first so many of them.
    pub fn crash(&mut self, mut keep: impl FnMut(Generation, Partition, usize) -> usize) {
        for (generation, open) in std::mem::take(&mut self.open) {
            let stored = self.disk.stored(generation);
            open.keep_some(stored, |partition, steps| keep(generation, partition, steps));
        }
        self.highest = 0;
    }

    pub fn damage(&mut self, damage: Damage) {
        self.disk.damage(damage);
    }

    pub fn arm(&mut self, fault: Fault) {
        match fault {
            Fault::Next(call, kind) => {
                self.failing.insert(call, kind);
            }
            Fault::Full => self.full = true,
            Fault::Free => self.full = false,
        }
    }

    /// The next flush that fails does so after this many partitions are on disk.
    pub fn tear_next_flush(&mut self, partitions: usize) {
        self.torn_flush = partitions;
    }

    /// What was set aside, and why.
    pub fn quarantined(&self) -> &BTreeMap<Generation, String> {
        &self.disk.quarantined
    }

    fn open(&mut self, expected: &Identity) -> Answer {
        self.open.clear();
        self.refuse(StoreCallKind::Open, !self.disk.generations.is_empty())?;
        match &self.disk.owner {
            None if self.disk.is_empty() => return Ok(StoreEvent::Found(Found::Nothing)),
            None => return Ok(foreign("no IDENTITY beside generations".into())),
            Some(Owner::Unreadable) => return Ok(foreign("an unreadable IDENTITY".into())),
            Some(Owner::Known(is)) if is != expected => return Ok(foreign(is.to_string())),
            Some(Owner::Known(_)) => {}
        }
        self.disk.set_superseded_aside();
        let [current, building] = [self.disk.current_there(), self.disk.building()];
        let current = current.map(|generation| self.open_generation(generation));
        let building = building.map(|generation| self.open_generation(generation));
        self.highest = self.highest.max(self.disk.highest());
        let next = Generation(self.highest + 1);
        Ok(StoreEvent::Found(Found::Copy(FoundCopy { current, building, next })))
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
        self.refuse(StoreCallKind::Create, true)?;
        self.disk.claim(identity)?;
        self.disk.create(generation, lineages)?;
        self.highest = self.highest.max(generation.0);
        self.open_generation(generation);
        Ok(StoreEvent::Done { call: StoreCallKind::Create, generation })
    }

    fn apply(&mut self, generation: Generation, batch: Arc<Batch>, lineage: Lineage) -> Answer {
        let injected = self.refuse(StoreCallKind::Apply, false);
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
        let injected = self.refuse(StoreCallKind::Confirm, false);
        self.writable(generation, injected)?.step(partition, lineage, None);
        Ok(StoreEvent::Done { call: StoreCallKind::Confirm, generation })
    }

    fn flush(&mut self, generation: Generation) -> Answer {
        let injected = self.refuse(StoreCallKind::Flush, true);
        let partitions = match injected {
            Ok(()) => usize::MAX,
            Err(_) => std::mem::take(&mut self.torn_flush),
        };
        self.writable(generation, Ok(()))?;
        let stored = self.disk.stored(generation);
        let open = self.open.get_mut(&generation).expect("writable generations are open");
        open.flush(stored, partitions);
        self.writable(generation, injected)?;
        Ok(StoreEvent::Done { call: StoreCallKind::Flush, generation })
    }

    /// The open generation, if nothing failed on it before. Were a batch applied after one that failed,
    /// its position would hide a hole: what fails now fails everything until the next `Open`.
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
        self.refuse(StoreCallKind::Activate, true)?;
        if !self.disk.generations.contains_key(&generation) {
            return Err(io(format!("{generation} is not there to be activated")));
        }
        self.disk.current = Some(generation);
        Ok(StoreEvent::Done { call: StoreCallKind::Activate, generation })
    }

    fn quarantine(&mut self, generation: Generation, why: String) -> Answer {
        self.refuse(StoreCallKind::Quarantine, true)?;
        self.open.remove(&generation);
        self.disk.set_aside(generation, why)?;
        Ok(StoreEvent::Done { call: StoreCallKind::Quarantine, generation })
    }

    fn remove(&mut self, generation: Generation) -> Answer {
        self.refuse(StoreCallKind::Remove, false)?;
        self.open.remove(&generation);
        self.disk.generations.remove(&generation);
        Ok(StoreEvent::Done { call: StoreCallKind::Remove, generation })
    }

    fn close(&mut self, generation: Generation) -> Answer {
        self.refuse(StoreCallKind::Close, false)?;
        self.open.remove(&generation);
        Ok(StoreEvent::Done { call: StoreCallKind::Close, generation })
    }

    fn refuse(&mut self, call: StoreCallKind, needs_space: bool) -> Result<(), StoreError> {
        let armed = self.failing.remove(&call);
        match armed.or((self.full && needs_space).then_some(StoreErrorKind::Full)) {
            Some(kind) => Err(StoreError { kind, detail: format!("injected into {call:?}") }),
            None => Ok(()),
        }
    }
}

fn foreign(is: String) -> StoreEvent {
    StoreEvent::Found(Found::Foreign { is })
}

fn io(detail: String) -> StoreError {
    StoreError { kind: StoreErrorKind::Io, detail }
}

fn not_open(generation: Generation) -> StoreError {
    io(format!("{generation} is not open"))
}
