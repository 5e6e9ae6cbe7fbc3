//! The conformance suite of the log seam over `KafkaLog`, on a real broker.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use outrigger_core::conformance::log::{
    Ability, CASES, Case, Copies, FILLER, Foreign, LogUnderTest, Shape, Turn, Verdict,
};
use outrigger_core::log::{LogCall, LogEvent};
use outrigger_core::offset::{Offset, Partition};
use outrigger_tests::kafka::{Cluster, Isolation, Topic, TopicSpec, Transaction};

use crate::log_client::LogClient;

/// Abilities that are missing with a single broker, for many cases kill one; and a compacted topic refuses records
/// without a key, so no other tool can write one.
const LACKING: [Ability; 2] = [Ability::Keyless, Ability::Brokers];
const BROKER: usize = 1;
/// What a broken harness says.
const WORLD: &str = "the world does as it is told";
const COMPACTED_MAX: Duration = Duration::from_secs(60);

struct KafkaUnderTest<'a> {
    cluster: &'a mut Cluster,
    topic: Topic,
    clients: BTreeMap<u32, LogClient>,
    transaction: Option<Transaction>,
    name: &'static str,
    /// Brokers that were killed, in that order, and those that are paused.
    dead: Vec<usize>,
    paused: Vec<usize>,
}

impl KafkaUnderTest<'_> {
    /// A client appears when it is first spoken of: in an outage it could not introduce itself, so
    /// both are made before.
    fn new<'a>(cluster: &'a mut Cluster, case: &Case) -> KafkaUnderTest<'a> {
        let topic = cluster.topic(case.name, spec(case.shape)).expect(WORLD);
        let bootstrap = cluster.bootstrap();
        let client = |number| (number, LogClient::start(&bootstrap, topic.name()));
        let clients = BTreeMap::from([client(1), client(2)]);
        let (dead, paused) = (Vec::new(), Vec::new());
        let name = case.name;
        KafkaUnderTest { cluster, topic, clients, transaction: None, name, dead, paused }
    }

    fn kill(&mut self, broker: usize) {
        self.cluster.kill(broker).expect(WORLD);
        self.dead.push(broker);
    }

    fn follower(&self, partition: Partition) -> usize {
        *self.topic.in_sync_followers(partition).expect(WORLD).first().expect("a follower")
    }

    fn cut_off_follower(&mut self, partition: Partition) {
        let follower = self.follower(partition);
        self.cluster.pause(follower).expect(WORLD);
        self.paused.push(follower);
    }

    fn heal(&mut self, partition: Partition) {
        for broker in self.paused.drain(..) {
            self.cluster.resume(broker).expect(WORLD);
        }
        self.dead.clear();
        self.cluster.start_all().expect(WORLD);
        self.topic.await_in_sync(partition, self.topic.replicas()).expect(WORLD);
    }
}

fn spec(shape: Shape) -> TopicSpec {
    let kind = if shape.eager_cleaner { TopicSpec::fast_compaction() } else { TopicSpec::store() };
    let kind = match shape.copies {
        Copies::Usual => kind,
        Copies::Strict => kind.set("min.insync.replicas", "3"),
        Copies::Single => kind.replicas(1),
        Copies::Careless => kind
            .replicas(2)
            .set("min.insync.replicas", "1")
            .set("unclean.leader.election.enable", "true"),
    };
    kind.partitions(shape.partitions)
        .set("delete.retention.ms", &shape.delete_retention_ms.to_string())
}

impl LogUnderTest for KafkaUnderTest<'_> {
    fn call(&mut self, client: u32, call: LogCall) {
        self.clients[&client].call(call);
    }

    fn next_event(&mut self, client: u32, within: Duration) -> Option<LogEvent> {
        self.clients[&client].event(within)
    }

    fn append(&mut self, partition: Partition, records: &[Foreign]) -> Vec<Offset> {
        let records = records.iter().map(|record| {
            let key = record.key.as_deref().expect("Ability::Keyless is lacking");
            (partition, key, record.value.as_deref())
        });
        self.topic.put_all(records).expect(WORLD)
    }

    fn open_transaction(&mut self, partition: Partition, records: &[Foreign]) -> Vec<Offset> {
        let transaction = self.topic.begin(self.name, Duration::from_secs(60)).expect(WORLD);
        let put = |record: &Foreign| {
            let key = record.key.as_deref().expect("Ability::Keyless is lacking");
            transaction.put(partition, key, record.value.as_deref()).expect(WORLD)
        };
        let offsets = records.iter().map(put).collect();
        self.transaction = Some(transaction);
        offsets
    }

    fn end_transaction(&mut self, verdict: Verdict) {
        let transaction = self.transaction.take().expect("an open transaction");
        match verdict {
            Verdict::Commit => transaction.commit().expect(WORLD),
            Verdict::Abort => transaction.abort().expect(WORLD),
        }
    }

    fn compact(&mut self, partition: Partition, gone: &[Offset]) {
        let until = Instant::now() + COMPACTED_MAX;
        let first = *gone.iter().min().expect("something is to go");
        loop {
            // Only an append rolls a segment, and only a rolled one is cleaned.
            self.topic.put(partition, FILLER, Some(b"rolls the segment")).expect(WORLD);
            let left = self.topic.read(partition, first, Isolation::Uncommitted).expect(WORLD);
            if !left.iter().any(|record| gone.contains(&record.offset)) {
                return;
            }
            assert!(Instant::now() < until, "{gone:?} not compacted within {COMPACTED_MAX:?}");
        }
    }

    fn delete_records(&mut self, partition: Partition, before: Offset) {
        self.topic.delete_records(partition, before).expect(WORLD);
    }

    fn lose_log(&mut self, partition: Partition) {
        self.cluster.kill(BROKER).expect(WORLD);
        self.cluster.wipe_partition(BROKER, self.topic.name(), partition).expect(WORLD);
        self.cluster.start_broker(BROKER).expect(WORLD);
        self.topic.leader(partition).expect(WORLD);
    }

    fn recreate(&mut self) {
        self.topic.delete().expect(WORLD);
        self.topic.create_again().expect(WORLD);
    }

    fn add_partition(&mut self) {
        self.topic.add_partition().expect(WORLD);
    }

    fn set_delete_retention(&mut self, ms: u64) {
        self.topic.alter("delete.retention.ms", &ms.to_string()).expect(WORLD);
    }

    fn set_outage(&mut self, down: bool) {
        if down {
            self.cluster.kill(BROKER).expect(WORLD);
        } else {
            self.cluster.start_broker(BROKER).expect(WORLD);
        }
    }

    fn turn_broker(&mut self, partition: Partition, turn: Turn) {
        match turn {
            Turn::KillLeader => self.kill(self.topic.leader(partition).expect(WORLD)),
            Turn::KillFollower => {
                self.kill(self.follower(partition));
                let left = self.topic.replicas() - 1;
                self.topic.await_in_sync(partition, left).expect(WORLD);
            }
            Turn::CutOffFollower => self.cut_off_follower(partition),
            Turn::LoseFollower => {
                self.cut_off_follower(partition);
                let left = self.topic.replicas() - 1;
                self.topic.await_in_sync(partition, left).expect(WORLD);
            }
            Turn::StartFirst => {
                let first = self.dead.remove(0);
                self.cluster.start_broker(first).expect(WORLD);
            }
            Turn::Heal => self.heal(partition),
        }
    }
}

fn passes(cluster: &mut Cluster, case: &Case) -> bool {
    let began = Instant::now();
    let mut under_test = KafkaUnderTest::new(cluster, case);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (case.run)(&mut under_test)));
    if outcome.is_err() && case.needs.contains(&Ability::Brokers) {
        under_test.heal(Partition(0));
    }
    let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("{verdict} {} in {:.1} s", case.name, began.elapsed().as_secs_f64());
    outcome.is_ok()
}

/// Runs the cases one after the other: some of them kill brokers.
fn conforms<'a>(cluster: &mut Cluster, cases: impl Iterator<Item = &'a Case>) {
    let failed: Vec<_> =
        cases.filter(|case| !passes(cluster, case)).map(|case| case.name).collect();
    assert_eq!(failed, [""; 0]);
}

#[test]
fn kafka_log_does_what_every_log_engine_must_do() {
    let mut cluster = Cluster::start(1, &[]).unwrap();
    let possible = |case: &&Case| case.needs.iter().all(|need| !LACKING.contains(need));
    let (possible, left_out): (Vec<&Case>, Vec<&Case>) = CASES.iter().partition(possible);
    for case in &left_out {
        println!("left out here: {} needs {:?}", case.name, case.needs);
    }
    conforms(&mut cluster, possible.into_iter());
}

#[test]
fn kafka_log_on_three_brokers_does_what_every_log_engine_must_do() {
    let mut cluster = Cluster::start(3, &[]).unwrap();
    conforms(&mut cluster, CASES.iter().filter(|case| case.needs.contains(&Ability::Brokers)));
}
