//! One replica of one partition: its log, its leader epochs, its transactions, its ends.
//!
//! `log start <= last stable offset <= high watermark <= log end`, asserted after every change. It
//! knows nothing of other replicas: `replication` moves batches between them.

use std::sync::Arc;

use bytes::Bytes;
use outrigger_core::offset::{Epoch, Offset};

use super::epochs::EpochCache;
use super::journal::PartitionState;
use super::segments::{Content, Entry, RecordBatch, SegmentLimits, Segments};
use super::transactions::{ProducerId, Transactions, Verdict};

#[derive(Clone, Debug)]
pub(super) struct Replica {
    pub(super) segments: Segments,
    pub(super) epochs: EpochCache,
    pub(super) transactions: Transactions,
    pub(super) log_start: Offset,
    pub(super) high_watermark: Offset,
    pub(super) log_end: Offset,
    /// The cleaner has been up to here.
    pub(super) cleaned_to: Offset,
    /// Every tombstone and marker that its cleaner dropped is below this.
    pub(super) dropped_to: Offset,
    /// It fetched where a tombstone or a marker was gone already: should it lead, a deleted key may come
    /// back or a transaction never end (KIP-534; docs/faults.md, K14).
    pub(super) missed: bool,
    /// Its disk lost records that were below the high watermark: it may lead, and lose them for all.
    pub(super) maimed: bool,
    limits: SegmentLimits,
}

impl Replica {
    pub(super) fn new(limits: SegmentLimits) -> Replica {
        Replica {
            segments: Segments::starting(Offset::ZERO),
            epochs: EpochCache::starting(Epoch(0), Offset::ZERO),
            transactions: Transactions::default(),
            log_start: Offset::ZERO,
            high_watermark: Offset::ZERO,
            log_end: Offset::ZERO,
            cleaned_to: Offset::ZERO,
            dropped_to: Offset::ZERO,
            missed: false,
            maimed: false,
            limits,
        }
    }

    /// The epoch in which it leads or led.
    pub(super) fn epoch(&self) -> Epoch {
        self.epochs.latest().expect("a leader has a term")
    }

    /// Where its log ended when that term began.
    pub(super) fn term_start(&self) -> Offset {
        self.epochs.latest_start().expect("a leader has a term")
    }

    /// Whether it knows, as the leader of that term, that its high watermark is as high as the leaders' before it (KIP-207).
    /// A leader that was deposed meanwhile goes by the same.
    pub(super) fn knows_its_end(&self) -> bool {
        self.high_watermark >= self.term_start()
    }

    pub(super) fn limits(&self) -> SegmentLimits {
        self.limits
    }

    /// The offset at which what readers of committed records may see ends (KIP-98).
    pub(super) fn last_stable(&self) -> Offset {
        let unstable = self.transactions.first_unstable().unwrap_or(self.high_watermark);
        // DeleteRecords may go into an open transaction (UnifiedLog.maybeIncrementFirstUnstableOffset).
        unstable.min(self.high_watermark).max(self.log_start)
    }

    pub(super) fn append(
        &mut self,
        now_ms: u64,
        producer: Option<ProducerId>,
        records: impl IntoIterator<Item = (Option<Bytes>, Option<Bytes>)>,
    ) -> Offset {
        let entry =
            |(index, (key, value))| Entry { offset: offset_at(self.log_end, index), key, value };
        let records: Vec<Entry> = records.into_iter().enumerate().map(entry).collect();
        let last = records.last().expect("a batch has a record").offset;
        self.write(now_ms, producer, last, Content::Records(records))
    }

    pub(super) fn end_transaction(
        &mut self,
        now_ms: u64,
        producer: ProducerId,
        verdict: Verdict,
    ) -> Offset {
        self.write(now_ms, Some(producer), self.log_end, Content::Marker(verdict))
    }

    fn write(
        &mut self,
        now_ms: u64,
        producer: Option<ProducerId>,
        last: Offset,
        content: Content,
    ) -> Offset {
        let base = self.log_end;
        self.enter(Arc::new(RecordBatch {
            base,
            last,
            epoch: self.epoch(),
            timestamp_ms: now_ms,
            producer,
            delete_horizon_ms: None,
            content,
        }));
        base
    }

    /// Takes in a batch as it is: just written, fetched from a leader, or read back from a journal; there may be holes
    /// before it.
    pub(super) fn enter(&mut self, batch: Arc<RecordBatch>) {
        let (base, end) = (batch.base, self.log_end);
        assert!(base >= end, "a batch at {base} below the end {end}");
        self.epochs.enter(batch.epoch, base);
        self.transactions.enter(&batch);
        self.log_end = batch.last.next();
        self.segments.push(batch, self.limits);
        self.check();
    }

    /// Everything up to `end` was fetched; its last offsets are a hole.
    pub(super) fn extend(&mut self, end: Offset) {
        self.log_end = self.log_end.max(end);
    }

    pub(super) fn raise_high_watermark(&mut self, to: Offset) {
        if to > self.high_watermark {
            self.high_watermark = to.min(self.log_end);
            self.transactions.replicated(self.high_watermark);
            self.check();
        }
    }

    pub(super) fn elect(&mut self, epoch: Epoch) {
        self.epochs.begin(epoch, self.log_end);
    }

    /// Cuts the log at `end` or, where that is inside a batch, before that batch. Returns its new end.
    pub(super) fn truncate(&mut self, end: Offset) -> Offset {
        let end = self.segments.truncate(end.min(self.log_end));
        self.log_end = end;
        self.high_watermark = self.high_watermark.min(end);
        self.log_start = self.log_start.min(end);
        self.cleaned_to = self.cleaned_to.min(end);
        self.epochs.truncate(end);
        self.transactions = Transactions::of(self.segments.batches());
        self.transactions.replicated(self.high_watermark);
        self.check();
        end
    }

    /// Power was lost before its last `batches` reached the disk.
    pub(super) fn lose_tail(&mut self, batches: usize) {
        let bases = self.segments.batches().rev().map(|batch| batch.base);
        if let Some(first_lost) = bases.take(batches).last() {
            self.truncate(first_lost);
        }
    }

    /// Its leader has nothing that it could continue with (`ReplicaFetcherThread.truncateFullyAndStartAt`).
    pub(super) fn start_over(&mut self, at: Offset) {
        let limits = self.limits;
        *self = Replica {
            segments: Segments::starting(at),
            epochs: self.epochs.clone(),
            log_start: at,
            high_watermark: at,
            log_end: at,
            cleaned_to: at,
            ..Replica::new(limits)
        };
        self.epochs.truncate(at);
    }

    pub(super) fn raise_log_start(&mut self, to: Offset) {
        if to > self.log_start {
            self.log_start = to;
            self.cleaned_to = self.cleaned_to.max(to);
            self.segments.delete_below(to);
            self.check();
        }
    }

    /// What a journal kept beside the batches, which were `put` before.
    pub(super) fn restore(&mut self, state: &PartitionState) {
        let (end, told) = (self.log_end, state.log_end);
        assert!(told >= end, "the log ends at {end}, not {told}");
        self.epochs = EpochCache::restored(state.epochs.clone());
        self.log_end = state.log_end;
        self.high_watermark = state.log_end;
        self.transactions.replicated(state.log_end);
        self.log_start = state.log_start;
        self.cleaned_to = state.cleaned_to;
        self.roll();
        self.check();
    }

    pub(super) fn roll(&mut self) {
        self.segments.roll(self.log_end);
    }

    /// Whether the batch is hidden from readers of committed records: it is a marker, or of an aborted transaction.
    pub(super) fn hidden(&self, batch: &RecordBatch) -> bool {
        match (&batch.content, batch.producer) {
            (Content::Marker(_), _) => true,
            (Content::Records(_), Some(producer)) => {
                self.transactions.aborted(producer, batch.base)
            }
            (Content::Records(_), None) => false,
        }
    }

    fn check(&self) {
        let (start, stable) = (self.log_start, self.last_stable());
        let (watermark, end) = (self.high_watermark, self.log_end);
        assert!(start <= stable, "log start {start} above LSO {stable}");
        assert!(stable <= watermark, "LSO {stable} above HW {watermark}");
        assert!(watermark <= end, "HW {watermark} above LEO {end}");
        if cfg!(debug_assertions) {
            let mut tail = self.segments.active().batches.iter().rev();
            let (last, before) = (tail.next(), tail.next());
            let ascends = before
                .zip(last)
                .is_none_or(|(before, last)| before.last < last.base && before.epoch <= last.epoch);
            assert!(ascends, "offsets and epochs ascend: {before:?} then {last:?}");
        }
    }
}

pub(super) fn offset_at(base: Offset, index: usize) -> Offset {
    Offset(base.0 + u64::try_from(index).expect("a batch has fewer than 2^32 records"))
}
