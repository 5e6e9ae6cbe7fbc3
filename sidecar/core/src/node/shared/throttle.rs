//! How fast a restore may read: what came is paid for with time before the next credit.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::limits::Limits;
use crate::time::time_for;

/// A throttled restore is cut into this many batches a second, so that it moves steadily, and a bar with it.
const BATCHES_PER_SECOND: u64 = 10;

#[derive(Debug, Default)]
pub(in crate::node) struct Throttle {
    /// Bytes of keys and values per second; none: as fast as it can.
    rate: Option<NonZeroU64>,
    /// Monotonic: when everything that came is paid for. Time without reading is not saved up.
    paid_at: Duration,
}

impl Throttle {
    /// What came before is forgotten: a debt made at a low rate must not hold up a higher one.
    pub(in crate::node) fn set(&mut self, rate: Option<NonZeroU64>) {
        *self = Throttle { rate, paid_at: Duration::ZERO };
    }

    pub(in crate::node) fn rate(&self) -> Option<NonZeroU64> {
        self.rate
    }

    /// A batch of this many bytes came to a restore at `now`. Nobody knows its size before, so it is charged afterwards.
    pub(in crate::node) fn charge(&mut self, bytes: usize, now: Duration, limits: &Limits) {
        let Some(rate) = self.rate else { return };
        let paid_at = self.paid_at.max(now).saturating_add(time_for(bytes, rate));
        self.paid_at = paid_at.min(now + limits.restore_debt_max);
    }

    /// The restore ended: the next one begins without debts.
    pub(in crate::node) fn forget_debt(&mut self) {
        self.paid_at = Duration::ZERO;
    }

    /// When the next credit may be given; none: now.
    pub(in crate::node) fn until(&self, now: Duration) -> Option<Duration> {
        (self.paid_at > now).then_some(self.paid_at)
    }

    /// The size of a credit while `partitions` share the rate.
    pub(in crate::node) fn batch_bytes(&self, partitions: usize, limits: &Limits) -> u32 {
        let bytes_max = limits.fetch_bytes(partitions);
        let Some(rate) = self.rate else { return bytes_max };
        let partitions = u64::try_from(partitions.max(1)).expect("lengths fit 64 bits");
        let share = rate.get() / BATCHES_PER_SECOND / partitions;
        u32::try_from(share).unwrap_or(u32::MAX).clamp(1, bytes_max)
    }
}
