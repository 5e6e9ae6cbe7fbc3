//! Every bound of the machine in one value, with its unit and its reason. The simulator varies it.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest key our API writes. Longer ones that other tools write are applied and served.
    pub key_bytes_max: usize,
    /// Longest value our API writes; with the key below Kafka's default max.message.bytes (1,048,588).
    pub value_bytes_max: usize,
    /// Size of one fetch: a batch travels whole from consumer to store.
    pub fetch_bytes_max: u32,
    /// Bytes of one store's batches that are asked for, or sent to the store and not yet answered, of all partitions
    /// together. Where there are many partitions, their fetches are smaller.
    pub unapplied_bytes_max: usize,
    /// Batches of one partition sent to the store and not yet answered: they keep the store busy while the next one is
    /// fetched, and bound what a slow disk holds in memory. One that pins split is sent in up to `pins_max` more
    /// pieces.
    pub applying_batches_max: usize,
    /// Applied bytes of one store, each record's overhead included, that start a flush: after a crash as many are read
    /// again.
    pub flush_bytes_max: usize,
    /// Age of unflushed data after which it is flushed: with little traffic a crash reads little again (KAFKA-20663).
    pub flush_interval: Duration,
    /// How often the log is asked for its ends and the topic's id while reading.
    pub ends_interval: Duration,
    /// How long a READY node keeps back a batch that would make its copy inexact, so that what makes it exact again can
    /// be applied with it: its reads are older by that time, instead of refused.
    pub gap_wait_max: Duration,
    /// How often the topic's configuration is asked for while reading.
    pub describe_interval: Duration,
    /// No batch is applied when both the confirmation and what is known of the topic's configuration are older: a
    /// retention that was lowered meanwhile may have cost it tombstones.
    pub policy_trust: Duration,
    /// First and longest pause before something that failed is tried again; it doubles in between.
    pub retry_min: Duration,
    pub retry_max: Duration,
    /// How long something may be without progress before its stall gets a name.
    pub stall_after: Duration,
    /// How long the log may give no answer before what is in use is served, to reads that are content with any copy.
    pub unheard_after: Duration,
    /// Longest pause of a throttled restore for what it has read. Without this bound, what was asked for before the rate
    /// was lowered, for many partitions at once, could stop it for hours. So a rate below one credit in this time is
    /// exceeded.
    pub restore_debt_max: Duration,
    /// Longest time a confirmation stays in memory only.
    pub confirm_interval_max: Duration,
    /// Smallest safety margin against clock skew and a running cleaner pass, ms; usually a tenth of
    /// the retention it protects.
    pub margin_ms_min: u64,
    /// Reads that wait for a position at the same time. One more is refused.
    pub awaits_max: usize,
    /// Copies pinned at a position at the same time, those under way included. Each keeps the disk from freeing what
    /// was replaced since. One more is refused.
    pub pins_max: usize,
    /// How long a pin is kept at most: long enough to read a large copy, for a caller that is there and asks nothing.
    pub pin_lease: Duration,
    /// Bytes of the batches of one store that are kept for whoever watches it, with what each costs beside them. Who falls
    /// behind them is read for from the log.
    pub ring_bytes_max: usize,
    /// How long a drain waits for acknowledgements and the last flush.
    pub drain_max: Duration,
    /// Offsets in the log below which a rebuild asks no peer: they are read sooner than asked for.
    pub peer_offsets_min: u64,
    /// How soon peers are asked again after none gave a copy, where the log cannot give the whole state. It doubles with
    /// each damaged copy that came from one, up to 16 times.
    pub peer_retry: Duration,
}

/// Smaller fetches cost more than they bring.
const FETCH_BYTES_MIN: u32 = 32 * 1024;

/// A flush writes many batches, however many stores there are: otherwise every batch would be its own file.
const FLUSH_BYTES_MIN: usize = 2 * MIB;

/// What the stores of a process keep together for whoever watches.
const RINGS_BYTES_MAX: usize = 64 * MIB;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Limits {
    pub const PRODUCTION: Limits = Limits {
        key_bytes_max: 32 * KIB,
        value_bytes_max: 960 * KIB,
        fetch_bytes_max: 1024 * 1024,
        unapplied_bytes_max: 32 * MIB,
        applying_batches_max: 4,
        flush_bytes_max: 64 * MIB,
        flush_interval: Duration::from_secs(5),
        ends_interval: Duration::from_secs(1),
        gap_wait_max: Duration::from_secs(1),
        describe_interval: Duration::from_secs(60),
        policy_trust: Duration::from_secs(5),
        retry_min: Duration::from_millis(250),
        retry_max: Duration::from_secs(5),
        stall_after: Duration::from_secs(3),
        unheard_after: Duration::from_secs(2),
        restore_debt_max: Duration::from_secs(60),
        confirm_interval_max: Duration::from_secs(120),
        margin_ms_min: 100,
        awaits_max: 10_000,
        pins_max: 4,
        pin_lease: Duration::from_secs(300),
        ring_bytes_max: 8 * MIB,
        drain_max: Duration::from_secs(12),
        peer_offsets_min: 10_000,
        peer_retry: Duration::from_secs(15),
    };

    /// What is taken off a retention of `retention_ms` before it is trusted: clock skew between us and
    /// the brokers, and one pass of the cleaner.
    pub fn margin_ms(&self, retention_ms: u64) -> u64 {
        (retention_ms / 10).max(self.margin_ms_min)
    }

    /// How long after its last confirmation a copy has certainly seen all tombstones that such a retention keeps.
    pub fn trusted(&self, retention_ms: u64) -> Duration {
        Duration::from_millis(retention_ms.saturating_sub(self.margin_ms(retention_ms)))
    }

    /// What a retention of tombstones must be above: a copy is confirmed once in `ends_interval`, and where tombstones
    /// live no longer than that, with a margin for the answers, a node would rebuild it again and again.
    pub fn retention_ms_above(&self) -> u64 {
        let interval_ms = u64::try_from(self.ends_interval.as_millis()).unwrap_or(u64::MAX);
        interval_ms.saturating_add(interval_ms / 2)
    }

    /// The limits of each of `stores` stores of one process: together they hold no more than one alone, beside what they keep
    /// for whoever watches.
    pub fn of_each(self, stores: usize) -> Limits {
        let stores = stores.max(1);
        Limits {
            flush_bytes_max: (self.flush_bytes_max / stores).max(FLUSH_BYTES_MIN),
            unapplied_bytes_max: self.unapplied_bytes_max / stores,
            ring_bytes_max: self.ring_bytes_max.min(RINGS_BYTES_MAX / stores),
            ..self
        }
    }

    /// Size of one fetch of a store with this many partitions.
    pub fn fetch_bytes(&self, partitions: usize) -> u32 {
        let batches = partitions.max(1) * (self.applying_batches_max + 1);
        let share = u32::try_from(self.unapplied_bytes_max / batches).unwrap_or(u32::MAX);
        share.max(FETCH_BYTES_MIN).min(self.fetch_bytes_max)
    }

    /// The pause before try number `failures + 1`.
    pub fn retry_after(&self, failures: u32) -> Duration {
        let doubled = self.retry_min.saturating_mul(1 << failures.min(16));
        doubled.min(self.retry_max)
    }
}

const _: () = {
    let limits = Limits::PRODUCTION;
    // A record of the largest key and value fits one batch under the broker's default limit.
    assert!(limits.key_bytes_max + limits.value_bytes_max + 4 * KIB <= 1_048_588);
    assert!(limits.flush_bytes_max >= 16 * MIB);
    assert!(limits.retry_min.as_millis() <= limits.retry_max.as_millis());
    assert!(limits.applying_batches_max >= 2);
    // At the tail a confirmation is always young enough, and nothing waits.
    assert!(limits.policy_trust.as_millis() >= 3 * limits.ends_interval.as_millis());
    // What is kept back does not age the confirmation beyond what the policy's answer covers.
    assert!(limits.policy_trust.as_millis() > 2 * limits.gap_wait_max.as_millis());
    // A stall is named only after at least one round of questions.
    assert!(limits.stall_after.as_millis() > limits.ends_interval.as_millis());
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_partitions_share_what_is_on_its_way() {
        let limits = Limits::PRODUCTION;
        assert_eq!(limits.fetch_bytes(1), limits.fetch_bytes_max);
        assert_eq!(limits.fetch_bytes(0), limits.fetch_bytes_max);
        for partitions in [8, 64, 200] {
            let fetched = usize::try_from(limits.fetch_bytes(partitions)).unwrap();
            let batches = partitions * (limits.applying_batches_max + 1);
            assert!(fetched * batches <= limits.unapplied_bytes_max, "{partitions}");
        }
        assert_eq!(limits.fetch_bytes(100_000), FETCH_BYTES_MIN);
        let small = Limits { fetch_bytes_max: 100, ..limits };
        assert_eq!((small.fetch_bytes(1), small.fetch_bytes(100_000)), (100, 100));
    }

    #[test]
    fn stores_together_hold_what_one_alone_holds() {
        let limits = Limits::PRODUCTION;
        assert_eq!(limits.clone().of_each(1), limits);
        assert_eq!(limits.clone().of_each(0), limits);
        let each = limits.clone().of_each(16);
        assert_eq!(16 * each.flush_bytes_max, limits.flush_bytes_max);
        assert_eq!(16 * each.unapplied_bytes_max, limits.unapplied_bytes_max);
        assert_eq!(limits.of_each(10_000).flush_bytes_max, FLUSH_BYTES_MIN);
    }
}
