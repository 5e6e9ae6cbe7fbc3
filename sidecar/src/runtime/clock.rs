//! The clocks of this machine, read together. Core is told the time and never asks for it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outrigger_core::time::Now;

/// Reads both clocks.
pub fn now() -> Now {
    Now { mono: mono(), wall_ms: wall_ms() }
}

/// Reads `CLOCK_BOOTTIME`: `Instant` stands still while the machine is suspended, and a copy that slept past the
/// tombstone horizon would not notice.
fn mono() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live, writable timespec, which is all that clock_gettime asks for.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    assert_eq!(answer, 0, "CLOCK_BOOTTIME exists since Linux 2.6.39");
    let seconds = u64::try_from(time.tv_sec).expect("the time since boot is not negative");
    let nanos = u32::try_from(time.tv_nsec).expect("nanoseconds are below 10^9");
    Duration::new(seconds, nanos)
}

/// Reads the wall clock. One that is before 1970 counts as 1970: every age is then past its horizon, which is safe.
fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).expect("2^64 ms are 584 million years")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back() {
        let first = now();
        let second = now();
        assert!(first.mono <= second.mono, "{first:?} {second:?}");
        assert!(first.wall_ms > 1_700_000_000_000, "the wall clock counts from 1970: {first:?}");
    }
}
