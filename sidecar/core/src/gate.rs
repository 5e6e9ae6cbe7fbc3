//! Admission of reads: one atomic snapshot that the node publishes and every reader judges by.
//!
//! The gate says only *whether* a read may go on. The token it answers with comes from the snapshot that
//! it then opens: the store runs ahead of the gate.

use std::sync::Arc;

use crate::lineage::{EpochChain, Lineage};
use crate::offset::{Generation, Offset, Partition};
use crate::partitioner::partition_of;
use crate::phase::{Operation, Phase, Refusal};
use crate::stall::StallKind;
use crate::time::Now;
use crate::token::Token;
use crate::topic::TopicId;

#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// What callers are admitted by: the node's phase, and `Stopped` from the moment when a drain begins.
    pub phase: Phase,
    /// The generation that is open for reading, whatever its age.
    pub generation: Option<Generation>,
    /// Whether `generation` is the one that the log is applied to, not an old one beside a rebuild.
    pub fed: bool,
    pub topic: Option<TopicId>,
    /// Applied position per partition of the generation that the log is applied to.
    pub positions: Vec<Offset>,
    pub epochs: Arc<[EpochChain]>,
    pub exact: bool,
    /// Wall clock, ms, when the served copy was last known to hold everything; 0: never.
    pub confirmed_at_ms: u64,
    pub awaits_free: bool,
    /// Smallest delete.retention.ms that the copy which the log is applied to has seen; while there is none, that of
    /// the last one.
    pub delete_retention_ms_min: u64,
}

/// How fresh a read must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadLevel {
    /// Any copy, however old, exact or not.
    Stale,
    /// The exact copy of a READY node.
    Local,
    /// The same as `Local`, at or after the token.
    AtLeast(Token),
    /// The same as `Local`, at or after the high watermarks that the leaders answer now.
    Latest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admit {
    Now(Generation),
    /// Ask the node with `Command::Await`, then read.
    Wait(Until),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    AtLeast(Token),
    /// The end of this partition; none: of all.
    Latest(Option<Partition>),
}

/// Why one request was turned away. Nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the store is {0}, which does not admit this")]
    NotReady(Phase),
    #[error("the store refuses: {0}")]
    Refused(Refusal),
    #[error("the store is draining")]
    Draining,
    #[error("the copy was last confirmed {age_ms} ms ago, more than the {max_ms} ms asked for")]
    TooStale { age_ms: u64, max_ms: u64 },
    #[error("the token belongs to topic {token}, this store's topic is {topic}")]
    TokenOfAnotherTopic { token: TopicId, topic: TopicId },
    #[error("the token has {has} partitions, the topic has {partitions}")]
    TokenMalformed { has: usize, partitions: usize },
    #[error("the token was given out on a history that the log no longer has")]
    TokenOfAnotherHistory,
    #[error(
        "the log ends at {end}, below the token's position {position}: the log lost what the token saw"
    )]
    TokenBeyondLog { position: Offset, end: Offset },
    #[error(
        "the copy is already at {is} in partition {partition}, beyond the position {at} asked for"
    )]
    Passed { partition: Partition, at: Offset, is: Offset },
    #[error("the store is {0}: no restore runs that could be cancelled")]
    NoRestore(Phase),
    #[error("the store is {0}: no restore was cancelled that could go on")]
    NotCancelled(Phase),
    #[error("too many calls wait for an answer here")]
    Overloaded,
    #[error("the position was not reached in time{}", because(.stall))]
    Deadline { stall: Option<StallKind> },
    #[error("the leader of partition {partition} did not tell its end in time")]
    Leaderless { partition: Partition },
}

impl Rejection {
    /// Whether it says that this log will never have what the token saw.
    pub fn is_of_the_token(&self) -> bool {
        match self {
            Rejection::TokenOfAnotherTopic { .. }
            | Rejection::TokenOfAnotherHistory
            | Rejection::TokenBeyondLog { .. }
            | Rejection::TokenMalformed { .. } => true,
            Rejection::NotReady(_)
            | Rejection::Refused(_)
            | Rejection::Draining
            | Rejection::TooStale { .. }
            | Rejection::Passed { .. }
            | Rejection::NoRestore(_)
            | Rejection::NotCancelled(_)
            | Rejection::Overloaded
            | Rejection::Deadline { .. }
            | Rejection::Leaderless { .. } => false,
        }
    }
}

impl ReadLevel {
    /// Whether a snapshot of these lineages may answer: the store runs ahead of the gate that admitted the read, and
    /// may have met a gap since.
    pub fn check_snapshot(&self, lineages: &[Lineage]) -> Result<(), Rejection> {
        match self {
            ReadLevel::Stale => Ok(()),
            ReadLevel::Local | ReadLevel::AtLeast(_) | ReadLevel::Latest => {
                if lineages.iter().all(Lineage::exact) {
                    Ok(())
                } else {
                    Err(Rejection::NotReady(Phase::CatchingUp))
                }
            }
        }
    }
}

fn because(stall: &Option<StallKind>) -> String {
    stall.map(|stall| format!(": {}", stall.name())).unwrap_or_default()
}

impl Gate {
    pub fn closed() -> Gate {
        Gate {
            phase: Phase::Opening,
            generation: None,
            fed: false,
            topic: None,
            positions: Vec::new(),
            epochs: Arc::new([]),
            exact: false,
            confirmed_at_ms: 0,
            awaits_free: true,
            delete_retention_ms_min: u64::MAX,
        }
    }

    /// The partition of `key`; none until the topic is known.
    pub fn partition_of(&self, key: &[u8]) -> Option<Partition> {
        let partitions =
            u32::try_from(self.positions.len()).expect("Kafka counts partitions in 31 bits");
        (partitions > 0).then(|| partition_of(key, partitions))
    }

    /// Age of the copy's confirmation in ms; 0 if the clock went back.
    pub fn age_ms(&self, now: Now) -> u64 {
        now.wall_ms.saturating_sub(self.confirmed_at_ms)
    }

    /// Whether a read at `level` may go on now. `staleness_ms_max`: oldest confirmation to accept.
    pub fn admit(
        &self,
        level: &ReadLevel,
        staleness_ms_max: Option<u64>,
        now: Now,
    ) -> Result<Admit, Rejection> {
        let operation = match level {
            ReadLevel::Stale => Operation::StaleRead,
            ReadLevel::Local | ReadLevel::AtLeast(_) | ReadLevel::Latest => Operation::Read,
        };
        self.admit_operation(operation)?;
        let Some(generation) = self.generation else {
            return Err(Rejection::NotReady(self.phase.clone()));
        };
        let admit = match level {
            ReadLevel::Stale | ReadLevel::Local => Admit::Now(generation),
            ReadLevel::Latest => Admit::Wait(Until::Latest(None)),
            ReadLevel::AtLeast(token) => {
                self.check_token(token)?;
                if self.holds(token) {
                    Admit::Now(generation)
                } else {
                    Admit::Wait(Until::AtLeast(token.clone()))
                }
            }
        };
        if let Admit::Wait(_) = admit
            && !self.awaits_free
        {
            return Err(Rejection::Overloaded);
        }
        // A read that waits is judged again when its position is reached.
        check_age(self.confirmed_at_ms, staleness_ms_max, now)?;
        Ok(admit)
    }

    /// Whether the phase admits an operation.
    pub fn admit_operation(&self, operation: Operation) -> Result<(), Rejection> {
        match &self.phase {
            phase if phase.admits(operation) => Ok(()),
            Phase::Refused(refusal) => Err(Rejection::Refused(refusal.clone())),
            Phase::Stopped => Err(Rejection::Draining),
            Phase::Opening | Phase::Restoring(_) | Phase::CatchingUp | Phase::Ready => {
                Err(Rejection::NotReady(self.phase.clone()))
            }
        }
    }

    /// Fails for a token that this copy can never reach: that is an error now, not a wait.
    pub fn check_token(&self, token: &Token) -> Result<(), Rejection> {
        if let Some(topic) = self.topic
            && topic != token.topic
        {
            return Err(Rejection::TokenOfAnotherTopic { token: token.topic, topic });
        }
        if token.positions.len() != self.positions.len() {
            let (has, partitions) = (token.positions.len(), self.positions.len());
            return Err(Rejection::TokenMalformed { has, partitions });
        }
        let foreign =
            token.positions.iter().zip(self.epochs.iter()).any(|((position, epoch), chain)| {
                epoch.is_some_and(|epoch| !chain.allows(epoch, *position))
            });
        if foreign { Err(Rejection::TokenOfAnotherHistory) } else { Ok(()) }
    }

    /// Whether the copy that the log is applied to is exact, and at or after every position of the token.
    pub fn holds(&self, token: &Token) -> bool {
        let reached = |((wanted, _), applied): (&(Offset, _), &Offset)| applied >= wanted;
        self.fed && self.exact && token.positions.iter().zip(&self.positions).all(reached)
    }
}

/// Whether a copy that was confirmed then is as young as a read demands; a clock that went back counts as no age.
pub(crate) fn check_age(
    confirmed_at_ms: u64,
    max_ms: Option<u64>,
    now: Now,
) -> Result<(), Rejection> {
    let age_ms = now.wall_ms.saturating_sub(confirmed_at_ms);
    match max_ms {
        Some(max_ms) if age_ms > max_ms => Err(Rejection::TooStale { age_ms, max_ms }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
