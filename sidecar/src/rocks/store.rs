//! Carries the calls of one store out, in order, on the thread that it is given.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outrigger_core::batch::Batch;
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Generation, Partition, RequestId};
use outrigger_core::store::{
    Found, FoundCopy, FoundGeneration, GenerationState, Looked, StoreCall, StoreCallKind,
    StoreError, StoreEvent, Why,
};
use outrigger_core::topic::Identity;

use super::directory::{Listing, Owned, Roles, StoreDirectory};
use super::error::{held, refused, rocks};
use super::generation::{self, Closed, OpenGeneration, Opening};
use super::load::Load;
use super::moves::Moves;
use super::options::{Shared, Use};
use super::remover::Remover;
use super::tuning::Tuning;
use super::view::{GenerationViews, Pinned, Pins};
use crate::vital::Pulse;

/// How long `Open` waits for reads of a generation that was closed before, which end at their next row: RocksDB opens a
/// directory once. Reads that take longer (their disk hangs, say) make it fail, to be tried again.
const READS_WAIT: Duration = Duration::from_secs(2);

pub struct RocksStore {
    directory: StoreDirectory,
    shared: Arc<Shared>,
    open: BTreeMap<Generation, Opened>,
    views: GenerationViews,
    pins: Pins,
    /// Generations that were closed here, and perhaps are still read.
    closing: BTreeMap<Generation, Closed>,
    /// Highest number that this process has seen: one that was removed is not used again, either.
    highest: u64,
    /// What the process before gave to peers has been removed: checkpoints that are there are this process's.
    swept: bool,
    remover: Remover,
    moves: Moves,
}

struct Opened {
    generation: Arc<OpenGeneration>,
    closed: Closed,
    /// It is there while the generation is not in use.
    load: Option<Load>,
    tuning: Tuning,
    /// If a batch were applied after one that failed, its position would claim what is missing: after one failure everything that
    /// follows fails, until the next `Open`.
    failed: Option<StoreError>,
}

type Answer = Result<StoreEvent, StoreError>;

impl RocksStore {
    /// The copies of `store` inside of a data directory that this process has locked. Nothing on disk is touched.
    pub fn new(data: &Path, store: &str, shared: Arc<Shared>) -> RocksStore {
        RocksStore {
            directory: StoreDirectory::new(data, store),
            shared,
            open: BTreeMap::new(),
            views: GenerationViews::default(),
            pins: Pins::new(),
            closing: BTreeMap::new(),
            highest: 0,
            swept: false,
            remover: Remover::default(),
            moves: Moves::new(data, Pulse::default()),
        }
    }

    /// Views of the open generations, for reads on other threads.
    pub fn views(&self) -> GenerationViews {
        self.views.clone()
    }

    /// From now on this shows that a call goes on which takes long. It is of the thread that carries the calls out.
    pub(crate) fn beat(&mut self, pulse: Pulse) {
        self.moves = Moves::new(self.directory.data(), pulse);
    }

    pub fn handle(&mut self, call: StoreCall) -> StoreEvent {
        let (kind, moves) = (call.kind(), self.moves.clone());
        let answer = match kind {
            StoreCallKind::Flush => moves.of_all(|| self.carry_out(call)),
            StoreCallKind::Apply | StoreCallKind::Confirm if self.is_held_up(&call) => {
                moves.of_all(|| self.carry_out(call))
            }
            StoreCallKind::Apply
            | StoreCallKind::Confirm
            | StoreCallKind::Pin
            | StoreCallKind::Unpin => self.carry_out(call),
            StoreCallKind::Open
            | StoreCallKind::Look
            | StoreCallKind::Create
            | StoreCallKind::Adopt
            | StoreCallKind::Activate
            | StoreCallKind::Quarantine
            | StoreCallKind::Remove
            | StoreCallKind::Close => {
                let directory = self.directory.path().to_owned();
                moves.during(&directory, || self.carry_out(call))
            }
        };
        answer.unwrap_or_else(|error| StoreEvent::Failed { call: kind, error })
    }

    /// Whether a write would wait for other threads: for compaction, or in a load for those that write runs.
    fn is_held_up(&self, call: &StoreCall) -> bool {
        let (generation, bytes) = if let StoreCall::Apply { generation, batch, .. } = call {
            (generation, batch.unflushed_bytes())
        } else if let StoreCall::Confirm { generation, .. } = call {
            (generation, 0)
        } else {
            return false;
        };
        self.open.get(generation).is_some_and(|opened| match &opened.load {
            Some(_) => self.shared.writers().is_full_with(bytes),
            None => opened.generation.holds_writes_up(),
        })
    }

    fn carry_out(&mut self, call: StoreCall) -> Answer {
        let kind = call.kind();
        match call {
            StoreCall::Open { expected } => self.open(&expected),
            StoreCall::Look { store } => self.look(&store),
            StoreCall::Create { generation, identity, lineages } => {
                self.create(generation, &identity, &lineages)
            }
            StoreCall::Adopt { generation, identity, delete_retention_ms_min } => {
                self.adopt(generation, &identity, delete_retention_ms_min)
            }
            StoreCall::Apply { generation, batch, lineage } => {
                self.apply(generation, batch, lineage)
            }
            StoreCall::Confirm { generation, partition, lineage } => {
                self.confirm(generation, partition, lineage)
            }
            StoreCall::Flush { generation } => self.flush(generation),
            StoreCall::Activate { generation } => self.activate(generation),
            StoreCall::Quarantine { generation, why } => self.quarantine(generation, &why),
            StoreCall::Remove { generation } => self.remove(generation),
            StoreCall::Close { generation } => {
                self.close(generation);
                Ok(StoreEvent::Done { call: kind, generation })
            }
            StoreCall::Pin { generation, partition, pin } => self.pin(generation, partition, pin),
            StoreCall::Unpin { generation, pin } => {
                self.unpin(|of, _| of == pin);
                Ok(StoreEvent::Done { call: kind, generation })
            }
        }
    }

    fn open(&mut self, expected: &Identity) -> Answer {
        self.close_all();
        let found = self.judge(expected);
        if found.is_err() {
            self.close_all();
        }
        found.map(StoreEvent::Found)
    }

    fn look(&mut self, store: &str) -> Answer {
        self.close_all();
        let Some(identity) = self.directory.identity_of(store)? else {
            return Ok(StoreEvent::Looked(None));
        };
        let Roles { current, .. } = self.directory.list()?.roles(self.directory.current()?);
        let Some(generation) = current else { return Ok(StoreEvent::Looked(None)) };
        let path = self.directory.generation(generation);
        let state = match generation::open_read_only(&path, identity.partitions, &self.shared)? {
            Opening::Open(open, closed, lineages) => {
                let failed = Some(refused(format!("{generation} is open to be read alone")));
                let (open, tuning) = (Arc::new(open), Tuning::none());
                let opened = Opened { generation: open, closed, load: None, tuning, failed };
                self.open.insert(generation, opened);
                self.publish();
                GenerationState::Intact(lineages)
            }
            Opening::Unusable(state) => state,
        };
        let found = FoundGeneration { generation, state };
        Ok(StoreEvent::Looked(Some(Looked { identity, found })))
    }

    /// Opens and changes nothing before IDENTITY was read and is the expected one.
    fn judge(&mut self, expected: &Identity) -> Result<Found, StoreError> {
        let mut listing = match self.directory.judge(expected)? {
            Owned::Ours(listing) => listing,
            Owned::Not(found) => {
                self.swept = true;
                return Ok(found);
            }
        };
        for hidden in listing.removing.drain(..) {
            self.remover.delete(hidden)?;
        }
        self.directory.sweep(&mut listing)?;
        if !self.swept {
            // It is not done when the store is opened again: peers may be reading what this process gives them.
            self.directory.remove_given(&listing)?;
            self.swept = true;
        }
        self.open_copy(&mut listing, expected.partitions).map(Found::Copy)
    }

    fn open_copy(
        &mut self,
        listing: &mut Listing,
        partitions: u32,
    ) -> Result<FoundCopy, StoreError> {
        let Roles { current, building, highest } = listing.roles(self.directory.current()?);
        self.highest = self.highest.max(highest);
        self.set_superseded_aside(listing, [current, building]);
        let current = current
            .map(|generation| self.open_generation(generation, partitions, Use::Reads))
            .transpose()?;
        let building = building
            .map(|generation| self.open_generation(generation, partitions, Use::Load))
            .transpose()?;
        self.publish();
        Ok(FoundCopy { current, building, next: Generation(self.highest + 1) })
    }

    /// A crash may have come between an `Activate` and what was to become of the generation before: nobody will ask for
    /// that again. It is kept, as it may be the only one that has what the log lost.
    fn set_superseded_aside(&self, listing: &Listing, kept: [Option<Generation>; 2]) {
        let superseded =
            listing.generations.iter().filter(|generation| !kept.contains(&Some(**generation)));
        for generation in superseded {
            if let Err(error) = self.directory.quarantine(*generation, &Why::Superseded) {
                tracing::warn!(%generation, %error, "not in use, and could not be set aside");
            }
        }
    }

    fn open_generation(
        &mut self,
        generation: Generation,
        partitions: u32,
        purpose: Use,
    ) -> Result<FoundGeneration, StoreError> {
        if let Some(closed) = self.closing.get(&generation) {
            if !closed.wait(READS_WAIT) {
                return Err(held(format!(
                    "{generation} cannot be opened again before who read it when it was closed ends: a Get, Scan, \
                     watch or Verify, a peer's checkpoint, or the report of what the log lost. Each ends at its next \
                     row, so one that does not is kept by the disk; the node tries again by itself"
                )));
            }
            self.closing.remove(&generation);
        }
        let path = self.directory.generation(generation);
        let state = match generation::open(&path, partitions, purpose, &self.shared)? {
            Opening::Open(open, closed, lineages) => {
                let load = match purpose {
                    Use::Reads => None,
                    Use::Load => Some(Load::begin(&path, &open, &self.shared)?),
                };
                let tuning =
                    Tuning::new(generation, &open, purpose).map_err(|error| rocks(&error))?;
                let open = Arc::new(open);
                let opened = Opened { generation: open, closed, load, tuning, failed: None };
                self.open.insert(generation, opened);
                GenerationState::Intact(lineages)
            }
            Opening::Unusable(state) => state,
        };
        Ok(FoundGeneration { generation, state })
    }

    fn create(
        &mut self,
        generation: Generation,
        identity: &Identity,
        lineages: &[Lineage],
    ) -> Answer {
        assert_eq!(
            u32::try_from(lineages.len()),
            Ok(identity.partitions),
            "one lineage per partition"
        );
        self.directory.claim(identity)?;
        self.directory.remove_fetched(None)?;
        self.check_space()?;
        generation::create(&self.directory, generation, lineages, &self.shared)?;
        self.highest = self.highest.max(generation.0);
        let found = self.open_generation(generation, identity.partitions, Use::Load)?;
        self.publish();
        match found.state {
            GenerationState::Intact(_) => {
                Ok(StoreEvent::Done { call: StoreCallKind::Create, generation })
            }
            GenerationState::UnknownFormat(detail) | GenerationState::Corrupt(detail) => {
                Err(super::error::corrupt(detail))
            }
        }
    }

    fn adopt(
        &mut self,
        generation: Generation,
        identity: &Identity,
        delete_retention_ms_min: u64,
    ) -> Answer {
        self.directory.adopt(generation, identity, delete_retention_ms_min)?;
        self.highest = self.highest.max(generation.0);
        Ok(StoreEvent::Done { call: StoreCallKind::Adopt, generation })
    }

    /// Checks that a rebuild fits: one that fills the disk takes it from everybody else on the machine, and does not
    /// end.
    fn check_space(&mut self) -> Result<(), StoreError> {
        self.remover.settle()?;
        let Some(in_use) = self.directory.size_in_use()? else { return Ok(()) };
        self.directory.check_free(in_use, "a rebuild beside the copy that it replaces")
    }

    fn apply(&mut self, generation: Generation, batch: Arc<Batch>, lineage: Lineage) -> Answer {
        let (partition, position) = (batch.partition, lineage.position);
        self.write(generation, |open, load| match load {
            Some(load) => load.apply(batch, lineage),
            None => open.apply(&batch, &lineage).map_err(|error| rocks(&error)),
        })?;
        Ok(StoreEvent::Applied { generation, partition, position })
    }

    fn confirm(
        &mut self,
        generation: Generation,
        partition: Partition,
        lineage: Lineage,
    ) -> Answer {
        self.write(generation, |open, load| match load {
            Some(load) => {
                load.confirm(partition, lineage);
                Ok(())
            }
            None => open.confirm(partition, &lineage).map_err(|error| rocks(&error)),
        })?;
        Ok(StoreEvent::Done { call: StoreCallKind::Confirm, generation })
    }

    fn flush(&mut self, generation: Generation) -> Answer {
        self.write(generation, |open, load| match load {
            Some(load) => load.flush(open),
            None => open.flush().map_err(|error| rocks(&error)),
        })?;
        if let Some(Opened { generation: open, load: None, tuning, .. }) =
            self.open.get_mut(&generation)
        {
            tuning.settle(generation, open, &self.shared).map_err(|error| rocks(&error))?;
        }
        Ok(StoreEvent::Done { call: StoreCallKind::Flush, generation })
    }

    fn write(
        &mut self,
        generation: Generation,
        write: impl FnOnce(&OpenGeneration, Option<&mut Load>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let Some(opened) = self.open.get_mut(&generation) else {
            return Err(refused(format!("{generation} is not open")));
        };
        if let Some(error) = &opened.failed {
            return Err(error.clone());
        }
        write(&opened.generation, opened.load.as_mut()).map_err(|error| {
            // Otherwise RocksDB might flush or compact on its own when the disk works again.
            opened.generation.freeze();
            opened.failed.insert(error).clone()
        })
    }

    fn activate(&mut self, generation: Generation) -> Answer {
        let opened = self.open.get_mut(&generation);
        if let Some(Opened { generation, load: Some(load), .. }) = opened {
            load.end(generation)?;
        }
        self.directory.set_current(generation)?;
        if let Some(opened) = self.open.get_mut(&generation)
            && opened.load.take().is_some()
        {
            let Opened { generation: open, tuning, .. } = opened;
            open.begin_reads()?;
            let tuned = tuning.put_into_use(generation, open, &self.shared);
            tuned.map_err(|error| rocks(&error))?;
        }
        Ok(StoreEvent::Done { call: StoreCallKind::Activate, generation })
    }

    fn pin(&mut self, generation: Generation, partition: Partition, pin: RequestId) -> Answer {
        let open = match self.open.get(&generation) {
            Some(Opened { failed: Some(error), .. }) => return Err(error.clone()),
            Some(Opened { generation: open, load: None, .. }) => open,
            Some(_) | None => return Err(refused(format!("{generation} is not in use"))),
        };
        let pinned = self.pins.entry(pin).or_insert_with(|| Pinned::none(generation, open));
        assert_eq!(pinned.generation, generation, "a pin is of one generation");
        pinned.pin(partition, Arc::clone(open));
        self.views.publish_pins(self.pins.clone());
        Ok(StoreEvent::Pinned { pin, partition })
    }

    fn unpin(&mut self, ends: impl Fn(RequestId, Generation) -> bool) {
        let before = self.pins.len();
        self.pins.retain(|pin, pinned| !ends(*pin, pinned.generation));
        if self.pins.len() < before {
            self.views.publish_pins(self.pins.clone());
        }
    }

    fn quarantine(&mut self, generation: Generation, why: &Why) -> Answer {
        self.close(generation);
        self.directory.quarantine(generation, why)?;
        Ok(StoreEvent::Done { call: StoreCallKind::Quarantine, generation })
    }

    fn remove(&mut self, generation: Generation) -> Answer {
        self.close(generation);
        if let Some(hidden) = self.directory.hide(generation)? {
            self.remover.delete(hidden)?;
        }
        Ok(StoreEvent::Done { call: StoreCallKind::Remove, generation })
    }

    fn close(&mut self, generation: Generation) {
        self.unpin(|_, of| of == generation);
        let Some(opened) = self.open.remove(&generation) else {
            return;
        };
        self.publish();
        drop(opened.load);
        opened.tuning.end();
        opened.generation.close();
        self.closing.insert(generation, opened.closed);
    }

    fn close_all(&mut self) {
        while let Some(generation) = self.open.keys().next().copied() {
            self.close(generation);
        }
    }

    fn publish(&self) {
        let open = self
            .open
            .iter()
            .map(|(generation, opened)| (*generation, Arc::clone(&opened.generation)));
        self.views.publish(open.collect());
    }
}

#[cfg(test)]
impl RocksStore {
    /// As `beat`, with looks so often that a test meets them.
    pub(super) fn beat_often(&mut self, pulse: Pulse) {
        self.moves = Moves::often(self.directory.data(), pulse);
    }

    /// An open generation, and whether its level 0 holds no writes up.
    pub(super) fn tuned(&self, generation: Generation) -> (&OpenGeneration, bool) {
        let opened = &self.open[&generation];
        (&opened.generation, opened.tuning.is_lenient())
    }
}

/// Closes everything. What was not flushed is forgotten, as after a crash.
impl Drop for RocksStore {
    fn drop(&mut self) {
        self.close_all();
    }
}
