//! A volume as it was at one moment, and how it is put back: later, at another node, under another name.

use outrigger_core::topic::Identity;

use super::StoreModel;
use super::disk::{Disk, Owner};
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

    /// From now on this volume is there, and nothing is wrong with it but what was when it was taken.
    /// No process uses the one before.
    pub fn mount(&mut self, image: Image) {
        assert!(self.open.is_empty(), "the volume of a running process is not exchanged");
        *self = StoreModel { disk: image.disk, ..StoreModel::default() };
    }
}
