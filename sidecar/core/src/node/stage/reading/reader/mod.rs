//! One partition on its way from the log into a generation.
//!
//! `durable <= applied <= fetched`, always: asserted after every event.

mod confirm;
mod doubt;
mod gaps;
mod gathered;

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

use confirm::Confirming;
use doubt::Doubt;
pub(super) use doubt::Durable;
use gaps::{TrustedGaps, Unsettled};
use gathered::Gathered;

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) partition: Partition,
    /// After the last batch sent to the store.
    fetched: Lineage,
    /// After the last batch that the store has applied.
    applied: Lineage,
    applying: VecDeque<(Arc<Batch>, Lineage)>,
    durable: Offset,
    /// High watermark when this restore began.
    pub(super) target: Offset,
    /// Monotonic: when the question was asked that the target answers.
    target_asked: Duration,
    pub(super) fetch: Fetch,
    /// Newest leader epoch that was known when the last credit was given: no older one answers it.
    leader_at_credit: Option<Epoch>,
    /// Gaps whose end may have been told by a later leader than is known; ascending by leader.
    unsettled: Vec<Unsettled>,
    doubted: Option<Doubt>,
    /// Ends that this copy waits for, as the disk has them, and as the flush under way will have them.
    ends_on_disk: LogEnds,
    ends_flushing: Option<LogEnds>,
    /// A batch that came while nothing may be applied; at most one, for no credit is given meanwhile.
    held: Option<Batch>,
    /// What is read, and not to be shown before it is exact.
    gathered: Option<Gathered>,
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
        let batch = Arc::new(batch);
        self.applying.push_back((Arc::clone(&batch), next.clone()));
        (batch, next)
    }

    pub(super) fn credit(&mut self, leader: Option<Epoch>) {
        self.fetch = Fetch::Waiting;
        self.leader_at_credit = leader;
    }

    pub(super) fn unsaved(&self) -> bool {
        self.unsaved
    }

    /// What was given to the store so far is about to be durable. Returns what has to be given to it before.
    pub(super) fn flush(&mut self) -> Option<Lineage> {
        self.ends_flushing = Some(self.fetched.ends.clone());
        std::mem::take(&mut self.unsaved).then(|| self.fetched.clone())
    }

    /// Returns what was applied.
    pub(super) fn on_applied(&mut self, position: Offset) -> Arc<Batch> {
        let sent = self.applying.pop_front();
        let (batch, lineage) = sent.expect("an answer to a batch that was sent");
        assert_eq!(lineage.position, position, "batches are applied in order");
        self.applied = lineage;
        self.confirm();
        batch
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

    fn lineages(&mut self) -> impl Iterator<Item = &mut Lineage> {
        let applying = self.applying.iter_mut().map(|(_, lineage)| lineage);
        [&mut self.fetched, &mut self.applied].into_iter().chain(applying)
    }

    pub(super) fn see_retention(&mut self, delete_retention_ms: u64) {
        self.unsaved |= delete_retention_ms < self.fetched.delete_retention_ms_min;
        for lineage in self.lineages() {
            lineage.see_retention(delete_retention_ms);
        }
    }

    pub(super) fn assert_ordered(&self) {
        let (durable, applied, fetched) =
            (self.durable, self.applied.position, self.fetched.position);
        assert!(durable <= applied, "durable {durable} <= applied {applied}");
        assert!(applied <= fetched, "applied {applied} <= fetched {fetched}");
    }
}
