//! A row that is not what the cache was told to expect.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use outrigger_proto::v1::Revision;

/// A row whose value could not be decoded: it is in the store, and only its owner can say what it means.
#[derive(Clone, Debug)]
pub struct Undecodable(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    key: Bytes,
    value: Bytes,
    revision: Revision,
    why: Box<dyn StdError + Send + Sync>,
}

impl Undecodable {
    pub(super) fn new(
        key: &[u8],
        value: &[u8],
        revision: Revision,
        why: Box<dyn StdError + Send + Sync>,
    ) -> Undecodable {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        Undecodable(Arc::new(Facts { key, value, revision, why }))
    }

    /// Its key.
    pub fn key(&self) -> &Bytes {
        &self.0.key
    }

    /// Its value, as it is in the store.
    pub fn value(&self) -> &Bytes {
        &self.0.value
    }

    /// The record that wrote it.
    pub fn revision(&self) -> Revision {
        self.0.revision
    }
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { key, revision: Revision { partition, offset }, why, .. } = &*self.0;
        let key = key.escape_ascii();
        write!(f, "the value of `{key}` at {partition}:{offset} cannot be decoded: {why}")
    }
}

impl StdError for Undecodable {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0.why)
    }
}
