//! The iterators of all partitions as one, in key order. A key is in one partition only.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use outrigger_core::offset::Partition;
use outrigger_core::store::StoreError;
use rocksdb::{DB, DBRawIteratorWithThreadMode};

use super::error::rocks;

pub(super) type RawIterator<'a> = DBRawIteratorWithThreadMode<'a, DB>;

pub(super) struct Merge<'a> {
    /// One for each partition, in order.
    iterators: Vec<RawIterator<'a>>,
    /// Where the iterators stand that are not at their end; the next key to give out is on top.
    heads: BinaryHeap<Head>,
    reverse: bool,
}

struct Head {
    /// A copy of the key: RocksDB's own key moves with its iterator. Its memory is used for all keys of the iterator.
    key: Vec<u8>,
    partition: Partition,
    reverse: bool,
}

impl<'a> Merge<'a> {
    /// `iterators` are bounded on both sides.
    pub(super) fn new(
        mut iterators: Vec<RawIterator<'a>>,
        reverse: bool,
    ) -> Result<Merge<'a>, StoreError> {
        let mut heads = BinaryHeap::with_capacity(iterators.len());
        for (partition, iterator) in (0_u32..).map(Partition).zip(&mut iterators) {
            if reverse {
                iterator.seek_to_last()
            } else {
                iterator.seek_to_first()
            }
            if let Some(key) = at(iterator)? {
                heads.push(Head { key: key.to_vec(), partition, reverse });
            }
        }
        Ok(Merge { iterators, heads, reverse })
    }

    /// The next key and its value.
    pub(super) fn head(&self) -> Option<(Partition, &[u8], &[u8])> {
        let partition = self.heads.peek()?.partition;
        let (key, value) = self.iterators[partition.index()].item()?;
        Some((partition, key, value))
    }

    pub(super) fn advance(&mut self) -> Result<(), StoreError> {
        let Some(mut head) = self.heads.peek_mut() else {
            return Ok(());
        };
        let iterator = &mut self.iterators[head.partition.index()];
        if self.reverse {
            iterator.prev()
        } else {
            iterator.next()
        }
        match at(iterator)? {
            Some(key) => {
                head.key.clear();
                head.key.extend_from_slice(key);
            }
            None => drop(PeekMut::pop(head)),
        }
        Ok(())
    }
}

/// The key at an iterator; none at its end. An iterator that is not valid is at its end, or it failed.
fn at<'a>(iterator: &'a RawIterator) -> Result<Option<&'a [u8]>, StoreError> {
    match iterator.key() {
        Some(key) => Ok(Some(key)),
        None => iterator.status().map(|()| None).map_err(|error| rocks(&error)),
    }
}

impl Ord for Head {
    /// The greatest head is given out first.
    fn cmp(&self, other: &Head) -> Ordering {
        if self.reverse {
            self.key.cmp(&other.key)
        } else {
            Reverse(&self.key).cmp(&Reverse(&other.key))
        }
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}
