//! Why a copy is not written into a topic, and what to do.

use std::path::PathBuf;

use outrigger_core::log::KafkaError;
use outrigger_core::offset::{Generation, Offset, Partition};
use outrigger_core::phase::PolicyFault;
use outrigger_core::stall::StallKind;
use outrigger_core::store::StoreError;

use crate::exit::Exit;
use crate::kafka::{CreateTopicError, KafkaStartError};
use crate::rocks::{DataDirError, SourceError};
use crate::survey;

/// Why a reseed failed. Nothing but what RESEED tells was written, and the copy is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReseedError {
    #[error("{} has no copy of store {store}: name the data directory of a node that has one", data.display())]
    NoCopy { data: PathBuf, store: String },
    #[error(transparent)]
    Data(#[from] DataDirError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Disk(#[from] StoreError),
    #[error(
        "{generation} is not exact: partition {partition} ends at {position}, and only from {exact_from} on it is known to \
         have everything; start its node until it is READY, or take another node's copy"
    )]
    NotExact { generation: Generation, partition: Partition, position: Offset, exact_from: Offset },
    #[error(transparent)]
    Kafka(#[from] KafkaStartError),
    #[error(transparent)]
    Create(#[from] CreateTopicError),
    #[error("Kafka says nothing of the new topic: {0}; {advice}", advice = advice(.0))]
    Topic(KafkaError),
    #[error("that is the topic that the copy comes from: name a new one")]
    OwnTopic,
    #[error(
        "the new topic's policy is unsafe: {0}; correct its configuration (see `kafka-configs --alter`)"
    )]
    Policy(PolicyFault),
    #[error(
        "the new topic is not empty: partition {partition} has {log_start}..{end}, and no reseed of this copy has begun \
         there; name another one, or delete it and create it again"
    )]
    NotEmpty { partition: Partition, log_start: Offset, end: Offset },
    #[error(
        "{now} is not the copy from which the new topic was begun ({begun}), or it has changed since: begin again with \
         another topic that is empty"
    )]
    AnotherCopy { begun: Generation, now: Generation },
    #[error(
        "the new topic takes records of {max} bytes, and a row of the copy has {largest}: raise its max.message.bytes"
    )]
    TooSmall { largest: usize, max: u64 },
    #[error(
        "stopped after {rows} rows, for Kafka says {error}; {advice}, then repeat the command: it goes on from there",
        advice = advice(error)
    )]
    Stopped { rows: u64, error: KafkaError },
    #[error(
        "stopped after {rows} rows: Kafka does not answer; repeat the command: it goes on from there"
    )]
    Silent { rows: u64 },
    #[error("topic {topic} was deleted and created again meanwhile: repeat the command")]
    Replaced { topic: String },
    #[error(
        "records were deleted from partition {partition} of the new topic, which starts at {log_start}: begin again with \
         another topic"
    )]
    Deleted { partition: Partition, log_start: Offset },
    #[error(
        "the record at {partition}:{offset} of the new topic is not of this copy: somebody else writes there; begin again \
         with another topic, while all nodes and writers are stopped"
    )]
    Foreign { partition: Partition, offset: Offset },
    #[error(
        "the new topic has {found} of {rows} rows: begin again with another topic, and report this"
    )]
    Missing { found: u64, rows: u64 },
}

/// Returns what to do: a stall's own advice is for whoever runs a node.
fn advice(error: &KafkaError) -> &'static str {
    let kind = StallKind::of(error);
    if kind == StallKind::TopicGone {
        "create it first, or add --create"
    } else {
        kind.what_to_do()
    }
}

impl ReseedError {
    pub fn exit(&self) -> Exit {
        match self {
            ReseedError::NoCopy { .. } => Exit::Usage,
            ReseedError::Data(_) => Exit::DataDirectory,
            ReseedError::Source(error) => exit_of_source(error),
            ReseedError::Disk(_) => Exit::InputOutput,
            ReseedError::Kafka(error) => survey::exit_of_start(error),
            ReseedError::Create(CreateTopicError::Config(error)) => survey::exit_of_start(error),
            ReseedError::Create(
                CreateTopicError::Unreachable { .. } | CreateTopicError::TooFewBrokers { .. },
            )
            | ReseedError::Silent { .. }
            | ReseedError::Replaced { .. } => Exit::TryAgain,
            ReseedError::Topic(error) | ReseedError::Stopped { error, .. } => {
                survey::exit_unplanned(error)
            }
            ReseedError::Create(CreateTopicError::Refused { .. })
            | ReseedError::NotExact { .. }
            | ReseedError::OwnTopic
            | ReseedError::Policy(_)
            | ReseedError::NotEmpty { .. }
            | ReseedError::AnotherCopy { .. }
            | ReseedError::TooSmall { .. } => Exit::Refused,
            ReseedError::Deleted { .. }
            | ReseedError::Foreign { .. }
            | ReseedError::Missing { .. } => Exit::Negative,
        }
    }
}

fn exit_of_source(error: &SourceError) -> Exit {
    match error {
        SourceError::NoCopy(_) | SourceError::NotHere { .. } => Exit::Usage,
        SourceError::Identity(_)
        | SourceError::NotFinished { .. }
        | SourceError::Unusable { .. } => Exit::Refused,
        SourceError::Store(_) => Exit::InputOutput,
    }
}
