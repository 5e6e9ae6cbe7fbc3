//! What was read and waits to be shown, because a READY copy is not exact behind it.

use std::time::Duration;

use crate::batch::Batch;
use crate::clock::Moment;
use crate::limits::Limits;
use crate::offset::Epoch;
use crate::topic::TopicPolicy;

use super::Reader;

#[derive(Debug)]
pub(in crate::node) struct Gathered {
    pub(in crate::node) batch: Batch,
    /// Monotonic: when its first part came.
    since: Duration,
}

impl Reader {
    /// Keeps the batch, or gives what is to be applied now.
    pub(in crate::node) fn gather(
        &mut self,
        batch: Batch,
        policy: &TopicPolicy,
        now: Moment,
        bytes_max: u32,
        limits: &Limits,
    ) -> [Option<Batch>; 2] {
        let before = self.gathered.take();
        let bytes = before.as_ref().map_or(0, |before| before.batch.bytes()) + batch.bytes();
        let fits = u32::try_from(bytes).is_ok_and(|bytes| bytes <= bytes_max);
        // It may not wait until a tombstone may be missing from it, either.
        let fits = fits && self.horizon_in(now, limits) > 2 * limits.gap_wait_max;
        let same = |before: &Gathered| batch.leader() <= self.told_by(&before.batch);
        let (batch, since) = match before {
            Some(before) if !fits || !same(&before) => return [Some(before.batch), Some(batch)],
            Some(before) => (before.batch.join(batch), before.since),
            None => (batch, now.mono),
        };
        let shows = !batch.gap
            || batch.clean_bound <= batch.range.end
            || !self.gap_counts(&batch, policy, now, limits);
        if shows || !fits {
            return [None, Some(batch)];
        }
        self.gathered = Some(Gathered { batch, since });
        [None, None]
    }

    /// What comes next, while a leader of `known` leads, may be a later one's than what is gathered.
    pub(in crate::node) fn mixes(&self, known: Option<Epoch>) -> bool {
        self.gathered.is_some() && self.leader_at_credit() < known
    }

    pub(in crate::node) fn ungather(&mut self) -> Option<Batch> {
        self.gathered.take().map(|gathered| gathered.batch)
    }

    /// When (monotonic) what is gathered is shown at the latest. What came behind it while nothing may be applied is
    /// looked at first.
    pub(in crate::node) fn shows_at(&self, limits: &Limits) -> Option<Duration> {
        let gathered = self.gathered.as_ref().filter(|_| !self.holds())?;
        Some(gathered.since + limits.gap_wait_max)
    }
}
