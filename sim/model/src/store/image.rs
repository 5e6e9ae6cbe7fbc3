//! A volume as it was at one moment, and how it is put back: later, at another node, under another name.

use outrigger_core::conformance::store::Damage;
use outrigger_core::offset::Generation;
use outrigger_core::topic::Identity;

use super::StoreModel;
use super::disk::{Disk, Owner, Stored};
use super::inspect::{self, StoredGeneration};

/// What was durable when it was taken. A clone shares the rows. The default is an empty volume.
#[derive(Clone, Debug, Default)]
pub struct Image {
    disk: Disk,
}

impl Image {
    /// The same volume, had it been made for something else.
    #[must_use]
    pub fn of_another(mut self, identity: Identity) -> Image {
        self.disk.owner = Some(Owner::Known(identity));
        self
    }

    /// What IDENTITY says, where there is one that can be read.
    pub fn identity(&self) -> Option<&Identity> {
        self.disk.identity()
    }

    pub fn generations(&self) -> impl Iterator<Item = StoredGeneration<'_>> {
        inspect::stored(&self.disk)
    }
}

impl StoreModel {
    /// A snapshot of the volume, as one takes it of a running system.
    pub fn image(&self) -> Image {
        Image { disk: self.disk.clone() }
    }

    /// From now on this volume is there, and nothing is wrong with it except what was wrong when it was taken.
    /// No process uses the one before.
    pub fn mount(&mut self, image: Image) {
        assert!(self.open.is_empty(), "the volume of a running process is not exchanged");
        *self = StoreModel { disk: image.disk, ..StoreModel::default() };
    }
}

/// What was flushed of one generation when it was taken, and the identity that it is kept under: what a peer gives.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    identity: Identity,
    stored: Stored,
}

impl Checkpoint {
    /// The same files under another name.
    #[must_use]
    pub fn of_another(self, identity: Identity) -> Checkpoint {
        Checkpoint { identity, ..self }
    }

    /// Somebody else's: the same keys, and other values.
    #[must_use]
    pub fn of_something_else(mut self, identity: Identity) -> Checkpoint {
        for contents in &mut self.stored.partitions {
            contents.replace_values();
        }
        self.of_another(identity)
    }

    #[must_use]
    pub fn damaged(mut self, damage: &Damage) -> Checkpoint {
        self.stored.damage(*damage);
        self
    }
}

impl StoreModel {
    /// A checkpoint of a generation that is there, of a store whose IDENTITY can be read.
    pub fn checkpoint(&self, generation: Generation) -> Option<Checkpoint> {
        let stored = self.disk.generations.get(&generation)?.clone();
        let stored = Stored { condemned: None, ..stored };
        let identity = self.disk.identity()?.clone();
        Some(Checkpoint { identity, stored })
    }

    /// From now on `Adopt` of `generation` finds this.
    pub fn place_fetched(&mut self, generation: Generation, checkpoint: Checkpoint) {
        let Checkpoint { identity, stored } = checkpoint;
        self.disk.fetched.insert(generation, (identity, stored));
    }

    /// The identity under which something was fetched for `generation`.
    pub fn fetched(&self, generation: Generation) -> Option<&Identity> {
        self.disk.fetched.get(&generation).map(|(identity, _)| identity)
    }
}
