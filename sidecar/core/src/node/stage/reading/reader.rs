//! One partition on its way from the log into a generation.
//!
//! `durable <= applied <= fetched`, always: asserted after every event.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::clock::Moment;
use crate::limits::Limits;
use crate::lineage::{Lineage, LogEnds};
use crate::log::PartitionEnd;
use crate::offset::{Epoch, Offset, Partition};
use crate::topic::TopicPolicy;

use super::gather::Gathered;

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
    /// Newest leader epoch that was known when the last credit was given: no older one answers it.
    leader_at_credit: Option<Epoch>,
    /// Gaps of which it is not known yet that no later leader had told their end; ascending by leader.
    unsettled: Vec<Unsettled>,
    doubted: Option<Doubt>,
    /// Ends that this copy would wait for when it is opened anew, and those that it would after the flush under way.
    ends_on_disk: LogEnds,
    ends_flushing: Option<LogEnds>,
    /// A batch that came while nothing may be applied; at most one, for no credit is given meanwhile.
    held: Option<Batch>,
    /// What is read, and not to be shown before it is exact.
    pub(super) gathered: Option<Gathered>,
    /// Position of the last batch that met the end.
    end_met: Option<Offset>,
    /// When the position's confirmation was asked for.
    confirmed: Moment,
    /// Leader epoch that told of it. The disk does not tell: a later one's records may have been read since.
    confirmed_by: Option<Epoch>,
    confirming: Option<Confirming>,
    /// Newest high watermark that the leader answered.
    end_known: Offset,
    /// Wall clock of the newest confirmation that the store was given.
    confirmed_sent_ms: u64,
    /// Something was heard that no flush has written since.
    unsaved: bool,
    pub(super) position_at_assign: Offset,
    /// Gaps that did not count: the topic's configuration of then is not known yet.
    trusted_gaps: Option<TrustedGaps>,
    /// Monotonic: since when the log is known to protect records as it does now.
    protected_since: Duration,
}

/// An end and the leader epoch that told it; a leader of `by` or later answers whether the log has it.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    told: (Epoch, Offset),
    by: Epoch,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Durable(pub(super) bool);

/// The first and the last gap (monotonic) whose end a leader of this epoch is thought to have told.
#[derive(Clone, Copy, Debug)]
struct Unsettled {
    leader: Epoch,
    first: Duration,
    last: Duration,
}

#[derive(Clone, Copy, Debug)]
struct TrustedGaps {
    /// Up to here the cleaner may have been, as a leader of this epoch or a later one had told.
    bound: Offset,
    leader: Option<Epoch>,
    /// Monotonic: when the last of them came.
    at: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    Assigning,
    Idle,
    /// A credit is with the log.
    Waiting,
    /// A leader that was deposed refused the position: it is assigned again at this monotonic time.
    Refused {
        until: Duration,
    },
}

impl Fetch {
    pub(super) fn assign_at(self) -> Option<Duration> {
        match self {
            Fetch::Refused { until } => Some(until),
            Fetch::Assigning | Fetch::Idle | Fetch::Waiting => None,
        }
    }
}

/// An end that was asked for at `asked`: reached, it confirms the position.
#[derive(Clone, Copy, Debug)]
struct Confirming {
    asked: Moment,
    end: Offset,
    by: Option<Epoch>,
}

impl Reader {
    /// `confirmed`: the moment of the confirmation that the lineage has. `end`: as the leader answered it to a question asked
    /// at `asked`; the target.
    pub(super) fn new(
        partition: Partition,
        lineage: Lineage,
        confirmed: Moment,
        end: PartitionEnd,
        asked: Moment,
    ) -> Reader {
        let PartitionEnd { high_watermark: target, epoch } = end;
        Reader {
            partition,
            durable: lineage.position,
            position_at_assign: lineage.position,
            end_known: target,
            target,
            target_asked: asked.mono,
            fetch: Fetch::Assigning,
            leader_at_credit: None,
            unsettled: Vec::new(),
            doubted: None,
            ends_on_disk: lineage.ends.clone(),
            ends_flushing: None,
            held: None,
            gathered: None,
            end_met: None,
            confirmed,
            confirmed_by: None,
            confirming: Some(Confirming { asked, end: target, by: epoch }),
            confirmed_sent_ms: lineage.confirmed_at_ms,
            unsaved: false,
            trusted_gaps: None,
            protected_since: Duration::ZERO,
            applying: VecDeque::new(),
            applied: lineage.clone(),
            fetched: lineage,
        }
    }

    /// Where it reads on, or from where something is in doubt, and the leader epoch below that.
    pub(super) fn assign(&mut self) -> (Partition, Offset, Option<Epoch>) {
        self.gathered = None;
        let Lineage { position, ref epochs, .. } = self.fetched;
        (self.fetch, self.position_at_assign) = (Fetch::Assigning, position);
        match self.doubted {
            Some(Doubt { told: (leader, end), .. }) => (self.partition, end, Some(leader)),
            None => (self.partition, position, epochs.latest()),
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

    /// Whether a credit may be given.
    pub(super) fn wants_batch(&self, limits: &Limits) -> bool {
        self.fetch == Fetch::Idle
            && self.held.is_none()
            && self.applying.len() + usize::from(self.gathered.is_some())
                < limits.applying_batches_max.max(2)
    }

    pub(super) fn hold(&mut self, batch: Batch) {
        assert!(self.held.is_none(), "one credit, one batch");
        self.held = Some(batch);
    }

    pub(super) fn holds(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn leader_at_credit(&self) -> Option<Epoch> {
        self.leader_at_credit
    }

    pub(super) fn release(&mut self) -> Option<Batch> {
        self.held.take()
    }

    /// Age of the confirmation.
    pub(super) fn age(&self, now: Moment) -> Duration {
        now.since(self.confirmed)
    }

    /// Whether a batch that is handled now may lack tombstones that this copy has not seen.
    pub(super) fn past_horizon(&self, now: Moment, limits: &Limits) -> bool {
        self.horizon_in(now, limits).is_zero()
    }

    /// How long batches may still be handled before `past_horizon`.
    pub(super) fn horizon_in(&self, now: Moment, limits: &Limits) -> Duration {
        let retention = self.fetched.delete_retention_ms_min;
        let trusted = Duration::from_millis(retention.saturating_sub(limits.margin_ms(retention)));
        trusted.saturating_sub(self.age(now))
    }

    /// Whether the batch only meets the end once more, where nothing is new: that is not worth a write.
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
        now: Moment,
        limits: &Limits,
    ) -> (Arc<Batch>, Lineage) {
        // Below a rebuild's target nothing is confirmed: its clock only bounds the tombstone horizon.
        let unconfirmed = rebuilding && !self.reached_target();
        let gap_counts = unconfirmed || self.gap_counts(&batch, policy, now, limits);
        let mut next = self.fetched.after(&batch, gap_counts);
        if batch.gap && !gap_counts {
            self.trust_gap(&batch, now);
        }
        if !next.exact()
            && next.exact_from > self.fetched.exact_from
            && let Some(leader) = self.told_by(&batch)
        {
            next.ends.tell(leader, next.exact_from);
            self.unsettle(leader, now.mono);
        }
        if batch.at_end {
            self.end_met = Some(batch.range.end);
        }
        self.fetched = next.clone();
        self.confirmed_sent_ms = next.confirmed_at_ms;
        self.applying.push_back(next.clone());
        (Arc::new(batch), next)
    }

    /// The end that goes with this batch was told by a leader of this epoch, or by one that nobody has heard of yet.
    pub(super) fn told_by(&self, batch: &Batch) -> Option<Epoch> {
        self.leader_at_credit.max(self.fetched.epochs.latest()).max(batch.leader())
    }

    fn unsettle(&mut self, leader: Epoch, now: Duration) {
        match self.unsettled.last_mut() {
            Some(gaps) if gaps.leader == leader => gaps.last = now,
            Some(_) | None => self.unsettled.push(Unsettled { leader, first: now, last: now }),
        }
    }

    fn trust_gap(&mut self, batch: &Batch, now: Moment) {
        let before = self.trusted_gaps.filter(|gaps| gaps.bound >= batch.clean_bound);
        let (bound, leader) = before
            .map_or((batch.clean_bound, self.told_by(batch)), |gaps| (gaps.bound, gaps.leader));
        self.trusted_gaps = Some(TrustedGaps { bound, leader, at: now.mono });
    }

    pub(super) fn credit(&mut self, leader: Option<Epoch>) {
        self.fetch = Fetch::Waiting;
        self.leader_at_credit = leader;
    }

    /// A later leader's records leave in doubt whether the log still has an end that an earlier one had told: it is
    /// read from there next, which is refused if it has not.
    pub(super) fn doubts(&mut self, batch: &Batch) -> bool {
        let doubted = self.fetched.doubted(batch).zip(batch.leader());
        self.doubted = doubted.map(|(told, by)| Doubt { told, by });
        self.doubted.is_some()
    }

    /// Something was read. Returns whether it was what was in doubt, which the log has then.
    pub(super) fn prove(&mut self) -> bool {
        let Some(Doubt { told, by }) = self.doubted.take() else {
            return false;
        };
        self.fetched.ends.prove(told, by);
        true
    }

    /// What was read is of another history than the copy that it continues: whether that is said of the copy on disk, too.
    pub(super) fn contradicted(&self, batch: &Batch) -> Option<Durable> {
        let copied = self.fetched.contradicts(batch);
        let gathered = self.gathered.as_ref().and_then(|gathered| gathered.batch.leader());
        let durable = copied && self.durable == self.fetched.position;
        (copied || batch.falls_below(gathered)).then_some(Durable(durable))
    }

    /// The position that it reads from, or the end that it asks for.
    pub(super) fn asked_for(&self) -> Offset {
        let read = self.gathered.as_ref().map(|gathered| gathered.batch.range.end);
        let read = read.unwrap_or(self.fetched.position);
        self.doubted.map_or(read, |Doubt { told: (_, end), .. }| end)
    }

    /// Where the log was told not to have an end that was in doubt: whether this copy would wait for that end when it is opened
    /// anew, too.
    pub(super) fn lost_end(&self) -> Option<Durable> {
        self.doubted.map(|Doubt { told, .. }| Durable(self.ends_on_disk.contains(&told)))
    }

    pub(super) fn settled(&self) -> bool {
        (self.unsettled.is_empty() || self.fetched.exact()) && !self.waits_for_policy()
    }

    /// Whether a gap would count if the log protects records in another way by now.
    pub(super) fn waits_for_policy(&self) -> bool {
        self.trusted_gaps.is_some_and(|gaps| self.fetched.position < gaps.bound)
    }

    pub(super) fn unsaved(&self) -> bool {
        self.unsaved
    }

    /// What was given to the store so far is about to be durable. Returns what has to be given to it before.
    pub(super) fn flush(&mut self) -> Option<Lineage> {
        self.ends_flushing = Some(self.fetched.ends.clone());
        std::mem::take(&mut self.unsaved).then(|| self.fetched.clone())
    }

    /// A leader of `answered` was asked at `asked`, after these gaps were read. False: it is a later one than was known
    /// then. Either may have told a gap's end, which must be known to tell a loss from an election.
    pub(super) fn settles(&mut self, answered: Option<Epoch>, asked: Moment) -> bool {
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
    pub(super) fn gap_counts(
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
        if let Some(ends) = self.ends_flushing.take() {
            self.ends_on_disk = ends;
        }
    }

    /// The leader answered its end to a question asked at `asked`.
    pub(super) fn on_end(&mut self, end: &PartitionEnd, asked: Moment) {
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
        // An older end not yet reached stays: under steady writes a newer one would never be reached. One that is reached
        // already confirms more.
        let reached = self.applied.position >= end.high_watermark;
        let older = |confirming: Confirming| asked.mono < confirming.asked.mono;
        if self.confirming.is_none_or(|confirming| reached && !older(confirming)) {
            let PartitionEnd { high_watermark: end, epoch: by } = *end;
            self.confirming = Some(Confirming { asked, end, by });
        }
        self.confirm();
    }

    fn confirm(&mut self) {
        let Some(Confirming { asked, end, by }) = self.confirming else {
            return;
        };
        if self.applied.position < end {
            return;
        }
        self.confirming = None;
        self.confirmed = asked;
        self.confirmed_by = by;
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

    pub(super) fn has_trusted_gaps(&self) -> bool {
        self.trusted_gaps.is_some()
    }

    /// The configuration that was asked for at `asked` (monotonic) protects records as it was thought.
    pub(super) fn trust_gaps(&mut self, asked: Duration) {
        self.trusted_gaps.take_if(|gaps| gaps.at <= asked);
    }

    /// What was asked for at `asked` protects records in another way than was thought. False: gaps count after all, and
    /// the log has lost what this copy needs to become exact.
    #[must_use]
    pub(super) fn protects_otherwise(&mut self, asked: Moment) -> bool {
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

    fn lineages(&mut self) -> impl Iterator<Item = &mut Lineage> {
        [&mut self.fetched, &mut self.applied].into_iter().chain(&mut self.applying)
    }

    pub(super) fn see_retention(&mut self, delete_retention_ms: u64) {
        self.unsaved |= delete_retention_ms < self.fetched.delete_retention_ms_min;
        for lineage in self.lineages() {
            lineage.see_retention(delete_retention_ms);
        }
    }

    /// The end was met below an offset that is known to be committed: something hides what follows.
    /// Where, and since when (monotonic) that end is known.
    pub(super) fn hidden(&self) -> Option<(Offset, Duration)> {
        let Confirming { asked, end, .. } = self.confirming?;
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
