//! Time as an input: core never asks for it.

use std::time::Duration;

/// Both clocks at one moment. Neither is ever derived from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, counting suspend (Linux: `CLOCK_BOOTTIME`), from an arbitrary start.
    pub mono: Duration,
    /// Wall clock, milliseconds since the Unix epoch.
    pub wall_ms: u64,
}
