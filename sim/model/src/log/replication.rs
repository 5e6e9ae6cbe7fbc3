//! Followers fetch from their leader; the high watermark follows them.
//!
//! One round is one fetch: its request tells the leader where the follower's log ends, its answer
//! brings new batches and the leader's high watermark of that moment. So the watermark passes a batch
//! in the second round after it, and the follower hears of that in the third (KIP-101, KIP-207).

use std::sync::Arc;
use std::time::Duration;

use outrigger_core::offset::Offset;
use outrigger_core::topic::TopicPolicy;

use super::broker::{BrokerId, Brokers};
use super::partition::PartitionLog;
use super::replica::Replica;
use super::segments::RecordBatch;

/// What a leader knows of a follower, in its term.
#[derive(Clone, Debug, Default)]
pub(super) struct Follower {
    /// Where its log ended when it asked last, cut to the leader's history; none before its first fetch.
    pub(super) known_end: Option<Offset>,
    fetch_due: Option<Duration>,
    /// When it was last seen at the end of the leader's log, while it is not.
    pub(super) behind_since: Option<Duration>,
    last_fetch: Option<(Duration, Offset)>,
}

impl PartitionLog {
    /// Carries out the fetches that are due, and what the leader makes of them.
    pub(super) fn replicate(&mut self, now: Duration, brokers: &Brokers, policy: &TopicPolicy) {
        let Some(leader) = self.reachable_leader(brokers) else {
            for follower in self.followers.values_mut() {
                (follower.fetch_due, follower.behind_since) = (None, None);
            }
            return;
        };
        loop {
            let fetched = self.fetch_all_due(leader, now, brokers);
            self.shrink_in_sync(leader, now, brokers);
            for broker in &fetched {
                self.expand_in_sync(leader, *broker, now);
            }
            self.advance_high_watermark(leader, policy);
            if fetched.is_empty() {
                break;
            }
        }
        if cfg!(debug_assertions) {
            self.check(brokers);
        }
    }

    /// When the next fetch is due, or a follower falls out of sync.
    pub(super) fn next_timer(&self, brokers: &Brokers) -> Option<Duration> {
        let lag_max = brokers.config.lag_max;
        let timers = self.followers.iter().flat_map(|(broker, follower)| {
            let in_sync = self.in_sync.contains(broker);
            let lags = follower.behind_since.filter(|_| in_sync).map(|since| since + lag_max);
            follower.fetch_due.into_iter().chain(lags)
        });
        timers.min()
    }

    fn fetch_all_due(
        &mut self,
        leader: BrokerId,
        now: Duration,
        brokers: &Brokers,
    ) -> Vec<BrokerId> {
        let mut fetched = Vec::new();
        for broker in brokers.all() {
            if broker == leader || !self.replicas.contains_key(&broker) {
                continue;
            }
            let due = self.fetch_due(leader, broker, now, brokers);
            let follower = self.followers.get_mut(&broker).expect("every replica has an entry");
            follower.fetch_due = due;
            if due.is_some_and(|due| due <= now) {
                follower.fetch_due = None;
                self.fetch(leader, broker, now);
                fetched.push(broker);
            }
        }
        fetched
    }

    /// When the follower's next fetch is due; none while there is nothing to fetch and nothing to tell, or while it
    /// does not fetch.
    fn fetch_due(
        &mut self,
        leader: BrokerId,
        broker: BrokerId,
        now: Duration,
        brokers: &Brokers,
    ) -> Option<Duration> {
        let (log, own) = (&self.replicas[&leader], &self.replicas[&broker]);
        let follower = self.followers.get_mut(&broker).expect("every replica has an entry");
        if follower.known_end == Some(log.log_end) {
            follower.behind_since = None;
        } else {
            follower.behind_since.get_or_insert(now);
        }
        let equal = follower.known_end == Some(log.log_end)
            && own.log_end == log.log_end
            && own.high_watermark >= log.high_watermark
            && own.log_start >= log.log_start;
        let settled = equal && self.in_sync.contains(&broker);
        if settled || self.cut_off_or_still(broker, brokers) {
            return None;
        }
        let follower = &self.followers[&broker];
        // Replicas of a real cluster do not fetch in step.
        let pace = brokers.config.pace + brokers.config.pace / 8 * broker.0;
        Some(follower.fetch_due.unwrap_or(now + pace))
    }

    pub(super) fn cut_off_or_still(&self, broker: BrokerId, brokers: &Brokers) -> bool {
        self.is_cut_off(broker) || !brokers.fetches(broker)
    }

    fn fetch(&mut self, leader: BrokerId, broker: BrokerId, now: Duration) {
        if self.followers[&broker].known_end.is_none() {
            self.follow_history(leader, broker);
        }
        let [log, own] = self.pair(leader, broker);
        if own.log_end < log.log_start {
            // The log start may lie inside a batch, which is fetched whole.
            let first = log.segments.batches_from(log.log_start).next();
            own.start_over(first.map_or(log.log_start, |batch| batch.base.min(log.log_start)));
        }
        let (told, leader_end) = (own.log_end, log.log_end);
        // A copy from nothing misses nothing: what a tombstone deleted is not there either.
        own.missed |= told > own.log_start && told < log.dropped_to;
        own.dropped_to = own.dropped_to.max(log.dropped_to);
        let new: Vec<Arc<RecordBatch>> = log.segments.batches_from(told).cloned().collect();
        own.epochs.follow(&log.epochs);
        for batch in new {
            own.enter(batch);
        }
        own.extend(leader_end);
        own.raise_high_watermark(log.high_watermark);
        own.raise_log_start(log.log_start.min(own.high_watermark));
        own.maimed &= own.log_end < log.high_watermark;
        let follower = self.followers.get_mut(&broker).expect("every replica has an entry");
        follower.asked(told, leader_end, now);
    }

    /// Before anything else in a term the follower drops what the leader's history does not have
    /// (KIP-101, KIP-279).
    fn follow_history(&mut self, leader: BrokerId, broker: BrokerId) {
        let [log, own] = self.pair(leader, broker);
        let common = own.epochs.common_end(own.log_end, &log.epochs, log.log_end);
        if common < own.log_end {
            own.truncate(common);
        }
        // A term of its own that wrote nothing does not stay either (`LeaderEpochFileCache.assign`).
        own.epochs.truncate(common);
    }

    fn pair(&mut self, leader: BrokerId, broker: BrokerId) -> [&mut Replica; 2] {
        let mut two = self.replicas.iter_mut().filter(|(id, _)| [leader, broker].contains(id));
        let (first, second) = (two.next(), two.next());
        let ((first_id, first), (_, second)) = first.zip(second).expect("two different replicas");
        if *first_id == leader { [first, second] } else { [second, first] }
    }

    /// Raises the high watermark to the lowest log end of the in-sync set. It never goes back, and never moves while
    /// the set is too small (KAFKA-15583, `Partition.maybeIncrementLeaderHW`).
    fn advance_high_watermark(&mut self, leader: BrokerId, policy: &TopicPolicy) {
        if !self.enough_in_sync(policy) {
            return;
        }
        let end = |broker: &BrokerId| {
            if *broker == leader {
                Some(self.replicas[&leader].log_end)
            } else {
                self.followers[broker].known_end
            }
        };
        // A log end that is not known is below all others.
        let Some(lowest) = self.in_sync.iter().map(end).min().flatten() else {
            return;
        };
        let log = self.replicas.get_mut(&leader).expect("a leader has a replica");
        log.raise_high_watermark(lowest);
        self.committed = self.committed.max(log.high_watermark);
        self.exposed = self.exposed.max(log.high_watermark);
    }

    /// Asserts that logs agree below the high watermark, and that who is in sync has what is committed.
    fn check(&self, brokers: &Brokers) {
        let log = self.log();
        for (broker, own) in &self.replicas {
            assert!(
                !self.in_sync.contains(broker)
                    || own.maimed
                    || self.leader.is_none()
                    || own.log_end >= log.high_watermark,
                "{broker:?} is in sync up to {} below HW {}",
                own.log_end,
                log.high_watermark
            );
            let joined = self.followers[broker].known_end.is_some();
            if joined && !self.cut_off_or_still(*broker, brokers) {
                let common = own.epochs.common_end(own.log_end, &log.epochs, log.log_end);
                assert!(
                    common >= own.high_watermark.min(log.high_watermark),
                    "{broker:?} and its leader part at {common}, below their high watermarks"
                );
            }
        }
    }
}

impl Follower {
    /// The follower asked at `now` for what is at and above `end` of a log that ended at `leader_end`. Who reached the
    /// end as it was at the fetch before has kept up until then (`Replica.updateFetchState`).
    fn asked(&mut self, end: Offset, leader_end: Offset, now: Duration) {
        self.known_end = Some(end);
        let kept_up = self.last_fetch.filter(|(_, end_then)| end >= *end_then);
        if end >= leader_end {
            self.behind_since = None;
        } else if let (Some(since), Some((then, _))) = (&mut self.behind_since, kept_up) {
            *since = then.max(*since);
        }
        self.last_fetch = Some((now, leader_end));
    }
}
