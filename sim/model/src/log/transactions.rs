//! Transactions of other clients in one replica: what is open, what was aborted.
//!
//! The last stable offset is below every open transaction, and below every ended one whose marker is
//! not under the high watermark yet (KIP-98, `ProducerStateManager.firstUnstableOffset`). Aborted records
//! stay in the log until the cleaner drops them; readers of committed records skip them by this index.

use std::collections::BTreeMap;

use outrigger_core::offset::Offset;

use super::segments::{Content, RecordBatch};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProducerId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Commit,
    Abort,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    /// First offset of each producer's open transaction.
    open: BTreeMap<ProducerId, Offset>,
    /// Marker's offset of each aborted transaction, by producer and first offset.
    aborted: BTreeMap<(ProducerId, Offset), Offset>,
    /// Marker's offset of each ended transaction by first offset, until the marker is replicated.
    unreplicated: BTreeMap<Offset, Offset>,
}

impl Transactions {
    pub(super) fn of<'a>(batches: impl Iterator<Item = &'a RecordBatch>) -> Transactions {
        let mut transactions = Transactions::default();
        for batch in batches {
            transactions.enter(batch);
        }
        transactions
    }

    pub(super) fn enter(&mut self, batch: &RecordBatch) {
        let Some(producer) = batch.producer else {
            return;
        };
        match batch.content {
            Content::Records(_) => drop(self.open.entry(producer).or_insert(batch.base)),
            Content::Marker(verdict) => self.ended(producer, verdict, batch.base),
        }
    }

    fn ended(&mut self, producer: ProducerId, verdict: Verdict, marker: Offset) {
        // A marker without an open transaction is legal: compaction removed its records, or it had none here.
        let Some(first) = self.open.remove(&producer) else {
            return;
        };
        self.unreplicated.insert(first, marker);
        if verdict == Verdict::Abort {
            self.aborted.insert((producer, first), marker);
        }
    }

    /// The high watermark is at `end`.
    pub(super) fn replicated(&mut self, end: Offset) {
        if !self.unreplicated.is_empty() {
            self.unreplicated.retain(|_, marker| *marker >= end);
        }
    }

    pub(super) fn open(&self) -> impl Iterator<Item = ProducerId> {
        self.open.keys().copied()
    }

    pub(super) fn first_unstable(&self) -> Option<Offset> {
        let unreplicated = self.unreplicated.keys().next();
        self.open.values().chain(unreplicated).min().copied()
    }

    pub(super) fn aborted(&self, producer: ProducerId, offset: Offset) -> bool {
        let before = self.aborted.range((producer, Offset::ZERO)..=(producer, offset));
        before.last().is_some_and(|(_, marker)| offset < *marker)
    }
}
