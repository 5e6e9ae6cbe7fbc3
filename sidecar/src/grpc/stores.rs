//! Which stores this node serves, and which of them a request means.

use std::sync::Arc;

use outrigger_proto::v1::ErrorDetail;

use super::error;
use crate::config::Ack;
use crate::restore_time::RestoreTime;
use crate::runtime::StoreHandle;
use crate::telemetry::trace;

/// The stores, ordered by name. They never change; a clone is cheap.
#[derive(Clone)]
pub(super) struct Stores {
    stores: Arc<[Store]>,
    /// When a write is answered whose caller does not ask for either.
    pub(super) ack: Ack,
}

pub(super) struct Store {
    pub(super) handle: StoreHandle,
    pub(super) restore_time: RestoreTime,
}

impl Stores {
    pub(super) fn new(mut handles: Vec<StoreHandle>, ack: Ack) -> Stores {
        handles.sort_by(|one, other| one.name().cmp(other.name()));
        let store = |handle| Store { handle, restore_time: RestoreTime::default() };
        Stores { stores: handles.into_iter().map(store).collect(), ack }
    }

    pub(super) fn all(&self) -> &[Store] {
        &self.stores
    }

    /// Returns the store that a read or write names; without a name the only one.
    pub(super) fn one(&self, name: &str) -> Result<&Store, ErrorDetail> {
        let names = self.stores.iter().map(|store| store.handle.name());
        let store = &self.stores[chosen(names, name)?];
        trace::store(store.handle.name());
        Ok(store)
    }

    /// Returns the stores that a question about the node names; without a name all.
    pub(super) fn named(&self, name: &str) -> Result<&[Store], ErrorDetail> {
        if name.is_empty() {
            return Ok(self.all());
        }
        self.one(name).map(std::slice::from_ref)
    }
}

fn chosen<'a>(names: impl Iterator<Item = &'a str>, name: &str) -> Result<usize, ErrorDetail> {
    let known: Vec<_> = names.collect();
    match known.iter().position(|known| *known == name) {
        Some(index) => Ok(index),
        None if !name.is_empty() => Err(error::unknown_store(name, &known)),
        None if known.len() == 1 => Ok(0),
        None => Err(error::store_not_named(&known)),
    }
}

#[cfg(test)]
mod tests {
    use outrigger_proto::v1::Reason;

    use super::*;

    fn choose(known: &[&str], name: &str) -> Result<usize, ErrorDetail> {
        chosen(known.iter().copied(), name)
    }

    #[test]
    fn a_store_is_found_by_name_and_the_only_one_without() {
        assert_eq!(choose(&["notes"], ""), Ok(0));
        assert_eq!(choose(&["notes"], "notes"), Ok(0));
        assert_eq!(choose(&["notes", "users"], "users"), Ok(1));
    }

    #[test]
    fn no_store_and_an_unknown_one_are_refused_with_the_known_ones() {
        for (known, name, reason) in [
            (&["notes", "users"][..], "", Reason::StoreNotNamed),
            (&["notes", "users"], "other", Reason::UnknownStore),
            (&["notes"], "Notes", Reason::UnknownStore),
        ] {
            let detail = choose(known, name).expect_err("refused");
            assert_eq!(detail.reason(), reason);
            assert!(known.iter().all(|known| detail.what_to_do.contains(known)), "{detail:?}");
        }
    }
}
