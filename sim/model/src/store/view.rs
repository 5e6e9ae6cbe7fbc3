//! A snapshot of one generation: the rows as they were, whatever happens to the generation.

use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Offset, Partition, Revision};
use outrigger_core::partitioner::partition_of;
use outrigger_core::store::{Row, Scan, StoreError, StoreErrorKind, View};

use super::contents::{Contents, Rows};
use super::disk::{Health, Rot, Stored};

#[derive(Debug)]
pub struct ModelView {
    partitions: Vec<Contents>,
    rot: Arc<Rot>,
    /// No row at all can be read.
    damaged: bool,
}

impl ModelView {
    pub(super) fn new(partitions: Vec<Contents>, stored: &Stored) -> ModelView {
        let damaged = stored.health == Health::RowsDamaged;
        ModelView { partitions, rot: Arc::clone(&stored.rot), damaged }
    }

    fn rows(&self) -> Result<Vec<&Rows>, StoreError> {
        if self.damaged {
            Err(corrupt("damaged rows".into()))
        } else {
            Ok(self.partitions.iter().map(Contents::rows).collect())
        }
    }

    /// Every read is checked, and what was written again since is read from elsewhere.
    fn check(&self, key: &[u8], offset: Offset) -> Result<(), StoreError> {
        match self.rot.get(key) {
            Some(rotten) if *rotten == offset => {
                Err(corrupt(format!("a checksum near offset {offset} does not match")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn corrupt(detail: String) -> StoreError {
    StoreError { kind: StoreErrorKind::Corrupt, detail }
}

impl View for ModelView {
    fn lineages(&self) -> Result<Vec<Lineage>, StoreError> {
        Ok(self.partitions.iter().map(|contents| contents.lineage().clone()).collect())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let rows = self.rows()?;
        let count = u32::try_from(rows.len()).expect("Kafka counts partitions in 31 bits");
        let partition = partition_of(key, count);
        let Some((offset, value)) = rows[partition.index()].get(key) else {
            return Ok(None);
        };
        self.check(key, *offset)?;
        let revision = Revision { partition, offset: *offset };
        Ok(Some(Row { revision, value: value.clone() }))
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        row: &mut dyn FnMut(&[u8], Revision, &[u8]) -> Scan,
    ) -> Result<(), StoreError> {
        let rows = self.rows()?;
        if end.is_some_and(|end| end <= start) {
            return Ok(());
        }
        let bounds = (Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded));
        let ranges = rows.into_iter().map(|rows| rows.range::<[u8], _>(bounds));
        let mut entries: Vec<Peekable<Entries>> = if reverse {
            ranges.map(|range| (Box::new(range.rev()) as Entries).peekable()).collect()
        } else {
            ranges.map(|range| (Box::new(range) as Entries).peekable()).collect()
        };
        while let Some(index) = next(&mut entries, reverse) {
            let (key, (offset, value)) = entries[index].next().expect("peeked");
            self.check(key, *offset)?;
            let partition =
                Partition(u32::try_from(index).expect("Kafka counts partitions in 31 bits"));
            if row(key, Revision { partition, offset: *offset }, value) == Scan::Stop {
                break;
            }
        }
        Ok(())
    }
}

type Entries<'a> = Box<dyn Iterator<Item = (&'a Vec<u8>, &'a (Offset, Vec<u8>))> + 'a>;

/// The partition whose next key is the smallest, or the greatest in reverse.
fn next(entries: &mut [Peekable<Entries>], reverse: bool) -> Option<usize> {
    let heads = entries.iter_mut().enumerate();
    let heads = heads.filter_map(|(index, entries)| Some((entries.peek()?.0, index)));
    let head = if reverse { heads.max() } else { heads.min() };
    head.map(|(_, index)| index)
}
