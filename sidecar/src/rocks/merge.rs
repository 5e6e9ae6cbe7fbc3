//! The cursors of all partitions as one, in key order. A key is in one partition only.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use outrigger_core::offset::Partition;
use outrigger_core::store::StoreError;
use rocksdb::{DB, DBRawIteratorWithThreadMode};

use super::error::rocks;

pub(super) type Cursor<'a> = DBRawIteratorWithThreadMode<'a, DB>;

pub(super) struct Merge<'a> {
    /// Indexed by partition.
    cursors: Vec<Cursor<'a>>,
    /// Where the cursors stand that are not at their end; the next key to give out is on top.
    heads: BinaryHeap<Head>,
    reverse: bool,
}

struct Head {
    /// A copy of the key: RocksDB's own key moves with its cursor. Its memory is used for all keys of the cursor.
    key: Vec<u8>,
    partition: Partition,
    reverse: bool,
}

impl<'a> Merge<'a> {
    /// `cursors` are bounded on both sides.
    pub(super) fn new(
        mut cursors: Vec<Cursor<'a>>,
        reverse: bool,
    ) -> Result<Merge<'a>, StoreError> {
        let mut heads = BinaryHeap::with_capacity(cursors.len());
        for (partition, cursor) in (0_u32..).map(Partition).zip(&mut cursors) {
            match reverse {
                false => cursor.seek_to_first(),
                true => cursor.seek_to_last(),
            }
            if let Some(key) = at(cursor)? {
                heads.push(Head { key: key.to_vec(), partition, reverse });
            }
        }
        Ok(Merge { cursors, heads, reverse })
    }

    /// The next key and its value.
    pub(super) fn head(&self) -> Option<(Partition, &[u8], &[u8])> {
        let partition = self.heads.peek()?.partition;
        let (key, value) = self.cursors[partition.index()].item()?;
        Some((partition, key, value))
    }

    pub(super) fn advance(&mut self) -> Result<(), StoreError> {
        let Some(mut head) = self.heads.peek_mut() else {
            return Ok(());
        };
        let cursor = &mut self.cursors[head.partition.index()];
        match self.reverse {
            false => cursor.next(),
            true => cursor.prev(),
        }
        match at(cursor)? {
            Some(key) => {
                head.key.clear();
                head.key.extend_from_slice(key);
            }
            None => drop(PeekMut::pop(head)),
        }
        Ok(())
    }
}

/// The key at a cursor; none at its end. A cursor that is not valid is at its end, or it failed.
fn at<'a>(cursor: &'a Cursor) -> Result<Option<&'a [u8]>, StoreError> {
    match cursor.key() {
        Some(key) => Ok(Some(key)),
        None => cursor.status().map(|()| None).map_err(|error| rocks(&error)),
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
