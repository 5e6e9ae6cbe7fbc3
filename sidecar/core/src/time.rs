//! Time as an input: core never asks for it.

use std::num::NonZeroU64;
use std::time::Duration;

/// Both clocks at one moment. Neither is ever derived from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, counting suspend (Linux: `CLOCK_BOOTTIME`), from an arbitrary start.
    pub mono: Duration,
    /// Wall clock, milliseconds since the Unix epoch.
    pub wall_ms: u64,
}

/// How long this many bytes take at `rate` bytes per second; what does not fit is some 584 years.
pub fn time_for(bytes: usize, rate: NonZeroU64) -> Duration {
    let nanos = u128::try_from(bytes).expect("lengths fit 128 bits") * 1_000_000_000;
    Duration::from_nanos(u64::try_from(nanos / u128::from(rate.get())).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_part_of_a_second_and_never_overflow() {
        let at = |bytes, rate| time_for(bytes, NonZeroU64::new(rate).unwrap());
        assert_eq!(at(0, 1), Duration::ZERO);
        assert_eq!(at(500, 1_000), Duration::from_millis(500));
        assert_eq!(at(usize::MAX, 1), Duration::from_nanos(u64::MAX));
    }
}
