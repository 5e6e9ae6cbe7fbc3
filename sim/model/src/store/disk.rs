//! What a crash leaves: names, numbers and flushed rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_core::conformance::store::Damage;
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Generation, Offset};
use outrigger_core::store::StoreError;
use outrigger_core::topic::Identity;

use super::io;

#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) owner: Option<Owner>,
    pub(super) current: Option<Generation>,
    pub(super) generations: BTreeMap<Generation, Stored>,
    pub(super) quarantined: BTreeMap<Generation, String>,
}

/// What IDENTITY says.
#[derive(Debug)]
pub(super) enum Owner {
    Known(Identity),
    Unreadable,
}

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) health: Health,
    pub(super) partitions: Vec<Contents>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Sound,
    UnknownFormat,
    Unreadable,
    /// Opens as if nothing were wrong; every read fails.
    RowsDamaged,
}

/// One partition of one generation.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    pub(super) lineage: Lineage,
    /// Copied on write while a view, or the other side of the last flush, shares them.
    pub(super) rows: Arc<Rows>,
}

pub(super) type Rows = BTreeMap<Vec<u8>, (Offset, Vec<u8>)>;

impl Disk {
    pub(super) fn is_empty(&self) -> bool {
        self.generations.is_empty() && self.quarantined.is_empty()
    }

    pub(super) fn stored(&mut self, generation: Generation) -> &mut Stored {
        self.generations.get_mut(&generation).expect("an open generation is on disk")
    }

    pub(super) fn health(&self, generation: Generation) -> Option<Health> {
        self.generations.get(&generation).map(|stored| stored.health)
    }

    pub(super) fn current_there(&self) -> Option<Generation> {
        self.current.filter(|current| self.generations.contains_key(current))
    }

    /// The newest generation above the current one.
    pub(super) fn building(&self) -> Option<Generation> {
        let (newest, _) = self.generations.last_key_value()?;
        (Some(*newest) > self.current_there()).then_some(*newest)
    }

    /// Highest number ever used that the disk knows of: also that of a CURRENT whose generation is gone,
    /// which a new generation of its number would make current unfinished.
    pub(super) fn highest(&self) -> u64 {
        let there = self.generations.keys().chain(self.quarantined.keys()).chain(&self.current);
        there.map(|generation| generation.0).max().unwrap_or(0)
    }

    pub(super) fn set_superseded_aside(&mut self) {
        let kept = [self.current_there(), self.building()];
        let superseded: Vec<Generation> = self
            .generations
            .keys()
            .copied()
            .filter(|generation| !kept.contains(&Some(*generation)))
            .collect();
        for generation in superseded {
            self.generations.remove(&generation);
            self.quarantined.insert(generation, "superseded".into());
        }
    }

    pub(super) fn claim(&mut self, identity: Identity) -> Result<(), StoreError> {
        match &self.owner {
            None if self.is_empty() => {
                self.owner = Some(Owner::Known(identity));
                Ok(())
            }
            Some(Owner::Known(is)) if *is == identity => Ok(()),
            Some(Owner::Known(is)) => Err(io(format!("the copy on disk is of {is}"))),
            None | Some(Owner::Unreadable) => Err(io("the copy on disk is of nobody known".into())),
        }
    }

    pub(super) fn create(
        &mut self,
        generation: Generation,
        lineages: Vec<Lineage>,
    ) -> Result<(), StoreError> {
        if self.generations.contains_key(&generation) || self.quarantined.contains_key(&generation)
        {
            return Err(io(format!("{generation} is there already")));
        }
        let empty = |lineage| Contents { lineage, rows: Arc::default() };
        let partitions = lineages.into_iter().map(empty).collect();
        self.generations.insert(generation, Stored { health: Health::Sound, partitions });
        Ok(())
    }

    pub(super) fn set_aside(
        &mut self,
        generation: Generation,
        why: String,
    ) -> Result<(), StoreError> {
        if self.generations.remove(&generation).is_some() {
            self.quarantined.insert(generation, why);
        }
        match self.quarantined.contains_key(&generation) {
            true => Ok(()),
            false => Err(io(format!("{generation} is not there to be set aside"))),
        }
    }

    pub(super) fn damage(&mut self, damage: Damage) {
        match damage {
            Damage::Identity => self.owner = Some(Owner::Unreadable),
            Damage::NoIdentity => self.owner = None,
            Damage::Format(generation) => self.stored(generation).health = Health::UnknownFormat,
            Damage::Index(generation) | Damage::MissingFile(generation) => {
                self.stored(generation).health = Health::Unreadable;
            }
            Damage::Rows(generation) => self.stored(generation).health = Health::RowsDamaged,
        }
    }
}
