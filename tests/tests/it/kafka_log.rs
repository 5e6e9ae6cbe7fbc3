//! What `KafkaLog` owes to librdkafka's habits, pinned on a real broker: a new version of it that
//! behaves otherwise fails here.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use outrigger::kafka::{CreateTopicError, Created, TopicSettings, create_topic};
use outrigger_core::log::{LogCall, LogCallKind, LogEvent, Loss, Write};
use outrigger_core::offset::{Epoch, Offset, Partition, RequestId};
use outrigger_core::partitioner::partition_of;
use outrigger_tests::kafka::{Cluster, Isolation, Topic, TopicSpec};

use crate::log_client::{LogClient, config};

const P0: Partition = Partition(0);
const BROKER: usize = 1;

fn put(key: &str, value: &str) -> Write {
    let (key, value) = (Bytes::from(key.to_owned()), Bytes::from(value.to_owned()));
    Write { partition: P0, key, value: Some(value) }
}

fn restart(cluster: &mut Cluster, topic: &Topic) {
    cluster.kill(BROKER).expect("a broker comes back");
    cluster.start_broker(BROKER).expect("a broker comes back");
    topic.leader(P0).expect("a broker comes back");
}

/// Aborts a transaction of one record and waits until its marker is in the log.
fn abort_one(topic: &Topic, id: &str, end: Offset) {
    let transaction =
        topic.begin(id, Duration::from_secs(60)).expect("a broker takes transactions");
    transaction.put(P0, b"aborted", Some(b"never seen")).expect("a broker takes transactions");
    transaction.abort().expect("a broker takes transactions");
    let until = Instant::now() + Duration::from_secs(10);
    while topic.last_stable(P0).expect("a broker takes transactions") < end {
        assert!(Instant::now() < until, "no marker up to {end}");
    }
}

#[test]
fn the_end_is_exact_behind_aborted_records_and_markers() {
    let cluster = Cluster::shared().unwrap();
    let topic = cluster.topic("aborted-tail", TopicSpec::store()).unwrap();
    let log = LogClient::start(&cluster.bootstrap(), topic.name());
    topic.put(P0, b"a", Some(b"1")).unwrap();
    abort_one(&topic, "aborted-tail", Offset(3));
    abort_one(&topic, "aborted-tail", Offset(5));

    log.assign(P0, Offset(0), None);
    let batches = log.read_to(P0, Offset(5));
    let last = batches.last().unwrap();
    assert_eq!((last.range.end, last.clean_bound, last.at_end), (Offset(5), Offset(5), true));
    assert_eq!(batches.iter().map(|batch| batch.records().len()).sum::<usize>(), 1);
    assert!(batches.iter().any(|batch| batch.gap));
}

/// librdkafka's EOF says epoch 0, whatever the leader's is; the markers below it say the right one.
/// Without that a copy whose last seen record is older than the last election would be told, at its
/// next start, that its position is in another history.
#[test]
fn an_end_of_markers_alone_has_their_epoch_and_is_resumed() {
    let mut cluster = Cluster::start(1, &[]).unwrap();
    let topic = cluster.topic("marker-epoch", TopicSpec::store()).unwrap();
    topic.put(P0, b"a", Some(b"1")).unwrap();
    restart(&mut cluster, &topic);
    restart(&mut cluster, &topic);
    abort_one(&topic, "marker-epoch", Offset(3));

    let log = LogClient::start(&cluster.bootstrap(), topic.name());
    let leader = log.describe().partitions[0].epoch.unwrap();
    log.assign(P0, Offset(0), None);
    let epochs: Vec<_> =
        log.read_to(P0, Offset(3)).iter().flat_map(|batch| batch.epochs.clone()).collect();
    assert_eq!(epochs.first().unwrap().1, Offset(0));
    assert_eq!(epochs.last().unwrap(), &(leader, Offset(3)));
    assert!(leader > epochs[0].0, "{epochs:?}");

    log.assign(P0, Offset(3), Some(leader));
    assert!(log.fetch(P0).unwrap().at_end);
    // The older epoch ended below 3: this is what resuming with it would be told.
    log.assign(P0, Offset(3), Some(epochs[0].0));
    assert_eq!(log.fetch(P0), Err(Loss::Diverged));
    // Whoever asks for the end that the older leader told is answered this: it is still there.
    log.assign(P0, Offset(1), Some(epochs[0].0));
    assert_eq!(log.fetch(P0).unwrap().range.start, Offset(1));
    // A refused position does not outlive its assignment.
    log.assign(P0, Offset(0), None);
    assert_eq!(log.read_to(P0, Offset(3)).last().unwrap().range.end, Offset(3));
}

/// An epoch is looked at on every assignment, also when the client knows the leader already:
/// `rd_kafka_assign` alone would not.
#[test]
fn a_log_lost_and_regrown_is_refused_to_every_assignment_with_an_epoch() {
    let mut cluster = Cluster::start(1, &[]).unwrap();
    let topic = cluster.topic("regrown", TopicSpec::store()).unwrap();
    let log = LogClient::start(&cluster.bootstrap(), topic.name());
    log.append((0..10).map(|n| put(&format!("k{n}"), "first")).collect());
    cluster.kill(BROKER).unwrap();
    cluster.wipe_partition(BROKER, topic.name(), P0).unwrap();
    cluster.start_broker(BROKER).unwrap();
    topic.leader(P0).unwrap();

    log.describe();
    log.assign(P0, Offset(10), Some(Epoch(0)));
    assert_eq!(log.fetch(P0), Err(Loss::Diverged));
    log.assign(P0, Offset(10), None);
    assert_eq!(log.fetch(P0), Err(Loss::OutOfRange));
    let others: Vec<String> = (0..20).map(|n| format!("other{n}")).collect();
    topic.put_all(others.iter().map(|key| (P0, key.as_bytes(), Some(&b"second"[..])))).unwrap();
    for _ in 0..3 {
        log.assign(P0, Offset(10), Some(Epoch(0)));
        assert_eq!(log.fetch(P0), Err(Loss::Diverged));
    }
    // It is answered again while nobody assigns: the assignment stays void.
    assert_eq!(log.fetch(P0), Err(Loss::Diverged));
}

/// The same clients serve a topic that was deleted and created again, once told to.
#[test]
fn a_recreated_topic_has_a_new_id_and_is_read_and_written_anew() {
    let cluster = Cluster::shared().unwrap();
    let topic = cluster.topic("recreated", TopicSpec::store()).unwrap();
    let log = LogClient::start(&cluster.bootstrap(), topic.name());
    let before = log.describe();
    log.append((0..10).map(|n| put(&format!("k{n}"), "old")).collect());
    log.assign(P0, Offset(0), None);
    log.read_to(P0, Offset(10));

    topic.delete().unwrap();
    log.call(LogCall::TopicId);
    let gone = log.answer();
    let LogEvent::Failed { call: LogCallKind::TopicId, error } = gone else { panic!("{gone:?}") };
    assert_eq!(error.name, "UNKNOWN_TOPIC_OR_PART");
    topic.create_again().unwrap();

    log.call(LogCall::TopicId);
    let LogEvent::TopicId(id) = log.answer() else { panic!("no id") };
    assert_ne!(id, before.topic);
    assert_eq!(log.describe().topic, id);
    topic.put(P0, b"new", Some(b"1")).unwrap();
    log.assign(P0, Offset(0), None);
    let batches = log.read_to(P0, Offset(1));
    assert_eq!(batches.last().unwrap().range.end, Offset(1));
    let results = log.append(vec![put("new", "2")]);
    assert_eq!(results[0].as_ref().map(|revision| revision.offset), Ok(Offset(1)));
}

/// Kafka's own console producer writes; every record is where we look for it.
#[test]
fn partitions_equal_the_java_clients() {
    const PARTITIONS: u32 = 7;
    let cluster = Cluster::shared().unwrap();
    let topic = cluster.topic("java", TopicSpec::store().partitions(PARTITIONS)).unwrap();
    let keys: Vec<String> = (0..200).map(|n| "x".repeat(n % 9) + &n.to_string()).collect();
    produce_with_java(&cluster.bootstrap(), topic.name(), &keys);
    let mut found = 0;
    for partition in Partition::all(PARTITIONS) {
        for record in topic.read(partition, Offset(0), Isolation::Committed).unwrap() {
            let key = record.key.unwrap();
            assert_eq!(
                partition_of(&key, PARTITIONS),
                partition,
                "{}",
                String::from_utf8_lossy(&key)
            );
            found += 1;
        }
    }
    assert_eq!(found, keys.len());
}

fn produce_with_java(bootstrap: &str, topic: &str, keys: &[String]) {
    let jars =
        std::env::var("OUTRIGGER_KAFKA_LIB").expect("Java and the jars that the broker runs on");
    let mut java = Command::new("java")
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &format!("{jars}/*")])
        .args(["org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", bootstrap])
        .args(["--topic", topic, "--reader-property", "parse.key=true"])
        .args(["--reader-property", "key.separator=:"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Java and the jars that the broker runs on");
    let lines: String = keys.iter().map(|key| format!("{key}:value\n")).collect();
    java.stdin
        .take()
        .expect("Java and the jars that the broker runs on")
        .write_all(lines.as_bytes())
        .expect("Java and the jars that the broker runs on");
    assert!(java.wait().expect("Java and the jars that the broker runs on").success());
}

/// librdkafka reports a batch with a wrong checksum and continues behind it: records would be missing.
#[test]
fn a_damaged_batch_is_named_and_never_stepped_over() {
    let cluster = Cluster::start(1, &[]).unwrap();
    let topic = cluster.topic("damaged", TopicSpec::store()).unwrap();
    for value in [&b"first"[..], b"to be damaged", b"third"] {
        topic.put(P0, value, Some(value)).unwrap();
    }
    let mut segment = Segment::of(topic.name());
    segment.replace(b"to be damaged", b"to be DAMAGED");

    let log = LogClient::start(&cluster.bootstrap(), topic.name());
    log.assign(P0, Offset(0), None);
    let batch = log.fetch(P0).unwrap();
    assert_eq!((batch.range, batch.at_end), (Offset(0)..Offset(1), false));
    log.call(LogCall::Fetch { partition: P0, bytes_max: 1 << 20 });
    for _ in 0..2 {
        let trouble = log.event(Duration::from_secs(10)).unwrap();
        let LogEvent::Trouble(error) = trouble else { panic!("stepped over: {trouble:?}") };
        assert_eq!(error.name, "_BAD_MSG");
    }
    segment.replace(b"to be DAMAGED", b"to be damaged");
    let LogEvent::Fetched(batch) = log.answer() else { panic!("read again once it is whole") };
    assert_eq!(batch.range, Offset(1)..Offset(3));
    assert_eq!(batch.records().next().unwrap().value, Some(&b"to be damaged"[..]));
}

/// The only segment of a topic's first partition, on the disk of a broker of this machine's tests.
struct Segment(File);

impl Segment {
    fn of(topic: &str) -> Segment {
        let clusters = std::fs::read_dir(std::env::temp_dir()).expect("a file on this machine");
        let path = clusters
            .map(|cluster| cluster.expect("a file on this machine").path().join("broker-1/data"))
            .map(|data| data.join(format!("{topic}-0/00000000000000000000.log")))
            .find(|path| path.is_file());
        let path = path.expect("the segment of a topic whose name nobody else has");
        Segment(File::options().read(true).write(true).open(path).expect("a file on this machine"))
    }

    fn replace(&mut self, old: &[u8], new: &[u8]) {
        let mut bytes = Vec::new();
        self.0.rewind().expect("a file on this machine");
        self.0.read_to_end(&mut bytes).expect("a file on this machine");
        let at = bytes
            .windows(old.len())
            .rposition(|window| window == old)
            .expect("a file on this machine");
        self.0
            .write_all_at(new, u64::try_from(at).expect("a file on this machine"))
            .expect("a file on this machine");
    }
}

#[test]
fn an_existing_topic_is_left_as_it_is_and_a_new_one_is_a_stores() {
    let cluster = Cluster::shared().unwrap();
    let bootstrap = cluster.bootstrap();
    let name = format!("created-{}", std::process::id());
    let settings = TopicSettings { partitions: 3, replication: None };
    let created = create_topic(&config(&bootstrap), &name, settings).unwrap();
    assert_eq!(created, Created::New { replication: 1 });
    let again = create_topic(&config(&bootstrap), &name, TopicSettings::default());
    assert_eq!(again.unwrap(), Created::Existed);

    let facts = LogClient::start(&bootstrap, &name).describe();
    assert_eq!(facts.partitions.len(), 3);
    assert_eq!(facts.policy.cleanup, "compact");
    assert_eq!(facts.policy.delete_retention_ms, 604_800_000);
    assert_eq!(facts.policy.min_compaction_lag_ms, 60_000);
    assert_eq!((facts.policy.replication, facts.policy.min_insync_replicas), (1, 1));
    assert!(facts.policy.log_append_time && !facts.policy.unclean_election);
}

#[test]
fn a_kafka_that_does_not_answer_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let error = create_topic(&config(&silent), "t", TopicSettings::default()).unwrap_err();
    assert!(matches!(error, CreateTopicError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&silent), "{error}");
}

/// Thousands of records are under way: nothing is lost, doubled or reordered, and each has its answer.
#[test]
fn many_appends_under_way_keep_their_order_and_are_all_answered() {
    all_in_order("burst", 200, 500, 200);
}

/// These are more than librdkafka has on their way at a time: those that wait for answers follow in order.
#[test]
fn appends_of_many_callers_keep_their_order_and_are_all_answered() {
    all_in_order("callers", 5_000, 1, 64);
}

fn all_in_order(name: &str, calls: u64, records: usize, under_way_max: u64) {
    const WORLD: &str = "a broker is there";
    let cluster = Cluster::shared().expect(WORLD);
    let topic = cluster.topic(name, TopicSpec::store()).expect(WORLD);
    let log = LogClient::start(&cluster.bootstrap(), topic.name());
    let call = |id: u64| {
        let writes: Vec<Write> = (0..records).map(|n| put(&format!("{id}-{n}"), "value")).collect();
        log.call(LogCall::Append { id: RequestId(id), writes: writes.into() });
    };
    for id in 0..under_way_max {
        call(id);
    }
    for answered in 0..calls {
        let LogEvent::Appended { id, results } = log.answer() else { panic!("no answer") };
        let first = id.0 * u64::try_from(records).expect("it is small");
        let offsets: Vec<u64> = results
            .iter()
            .map(|result| result.as_ref().expect("nothing fails here").offset.0)
            .collect();
        assert_eq!(offsets, (first..).take(records).collect::<Vec<_>>());
        if answered + under_way_max < calls {
            call(answered + under_way_max);
        }
    }
    let read = topic.read(P0, Offset(0), Isolation::Committed).expect(WORLD);
    let in_order =
        (0..calls).flat_map(|id| (0..records).map(move |n| format!("{id}-{n}").into_bytes()));
    assert!(read.into_iter().map(|record| record.key.expect("all have keys")).eq(in_order));
}

/// Reading and writing continue under the next leader: nothing acknowledged is missing, nothing is lost.
#[test]
fn a_leader_killed_is_followed_without_a_loss() {
    const WRITES: u64 = 300;
    let mut cluster = Cluster::start(3, &[]).unwrap();
    let topic = cluster.topic("failover", TopicSpec::store()).unwrap();
    let log = LogClient::start(&cluster.bootstrap(), topic.name());
    log.assign(P0, Offset(0), None);
    log.call(LogCall::Fetch { partition: P0, bytes_max: 1 << 20 });
    let (mut written, mut answered, mut read) = (0, 0, Vec::new());
    let mut acknowledged = Vec::new();
    let (mut position, mut killed) = (Offset(0), false);
    while answered < WRITES || acknowledged.iter().any(|offset| *offset >= position) {
        if written < WRITES && written == answered {
            let writes = vec![put(&format!("k{written}"), "value")];
            log.call(LogCall::Append { id: RequestId(written), writes: writes.into() });
            written += 1;
        }
        if written == WRITES / 2 && !killed {
            killed = true;
            cluster.kill(topic.leader(P0).unwrap()).unwrap();
        }
        match log.answer() {
            LogEvent::Appended { results, .. } => {
                acknowledged.extend(results.iter().flatten().map(|revision| revision.offset));
                answered += 1;
            }
            LogEvent::Fetched(batch) => {
                assert_eq!(batch.range.start, position);
                position = batch.range.end;
                read.extend(batch.records().map(|record| record.offset));
                log.call(LogCall::Fetch { partition: P0, bytes_max: 1 << 20 });
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(acknowledged.len() > 200, "{} acknowledged", acknowledged.len());
    assert!(acknowledged.iter().all(|offset| read.contains(offset)));
}

/// A stuck broker must not hold up the end of a process.
#[test]
fn a_log_ends_within_bounded_time_while_its_broker_hangs() {
    let cluster = Cluster::start(1, &[]).unwrap();
    let topic = cluster.topic("hung", TopicSpec::store()).unwrap();
    let log = LogClient::start(&cluster.bootstrap(), topic.name());
    log.assign(P0, Offset(0), None);
    log.call(LogCall::Fetch { partition: P0, bytes_max: 1 << 20 });
    cluster.pause(BROKER).unwrap();
    log.call(LogCall::Append { id: RequestId(1), writes: vec![put("a", "1")].into() });
    log.call(LogCall::Describe);
    let began = Instant::now();
    drop(log);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    cluster.resume(BROKER).unwrap();
}
