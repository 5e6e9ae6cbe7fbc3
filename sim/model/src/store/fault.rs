//! What the disk refuses next, and how far a call that it refuses comes before that.
//!
//! A call is a row of durable steps, as `RocksStore` does them. `Create`: IDENTITY, its files out of sight, their
//! rename into sight. `Adopt`: IDENTITY, that rename, the removal of what else was fetched. `Remove`: the rename out of
//! sight, the files. `Quarantine`: the reason, the rename. `Activate`: the rename of CURRENT. `Flush`: one per
//! partition. `Open`: the halves that it finishes, what is superseded.

use std::collections::BTreeMap;

use outrigger_core::conformance::store::Fault;
use outrigger_core::store::{StoreCallKind, StoreError, StoreErrorKind};

#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    failing: BTreeMap<StoreCallKind, StoreErrorKind>,
    torn: BTreeMap<StoreCallKind, usize>,
    full: bool,
}

/// How far one call comes.
#[derive(Debug)]
pub(super) struct Reach {
    error: Option<StoreError>,
    steps: usize,
}

impl Faults {
    pub(super) fn arm(&mut self, fault: Fault) {
        match fault {
            Fault::Next(call, kind) => drop(self.failing.insert(call, kind)),
            Fault::Full => self.full = true,
            Fault::Free => self.full = false,
        }
    }

    pub(super) fn tear(&mut self, call: StoreCallKind, steps: usize) {
        self.torn.insert(call, steps);
    }

    pub(super) fn reach(&mut self, call: StoreCallKind, needs_space: bool) -> Reach {
        let armed = self.failing.remove(&call);
        let kind = armed.or((self.full && needs_space).then_some(StoreErrorKind::Full));
        let Some(kind) = kind else { return Reach { error: None, steps: 0 } };
        let steps = self.torn.remove(&call).unwrap_or(0);
        let error = StoreError { kind, detail: format!("injected into {call:?}") };
        Reach { error: Some(error), steps }
    }
}

impl Reach {
    /// It is called before each durable step. An error: the call fails there.
    pub(super) fn step(&mut self) -> Result<(), StoreError> {
        match (&self.error, self.steps) {
            (Some(error), 0) => Err(error.clone()),
            (Some(_), _) => {
                self.steps -= 1;
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    /// It is called after the last step: the call may have done everything and fail all the same.
    pub(super) fn end(self) -> Result<(), StoreError> {
        self.error.map_or(Ok(()), Err)
    }
}
