//! The tombstone horizon: what comes from the log behind it may lack deletes that a copy has not seen, so that the copy
//! has to be rebuilt.

use std::time::Duration;

/// How far away the horizon of a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// How long the copy may still be without a confirmation.
    pub left: Duration,
    /// How long that is for a copy that is confirmed this moment.
    pub of: Duration,
}
