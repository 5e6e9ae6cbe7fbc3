//! The log model in virtual time, as the conformance suite and the model's own tests drive it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use outrigger_core::conformance::log::{
    FILLER, Foreign as Wanted, LogUnderTest, MESSAGE_BYTES_MAX, Shape, Verdict as Wish,
};
use outrigger_core::log::{LogCall, LogEvent, Write};
use outrigger_core::offset::{Offset, Partition, RequestId};
use outrigger_core::time::Now;
use outrigger_core::topic::{TopicId, TopicPolicy};
use outrigger_model::log::{
    Foreign, LogConfig, LogModel, Outage, ProducerId, SegmentLimits, Verdict,
};

pub(crate) struct World {
    pub(crate) model: LogModel,
    pub(crate) now: Now,
    told: BTreeMap<u32, VecDeque<LogEvent>>,
    topics: u8,
}

pub(crate) const WRITER: ProducerId = ProducerId(1);

pub(crate) fn policy() -> TopicPolicy {
    TopicPolicy {
        cleanup: "compact".to_owned(),
        delete_retention_ms: 86_400_000,
        min_compaction_lag_ms: 0,
        log_append_time: true,
        min_insync_replicas: 2,
        replication: 3,
        unclean_election: false,
        message_bytes_max: u64::try_from(MESSAGE_BYTES_MAX).expect("64 bits hold it"),
    }
}

pub(crate) fn config(partitions: u32) -> LogConfig {
    LogConfig {
        cluster: "cluster".to_owned(),
        topic: TopicId([1; 16]),
        partitions,
        policy: policy(),
        segments: SegmentLimits { offsets_max: 1_000, age_ms: 3_600_000 },
        cleaner: None,
        delivery_timeout: Duration::from_secs(30),
        ask_timeout: Duration::from_secs(5),
        end_with_records: false,
    }
}

pub(crate) fn foreign(key: &str, value: Option<&str>) -> Foreign {
    let bytes = |text: &str| bytes::Bytes::copy_from_slice(text.as_bytes());
    Foreign { key: Some(bytes(key)), value: value.map(bytes) }
}

impl World {
    pub(crate) fn new(config: LogConfig) -> World {
        let now = Now { mono: Duration::from_secs(1), wall_ms: 1_700_000_000_000 };
        World { model: LogModel::new(config), now, told: BTreeMap::new(), topics: 1 }
    }

    pub(crate) fn shaped(shape: Shape, end_with_records: bool) -> World {
        let mut config = config(shape.partitions);
        config.policy.delete_retention_ms = shape.delete_retention_ms;
        config.end_with_records = end_with_records;
        World::new(config)
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.now.wall_ms += u64::try_from(time.as_millis()).expect("64 bits hold it");
    }

    pub(crate) fn put(&mut self, key: &str, value: Option<&str>) -> Offset {
        self.model.append(self.now, Partition(0), &[foreign(key, value)])[0]
    }

    /// Everything written so far is in segments that may be cleaned; then one pass.
    pub(crate) fn clean(&mut self) {
        self.model.roll(Partition(0));
        self.model.clean(self.now);
    }

    fn tick(&mut self) {
        let mut out = Vec::new();
        self.model.tick(self.now, &mut out);
        self.keep(out);
    }

    fn keep(&mut self, out: Vec<(u32, LogEvent)>) {
        for (client, event) in out {
            self.told.entry(client).or_default().push_back(event);
        }
    }

    fn readable(&self, partition: Partition, offset: Offset) -> bool {
        let records = self.model.batches(partition).filter_map(|batch| match &batch.content {
            outrigger_model::log::Content::Records(records) => Some(records),
            outrigger_model::log::Content::Marker(_) => None,
        });
        records.flatten().any(|record| record.offset == offset)
    }
}

impl LogUnderTest for World {
    fn call(&mut self, client: u32, call: LogCall) {
        let mut out = Vec::new();
        self.model.handle(self.now, client, call, &mut out);
        self.keep(out);
    }

    fn next_event(&mut self, client: u32, within: Duration) -> Option<LogEvent> {
        let deadline = self.now.mono + within;
        loop {
            self.tick();
            if let Some(event) = self.told.entry(client).or_default().pop_front() {
                return Some(event);
            }
            let next = self.model.next_timer().unwrap_or(deadline).min(deadline);
            if self.now.mono >= deadline {
                return None;
            }
            self.pass(next.saturating_sub(self.now.mono));
        }
    }

    fn append(&mut self, partition: Partition, records: &[Wanted]) -> Vec<Offset> {
        self.model.append(self.now, partition, &ours(records))
    }

    fn open_transaction(&mut self, partition: Partition, records: &[Wanted]) -> Vec<Offset> {
        self.model.append_in_transaction(self.now, partition, WRITER, &ours(records))
    }

    fn end_transaction(&mut self, verdict: Wish) {
        let verdict = match verdict {
            Wish::Commit => Verdict::Commit,
            Wish::Abort => Verdict::Abort,
        };
        self.model.end_transaction(self.now, WRITER, verdict);
    }

    fn compact(&mut self, partition: Partition, gone: &[Offset]) {
        self.model.roll(partition);
        let filler = Wanted { key: Some(FILLER.into()), value: Some(FILLER.into()) };
        self.append(partition, &[filler]);
        for _ in 0..4 {
            self.model.clean(self.now);
            self.pass(Duration::from_secs(2));
        }
        let left: Vec<_> =
            gone.iter().filter(|offset| self.readable(partition, **offset)).collect();
        assert!(left.is_empty(), "four passes of the cleaner left {left:?}");
    }

    fn delete_records(&mut self, partition: Partition, before: Offset) {
        self.model.delete_records(partition, before);
    }

    fn lose_log(&mut self, partition: Partition) {
        assert_eq!(self.model.truncate(partition, Offset(0)), Offset(0));
    }

    fn recreate(&mut self) {
        self.topics += 1;
        self.model.recreate(TopicId([self.topics; 16]));
    }

    fn set_delete_retention(&mut self, ms: u64) {
        let policy = self.model.policy().clone();
        self.model.set_policy(TopicPolicy { delete_retention_ms: ms, ..policy });
    }

    fn set_outage(&mut self, down: bool) {
        self.model.set_outage(down.then(Outage::unreachable));
        self.tick();
    }
}

fn ours(records: &[Wanted]) -> Vec<Foreign> {
    let ours = |record: &Wanted| Foreign { key: record.key.clone(), value: record.value.clone() };
    records.iter().map(ours).collect()
}

/// An append of one put per key.
pub(crate) fn writes(id: u64, keys: &[&str]) -> LogCall {
    let write = |key: &&str| Write {
        partition: Partition(0),
        key: bytes::Bytes::copy_from_slice(key.as_bytes()),
        value: Some(bytes::Bytes::from_static(b"value")),
    };
    LogCall::Append { id: RequestId(id), writes: keys.iter().map(write).collect() }
}
