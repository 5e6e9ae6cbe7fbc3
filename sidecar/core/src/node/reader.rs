//! One partition on its way from the log into a generation.
//!
//! `durable <= applied <= fetched`, always: asserted after every event.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::limits::Limits;
use crate::lineage::Lineage;
use crate::log::PartitionEnd;
use crate::offset::{Offset, Partition};
use crate::time::Now;
use crate::topic::TopicPolicy;

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) partition: Partition,
    /// After the last batch sent to the store.
    fetched: Lineage,
    /// After the last batch that the store has applied.
    applied: Lineage,
    applying: VecDeque<Lineage>,
    durable: Offset,
    /// High watermark when this restore began.
    pub(super) target: Offset,
    /// Monotonic: when the question was asked that the target answers.
    target_asked: Duration,
    pub(super) fetch: Fetch,
    /// Came while nothing may be applied; at most one, for no credit is given meanwhile.
    held: Option<Batch>,
    /// Position of the last batch that met the end.
    end_met: Option<Offset>,
    /// Monotonic time at which the position's confirmation was asked for.
    confirmed_mono: Duration,
    confirming: Option<Confirming>,
    /// Newest high watermark that the leader answered.
    end_known: Offset,
    /// Wall clock of the newest confirmation that the store was given.
    confirmed_sent_ms: u64,
    pub(super) position_at_assign: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    Assigning,
    Idle,
    /// A credit is with the log.
    Waiting,
}

/// An end that was asked for at `asked`: reached, it confirms the position.
#[derive(Clone, Copy, Debug)]
struct Confirming {
    asked: Now,
    end: Offset,
}

impl Reader {
    /// `target`: the end that the leader answered to a question asked at `asked`.
    pub(super) fn new(
        partition: Partition,
        lineage: Lineage,
        target: Offset,
        asked: Now,
        now: Now,
    ) -> Reader {
        let age = Duration::from_millis(now.wall_ms.saturating_sub(lineage.confirmed_at_ms));
        Reader {
            partition,
            durable: lineage.position,
            position_at_assign: lineage.position,
            end_known: target,
            target,
            target_asked: asked.mono,
            fetch: Fetch::Assigning,
            held: None,
            end_met: None,
            confirmed_mono: now.mono.saturating_sub(age),
            confirming: Some(Confirming { asked, end: target }),
            confirmed_sent_ms: lineage.confirmed_at_ms,
            applying: VecDeque::new(),
            applied: lineage.clone(),
            fetched: lineage,
        }
    }

    pub(super) fn applied(&self) -> &Lineage {
        &self.applied
    }

    pub(super) fn fetched(&self) -> &Lineage {
        &self.fetched
    }

    pub(super) fn end_known(&self) -> Offset {
        self.end_known
    }

    pub(super) fn durable(&self) -> Offset {
        self.durable
    }

    pub(super) fn reached_target(&self) -> bool {
        self.applied.position >= self.target
    }

    /// A credit may be given.
    pub(super) fn wants_batch(&self, limits: &Limits) -> bool {
        self.fetch == Fetch::Idle
            && self.held.is_none()
            && self.applying.len() < limits.applying_batches_max
    }

    pub(super) fn hold(&mut self, batch: Batch) {
        assert!(self.held.is_none(), "one credit, one batch");
        self.held = Some(batch);
    }

    pub(super) fn release(&mut self) -> Option<Batch> {
        self.held.take()
    }

    /// Age of the confirmation: the older of what both clocks say, `None` when the wall clock went
    /// back by more than the margin.
    pub(super) fn age(&self, now: Now, margin_ms: u64) -> Option<Duration> {
        let mono = now.mono.saturating_sub(self.confirmed_mono);
        let behind = self.fetched.confirmed_at_ms.saturating_sub(now.wall_ms);
        let wall = Duration::from_millis(now.wall_ms.saturating_sub(self.fetched.confirmed_at_ms));
        (behind <= margin_ms).then(|| mono.max(wall))
    }

    /// A batch handled now may lack tombstones that this copy has not seen.
    pub(super) fn past_horizon(&self, now: Now, limits: &Limits) -> bool {
        self.horizon_in(now, limits).is_zero()
    }

    /// How long batches may still be handled before `past_horizon`.
    pub(super) fn horizon_in(&self, now: Now, limits: &Limits) -> Duration {
        let retention = self.fetched.delete_retention_ms_min;
        let margin = limits.margin_ms(retention);
        let trusted = Duration::from_millis(retention.saturating_sub(margin));
        self.age(now, margin).map_or(Duration::ZERO, |age| trusted.saturating_sub(age))
    }

    /// An end met once more where nothing is new: not worth a write.
    pub(super) fn knows(&mut self, batch: &Batch) -> bool {
        let newest = batch.epochs.last().map(|(epoch, _)| *epoch);
        let known = batch.range.is_empty() && newest <= self.fetched.epochs.latest();
        if known && batch.at_end {
            self.end_met = Some(batch.range.end);
        }
        known
    }

    /// Takes a batch on its way to the store and gives what goes there. `rebuilding`: into a generation
    /// that is not in use yet.
    pub(super) fn accept(
        &mut self,
        batch: Batch,
        rebuilding: bool,
        policy: &TopicPolicy,
        now: Now,
        limits: &Limits,
    ) -> (Arc<Batch>, Lineage) {
        // Below a rebuild's target nothing is confirmed: its clock only bounds the tombstone horizon.
        let unconfirmed = rebuilding && !self.reached_target();
        let gap_counts = unconfirmed || self.gap_counts(policy, now, limits);
        let next = self.fetched.after(&batch, gap_counts);
        if batch.at_end {
            self.end_met = Some(batch.range.end);
        }
        self.fetched = next.clone();
        self.confirmed_sent_ms = next.confirmed_at_ms;
        self.applying.push_back(next.clone());
        (Arc::new(batch), next)
    }

    /// Nothing younger than min.compaction.lag.ms is compacted: what was appended since a confirmation
    /// younger than that has only markers for gaps. Needs the broker's own timestamps.
    fn gap_counts(&self, policy: &TopicPolicy, now: Now, limits: &Limits) -> bool {
        let lag_ms = policy.min_compaction_lag_ms;
        let margin = limits.margin_ms(lag_ms);
        let trusted = Duration::from_millis(lag_ms.saturating_sub(margin));
        !policy.log_append_time || self.age(now, margin).is_none_or(|age| age >= trusted)
    }

    pub(super) fn on_applied(&mut self, position: Offset) {
        let lineage = self.applying.pop_front().expect("an answer to a batch that was sent");
        assert_eq!(lineage.position, position, "batches are applied in order");
        self.applied = lineage;
        self.confirm();
    }

    pub(super) fn on_durable(&mut self, position: Offset) {
        assert!(
            self.durable <= position && position <= self.applied.position,
            "{} <= {position}",
            self.durable
        );
        self.durable = position;
    }

    /// The leader answered its end to a question asked at `asked`.
    pub(super) fn on_end(&mut self, end: &PartitionEnd, asked: Now) {
        self.end_known = end.high_watermark;
        // The log lost records since the target was told: nobody can reach an end that is no more.
        if asked.mono > self.target_asked {
            self.target = self.target.min(end.high_watermark);
        }
        if let Some(confirming) = &mut self.confirming
            && asked.mono > confirming.asked.mono
        {
            confirming.end = confirming.end.min(end.high_watermark);
        }
        // An older end not yet reached stays: under steady writes a newer one would never be reached.
        if self.confirming.is_none() {
            self.confirming = Some(Confirming { asked, end: end.high_watermark });
        }
        self.confirm();
    }

    fn confirm(&mut self) {
        let Some(Confirming { asked, end }) = self.confirming else {
            return;
        };
        if self.applied.position < end {
            return;
        }
        self.confirming = None;
        self.confirmed_mono = asked.mono;
        self.applied.confirmed_at_ms = asked.wall_ms;
        self.fetched.confirmed_at_ms = asked.wall_ms;
        for lineage in &mut self.applying {
            lineage.confirmed_at_ms = asked.wall_ms;
        }
    }

    /// The lineage to store when the newest confirmation has been in memory for `interval`, or the stored one is of a
    /// wall clock that has been set back since: whoever opens it would not believe it.
    pub(super) fn unsaved_confirmation(&mut self, interval: Duration) -> Option<Lineage> {
        let unsaved = self.fetched.confirmed_at_ms.abs_diff(self.confirmed_sent_ms);
        let due = self.applying.is_empty() && Duration::from_millis(unsaved) >= interval;
        due.then(|| {
            self.confirmed_sent_ms = self.fetched.confirmed_at_ms;
            self.fetched.clone()
        })
    }

    pub(super) fn see_retention(&mut self, delete_retention_ms: u64) {
        for lineage in [&mut self.fetched, &mut self.applied].into_iter().chain(&mut self.applying)
        {
            lineage.see_retention(delete_retention_ms);
        }
    }

    /// The end was met below an offset that is known to be committed: something hides what follows.
    /// Where, and since when (monotonic) that end is known.
    pub(super) fn hidden(&self) -> Option<(Offset, Duration)> {
        let Confirming { asked, end } = self.confirming?;
        let position = self.applied.position;
        let hides = self.end_met == Some(position) && position < end.max(self.target);
        hides.then_some((position, asked.mono))
    }

    pub(super) fn assert_ordered(&self) {
        let (durable, applied, fetched) =
            (self.durable, self.applied.position, self.fetched.position);
        assert!(durable <= applied, "durable {durable} <= applied {applied}");
        assert!(applied <= fetched, "applied {applied} <= fetched {fetched}");
    }
}
