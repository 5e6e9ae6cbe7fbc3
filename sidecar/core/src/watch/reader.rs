//! What is read from the log for a watch: one batch at a time, and what the log tells of its topic after that.
//!
//! ```text
//! Watcher -- Wanted --> LogReader -- LogCall --> a client of the log of its own
//!         <-- Answer --           <-- LogEvent --
//! ```
//! Clients go by a topic's name, and a retention may have been lowered a moment ago: so the log is asked which topic it is and
//! how long its tombstones live after each batch, and before anybody makes use of it.

use crate::batch::Batch;
use crate::log::{LogCall, LogCallKind, LogEvent, Loss};
use crate::offset::{Epoch, Offset, Partition};
use crate::topic::{LogFacts, TopicFacts};

/// One batch, of about `bytes_max` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub partition: Partition,
    pub from: Offset,
    /// The leader epoch below `from`: whoever has not heard of it, or has another history there, gives nothing.
    pub epoch: Option<Epoch>,
    pub bytes_max: u32,
}

impl Wanted {
    /// What a proof asks for: who answers is all that counts.
    pub(super) const PROOF_BYTES: u32 = 1;

    /// Whether records are wanted, and not a proof.
    pub fn is_for_records(&self) -> bool {
        self.bytes_max > Wanted::PROOF_BYTES
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub batch: Batch,
    /// As it was asked for after the batch had come.
    pub topic: TopicFacts,
}

/// Why there is no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// The log does not have the position.
    Lost(Loss),
    /// Nobody answered. It may be tried again.
    Failed,
}

pub type Answer = Result<Given, Missed>;

/// What comes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is to be made.
    Call(LogCall),
    /// It has failed, and is to be made again after a moment.
    Again(LogCall),
    Answer(Answer),
    /// It was about nothing that is wanted.
    Nothing,
}

/// A reader of the log beside the one that feeds the copy, by a client of the log that nobody else has: so its leaders are
/// never older ones than it has heard of before.
#[derive(Debug, Default)]
pub struct LogReader {
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    /// A log is described before anything else is asked of it.
    #[default]
    New,
    Describing(Wanted),
    /// `at`: where a fetch goes on.
    Idle {
        at: Option<(Partition, Offset)>,
    },
    Assigning(Wanted),
    Fetching(Wanted),
    Checking(Wanted, Batch),
}

impl LogReader {
    /// The first call for what is wanted. What was wanted before has been answered.
    pub fn read(&mut self, wanted: Wanted) -> LogCall {
        match self.stage {
            Stage::New => {
                self.stage = Stage::Describing(wanted);
                LogCall::Describe
            }
            Stage::Idle { at } if at == Some((wanted.partition, wanted.from)) => self.fetch(wanted),
            Stage::Idle { .. } => self.assign(wanted),
            Stage::Describing(_)
            | Stage::Assigning(_)
            | Stage::Fetching(_)
            | Stage::Checking(..) => {
                unreachable!("one batch is wanted at a time")
            }
        }
    }

    pub fn on_event(&mut self, event: LogEvent) -> Turn {
        match event {
            LogEvent::Facts(facts) => self.described(known(facts)),
            LogEvent::Leaderless { topic, .. } => self.described(topic),
            LogEvent::Failed { call: LogCallKind::Describe, .. } => self.failed(),
            LogEvent::Assigned { .. } => {
                let Stage::Assigning(wanted) = self.stage else { return Turn::Nothing };
                Turn::Call(self.fetch(wanted))
            }
            LogEvent::Fetched(batch) => {
                let Stage::Fetching(wanted) = self.stage else { return Turn::Nothing };
                self.stage = Stage::Checking(wanted, batch);
                Turn::Call(LogCall::Describe)
            }
            LogEvent::Lost { loss, .. } => {
                let Stage::Fetching(_) = self.stage else { return Turn::Nothing };
                self.stage = Stage::Idle { at: None };
                Turn::Answer(Err(Missed::Lost(loss)))
            }
            LogEvent::Failed { .. }
            | LogEvent::Ends(_)
            | LogEvent::TopicId(_)
            | LogEvent::PartitionCount(_)
            | LogEvent::Appended { .. }
            | LogEvent::Trouble(_) => Turn::Nothing,
        }
    }

    fn described(&mut self, topic: TopicFacts) -> Turn {
        match std::mem::take(&mut self.stage) {
            Stage::Describing(wanted) if wanted.partition.0 < topic.partitions => {
                Turn::Call(self.assign(wanted))
            }
            // A topic that has no such partition is another one, and is described again before anything is asked of it.
            Stage::Describing(_) => Turn::Answer(Err(Missed::Lost(Loss::OutOfRange))),
            Stage::Checking(_, batch) if batch.partition.0 >= topic.partitions => {
                Turn::Answer(Err(Missed::Lost(Loss::OutOfRange)))
            }
            Stage::Checking(wanted, batch) => {
                // After a proof, or a batch that met the end, the position is assigned again: the log compares epochs anew.
                let goes_on = wanted.is_for_records() && !batch.at_end;
                let at = goes_on.then_some((batch.partition, batch.range.end));
                self.stage = Stage::Idle { at };
                Turn::Answer(Ok(Given { batch, topic }))
            }
            stage => {
                self.stage = stage;
                Turn::Nothing
            }
        }
    }

    /// Others may lead nothing that is wanted, and answer for the whole topic all the same once it is known who is silent.
    fn failed(&self) -> Turn {
        match self.stage {
            Stage::Describing(_) | Stage::Checking(..) => Turn::Again(LogCall::Describe),
            Stage::New | Stage::Idle { .. } | Stage::Assigning(_) | Stage::Fetching(_) => {
                Turn::Nothing
            }
        }
    }

    fn assign(&mut self, wanted: Wanted) -> LogCall {
        let Wanted { partition, from: at, epoch, .. } = wanted;
        self.stage = Stage::Assigning(wanted);
        LogCall::Assign { partition, at, epoch }
    }

    fn fetch(&mut self, wanted: Wanted) -> LogCall {
        let Wanted { partition, bytes_max, .. } = wanted;
        self.stage = Stage::Fetching(wanted);
        LogCall::Fetch { partition, bytes_max }
    }
}

fn known(facts: LogFacts) -> TopicFacts {
    let partitions = u32::try_from(facts.partitions.len());
    TopicFacts {
        cluster: facts.cluster,
        topic: facts.topic,
        policy: facts.policy,
        partitions: partitions.expect("Kafka counts partitions in 31 bits"),
    }
}
