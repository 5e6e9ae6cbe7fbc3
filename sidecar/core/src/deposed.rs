//! Answers of a leader that is one no longer, and does not know (KIP-320; docs/faults.md, K20).
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
    /// It ends before a copy of its own term, or of a later one: only a successor can have told the rest.
    EndsBefore { end: Offset, reached: Offset },
}

impl Deposed {
    /// The leader's answer against the newest epoch known. One without an epoch proves nothing either way;
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

    /// The leader's answer against how far the log had reached when it was asked for, as `leader` had told.
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
