//! One client's produce calls: in order, each answered once, under an outage after a deadline.
//!
//! Idempotent and acks=all: what is acknowledged is in the leader's log once (KIP-98). What a failed
//! call left behind is the `Landing` of its failure, which its client never learns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outrigger_core::log::{KafkaError, LogEvent, Write};
use outrigger_core::offset::{Partition, RequestId, Revision};

use super::faults::{AppendFate, Failure, Landing, error};
use super::replica::offset_at;
use super::topic::Topic;

/// `DefaultRecordBatch.RECORD_BATCH_OVERHEAD` and the most that a record's own fields take.
const BATCH_OVERHEAD_BYTES: u64 = 61 + 21;

#[derive(Clone, Debug)]
pub(super) struct PendingAppend {
    pub(super) id: RequestId,
    pub(super) writes: Arc<[Write]>,
    pub(super) deadline: Duration,
    pub(super) fate: AppendFate,
}

/// Writes of a failed call that reach the log after all.
#[derive(Clone, Debug)]
pub(super) struct LateAppend {
    pub(super) at: Duration,
    pub(super) writes: Arc<[Write]>,
}

/// Calls of one client, oldest first: a later one never overtakes an earlier one.
pub(super) type PendingAppends = VecDeque<PendingAppend>;

impl PendingAppend {
    /// The leader was reached: the call meets its fate.
    pub(super) fn arrive(
        self,
        topic: &mut Topic,
        now: outrigger_core::time::Now,
        late: &mut Vec<LateAppend>,
    ) -> LogEvent {
        let results = match self.fate {
            AppendFate::Acknowledged => append(topic, now.wall_ms, &self.writes),
            AppendFate::Fails(failure) => fail(topic, now, &self.writes, &failure, late),
        };
        LogEvent::Appended { id: self.id, results }
    }

    /// Nobody answered in time.
    pub(super) fn expire(
        self,
        outage: &Failure,
        topic: &mut Topic,
        now: outrigger_core::time::Now,
        late: &mut Vec<LateAppend>,
    ) -> LogEvent {
        let failure = match &self.fate {
            AppendFate::Acknowledged => outage,
            AppendFate::Fails(failure) => failure,
        };
        let results = fail(topic, now, &self.writes, failure, late);
        LogEvent::Appended { id: self.id, results }
    }
}

type Results = Vec<Result<Revision, KafkaError>>;

fn fail(
    topic: &mut Topic,
    now: outrigger_core::time::Now,
    writes: &Arc<[Write]>,
    failure: &Failure,
    late: &mut Vec<LateAppend>,
) -> Results {
    let refused = |write: &Write| refusal(topic, write).unwrap_or_else(|| failure.error.clone());
    let results = writes.iter().map(|write| Err(refused(write))).collect();
    match failure.landing {
        Landing::Never => {}
        Landing::Now => {
            append(topic, now.wall_ms, writes);
        }
        Landing::After(delay) => {
            late.push(LateAppend { at: now.mono + delay, writes: Arc::clone(writes) });
        }
    }
    results
}

/// One batch per partition, in the order of the call.
pub(super) fn append(topic: &mut Topic, now_ms: u64, writes: &[Write]) -> Results {
    let mut by_partition: BTreeMap<Partition, Vec<usize>> = BTreeMap::new();
    let mut results: Vec<Option<Result<Revision, KafkaError>>> = vec![None; writes.len()];
    for (index, write) in writes.iter().enumerate() {
        match refusal(topic, write) {
            Some(error) => results[index] = Some(Err(error)),
            None => by_partition.entry(write.partition).or_default().push(index),
        }
    }
    for (partition, indexes) in by_partition {
        let records = indexes.iter().map(|index| record(&writes[*index]));
        let base = topic.log(partition).leader.append(now_ms, None, records);
        for (place, index) in indexes.iter().enumerate() {
            results[*index] = Some(Ok(Revision { partition, offset: offset_at(base, place) }));
        }
    }
    results.into_iter().map(|result| result.expect("refused or appended")).collect()
}

fn record(write: &Write) -> (Option<Bytes>, Option<Bytes>) {
    (Some(write.key.clone()), write.value.clone())
}

/// What librdkafka or the broker refuses for itself, whatever happens to the rest of the call.
fn refusal(topic: &Topic, write: &Write) -> Option<KafkaError> {
    let bytes = write.key.len() + write.value.as_ref().map_or(0, Bytes::len);
    let bytes = u64::try_from(bytes).expect("lengths fit 64 bits") + BATCH_OVERHEAD_BYTES;
    if write.partition.0 >= topic.count() {
        return Some(error(-190, "_UNKNOWN_PARTITION", true));
    }
    (bytes > topic.policy.message_bytes_max).then(|| error(10, "MSG_SIZE_TOO_LARGE", true))
}
