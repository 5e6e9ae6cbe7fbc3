//! Every setting of librdkafka that we decide, with its reason, and every bound of this engine.
//!
//! Nothing else in the crate knows a property's name, except `config`, which passes the user's on.

use std::time::Duration;

/// How long librdkafka keeps trying to deliver a record. Then its outcome is unknown, or definite
/// when it never left: a client that waits longer than this for an answer waits for nothing.
const DELIVERY_MS: &str = "10000";

/// An admin question without an answer for this long has failed; the Node asks again.
pub(super) const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a question about a group is asked again whose coordinator is about to change.
pub(super) const COORDINATED_WITHIN: Duration = Duration::from_secs(5);

/// Pause before it is asked again.
pub(super) const COORDINATOR_AGAIN: Duration = Duration::from_millis(100);

/// A client that is asked nothing about groups for this long is ended: few nodes have cursors.
pub(super) const GROUPS_IDLE_MAX: Duration = Duration::from_secs(120);

/// How long a new topic may take to be known by every broker.
pub(super) const CREATE_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause before a partition that reported an error is read again from its position.
pub(super) const REREAD_AFTER: Duration = Duration::from_secs(1);

/// Pause before the fetched high watermark is looked at again, when a failed fetch has hidden it
/// while a batch waits for it.
pub(super) const WATERMARK_AGAIN: Duration = Duration::from_millis(10);

/// The same trouble is not told again before this.
pub(super) const TROUBLE_EVERY: Duration = Duration::from_secs(1);

/// The same trouble is not written into the log again before this.
pub(super) const TROUBLE_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// How long a producer that broke may take to give up its records before their outcomes are called
/// unknown.
pub(super) const PURGE_MAX: Duration = Duration::from_secs(5);

/// How long an append is kept back while no broker is reached: as long as librdkafka would keep it.
pub(super) const HOLD_MAX: Duration = Duration::from_secs(10);

/// How often a producer with open records looks for their outcomes although nothing has told it to, and whether
/// they are overdue.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A record without an outcome for this long will not get one: librdkafka ends each within the delivery's time and
/// that of the request under way. Its client is given up and replaced.
pub(super) const OVERDUE: Duration = Duration::from_secs(20);

/// Least time between two questions for a topic's limit, asked because it refused a batch.
pub(super) const LIMIT_AGAIN: Duration = Duration::from_secs(1);

/// In a process with more stores a producer connects when the first write comes, which then waits for it.
pub(super) const PRODUCERS_AT_ONCE_MAX: usize = 4;

/// How often files of TLS are looked at: whoever renews them does that long before the old ones end.
pub(super) const FILES_EVERY: Duration = Duration::from_secs(10);

/// Least time between a producer and its replacement.
pub(super) const PRODUCER_AGAIN: Duration = Duration::from_secs(1);

/// How long a thread may take to end; the clients' own threads may hang in a name lookup.
pub(super) const STOP_MAX: Duration = Duration::from_secs(10);

/// Records of a partition that an idempotent librdkafka has on their way before it waits for answers.
pub(super) const ON_THEIR_WAY_MAX: usize = 5;

/// A partition with this many records on their way, or as many that wait for them, is written to in bulk: the next request
/// must be full when its turn comes.
pub(super) const BULK_RECORDS: usize = 256;

/// How long a record waits for others, or for the answer to those before it, while it could leave: three times what a
/// broker nearby takes to answer, little of what a far one does.
pub(super) const GATHER_MAX: Duration = Duration::from_millis(1);

/// Longest time that records wait for answers: a partition whose leader is slow or away is librdkafka's, with its
/// timeouts.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(100);

/// Connections silent for this long are closed, even while an answer is awaited, because nothing announces a dead one. Those
/// that are asked all the time stay. An idle one may be chosen for a question that any broker can answer: it must be gone
/// before a firewall forgets it. From 4,000 on librdkafka subtracts up to 2,000.
const SILENT_MS: &str = "3500";

type Settings = [(&'static str, &'static str)];

/// What all three clients have.
pub(super) const COMMON: &Settings = &[
    ("client.id", "outrigger"),
    // A topic that is gone must be seen as gone: a producer creates it again by default.
    ("allow.auto.create.topics", "false"),
    // With the defaults, 60 s and 30 s, a frozen broker would be waited for that long.
    ("socket.timeout.ms", "10000"),
    ("socket.connection.setup.timeout.ms", "5000"),
    ("socket.keepalive.enable", "true"),
    ("socket.nagle.disable", "true"),
    // A broker that is back is found within a second; the default backs off to 10 s.
    ("reconnect.backoff.max.ms", "1000"),
    // The log arrives as events and goes to `tracing`, instead of to standard error.
    ("log.queue", "true"),
];

/// How often a client tells of itself: a scrape is seldom older, and for hundreds of partitions it is a millisecond.
const STATISTICS: (&str, &str) = ("statistics.interval.ms", "10000");

pub(super) const PRODUCER: &Settings = &[
    // Order and no duplicates over hidden retries.
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // 1.6 M records/s in a burst with 0 as with 5, and 0.33 ms instead of 6 ms for one alone.
    ("linger.ms", "0"),
    ("delivery.timeout.ms", DELIVERY_MS),
    // A connection that swallows what is sent is given up in time for a second attempt and a third, which are safe:
    // a broker knows what it has already.
    ("socket.timeout.ms", "4000"),
    // Firewalls and balancers forget what was silent for a minute or more, and tell nobody: what is sent then vanishes.
    ("connections.max.idle.ms", "40000"),
    // How long a leader waits for its in-sync replicas: its answer must come before its connection is given up.
    ("request.timeout.ms", "3000"),
    // Admission bounds what is in flight; these are behind it, so that a mistake there cannot eat
    // the memory: refused records are definite failures. A record costs about 200 bytes beside itself.
    ("queue.buffering.max.kbytes", "32768"),
    ("queue.buffering.max.messages", "262144"),
    // Limit of a record. The topic's own max.message.bytes decides, at the broker; ours is checked before. The default
    // is below Kafka's own default.
    ("message.max.bytes", "16777216"),
    ("compression.type", "lz4"),
    STATISTICS,
];

/// Bytes of records that leave together at most, before they are compressed. A broker refuses a batch that is larger
/// than its topic allows a record to be, with all that is in it, and librdkafka never splits one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchBytes(u64);

impl BatchBytes {
    /// librdkafka's default, which every topic takes that has Kafka's default.
    pub(super) const MAX: BatchBytes = BatchBytes(1_000_000);

    /// The batches of a topic with this `max.message.bytes`. What else librdkafka puts into a request counts as well,
    /// so that the batch itself is always smaller.
    pub(super) fn within(message_bytes_max: u64) -> BatchBytes {
        BatchBytes(message_bytes_max.clamp(1, Self::MAX.0))
    }

    pub(super) fn setting(self) -> (&'static str, String) {
        ("batch.size", self.0.to_string())
    }
}

pub(super) const CONSUMER: &Settings = &[
    ("isolation.level", "read_committed"),
    // Anything else jumps silently over a truncation.
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("check.crcs", "true"),
    // Both bound how late the tail is: an end follows an empty fetch, and a full queue is looked at
    // again after this pause (default 1000).
    ("fetch.wait.max.ms", "10"),
    ("fetch.queue.backoff.ms", "5"),
    // A broken fetch is tried again sooner than the default of 500.
    ("fetch.error.backoff.ms", "100"),
    // A deposed leader that refuses our position does not make librdkafka look for another: this does (default 300 s).
    ("topic.metadata.refresh.interval.ms", "5000"),
    // One answer holds all partitions of a broker: the bound on its memory.
    ("fetch.max.bytes", "8388608"),
    // This bounds how far a batch of zstd is unfolded, too: librdkafka makes three times as much room again and again,
    // and gives up above this, so that a third of it is always enough (default 100 MB). It is below 352 MB, which the
    // beginning of a TLS answer says when it is read as a length: that is still told as a wrong port, and not waited
    // for.
    ("receive.message.max.bytes", "300000000"),
    // An answer may be on its way for this long, or a restore over a slow network would never end: one that is cut off in
    // the middle is asked for from its beginning. A connection that brings nothing at all is given up long before.
    ("socket.timeout.ms", "60000"),
    ("connections.max.idle.ms", SILENT_MS),
    // What librdkafka hands over at a time. It does not count that as queued meanwhile, so that large records may be
    // queued twice. It is enough to ask the clock and lock seldom.
    ("consume.callback.max.messages", "256"),
    STATISTICS,
];

/// What all partitions together may have fetched ahead, where nothing else is said.
pub(super) const PREFETCH_BYTES: usize = 32 * 1024 * KIB;

/// The same of a log that reads beside, for somebody who takes one batch after the other.
pub(super) const PREFETCH_BESIDE_BYTES: usize = 8 * 1024 * KIB;

const KIB: usize = 1024;

/// Bytes that may be fetched ahead.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ahead {
    /// By all partitions together.
    All(usize),
    /// By the one that is read; one after the other is.
    One(usize),
}

impl Ahead {
    pub(super) fn prefetch(self, partitions: usize) -> Prefetch {
        match self {
            Ahead::All(bytes) => Prefetch::of(bytes, partitions),
            Ahead::One(bytes) => Prefetch::of(bytes, 1),
        }
    }
}

/// What a partition fetches ahead: each has a queue of its own, and together they have a bound, in which each record
/// counts with what librdkafka keeps beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefetch {
    queue_kib: usize,
}

impl Prefetch {
    /// 20 ms at 400 MB/s, four times the pause of a full queue.
    const QUEUE_KIB_MAX: usize = 8 * 1024;
    /// Below this a partition fetches record by record.
    const QUEUE_KIB_MIN: usize = 64;
    /// What a queue takes of memory for each byte that it may hold: it may also hold a record for each of
    /// [`RECORD_BYTES`], and a record of a hundred bytes takes four hundred.
    const GROWTH: usize = 4;
    const RECORD_BYTES: usize = 128;
    /// What is fetched at a time: 1 MiB with a process-wide jemalloc measured fastest; larger ones cost page faults.
    const FETCH_KIB_MAX: usize = 1024;

    pub(super) fn of(bytes: usize, partitions: usize) -> Prefetch {
        let queue_kib = bytes / KIB / Self::GROWTH / partitions.max(1);
        Prefetch { queue_kib: queue_kib.clamp(Self::QUEUE_KIB_MIN, Self::QUEUE_KIB_MAX) }
    }

    /// A queue that is not quite full fetches once more.
    pub(super) fn settings(self) -> [(&'static str, String); 3] {
        let fetch = (self.queue_kib / 2).min(Self::FETCH_KIB_MAX) * KIB;
        [
            ("queued.max.messages.kbytes", self.queue_kib.to_string()),
            ("queued.min.messages", (self.queue_kib * KIB / Self::RECORD_BYTES).to_string()),
            ("fetch.message.max.bytes", fetch.to_string()),
        ]
    }
}

/// What a client that only looks into the log here and there has beside the consumer's settings: it fetches little, and
/// nothing more while something waits.
pub(super) const SAMPLER: &Settings = &[
    ("client.id", "outrigger-sample"),
    ("fetch.message.max.bytes", "65536"),
    ("queued.min.messages", "1"),
];

/// Sampling that takes longer than this is given up.
pub(super) const SAMPLING_MAX: Duration = Duration::from_secs(10);

pub(super) const ADMIN: &Settings = &[
    // ListOffsets goes to the leader in this client's metadata and does not refresh it when that is the leader no more:
    // metadata older than this is asked for first.
    ("metadata.max.age.ms", "1000"),
    ("connections.max.idle.ms", SILENT_MS),
    STATISTICS,
];

/// Beside those of questions: a commit that was not answered in time is not sent later, over another one.
pub(super) const GROUPS: &Settings = &[
    ("socket.timeout.ms", "5000"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(settings: &Settings, name: &str) -> u64 {
        let found = settings.iter().find(|(known, _)| *known == name);
        found.expect("it is set").1.parse().expect("it is a number")
    }

    #[test]
    fn a_write_is_tried_twice_and_answered_before_its_connection_is_given_up() {
        let attempt = ms(PRODUCER, "socket.timeout.ms");
        assert!(2 * attempt < DELIVERY_MS.parse().unwrap());
        assert!(ms(PRODUCER, "request.timeout.ms") < attempt);
    }

    #[test]
    fn partitions_share_what_is_fetched_ahead() {
        let settings = |partitions| {
            Prefetch::of(PREFETCH_BYTES, partitions).settings().map(|(_, value)| value)
        };
        assert_eq!(settings(1), ["8192", "65536", "1048576"], "one alone needs no more");
        assert_eq!(settings(4), ["2048", "16384", "1048576"]);
        assert_eq!(settings(64), ["128", "1024", "65536"]);
        assert_eq!(settings(100_000), ["64", "512", "32768"], "and none stands still");
        assert_eq!(Prefetch::of(PREFETCH_BYTES, 0), Prefetch::of(PREFETCH_BYTES, 1));
    }
}
