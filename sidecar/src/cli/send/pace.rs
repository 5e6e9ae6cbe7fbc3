//! A rate kept from the first write to the last: a pause that came late is made up for.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

pub(super) struct Pace {
    began: Instant,
    /// Writes a second; none: as fast as possible.
    rate: Option<u64>,
    writes: u64,
}

impl Pace {
    pub(super) fn new(rate: Option<u64>) -> Pace {
        Pace { began: Instant::now(), rate, writes: 0 }
    }

    /// Waits until the next write is due.
    pub(super) async fn wait(&mut self) {
        let Some(rate) = self.rate else { return };
        let due = self.began + due_after(self.writes, rate);
        self.writes += 1;
        sleep_until(due).await;
    }
}

/// Returns when write number `writes` is due, from the start on.
fn due_after(writes: u64, rate: u64) -> Duration {
    let nanos = u128::from(writes) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_due_evenly_and_without_drift() {
        assert_eq!(due_after(0, 3), Duration::ZERO);
        assert_eq!(due_after(3, 3), Duration::from_secs(1));
        assert_eq!(due_after(3_000_001, 1_000_000), Duration::from_micros(3_000_001));
        assert_eq!(due_after(u64::MAX, 1), Duration::from_nanos(u64::MAX));
    }
}
