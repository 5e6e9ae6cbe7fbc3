//! Transactions of other clients in one partition: what is open, what was aborted.
//!
//! The last stable offset is below every open transaction (KIP-98). Aborted records stay in the log
//! until the cleaner drops them; readers of committed records skip them by this index.

use std::collections::BTreeMap;

use outrigger_core::offset::Offset;

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
}

impl Transactions {
    pub(super) fn wrote(&mut self, producer: ProducerId, at: Offset) {
        self.open.entry(producer).or_insert(at);
    }

    pub(super) fn ended(&mut self, producer: ProducerId, verdict: Verdict, marker: Offset) {
        // A marker without an open transaction is legal: compaction removed its records, or it had none here.
        let Some(first) = self.open.remove(&producer) else {
            return;
        };
        if verdict == Verdict::Abort {
            self.aborted.insert((producer, first), marker);
        }
    }

    pub(super) fn open(&self, producer: ProducerId) -> bool {
        self.open.contains_key(&producer)
    }

    pub(super) fn first_open(&self) -> Option<Offset> {
        self.open.values().min().copied()
    }

    pub(super) fn aborted(&self, producer: ProducerId, offset: Offset) -> bool {
        let before = self.aborted.range((producer, Offset::ZERO)..=(producer, offset));
        before.last().is_some_and(|(_, marker)| offset < *marker)
    }
}
