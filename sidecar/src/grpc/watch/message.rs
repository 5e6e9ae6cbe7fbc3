//! Changes as messages: as many in one as a message may have.

use outrigger_core::batch::Record;
use outrigger_core::keys::Range;
use outrigger_core::offset::{Partition, Revision};
use outrigger_core::watch::message::Changes;
use outrigger_proto::v1::change::What;
use outrigger_proto::v1::{self, Change, Tombstone};

use crate::grpc::arena::{Arena, Entry};
use crate::grpc::convert;
use crate::grpc::walk::{LargeRow, LargeRows, Selection, taken};

/// How rows and changes are told.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) keys_only: bool,
    /// Bytes of key and value.
    pub(super) bytes_max: usize,
    pub(super) large: LargeRows,
}

impl Rows {
    pub(super) fn selection(self, range: Range) -> Selection {
        Selection {
            range,
            reverse: false,
            keys_only: self.keys_only,
            rows_max: None,
            row_bytes_max: self.bytes_max,
            large_rows: self.large,
        }
    }
}

/// The messages of some changes, in order; their point is in the last one. After an error there is none.
pub(super) fn changes<'a>(
    changes: &'a Changes,
    rows: &'a Rows,
) -> impl Iterator<Item = Result<v1::Changes, LargeRow>> {
    let mut records = changes.records().peekable();
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || records.peek().is_none() {
            return None;
        }
        let mut message = Arena::default();
        while let Some(record) = records.peek() {
            match rows.push(&mut message, changes.batch.partition, record) {
                Ok(true) => {}
                Ok(false) => break,
                // Those before it come first, then its name.
                Err(_) if !message.is_empty() => break,
                Err(large) => {
                    failed = true;
                    return Some(Err(large));
                }
            }
            records.next();
        }
        let point = changes.point.as_ref().filter(|_| records.peek().is_none());
        let (changes, point) = (message.into_entries().map(change_of), point.map(convert::point));
        Some(Ok(v1::Changes { changes: changes.collect(), point }))
    })
}

impl Rows {
    /// Returns whether `message` had room for it.
    fn push(
        &self,
        message: &mut Arena,
        partition: Partition,
        record: &Record<'_>,
    ) -> Result<bool, LargeRow> {
        let revision = Revision { partition, offset: record.offset };
        let bytes = if self.keys_only { b"" } else { record.value.unwrap_or_default() };
        let (bytes, omitted) = taken(record.key, bytes, revision, self.bytes_max, self.large)?;
        let value = record.value.map(|_| bytes);
        Ok(message.push(record.key, value, omitted, revision))
    }
}

fn change_of(entry: Entry) -> Change {
    Change {
        key: entry.key,
        what: Some(match entry.value {
            Some(value) => What::Put(value),
            None => What::Delete(Tombstone {}),
        }),
        revision: Some(entry.revision),
        omitted_value_bytes: entry.omitted_value_bytes,
    }
}
