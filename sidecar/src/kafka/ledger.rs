//! Which records are on their way, and the answers that have come for them.
//!
//! An `Append` is answered when all its records are, in their order. A ticket names a record
//! without an allocation for it: the append's slot and the record's place in it.

use std::time::{Duration, Instant};

use outrigger_core::log::{KafkaError, LogEvent, Write};
use outrigger_core::offset::{Partition, RequestId, Revision};

use super::lanes::Place;
use crate::index::StoreIndex;

type Outcome = Result<Revision, KafkaError>;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    slots: Vec<Option<Open>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Open {
    store: StoreIndex,
    id: RequestId,
    records: Vec<Record>,
    missing: usize,
    since: Instant,
}

#[derive(Debug)]
enum Record {
    Open(Partition),
    Settled(Outcome),
}

/// An append of which every record has its outcome.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) store: StoreIndex,
    pub(super) event: LogEvent,
}

/// A slot of the ledger, from `open` until its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

const INDEX_BITS: u32 = 32;
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
const _: () = assert!(usize::BITS == 64, "a ticket packs two numbers of 32 bits");

impl Slot {
    pub(super) fn ticket(self, index: usize) -> usize {
        assert!(index <= INDEX_MASK && self.0 <= INDEX_MASK, "slot {} index {index}", self.0);
        (self.0 << INDEX_BITS) | index
    }
}

impl Ledger {
    /// Opens an append. There must be something to write: nothing would ever answer it otherwise.
    pub(super) fn open(
        &mut self,
        store: StoreIndex,
        id: RequestId,
        writes: &[Write],
        since: Instant,
    ) -> Slot {
        assert!(!writes.is_empty(), "an append of nothing is answered at once");
        let records = writes.iter().map(|write| Record::Open(write.partition)).collect();
        let open = Open { store, id, records, missing: writes.len(), since };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(open);
        Slot(slot)
    }

    /// The partition that the open record with `ticket` is written to.
    pub(super) fn place(&self, ticket: usize) -> Place {
        let (slot, index) = (ticket >> INDEX_BITS, ticket & INDEX_MASK);
        let open = self.slots[slot].as_ref().expect("an open append");
        match open.records[index] {
            Record::Open(partition) => (open.store, partition),
            Record::Settled(_) => panic!("one outcome for each record"),
        }
    }

    /// Notes the outcome of the record with `ticket`. Returns the append's answer when it was the last one.
    pub(super) fn settle(&mut self, ticket: usize, outcome: Outcome) -> Option<Answer> {
        let (slot, index) = (ticket >> INDEX_BITS, ticket & INDEX_MASK);
        let open = self.slots[slot].as_mut().expect("an open append");
        let record = std::mem::replace(&mut open.records[index], Record::Settled(outcome));
        assert!(matches!(record, Record::Open(_)), "one outcome for each record");
        open.missing -= 1;
        (open.missing == 0).then(|| self.close(slot))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Whether something is open for longer than `limit` at `now`.
    pub(super) fn is_overdue(&self, now: Instant, limit: Duration) -> bool {
        let late = |open: &Open| now.saturating_duration_since(open.since) > limit;
        self.slots.iter().flatten().any(late)
    }

    /// Answers everything that is still open: records without an outcome get this one.
    pub(super) fn settle_all(&mut self, outcome: &KafkaError) -> Vec<Answer> {
        let open = (0..self.slots.len()).filter(|slot| self.slots[*slot].is_some());
        let open: Vec<usize> = open.collect();
        open.into_iter()
            .map(|slot| {
                let records = &mut self.slots[slot].as_mut().expect("just seen open").records;
                for record in records.iter_mut().filter(|record| record.is_open()) {
                    *record = Record::Settled(Err(outcome.clone()));
                }
                self.close(slot)
            })
            .collect()
    }

    fn close(&mut self, slot: usize) -> Answer {
        let Open { store, id, records, .. } = self.slots[slot].take().expect("an open append");
        self.free.push(slot);
        let results = records.into_iter().map(|record| match record {
            Record::Settled(outcome) => outcome,
            Record::Open(_) => panic!("none is missing"),
        });
        Answer { store, event: LogEvent::Appended { id, results: results.collect() } }
    }
}

impl Record {
    fn is_open(&self) -> bool {
        matches!(self, Record::Open(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_core::offset::{Offset, Partition};

    fn at(offset: u64) -> Outcome {
        Ok(Revision { partition: Partition(0), offset: Offset(offset) })
    }

    fn lost() -> KafkaError {
        KafkaError { code: -151, name: "_PURGE_INFLIGHT".to_owned(), not_persisted: false }
    }

    fn open(ledger: &mut Ledger, store: usize, id: u64, records: u32) -> Slot {
        let key = bytes::Bytes::from_static(b"key");
        let write = |partition| Write { partition, key: key.clone(), value: None };
        let writes: Vec<Write> = Partition::all(records).map(write).collect();
        ledger.open(StoreIndex(store), RequestId(id), &writes, Instant::now())
    }

    fn results(answer: Answer) -> (RequestId, Vec<Outcome>) {
        let LogEvent::Appended { id, results } = answer.event else { panic!("{answer:?}") };
        (id, results)
    }

    #[test]
    fn an_append_is_answered_once_all_its_records_are_and_in_their_order() {
        let mut ledger = Ledger::default();
        let slot = open(&mut ledger, 3, 7, 3);
        assert_eq!(ledger.place(slot.ticket(2)), (StoreIndex(3), Partition(2)));
        assert!(ledger.settle(slot.ticket(2), at(12)).is_none());
        assert!(ledger.settle(slot.ticket(0), at(10)).is_none());
        let answer = ledger.settle(slot.ticket(1), Err(lost())).unwrap();
        assert_eq!(answer.store, StoreIndex(3));
        assert_eq!(results(answer), (RequestId(7), vec![at(10), Err(lost()), at(12)]));
        assert!(ledger.is_empty());
    }

    #[test]
    fn a_slot_used_again_keeps_nothing_of_the_append_before() {
        let mut ledger = Ledger::default();
        let first = open(&mut ledger, 0, 1, 1);
        let other = open(&mut ledger, 0, 2, 1);
        assert!(ledger.settle(first.ticket(0), at(1)).is_some());
        let second = open(&mut ledger, 0, 3, 2);
        assert_eq!(first, second);
        assert!(ledger.settle(second.ticket(1), at(3)).is_none());
        assert!(ledger.settle(other.ticket(0), at(2)).is_some());
        assert_eq!(results(ledger.settle(second.ticket(0), at(2)).unwrap()).0, RequestId(3));
    }

    #[test]
    fn a_producer_given_up_answers_what_is_open_and_keeps_what_is_known() {
        let mut ledger = Ledger::default();
        let slot = open(&mut ledger, 0, 1, 2);
        assert!(ledger.settle(slot.ticket(0), at(5)).is_none());
        let answers = ledger.settle_all(&lost());
        let [answer] = <[Answer; 1]>::try_from(answers).unwrap();
        assert_eq!(results(answer).1, vec![at(5), Err(lost())]);
        assert!(ledger.is_empty());
    }
}
