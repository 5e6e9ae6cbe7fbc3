//! How far a session has seen: what a read on any node must not fall behind.

use crate::lineage::Lineage;
use crate::offset::{Epoch, Offset, Partition, Revision};
use crate::topic::TopicId;

/// Per partition a position (exclusive) and the leader epoch below it, where known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub topic: TopicId,
    /// One for each partition, in order.
    pub positions: Vec<(Offset, Option<Epoch>)>,
}

impl Token {
    /// The token of a copy with these lineages.
    pub fn of(topic: TopicId, lineages: &[Lineage]) -> Token {
        let positions =
            lineages.iter().map(|lineage| (lineage.position, lineage.epochs.latest())).collect();
        Token { topic, positions }
    }

    /// The token with which a session sees its own write at `revision`, in a topic of `partitions`.
    pub fn of_write(topic: TopicId, partitions: u32, revision: Revision) -> Token {
        let position = |partition: Partition| {
            if partition == revision.partition {
                (revision.offset.next(), None)
            } else {
                (Offset::ZERO, None)
            }
        };
        Token { topic, positions: Partition::all(partitions).map(position).collect() }
    }
}
