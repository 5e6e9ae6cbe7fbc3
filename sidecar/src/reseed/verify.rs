//! Reads the new topic from its beginning and compares every record with the copy.
//!
//! Each partition was written in key order, and from an earlier key on again where a run ended in between. So a key
//! above all before it is a row seen for the first time, and all rows are there when as many were seen: one key of
//! memory per partition.

use outrigger_core::batch::Batch;
use outrigger_core::limits::Limits;
use outrigger_core::log::{LogCall, LogEvent};
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::store::View;
use outrigger_core::topic::LogFacts;

use super::ReseedError;
use super::target::Target;
use super::write::Told;
use crate::rocks::Source;

struct Verifying<'a> {
    source: &'a Source,
    target: &'a Target,
    told: &'a mut dyn FnMut(Told),
    rows: u64,
}

/// Compares all records. `facts`: the topic as it is after the last write.
pub(super) fn all(
    source: &Source,
    target: &Target,
    facts: &LogFacts,
    rows: u64,
    told: &mut dyn FnMut(Told),
) -> Result<(), ReseedError> {
    let mut verifying = Verifying { source, target, told, rows: 0 };
    for (partition, facts) in (0..).map(Partition).zip(&facts.partitions) {
        verifying.partition(partition, facts.high_watermark)?;
    }
    if verifying.rows == rows {
        Ok(())
    } else {
        Err(ReseedError::Missing { found: verifying.rows, rows })
    }
}

impl Verifying<'_> {
    fn partition(&mut self, partition: Partition, end: Offset) -> Result<(), ReseedError> {
        if end == Offset::ZERO {
            return Ok(());
        }
        self.target.call(LogCall::Assign { partition, at: Offset::ZERO, epoch: None });
        let mut highest: Option<Vec<u8>> = None;
        loop {
            match self.target.answer() {
                Some(LogEvent::Assigned { .. }) => {}
                Some(LogEvent::Fetched(batch)) => {
                    self.batch(&batch, &mut highest)?;
                    if batch.range.end >= end {
                        return Ok(());
                    }
                }
                Some(LogEvent::Lost { .. }) => {
                    return Err(ReseedError::Deleted { partition, log_start: Offset::ZERO });
                }
                None => return Err(ReseedError::Silent { rows: self.rows }),
                Some(other) => unreachable!("only records are asked for: {other:?}"),
            }
            let bytes_max = Limits::PRODUCTION.fetch_bytes_max;
            self.target.call(LogCall::Fetch { partition, bytes_max });
        }
    }

    fn batch(&mut self, batch: &Batch, highest: &mut Option<Vec<u8>>) -> Result<(), ReseedError> {
        let partition = batch.partition;
        if batch.misplaced + batch.keyless > 0 {
            return Err(ReseedError::Foreign { partition, offset: batch.range.start });
        }
        for record in batch.records() {
            let row = self.source.view().get(record.key)?;
            if row.map(|row| row.value).as_deref() != record.value || record.value.is_none() {
                return Err(ReseedError::Foreign { partition, offset: record.offset });
            }
            if highest.as_deref().is_none_or(|highest| record.key > highest) {
                *highest = Some(record.key.to_vec());
                self.rows += 1;
            }
        }
        (self.told)(Told::ReadBack(self.rows));
        Ok(())
    }
}
