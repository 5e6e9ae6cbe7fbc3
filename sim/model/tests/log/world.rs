//! The log model in virtual time, as the conformance suite and the model's own tests drive it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use outrigger_core::conformance::log::{
    Copies, FILLER, Foreign as Wanted, LogUnderTest, MESSAGE_BYTES_MAX, Shape, Turn,
    Verdict as Wish,
};
use outrigger_core::log::{LogCall, LogEvent, Write};
use outrigger_core::offset::{Offset, Partition, RequestId};
use outrigger_core::time::Now;
use outrigger_core::topic::{TopicId, TopicPolicy};
use outrigger_model::log::{
    BrokerConfig, BrokerId, Foreign, LogConfig, LogModel, Outage, ProducerId, SegmentLimits, Stop,
    Verdict,
};

pub(crate) struct World {
    pub(crate) model: LogModel,
    pub(crate) now: Now,
    told: BTreeMap<u32, VecDeque<LogEvent>>,
    topics: u8,
    /// Brokers that were killed, in that order.
    dead: Vec<BrokerId>,
}

pub(crate) const WRITER: ProducerId = ProducerId(1);

pub(crate) fn policy() -> TopicPolicy {
    TopicPolicy {
        delete_retention_ms: 86_400_000,
        min_compaction_lag_ms: 0,
        message_bytes_max: u64::try_from(MESSAGE_BYTES_MAX).expect("64 bits hold it"),
        ..TopicPolicy::safe(3)
    }
}

pub(crate) fn config(partitions: u32) -> LogConfig {
    LogConfig {
        cluster: "cluster".to_owned(),
        topic: TopicId([1; 16]),
        partitions,
        policy: policy(),
        segments: SegmentLimits { offsets_max: 1_000, age_ms: 3_600_000 },
        brokers: BrokerConfig { count: 3, ..BrokerConfig::single() },
        transaction_timeout: None,
        cleaner: None,
        delivery_timeout: Duration::from_secs(30),
        ask_timeout: Duration::from_secs(5),
        end_with_records: false,
    }
}

/// Three brokers that take their time.
pub(crate) fn three_brokers() -> LogConfig {
    let brokers = BrokerConfig {
        count: 3,
        pace: Duration::from_millis(10),
        lag_max: Duration::from_secs(3),
        session_timeout: Duration::from_secs(3),
    };
    LogConfig { brokers, ..config(1) }
}

pub(crate) fn foreign(key: &str, value: Option<&str>) -> Foreign {
    let bytes = |text: &str| bytes::Bytes::copy_from_slice(text.as_bytes());
    Foreign { key: Some(bytes(key)), value: value.map(bytes) }
}

impl World {
    pub(crate) fn new(config: LogConfig) -> World {
        let now = Now { mono: Duration::from_secs(1), wall_ms: 1_700_000_000_000 };
        World {
            model: LogModel::new(config),
            now,
            told: BTreeMap::new(),
            topics: 1,
            dead: Vec::new(),
        }
    }

    pub(crate) fn shaped(shape: Shape, end_with_records: bool, brokers: BrokerConfig) -> World {
        let mut config = LogConfig { brokers, ..config(shape.partitions) };
        config.policy.delete_retention_ms = shape.delete_retention_ms;
        config.end_with_records = end_with_records;
        let policy = &mut config.policy;
        (policy.replication, policy.min_insync_replicas, policy.unclean_election) =
            match shape.copies {
                Copies::Usual => (3, 2, false),
                Copies::Strict => (3, 3, false),
                Copies::Careless => (2, 1, true),
                Copies::Single => (1, 1, false),
            };
        World::new(config)
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.now.wall_ms += u64::try_from(time.as_millis()).expect("64 bits hold it");
    }

    pub(crate) fn put(&mut self, key: &str, value: Option<&str>) -> Offset {
        self.model.append(self.now, Partition(0), &[foreign(key, value)])[0]
    }

    /// Rolls the segments, so that everything written so far may be cleaned, and lets the cleaner pass once.
    pub(crate) fn clean(&mut self) {
        self.model.roll(Partition(0));
        self.model.clean(self.now);
    }

    /// Lets time pass from timer to timer.
    pub(crate) fn advance(&mut self, by: Duration) {
        let until = self.now.mono + by;
        self.tick();
        let mut still = 0;
        while let Some(next) = self.model.next_timer().filter(|next| *next <= until) {
            still = if next > self.now.mono { 0 } else { still + 1 };
            assert!(still < 100, "the model's timer never passes: {next:?}");
            self.pass(next.saturating_sub(self.now.mono));
            self.tick();
        }
        self.pass(until.saturating_sub(self.now.mono));
        self.tick();
    }

    /// What `client` was told and nobody looked at yet.
    pub(crate) fn heard(&mut self, client: u32) -> Vec<LogEvent> {
        self.told.remove(&client).into_iter().flatten().collect()
    }

    pub(crate) fn tick(&mut self) {
        let mut out = Vec::new();
        self.model.tick(self.now, &mut out);
        self.keep(out);
    }

    fn keep(&mut self, out: Vec<(u32, LogEvent)>) {
        for (client, event) in out {
            self.told.entry(client).or_default().push_back(event);
        }
    }

    /// Writes as soon as somebody takes it, and waits until it is committed.
    fn committed(
        &mut self,
        partition: Partition,
        write: impl Fn(&mut World) -> Vec<Offset>,
    ) -> Vec<Offset> {
        let mut offsets = Vec::new();
        for _ in 0..1_000 {
            if offsets.is_empty() {
                offsets = write(self);
            }
            let watermark = self.model.high_watermark(partition);
            if offsets.last().is_some_and(|last| *last < watermark) {
                return offsets;
            }
            self.advance(Duration::from_millis(10));
        }
        panic!("{offsets:?} in {partition} are not committed");
    }

    fn kill(&mut self, broker: BrokerId) {
        self.model.stop_broker(broker, Stop::Crash);
        self.dead.push(broker);
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
        self.committed(partition, |world| world.model.append(world.now, partition, &ours(records)))
    }

    fn open_transaction(&mut self, partition: Partition, records: &[Wanted]) -> Vec<Offset> {
        self.committed(partition, |world| {
            world.model.append_in_transaction(world.now, partition, WRITER, &ours(records))
        })
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

    fn add_partition(&mut self) {
        self.model.add_partitions(1);
    }

    fn set_delete_retention(&mut self, ms: u64) {
        let policy = self.model.policy().clone();
        self.model.set_policy(TopicPolicy { delete_retention_ms: ms, ..policy });
    }

    fn set_outage(&mut self, down: bool) {
        self.model.set_outage(down.then(Outage::unreachable));
        self.tick();
    }

    fn turn_broker(&mut self, partition: Partition, turn: Turn) {
        let leader = self.model.leader(partition);
        let follower = |world: &World| {
            let mut in_sync = world.model.in_sync(partition).into_iter();
            in_sync.find(|broker| Some(*broker) != leader).expect("a follower is in sync")
        };
        match turn {
            Turn::KillLeader => self.kill(leader.expect("a leader")),
            Turn::KillFollower => {
                let follower = follower(self);
                self.kill(follower);
                self.advance(Duration::from_secs(5));
            }
            Turn::CutOffFollower => self.model.isolate_broker(follower(self), []),
            Turn::LoseFollower => {
                self.model.isolate_broker(follower(self), []);
                self.advance(Duration::from_secs(5));
            }
            Turn::StartFirst => self.model.start_broker(self.dead.remove(0)),
            Turn::Heal => {
                self.dead.clear();
                for broker in self.model.brokers() {
                    self.model.start_broker(broker);
                    self.model.rejoin_broker(broker);
                }
                self.advance(Duration::from_secs(1));
                let replicas = self.model.replicas(partition);
                assert!(replicas.iter().all(|replica| replica.in_sync), "{replicas:?}");
            }
        }
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
