//! A look at disk and process from outside, for oracles: nothing here is a call of the seam.

use std::collections::BTreeSet;

use outrigger_core::offset::{Generation, Partition};
use outrigger_core::topic::Identity;

use super::StoreModel;
use super::contents::Contents;
use super::disk::{Disk, Health, Owner};

/// A generation as a crash at this moment would leave it, were nothing but flushes to reach the disk.
#[derive(Clone, Copy, Debug)]
pub struct StoredGeneration<'a> {
    pub generation: Generation,
    /// Whether CURRENT names it.
    pub current: bool,
    /// Whether nothing was done to its files, so that whatever it holds can be read.
    pub sound: bool,
    /// What is durable, indexed by partition.
    pub durable: &'a [Contents],
}

/// What the process sees of a generation.
#[derive(Clone, Copy, Debug)]
pub struct LiveGeneration<'a> {
    pub generation: Generation,
    /// What the process sees, by partition, with everything that is not flushed.
    pub live: &'a [Contents],
    /// A call failed: nothing more becomes durable until it is opened again.
    pub failed: bool,
}

impl StoreModel {
    /// What IDENTITY says, where there is one that can be read.
    pub fn identity(&self) -> Option<&Identity> {
        self.disk.identity()
    }

    /// Ascending; neither what was set aside nor the halves of interrupted calls.
    pub fn generations(&self) -> impl Iterator<Item = StoredGeneration<'_>> {
        stored(&self.disk)
    }

    /// The generation of this number, if it is there.
    pub fn generation(&self, generation: Generation) -> Option<StoredGeneration<'_>> {
        self.generations().find(|stored| stored.generation == generation)
    }

    /// The open generations, ascending.
    pub fn open_generations(&self) -> impl Iterator<Item = LiveGeneration<'_>> {
        self.open.iter().map(|(generation, open)| LiveGeneration {
            generation: *generation,
            live: &open.live,
            failed: open.failed.is_some(),
        })
    }

    /// What interrupted `Create`s and `Remove`s left, out of sight: gone after the next `Open`.
    pub fn halves(&self) -> &BTreeSet<Generation> {
        &self.disk.debris
    }

    /// How many `Apply`s and `Confirm`s of an open generation's partition the disk has not got yet.
    pub fn unflushed(&self, generation: Generation, partition: Partition) -> usize {
        self.open.get(&generation).map_or(0, |open| open.unflushed(partition))
    }
}

impl Disk {
    pub(super) fn identity(&self) -> Option<&Identity> {
        match &self.owner {
            Some(Owner::Known(identity)) => Some(identity),
            Some(Owner::Unreadable) | None => None,
        }
    }
}

pub(super) fn stored(disk: &Disk) -> impl Iterator<Item = StoredGeneration<'_>> {
    disk.generations.iter().map(|(generation, stored)| StoredGeneration {
        generation: *generation,
        current: disk.current == Some(*generation),
        sound: stored.health == Health::Sound && stored.rot.is_empty(),
        durable: &stored.partitions,
    })
}
