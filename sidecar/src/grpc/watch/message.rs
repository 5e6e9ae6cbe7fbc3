//! Changes as messages: as many in one as a caller takes, each batch in an arena of its own.

use bytes::{Bytes, BytesMut};
use outrigger_core::batch::Record;
use outrigger_core::offset::{Partition, Revision};
use outrigger_core::watch::message::Changes;
use outrigger_proto::limits::{BATCH_BYTES, BATCH_LEN_MAX};
use outrigger_proto::v1::change::What;
use outrigger_proto::v1::{self, Change, Tombstone};

use crate::grpc::convert::{self, Range};
use crate::grpc::cursor::{LargeRow, LargeRows, Selection, taken};

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
        let mut message = Message::default();
        while let Some(record) = records.peek() {
            match message.push(changes.batch.partition, record, rows) {
                Ok(true) => {}
                Ok(false) => break,
                // Those before it come first, then its name.
                Err(_) if !message.changes.is_empty() => break,
                Err(large) => {
                    failed = true;
                    return Some(Err(large));
                }
            }
            records.next();
        }
        let point = changes.point.as_ref().filter(|_| records.peek().is_none());
        Some(Ok(message.into_changes(point.map(convert::point))))
    })
}

/// Changes in one arena: what is allocated is allocated per message.
#[derive(Default)]
struct Message {
    arena: BytesMut,
    changes: Vec<InArena>,
}

struct InArena {
    key_len: usize,
    /// None: a delete.
    value_len: Option<usize>,
    /// How many bytes of the value were left out.
    omitted: Option<usize>,
    revision: Revision,
}

impl Message {
    /// Returns whether there was room. A change of any size fits an empty message.
    fn push(
        &mut self,
        partition: Partition,
        record: &Record<'_>,
        rows: &Rows,
    ) -> Result<bool, LargeRow> {
        let revision = Revision { partition, offset: record.offset };
        let value = record.value.map(|value| if rows.keys_only { b"" } else { value });
        let bytes = value.unwrap_or_default();
        let (bytes, omitted) = taken(record.key, bytes, revision, rows.bytes_max, rows.large)?;
        let full = self.changes.len() == BATCH_LEN_MAX
            || self.arena.len() + record.key.len() + bytes.len() > BATCH_BYTES;
        if full && !self.changes.is_empty() {
            return Ok(false);
        }
        self.arena.extend_from_slice(record.key);
        self.arena.extend_from_slice(bytes);
        self.changes.push(InArena {
            key_len: record.key.len(),
            value_len: value.map(|_| bytes.len()),
            omitted,
            revision,
        });
        Ok(true)
    }

    fn into_changes(self, point: Option<v1::WatchPoint>) -> v1::Changes {
        let mut arena: Bytes = self.arena.freeze();
        let change = |change: InArena| Change {
            key: arena.split_to(change.key_len),
            what: Some(match change.value_len {
                Some(len) => What::Put(arena.split_to(len)),
                None => What::Delete(Tombstone {}),
            }),
            revision: Some(convert::revision(change.revision)),
            omitted_value_bytes: change.omitted.map(convert::bytes),
        };
        v1::Changes { changes: self.changes.into_iter().map(change).collect(), point }
    }
}
