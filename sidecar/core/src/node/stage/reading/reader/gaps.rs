//! Gaps: which of them may be compaction's, and what has to be known before they are on disk.

use std::time::Duration;

use crate::batch::Batch;
use crate::clock::Moment;
use crate::limits::Limits;
use crate::offset::{Epoch, Offset};
use crate::topic::TopicPolicy;

use super::Reader;

/// When the first and the last gap came whose end this epoch's leader told, as far as is known. On the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsettled {
    leader: Epoch,
    first: Duration,
    last: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct TrustedGaps {
    /// Up to here the cleaner may have been, as a leader of this epoch or a later one had told.
    bound: Offset,
    leader: Option<Epoch>,
    /// Monotonic: when the last of them came.
    at: Duration,
}

impl Reader {
    /// The end that goes with this batch was told by a leader of this epoch, or by one that nobody has heard of yet.
    pub(in crate::node) fn told_by(&self, batch: &Batch) -> Option<Epoch> {
        self.leader_at_credit.max(self.fetched.epochs.latest()).max(batch.leader())
    }

    pub(super) fn unsettle(&mut self, leader: Epoch, now: Duration) {
        match self.unsettled.last_mut() {
            Some(gaps) if gaps.leader == leader => gaps.last = now,
            Some(_) | None => self.unsettled.push(Unsettled { leader, first: now, last: now }),
        }
    }

    pub(super) fn trust_gap(&mut self, batch: &Batch, now: Moment) {
        let before = self.trusted_gaps.filter(|gaps| gaps.bound >= batch.clean_bound);
        let (bound, leader) = before
            .map_or((batch.clean_bound, self.told_by(batch)), |gaps| (gaps.bound, gaps.leader));
        self.trusted_gaps = Some(TrustedGaps { bound, leader, at: now.mono });
    }

    pub(in crate::node) fn settled(&self) -> bool {
        (self.unsettled.is_empty() || self.fetched.exact()) && !self.waits_for_policy()
    }

    /// Whether a gap would count if the log protects records in another way by now.
    pub(in crate::node) fn waits_for_policy(&self) -> bool {
        self.trusted_gaps.is_some_and(|gaps| self.fetched.position < gaps.bound)
    }

    /// A leader of `answered` was asked at `asked`: gaps that were read before are settled. False: it is a later leader than
    /// was known then, and either may have told a gap's end, which must be known to tell a loss from an election.
    pub(in crate::node) fn settles(&mut self, answered: Option<Epoch>, asked: Moment) -> bool {
        let mut known = true;
        for gaps in self.unsettled.iter_mut().filter(|gaps| gaps.first < asked.mono) {
            known &= answered <= Some(gaps.leader);
            gaps.first = gaps.last;
        }
        self.unsettled.retain(|gaps| gaps.last >= asked.mono);
        self.fetched.exact() || known
    }

    /// Nothing younger than min.compaction.lag.ms is compacted: what was appended since a confirmation
    /// younger than that has only markers for gaps. Needs the broker's own timestamps, and a confirmation by the leader
    /// who told of the gap, or a later one: a deposed leader confirms long after what its successors compacted.
    ///
    /// Appended means readable here: while too few replicas follow, records of writers that do not wait for them lie
    /// above the high watermark and age unseen, and may be compacted as soon as it moves. A copy that sleeps just then
    /// lacks such a key, but only until it has applied the record that superseded it, which the same high watermark
    /// shows: while it catches up, and not for good.
    pub(in crate::node) fn gap_counts(
        &self,
        batch: &Batch,
        policy: &TopicPolicy,
        now: Moment,
        limits: &Limits,
    ) -> bool {
        let lag_ms = policy.min_compaction_lag_ms;
        let margin = limits.margin_ms(lag_ms);
        let trusted = Duration::from_millis(lag_ms.saturating_sub(margin));
        !policy.log_append_time
            || self.confirmed_by < self.told_by(batch)
            || self.confirmed.mono < self.protected_since
            || self.age(now) >= trusted
    }

    pub(in crate::node) fn has_trusted_gaps(&self) -> bool {
        self.trusted_gaps.is_some()
    }

    /// The configuration that was asked for at `asked` (monotonic) protects records as it was thought.
    pub(in crate::node) fn trust_gaps(&mut self, asked: Duration) {
        self.trusted_gaps.take_if(|gaps| gaps.at <= asked);
    }

    /// What was asked for at `asked` protects records in another way than was thought. False: gaps count after all, and
    /// the log has lost what this copy needs to become exact.
    #[must_use]
    pub(in crate::node) fn protects_otherwise(&mut self, asked: Moment) -> bool {
        self.protected_since = asked.mono;
        let Some(TrustedGaps { bound, leader, .. }) = self.trusted_gaps.take() else {
            return true;
        };
        for lineage in self.lineages().filter(|lineage| lineage.position < bound) {
            lineage.exact_from = lineage.exact_from.max(bound);
            if let Some(leader) = leader {
                lineage.ends.tell(leader, bound);
            }
        }
        self.unsaved = true;
        if let Some(leader) = leader {
            self.unsettle(leader, asked.mono);
        }
        // What was read of a later epoch lies below the position, and so below that end.
        self.fetched.exact() || self.fetched.epochs.latest() <= leader
    }
}
