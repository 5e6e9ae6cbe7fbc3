//! Writes: to the log and nowhere else. They come back through the reader like everyone's.

use std::sync::Arc;

use crate::log::{KafkaError, LogCall, Write};
use crate::offset::{RequestId, Revision};
use crate::partitioner::partition_of;
use crate::phase::Operation;
use crate::topic::TopicId;

use super::{Change, Command, Effect, Node, Outcome, Reply};

/// The topic that a write was placed for: its answer names this one, whatever has taken its place meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    topic: TopicId,
    partitions: u32,
}

impl Node {
    pub(super) fn on_command(&mut self, id: RequestId, command: Command) {
        match command {
            Command::Write(changes) => self.write(id, changes),
            Command::Await { until, deadline } => self.wait_for(id, until, deadline),
            Command::Pin { at, deadline } => self.pin(id, at, deadline),
            Command::Cancel => self.cancel(id),
            Command::Continue => self.continue_restore(id),
            Command::Drain => self.begin_drain(id),
        }
    }

    fn write(&mut self, id: RequestId, changes: Vec<Change>) {
        if let Err(rejection) = self.gate.admit_operation(Operation::Write) {
            return self.reply(id, Reply::Rejected(rejection));
        }
        let sent = self.sends();
        let writes: Arc<[Write]> = changes
            .into_iter()
            .map(|Change { key, value }| Write {
                partition: partition_of(&key, sent.partitions),
                key,
                value,
            })
            .collect();
        self.writes.insert(id, sent);
        self.log(LogCall::Append { id, writes });
    }

    /// Only the log knows what it has sent.
    pub(super) fn withdraw(&mut self, id: RequestId) {
        if self.writes.contains_key(&id) {
            self.log(LogCall::Withdraw { id });
        }
    }

    pub(super) fn on_appended(
        &mut self,
        id: RequestId,
        results: Vec<Result<Revision, KafkaError>>,
    ) {
        let Sent { topic, partitions } =
            self.writes.remove(&id).expect("an append is answered once");
        let outcomes = results.into_iter().map(outcome).collect();
        self.reply(id, Reply::Written { topic, partitions, outcomes });
    }

    pub(super) fn reply(&mut self, id: RequestId, reply: Reply) {
        self.effects.push_back(Effect::Reply(id, reply));
    }

    fn sends(&self) -> Sent {
        let facts = self.facts.as_ref().expect("writes are admitted after the log's facts came");
        let partitions =
            u32::try_from(facts.partitions.len()).expect("Kafka counts partitions in 31 bits");
        Sent { topic: facts.topic, partitions }
    }
}

/// "Did not happen" needs proof: librdkafka's message status NOT_PERSISTED, which is sticky over its hidden
/// retries. An error code alone lies: one try may have landed before the next was refused.
fn outcome(result: Result<Revision, KafkaError>) -> Outcome {
    match result {
        Ok(revision) => Outcome::Appended(revision),
        Err(error) if error.not_persisted => Outcome::DidNotHappen(error),
        Err(error) => Outcome::Unknown(error),
    }
}
