//! One client's produce calls: per partition in order, each answered once, retried unseen until their
//! delivery timeout.
//!
//! Idempotent and acks=all (KIP-98): a batch counts as appended when the high watermark passed it with
//! enough replicas in sync. A new leader that has the batch knows its sequence and answers with its
//! offset; one that lacks it gets it once more. What a failed call left behind its client never learns;
//! it is told "not persisted" only when no try ever left it (sticky, `rd_kafka_msgq_set_metadata`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use outrigger_core::log::{LogEvent, Write};
use outrigger_core::offset::{Partition, RequestId};

use super::client::World;
use super::faults::{Faults, withdrawn_unsent};
use super::request::{Answer, Request, Sequence, refusal};

/// Requests of one partition under way at once (`max.in.flight.requests.per.connection`); a broker remembers as many (KAFKA-5494).
const IN_FLIGHT_MAX: usize = 5;

#[derive(Clone, Debug, Default)]
pub(super) struct Producer {
    calls: BTreeMap<u64, Call>,
    queues: BTreeMap<Partition, VecDeque<Request>>,
    next_call: u64,
    /// What its brokers know of it, by partition.
    sequences: BTreeMap<Partition, Sequence>,
    /// Answers made room for requests that are waiting.
    has_room: bool,
}

#[derive(Clone, Debug)]
struct Call {
    id: RequestId,
    writes: Arc<[Write]>,
    answers: Vec<Option<Answer>>,
    /// Writes without an answer yet.
    open: usize,
}

impl Producer {
    pub(super) fn append(&mut self, world: &mut World<'_>, id: RequestId, writes: Arc<[Write]>) {
        let (call, fate) = (self.next_call, world.faults.next_fate());
        self.next_call += 1;
        let deadline = world.now.mono + world.config.delivery_timeout;
        let mut answers = vec![None; writes.len()];
        let mut by_partition: BTreeMap<Partition, Vec<usize>> = BTreeMap::new();
        for (index, write) in writes.iter().enumerate() {
            match refusal(&world.cluster.topic, write) {
                Some(error) => answers[index] = Some(Err(error)),
                None => by_partition.entry(write.partition).or_default().push(index),
            }
        }
        let open = by_partition.values().map(Vec::len).sum();
        self.calls.insert(call, Call { id, writes, answers, open });
        for (partition, indexes) in by_partition {
            let request = Request::new(call, indexes, deadline, fate.clone());
            self.queues.entry(partition).or_default().push_back(request);
        }
    }

    /// Gives up what no try of it ever left the client.
    pub(super) fn withdraw(&mut self, id: RequestId, faults: &Faults) {
        let Producer { calls, queues, .. } = self;
        for queue in queues.values_mut() {
            queue.retain(|request| {
                let call = calls.get_mut(&request.call).expect("a request belongs to a call");
                let withdrawn = call.id == id && request.is_unsent(faults);
                if withdrawn {
                    call.answer(&request.indexes, request.all(&withdrawn_unsent()));
                }
                !withdrawn
            });
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        if self.has_room {
            return Some(Duration::ZERO);
        }
        let fronts = self.queues.values().filter_map(VecDeque::front);
        fronts.map(|request| request.deadline).min()
    }

    /// Sends what has not been sent or has to be sent again, in order: what is behind one that cannot
    /// be sent waits for it.
    pub(super) fn send(&mut self, client: u32, world: &mut World<'_>) {
        let Producer { calls, queues, sequences, has_room, .. } = self;
        *has_room = false;
        for (partition, queue) in queues.iter_mut() {
            for request in queue.iter_mut().take(IN_FLIGHT_MAX) {
                let writes = &calls[&request.call].writes;
                let sequence = sequences.get(partition).copied();
                let (sent, sequence) = request.send(client, *partition, writes, sequence, world);
                match sequence {
                    Some(sequence) => sequences.insert(*partition, sequence),
                    None => sequences.remove(partition),
                };
                if !sent {
                    break;
                }
            }
        }
    }

    /// Answers what became certain, and what waited too long.
    pub(super) fn settle(&mut self, client: u32, world: &mut World<'_>, out: &mut Vec<LogEvent>) {
        let Producer { calls, queues, sequences, has_room, .. } = self;
        queues.retain(|partition, queue| {
            let before = queue.len();
            while let Some(request) = queue.front() {
                let call = calls.get_mut(&request.call).expect("a request belongs to a call");
                let answer = request.answer(client, *partition, &call.writes, world);
                let Some((answers, written)) = answer else {
                    break;
                };
                if let Some(last) = written {
                    let first = sequences.get(partition).map_or(last, |sequence| sequence.first);
                    sequences.insert(*partition, Sequence { first, last });
                }
                call.answer(&request.indexes, answers);
                queue.pop_front();
            }
            *has_room |= queue.len() < before && before > IN_FLIGHT_MAX;
            !queue.is_empty()
        });
        let done = calls.extract_if(.., |_, call| call.open == 0);
        out.extend(done.map(|(_, call)| call.told()));
    }
}

impl Call {
    fn answer(&mut self, indexes: &[usize], answers: Vec<Answer>) {
        for (index, answer) in indexes.iter().zip(answers) {
            self.answers[*index] = Some(answer);
            self.open -= 1;
        }
    }

    fn told(self) -> LogEvent {
        let answers = self.answers.into_iter();
        let results = answers.map(|answer| answer.expect("no write is open")).collect();
        LogEvent::Appended { id: self.id, results }
    }
}
