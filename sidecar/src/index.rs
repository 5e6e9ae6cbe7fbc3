//! Which store of this process an event or call belongs to.

use std::fmt;

/// Position of a store in the configuration, `0..stores`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreIndex(pub usize);

impl fmt::Display for StoreIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
