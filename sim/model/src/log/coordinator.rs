//! The coordinator of other clients' transactions: where each wrote, and the markers that end it.
//!
//! A marker is written like any record, acks=all, and written again when a new leader has not got it
//! (`TransactionMarkerChannelManager`). A transaction older than its timeout is aborted (KIP-98).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outrigger_core::offset::Partition;
use outrigger_core::time::Now;

use super::broker::Brokers;
use super::request::Written;
use super::topic::Topic;
use super::transactions::{ProducerId, Verdict};

#[derive(Clone, Debug)]
pub(super) struct Coordinator {
    timeout: Option<Duration>,
    ongoing: BTreeMap<ProducerId, Ongoing>,
    /// Those that are not below the high watermark yet.
    markers: Vec<Marker>,
}

#[derive(Clone, Debug)]
struct Ongoing {
    began: Duration,
    partitions: BTreeSet<Partition>,
}

#[derive(Clone, Debug)]
struct Marker {
    partition: Partition,
    producer: ProducerId,
    verdict: Verdict,
    written: Option<Written>,
}

impl Coordinator {
    pub(super) fn new(timeout: Option<Duration>) -> Coordinator {
        Coordinator { timeout, ongoing: BTreeMap::new(), markers: Vec::new() }
    }

    /// A producer whose last transaction is still ending has to wait (`CONCURRENT_TRANSACTIONS`).
    pub(super) fn may_write(&self, producer: ProducerId) -> bool {
        !self.markers.iter().any(|marker| marker.producer == producer && marker.written.is_none())
    }

    pub(super) fn wrote(&mut self, producer: ProducerId, partition: Partition, now: Now) {
        let new = || Ongoing { began: now.mono, partitions: BTreeSet::new() };
        self.ongoing.entry(producer).or_insert_with(new).partitions.insert(partition);
    }

    pub(super) fn end(&mut self, producer: ProducerId, verdict: Verdict) {
        let partitions = self.ongoing.remove(&producer).map(|ongoing| ongoing.partitions);
        let marker = |partition| Marker { partition, producer, verdict, written: None };
        self.markers.extend(partitions.into_iter().flatten().map(marker));
    }

    /// Ends what is open in a partition although no coordinator knows of it (KIP-664).
    pub(super) fn abort_hanging(
        &mut self,
        partition: Partition,
        open: impl Iterator<Item = ProducerId>,
    ) {
        let known = |producer: &ProducerId| {
            let ending =
                |marker: &Marker| (marker.producer, marker.partition) == (*producer, partition);
            self.ongoing.contains_key(producer) || self.markers.iter().any(ending)
        };
        let hanging: Vec<ProducerId> = open.filter(|producer| !known(producer)).collect();
        let verdict = Verdict::Abort;
        let marker = |producer| Marker { partition, producer, verdict, written: None };
        self.markers.extend(hanging.into_iter().map(marker));
    }

    /// Forgets what was to be written to a topic that is gone.
    pub(super) fn forget(&mut self) {
        self.ongoing.clear();
        self.markers.clear();
    }

    pub(super) fn settle(&mut self, now: Now, topic: &mut Topic, brokers: &Brokers) {
        self.time_out(now.mono);
        self.markers.retain_mut(|marker| !marker.done(now, topic, brokers));
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let timeout = self.timeout?;
        self.ongoing.values().map(|ongoing| ongoing.began + timeout).min()
    }

    fn time_out(&mut self, now: Duration) {
        let Some(timeout) = self.timeout else {
            return;
        };
        let late = self.ongoing.iter().filter(|(_, ongoing)| ongoing.began + timeout <= now);
        let late: Vec<ProducerId> = late.map(|(producer, _)| *producer).collect();
        for producer in late {
            self.end(producer, Verdict::Abort);
        }
    }
}

impl Marker {
    fn done(&mut self, now: Now, topic: &mut Topic, brokers: &Brokers) -> bool {
        let Topic { id, policy, partitions } = topic;
        let (id, log) = (*id, &mut partitions[self.partition.index()]);
        let Some(leader) = log.reachable_leader(brokers) else {
            return false;
        };
        let enough = log.enough_in_sync(policy);
        let replica = log.replicas.get_mut(&leader).expect("a leader has a replica");
        self.written = self.written.filter(|written| written.survives_in(replica, id));
        match &self.written {
            Some(written) => replica.high_watermark > written.last,
            None if enough => {
                let at = replica.end_transaction(now.wall_ms, self.producer, self.verdict);
                self.written =
                    Some(Written { topic: id, epoch: replica.epoch(), base: at, last: at });
                false
            }
            None => false,
        }
    }
}
