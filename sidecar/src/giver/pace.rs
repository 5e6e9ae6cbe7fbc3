//! How fast a node gives: one rate for all that take from it.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use outrigger_core::time::time_for;

#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second; none: as fast as it can.
    rate: Option<NonZeroU64>,
    /// When everything that was given before is paid for. The lock guards nothing else, and is never held while
    /// waiting.
    paid: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(rate: Option<NonZeroU64>) -> Pace {
        Pace { rate, paid: Mutex::new(Instant::now()) }
    }

    /// How long somebody who is about to give `bytes` waits before that.
    pub(super) fn reserve(&self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*paid).max(now);
        *paid = turn + time_for(bytes, rate);
        turn - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_takers_share_one_rate_and_a_pause_saves_nothing_up() {
        let pace = Pace::new(NonZeroU64::new(1_000));
        let now = Instant::now() + Duration::from_secs(1);
        assert_eq!(pace.reserve(500, now), Duration::ZERO);
        assert_eq!(pace.reserve(500, now), Duration::from_millis(500));
        let later = now + Duration::from_secs(60);
        assert_eq!(pace.reserve(500, later), Duration::ZERO);
        assert_eq!(pace.reserve(1, later), Duration::from_millis(500));
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let pace = Pace::new(None);
        let now = Instant::now();
        assert_eq!(pace.reserve(usize::MAX, now) + pace.reserve(1, now), Duration::ZERO);
    }
}
