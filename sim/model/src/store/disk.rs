//! What a crash leaves: names, numbers and flushed rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outrigger_core::conformance::store::Damage;
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Generation, Offset};
use outrigger_core::store::{StoreError, Why};
use outrigger_core::topic::Identity;

use super::contents::Contents;
use super::fault::Reach;
use super::io;

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) owner: Option<Owner>,
    /// What CURRENT names, whether it is there or not; none where CURRENT cannot be read.
    pub(super) current: Option<Generation>,
    pub(super) generations: BTreeMap<Generation, Stored>,
    pub(super) quarantined: BTreeMap<Generation, Why>,
    /// Halves of interrupted `Create`s and `Remove`s, out of sight.
    pub(super) debris: BTreeSet<Generation>,
    /// What peers gave, by the generation that it is for, and the identity that they have it under.
    pub(super) fetched: BTreeMap<Generation, (Identity, Stored)>,
}

/// What IDENTITY says.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    Known(Identity),
    Unreadable,
}

#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) health: Health,
    pub(super) partitions: Vec<Contents>,
    pub(super) rot: Arc<Rot>,
    /// A `Quarantine` got as far as to say why.
    pub(super) condemned: Option<Why>,
}

/// Rows whose bytes on disk are wrong: by key, while it is the record at this offset that is read.
pub(super) type Rot = BTreeMap<Vec<u8>, Offset>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Sound,
    UnknownFormat,
    Unreadable,
    /// It opens as if nothing were wrong; every read fails.
    RowsDamaged,
}

impl Stored {
    /// Damages the generation's own files; of the store's there is nothing here to damage.
    pub(super) fn damage(&mut self, damage: Damage) {
        self.health = match damage {
            Damage::Identity | Damage::NoIdentity | Damage::Current => return,
            Damage::Format(_) => Health::UnknownFormat,
            Damage::Index(_) | Damage::MissingFile(_) => Health::Unreadable,
            Damage::Rows(_) => Health::RowsDamaged,
        };
    }
}

impl Disk {
    pub(super) fn is_empty(&self) -> bool {
        self.generations.is_empty() && self.quarantined.is_empty()
    }

    pub(super) fn stored(&mut self, generation: Generation) -> &mut Stored {
        self.generations.get_mut(&generation).expect("an open generation is on disk")
    }

    pub(super) fn current_there(&self) -> Option<Generation> {
        self.current.filter(|current| self.generations.contains_key(current))
    }

    /// The newest generation above the current one.
    pub(super) fn building(&self) -> Option<Generation> {
        let (newest, _) = self.generations.last_key_value()?;
        (Some(*newest) > self.current_there()).then_some(*newest)
    }

    /// The highest number ever used that the disk knows of. That of a CURRENT whose generation is gone counts too: a
    /// new generation of its number would be current before it is finished.
    pub(super) fn highest(&self) -> u64 {
        let there = self.generations.keys().chain(self.quarantined.keys()).chain(&self.current);
        there.map(|generation| generation.0).max().unwrap_or(0)
    }

    /// Finishes what a crash interrupted.
    pub(super) fn sweep(&mut self) {
        self.debris.clear();
        let condemned: Vec<(Generation, Why)> = self
            .generations
            .iter()
            .filter_map(|(generation, stored)| Some((*generation, stored.condemned.clone()?)))
            .collect();
        for (generation, why) in condemned {
            self.move_aside(generation, why);
        }
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
            self.move_aside(generation, Why::Superseded);
        }
    }

    fn claim(&mut self, identity: Identity) -> Result<(), StoreError> {
        match &self.owner {
            None | Some(Owner::Unreadable) if self.is_empty() => {
                self.current = None;
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
        identity: Identity,
        lineages: Vec<Lineage>,
        reach: &mut Reach,
    ) -> Result<(), StoreError> {
        reach.step()?;
        self.claim(identity)?;
        if self.is_used(generation) {
            return Err(io(format!("{generation} is there already")));
        }
        self.fetched.clear();
        reach.step()?;
        self.debris.insert(generation);
        reach.step()?;
        self.debris.remove(&generation);
        let partitions = lineages.into_iter().map(Contents::empty).collect();
        let (health, rot, condemned) = (Health::Sound, Arc::default(), None);
        self.generations.insert(generation, Stored { health, partitions, rot, condemned });
        Ok(())
    }

    pub(super) fn adopt(
        &mut self,
        generation: Generation,
        identity: Identity,
        delete_retention_ms_min: u64,
        reach: &mut Reach,
    ) -> Result<(), StoreError> {
        match self.fetched.get(&generation) {
            Some((of, _)) if *of == identity => {}
            Some((of, _)) => return Err(io(format!("what was fetched is of {of}"))),
            None => return Err(io(format!("nothing was fetched for {generation}"))),
        }
        if self.is_used(generation) {
            return Err(io(format!("{generation} is there already")));
        }
        reach.step()?;
        self.claim(identity)?;
        reach.step()?;
        let (_, mut stored) = self.fetched.remove(&generation).expect("it was there");
        for contents in &mut stored.partitions {
            contents.lineage.see_retention(delete_retention_ms_min);
        }
        self.generations.insert(generation, stored);
        reach.step()?;
        self.fetched.clear();
        Ok(())
    }

    fn is_used(&self, generation: Generation) -> bool {
        self.generations.contains_key(&generation) || self.quarantined.contains_key(&generation)
    }

    pub(super) fn set_aside(
        &mut self,
        generation: Generation,
        why: Why,
        reach: &mut Reach,
    ) -> Result<(), StoreError> {
        reach.step()?;
        match self.generations.get_mut(&generation) {
            Some(stored) => stored.condemned = Some(why.clone()),
            None if self.quarantined.contains_key(&generation) => return Ok(()),
            None => return Err(io(format!("{generation} is not there to be set aside"))),
        }
        reach.step()?;
        self.move_aside(generation, why);
        Ok(())
    }

    fn move_aside(&mut self, generation: Generation, why: Why) {
        self.generations.remove(&generation).expect("only what is there is moved");
        let before = self.quarantined.insert(generation, why);
        assert!(before.is_none(), "{generation} was used again after it was set aside");
    }

    /// Removes the generation. Whatever of its files cannot be deleted stays out of sight until the next `Open`.
    pub(super) fn remove(
        &mut self,
        generation: Generation,
        reach: &mut Reach,
    ) -> Result<(), StoreError> {
        reach.step()?;
        if self.generations.remove(&generation).is_some() && reach.step().is_err() {
            self.debris.insert(generation);
        }
        Ok(())
    }

    pub(super) fn damage(&mut self, damage: Damage) {
        match damage {
            Damage::Identity => self.owner = Some(Owner::Unreadable),
            Damage::NoIdentity => self.owner = None,
            Damage::Current => self.current = None,
            Damage::Format(generation)
            | Damage::Index(generation)
            | Damage::MissingFile(generation)
            | Damage::Rows(generation) => self.stored(generation).damage(damage),
        }
    }

    /// The bytes of row number `number` (counted round) go bad. Returns its key, if there is any row.
    pub(super) fn rot_row(&mut self, generation: Generation, number: usize) -> Option<Vec<u8>> {
        let stored = self.stored(generation);
        let count: usize = stored.partitions.iter().map(|contents| contents.rows().len()).sum();
        let number = number.checked_rem(count)?;
        let mut rows = stored.partitions.iter().flat_map(|contents| contents.rows());
        let (key, (offset, _)) = rows.nth(number).expect("below the count");
        let (key, offset) = (key.clone(), *offset);
        Arc::make_mut(&mut stored.rot).insert(key.clone(), offset);
        Some(key)
    }
}
