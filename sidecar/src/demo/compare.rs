//! Whether copies are equal: to each other by their digests, and to what was acknowledged row by row.

use std::fmt::Write as _;

use bytes::Bytes;
use outrigger_client::proto::v1;
use outrigger_client::{Level, Row, Scan, Store};

use super::DemoError;
use super::reference::Reference;
use crate::dev::cluster::NodeNumber;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) position: u64,
    pub(super) rows: u64,
    sum: Bytes,
}

/// The first difference that was found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    #[error("node {node} has no exact copy to sum up")]
    Inexact { node: NodeNumber },
    #[error(
        "node {node} has digest {digest} at position {position}, node {other} has {other_digest} at {other_position}"
    )]
    Digests {
        node: NodeNumber,
        digest: String,
        position: u64,
        other: NodeNumber,
        other_digest: String,
        other_position: u64,
    },
    #[error("node {node} lacks the acknowledged key {key}")]
    Lacks { node: NodeNumber, key: String },
    #[error("node {node} has key {key}, which was never written or was deleted")]
    Extra { node: NodeNumber, key: String },
    #[error("node {node} has another value or revision of key {key} than was acknowledged last")]
    Other { node: NodeNumber, key: String },
}

impl Digest {
    pub(super) fn hex(&self) -> String {
        self.sum.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes every text");
            text
        })
    }
}

/// Returns the digest of the node's whole copy, which the node reads itself.
pub(super) async fn digest(node: NodeNumber, store: &Store) -> Result<Digest, DemoError> {
    let status = store.status_with_digest().await;
    let status = status.map_err(|error| DemoError::Call { node, error })?;
    let v1::Digest { sum, rows, token } = status.digest.ok_or(Difference::Inexact { node })?;
    let token = token.unwrap_or_default();
    let position = token.positions.iter().map(|each| each.position).sum();
    Ok(Digest { position, rows, sum })
}

pub(super) fn all_equal(digests: &[(NodeNumber, Digest)]) -> Result<(), Difference> {
    let Some(((node, first), others)) = digests.split_first() else { return Ok(()) };
    match others.iter().find(|(_, digest)| digest != first) {
        None => Ok(()),
        Some((other, digest)) => Err(Difference::Digests {
            node: *node,
            digest: first.hex(),
            position: first.position,
            other: *other,
            other_digest: digest.hex(),
            other_position: digest.position,
        }),
    }
}

/// Compares key, value and revision of every row with the reference, over gRPC.
pub(super) async fn with_reference(
    node: NodeNumber,
    store: &Store,
    reference: &Reference,
) -> Result<(), DemoError> {
    let failed = |error| DemoError::Call { node, error };
    let store = store.clone().with_level(Level::Local);
    let mut rows = store.scan(Scan::all()).await.map_err(failed)?;
    let mut expected = reference.living();
    while let Some(row) = rows.next().await {
        judge(node, &row.map_err(failed)?, expected.next())?;
    }
    match expected.next() {
        None => Ok(()),
        Some((key, _, _)) => Err(Difference::Lacks { node, key: shown(key) }.into()),
    }
}

/// Tells how a row differs. Both sides are in the order of the keys, so the smaller key is what the other side has not.
fn judge(
    node: NodeNumber,
    row: &Row,
    expected: Option<(&[u8], &[u8], u64)>,
) -> Result<(), Difference> {
    match expected {
        Some((key, _, _)) if key < &row.key[..] => Err(Difference::Lacks { node, key: shown(key) }),
        Some((key, value, offset)) if key == &row.key[..] => {
            if value == &row.value[..] && offset == row.revision.offset {
                Ok(())
            } else {
                Err(Difference::Other { node, key: shown(key) })
            }
        }
        Some(_) | None => Err(Difference::Extra { node, key: shown(&row.key) }),
    }
}

fn shown(key: &[u8]) -> String {
    format!("`{}`", key.escape_ascii())
}

#[cfg(test)]
mod tests {
    use outrigger_client::Revision;

    use super::*;

    fn node(number: usize) -> NodeNumber {
        NodeNumber::of(number, 3).unwrap()
    }

    fn row(key: &'static str, value: &'static str, offset: u64) -> Row {
        let revision = Revision { partition: 0, offset };
        Row {
            key: Bytes::from_static(key.as_bytes()),
            value: Bytes::from_static(value.as_bytes()),
            revision,
        }
    }

    #[test]
    fn a_row_that_is_missing_too_much_or_another_is_named() {
        let expected = Some((&b"k"[..], &b"v"[..], 7));
        let key = |key: &str| format!("`{key}`");
        let judge = |row: Row, expected| judge(node(2), &row, expected);
        assert_eq!(judge(row("k", "v", 7), expected), Ok(()));
        let other = Err(Difference::Other { node: node(2), key: key("k") });
        assert_eq!(judge(row("k", "old", 7), expected), other);
        assert_eq!(judge(row("k", "v", 6), expected), other);
        let lacks = Err(Difference::Lacks { node: node(2), key: key("k") });
        assert_eq!(judge(row("l", "v", 7), expected), lacks);
        let extra = Err(Difference::Extra { node: node(2), key: key("a") });
        assert_eq!(judge(row("a", "v", 7), expected), extra);
        assert_eq!(judge(row("a", "v", 7), None), extra);
    }

    #[test]
    fn one_digest_that_differs_is_found() {
        let digest = |sum: &'static [u8], position| Digest {
            position,
            rows: 1,
            sum: Bytes::from_static(sum),
        };
        let equal = [(node(1), digest(b"a", 5)), (node(2), digest(b"a", 5))];
        assert_eq!(all_equal(&equal), Ok(()));
        for wrong in [digest(b"b", 5), digest(b"a", 4)] {
            let digests = [equal.as_slice(), &[(node(3), wrong)]].concat();
            let difference = all_equal(&digests).unwrap_err().to_string();
            assert!(difference.contains("node 3"), "{difference}");
        }
    }
}
