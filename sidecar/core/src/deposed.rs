//! Answers of a leader that was deposed and does not know it (KIP-320; docs/faults.md, K20).
//!
//! Whatever a log loses it loses by an election, which begins a new epoch: so a leader of an epoch that a copy
//! descends from has lost nothing of what the copy read.

use std::fmt;

use crate::log::PartitionEnd;
use crate::offset::{Epoch, Offset, Partition};

/// Why `partition`'s answer counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deposed {
    pub partition: Partition,
    pub answered: Epoch,
    pub proof: Proof,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A later term has shown itself.
    Later(Epoch),
    /// Its log ends below what is known of its own term, or of a later one: only a successor can have told the rest.
    EndsBefore { end: Offset, reached: Offset },
}

impl Deposed {
    /// Judges the leader's answer by the newest epoch known. An answer without an epoch proves nothing either way;
    /// every broker that can elect tells one.
    pub fn by_epoch(
        partition: Partition,
        end: &PartitionEnd,
        known: Option<Epoch>,
    ) -> Option<Deposed> {
        let (answered, known) = end.epoch.zip(known)?;
        let proof = Proof::Later(known);
        (answered < known).then_some(Deposed { partition, answered, proof })
    }

    /// Judges the leader's answer by how far the log had reached when it was asked for, as `leader` had told.
    pub fn by_end(
        partition: Partition,
        end: &PartitionEnd,
        reached: Offset,
        leader: Option<Epoch>,
    ) -> Option<Deposed> {
        let (answered, leader) = end.epoch.zip(leader)?;
        let proof = Proof::EndsBefore { end: end.high_watermark, reached };
        let short = end.high_watermark < reached;
        (short && answered <= leader).then_some(Deposed { partition, answered, proof })
    }
}

impl fmt::Display for Deposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Deposed { partition, answered, proof } = self;
        write!(f, "partition {partition}: leader epoch {answered} answers")?;
        match proof {
            Proof::Later(known) => write!(f, ", {known} is known"),
            Proof::EndsBefore { end, reached } => {
                write!(f, " that the log ends at {end}, and it reached {reached}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
