//! One replica of one partition: its log, its leader epochs, its transactions, its ends.
//!
//! `log start <= last stable offset <= high watermark <= log end`, asserted after every change.
//! Today a partition has one replica, and a second one only while a deposed leader still answers.

use bytes::Bytes;
use outrigger_core::offset::{Epoch, Offset};

use super::epochs::EpochCache;
use super::segments::{Content, Entry, RecordBatch, SegmentLimits, Segments};
use super::transactions::{ProducerId, Transactions, Verdict};
use super::world::PartitionState;

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
    /// No longer the leader, without knowing it: it still answers whom it can reach.
    pub(super) deposed: bool,
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
            deposed: false,
            limits,
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epochs.current()
    }

    pub(super) fn limits(&self) -> SegmentLimits {
        self.limits
    }

    /// What readers of committed records may see ends here (KIP-98).
    pub(super) fn last_stable(&self) -> Offset {
        self.transactions
            .first_open()
            .map_or(self.high_watermark, |open| open.min(self.high_watermark))
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

    pub(super) fn end_transaction(&mut self, now_ms: u64, producer: ProducerId, verdict: Verdict) {
        self.write(now_ms, Some(producer), self.log_end, Content::Marker(verdict));
    }

    fn write(
        &mut self,
        now_ms: u64,
        producer: Option<ProducerId>,
        last: Offset,
        content: Content,
    ) -> Offset {
        let base = self.log_end;
        self.put(RecordBatch {
            base,
            last,
            epoch: self.epoch(),
            timestamp_ms: now_ms,
            producer,
            delete_horizon_ms: None,
            content,
        });
        base
    }

    /// A batch as it is: just written, or read back from a journal, possibly with holes before it.
    pub(super) fn put(&mut self, batch: RecordBatch) {
        assert!(
            batch.base >= self.log_end,
            "a batch at {} below the end {}",
            batch.base,
            self.log_end
        );
        self.index(&batch);
        self.log_end = batch.last.next();
        self.high_watermark = self.log_end;
        self.segments.push(batch, self.limits);
        self.check();
    }

    fn index(&mut self, batch: &RecordBatch) {
        match (batch.producer, &batch.content) {
            (Some(producer), Content::Records(_)) => self.transactions.wrote(producer, batch.base),
            (Some(producer), Content::Marker(verdict)) => {
                self.transactions.ended(producer, *verdict, batch.base);
            }
            (None, _) => {}
        }
    }

    pub(super) fn elect(&mut self, epoch: Epoch) {
        self.epochs.begin(epoch, self.log_end);
    }

    /// The log ends at `end` or, where that is inside a batch, before that batch.
    pub(super) fn truncate(&mut self, end: Offset) {
        let end = self.segments.truncate(end.min(self.log_end));
        self.log_end = end;
        self.high_watermark = end;
        self.log_start = self.log_start.min(end);
        self.cleaned_to = self.cleaned_to.min(end);
        self.transactions = Transactions::default();
        for batch in self.segments.clone().batches() {
            self.index(batch);
        }
        self.check();
    }

    pub(super) fn delete_records(&mut self, before: Offset) {
        // Kafka refuses an offset above the high watermark.
        assert!(before <= self.high_watermark, "{before} is above {}", self.high_watermark);
        self.log_start = self.log_start.max(before);
        self.cleaned_to = self.cleaned_to.max(self.log_start);
        self.segments.delete_below(self.log_start);
        self.check();
    }

    /// What a journal kept beside the batches, which were `put` before.
    pub(super) fn restore(&mut self, state: &PartitionState) {
        assert!(
            state.log_end >= self.log_end,
            "the log ends at {}, not {}",
            self.log_end,
            state.log_end
        );
        self.epochs = EpochCache::restored(state.epochs.clone());
        self.log_end = state.log_end;
        self.high_watermark = state.log_end;
        self.log_start = state.log_start;
        self.cleaned_to = state.cleaned_to;
        self.roll();
        self.check();
    }

    pub(super) fn roll(&mut self) {
        self.segments.roll(self.log_end);
    }

    /// Hidden from readers of committed records: a marker, or a record of an aborted transaction.
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
        let stable = self.last_stable();
        assert!(stable <= self.high_watermark, "LSO {stable} above HW {}", self.high_watermark);
        assert!(
            self.high_watermark <= self.log_end,
            "HW {} above LEO {}",
            self.high_watermark,
            self.log_end
        );
        assert!(self.log_start <= self.high_watermark, "log start {} above HW", self.log_start);
        let active = self.segments.active();
        assert!(
            self.cleaned_to <= active.base.max(self.log_start),
            "the active segment was cleaned"
        );
        if cfg!(debug_assertions) {
            let mut tail = active.batches.iter().rev();
            let (last, before) = (tail.next(), tail.next());
            let ascends = before.zip(last).is_none_or(|(before, last)| before.last < last.base);
            assert!(ascends, "offsets ascend: {before:?} then {last:?}");
        }
    }
}

pub(super) fn offset_at(base: Offset, index: usize) -> Offset {
    Offset(base.0 + u64::try_from(index).expect("a batch has fewer than 2^32 records"))
}
