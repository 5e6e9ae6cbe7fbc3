//! Writes: to the log and nowhere else. They come back through the reader like everyone's.

use std::sync::Arc;

use crate::log::{KafkaError, LogCall, Write};
use crate::offset::{RequestId, Revision};
use crate::partitioner::partition_of;
use crate::phase::Operation;
use crate::topic::TopicId;

use super::Shared;
use crate::node::event::{Change, Outcome, Reply};

/// The topic that a write was placed for: its answer names this one, whatever has taken its place meanwhile.
#[derive(Clone, Copy, Debug)]
pub(in crate::node) struct Sent {
    topic: TopicId,
    partitions: u32,
}

impl Shared {
    pub(in crate::node) fn write(&mut self, id: RequestId, changes: Vec<Change>) {
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
    pub(in crate::node) fn withdraw(&mut self, id: RequestId) {
        if self.writes.contains_key(&id) {
            self.log(LogCall::Withdraw { id });
        }
    }

    pub(in crate::node) fn on_appended(
        &mut self,
        id: RequestId,
        results: Vec<Result<Revision, KafkaError>>,
    ) {
        let Sent { topic, partitions } =
            self.writes.remove(&id).expect("an append is answered once");
        let outcomes = results.into_iter().map(outcome).collect();
        self.reply(id, Reply::Written { topic, partitions, outcomes });
    }

    fn sends(&self) -> Sent {
        let facts = self.known_facts();
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
