//! The rows or changes of one message: a message allocates for itself, not for each of them.

use bytes::{Bytes, BytesMut};
use outrigger_core::offset::Revision;
use outrigger_proto::limits::{BATCH_BYTES, BATCH_LEN_MAX};
use outrigger_proto::v1;

use super::convert;

#[derive(Default)]
pub(super) struct Arena {
    bytes: BytesMut,
    entries: Vec<InArena>,
}

/// One row or change, as a message has it.
pub(super) struct Entry {
    pub(super) key: Bytes,
    /// None: the key is deleted.
    pub(super) value: Option<Bytes>,
    pub(super) omitted_value_bytes: Option<u64>,
    pub(super) revision: v1::Revision,
}

struct InArena {
    key_len: usize,
    value_len: Option<usize>,
    omitted: Option<usize>,
    revision: Revision,
}

impl Arena {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns whether there was room. An entry of any size fits an empty arena. `omitted`: how many bytes of the value were
    /// left out.
    pub(super) fn push(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        omitted: Option<usize>,
        revision: Revision,
    ) -> bool {
        let value_bytes = value.unwrap_or_default();
        let fits = self.bytes.len() + key.len() + value_bytes.len() <= BATCH_BYTES;
        if !self.is_empty() && (self.entries.len() >= BATCH_LEN_MAX || !fits) {
            return false;
        }
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value_bytes);
        let value_len = value.map(<[u8]>::len);
        self.entries.push(InArena { key_len: key.len(), value_len, omitted, revision });
        true
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> {
        let mut bytes: Bytes = self.bytes.freeze();
        self.entries.into_iter().map(move |entry| Entry {
            key: bytes.split_to(entry.key_len),
            value: entry.value_len.map(|len| bytes.split_to(len)),
            omitted_value_bytes: entry.omitted.map(convert::bytes),
            revision: convert::revision(entry.revision),
        })
    }
}
