//! Callers that remember what they were told, and readers that hold a node to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::{Client, Entry, Error, Level, Read, Revision, Scan, Store, Token};
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::partitioner::partition_of;
use outrigger_sim::dice::Dice;
use outrigger_sim::history::{self, Call, Evidence, History, Row, Rows, Told};
use tokio::task::JoinHandle;

use crate::kafka::{Isolation, Topic};
use crate::node::{Node, STORE};

/// Tasks that write until they are stopped: puts and deletes of few keys, so that most are overwritten.
/// Now and then they read, their own keys and the others', in sessions.
pub struct Writers {
    writers: Vec<JoinHandle<History>>,
    stop: Arc<AtomicBool>,
}

impl Writers {
    /// Starts one writer per address; each has keys of its own.
    pub fn start(addresses: Vec<String>, keys: u64) -> Writers {
        Writers::start_paced(addresses, keys, Duration::ZERO)
    }

    /// The same with a pause after each write.
    pub fn start_paced(addresses: Vec<String>, keys: u64, pause: Duration) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let (writers, began) = (addresses.len(), Instant::now());
        let start = |(number, address)| {
            let writer =
                Writer { number, writers, address, keys, pause, began, connections: 0, step: 0 };
            tokio::spawn(writer.run(Arc::clone(&stop)))
        };
        let writers = addresses.into_iter().enumerate().map(start).collect();
        Writers { writers, stop }
    }

    /// Stops all of them. Returns what they were told.
    pub async fn stop(self) -> Result<History> {
        self.stop.store(true, Ordering::Relaxed);
        let mut history = History::default();
        for writer in self.writers {
            history.merge(writer.await.context("a writer panicked")?);
        }
        Ok(history)
    }
}

struct Writer {
    number: usize,
    writers: usize,
    address: String,
    keys: u64,
    pause: Duration,
    /// The history's clock counts from here.
    began: Instant,
    connections: u32,
    step: u64,
}

/// A connection is a session of its own.
struct Connection {
    store: Store,
    partitions: u32,
    session: u32,
    node: u32,
}

impl Writer {
    async fn run(mut self, stop: Arc<AtomicBool>) -> History {
        let mut history = History::default();
        while !stop.load(Ordering::Relaxed) {
            let Ok(connection) = self.connect().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let mut works = true;
            while works && !stop.load(Ordering::Relaxed) {
                self.step += 1;
                works = self.write(&connection, &mut history).await;
                if works && self.step.is_multiple_of(3) {
                    works = self.read(&connection, &mut history).await;
                }
                if !self.pause.is_zero() {
                    tokio::time::sleep(self.pause).await;
                }
            }
            // The node may be down.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        history
    }

    async fn connect(&mut self) -> Result<Connection, Error> {
        let store = Client::connect(&self.address).await?.store(STORE);
        let partitions = u32::try_from(store.status().await?.partitions.len());
        let partitions = partitions.expect("Kafka counts partitions in 31 bits");
        let node = u32::try_from(self.number).expect("a test has few nodes");
        let session = node << 16 | self.connections;
        self.connections += 1;
        Ok(Connection { store, partitions, session, node })
    }

    /// Whether the node answered.
    async fn write(&self, connection: &Connection, history: &mut History) -> bool {
        let key = key(self.number, self.step.wrapping_mul(0x9e37_79b9) % self.keys);
        let value =
            (!self.step.is_multiple_of(4)).then(|| format!("{}-{}", self.number, self.step));
        let call = match &value {
            Some(value) => Call::Put { key: key.clone().into(), value: value.clone().into() },
            None => Call::Delete { key: key.clone().into() },
        };
        let Connection { store, session, node, .. } = connection;
        let operation = history.invoke(*session, *node, call, self.now());
        let answer = match value {
            Some(value) => store.put(&key, value).await,
            None => store.delete(&key).await,
        };
        let works = answer.is_ok();
        history.complete(operation, self.now(), told(answer));
        works
    }

    async fn read(&self, connection: &Connection, history: &mut History) -> bool {
        let Connection { store, partitions, session, node } = connection;
        if *partitions == 0 {
            // The node does not know its topic yet and refuses: what a session has seen could not be told.
            return true;
        }
        let of = self.step.wrapping_mul(0x85eb_ca6b);
        let writers = u64::try_from(self.writers).expect("a test has few nodes");
        let number = usize::try_from(of % writers).expect("below a usize");
        let key = key(number, of / writers % self.keys);
        let seen = store.token().map(|token| positions(&token, *partitions));
        let level = seen.map_or(history::Level::Local, history::Level::AtLeast);
        let call = Call::Get { key: key.clone().into(), level };
        let operation = history.invoke(*session, *node, call, self.now());
        let answer = store.read(&key).await;
        let works = answer.is_ok();
        let told = answer.map_or(Told::DidNotHappen, |Read { entry, copy }| Told::Row {
            row: entry.map(row),
            positions: positions(&copy.token, *partitions),
        });
        history.complete(operation, self.now(), told);
        works
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a test takes no centuries")
    }
}

fn key(number: usize, key: u64) -> String {
    format!("writer-{number}/key-{key}")
}

fn told(answer: Result<Revision, Error>) -> Told {
    match answer {
        Ok(Revision { partition, offset }) => Told::Appended { partition, offset },
        Err(error) if error.may_have_happened() => Told::Unknown,
        Err(_) => Told::DidNotHappen,
    }
}

fn row(entry: Entry) -> Row {
    Row { offset: entry.revision.offset, value: entry.value.to_vec() }
}

fn positions(token: &Token, partitions: u32) -> Vec<u64> {
    (0..partitions).map(|partition| token.position(partition)).collect()
}

/// Everything that a node serves at the log's present end.
pub async fn rows(node: &Node) -> Result<Rows> {
    let store = node.store().await?.with_level(Level::Latest);
    let mut rows = Rows::new();
    let mut scan = store.scan(Scan::all()).await?;
    while let Some(row) = scan.next().await {
        let row = row?;
        let offset = row.revision.offset;
        rows.insert(row.key.to_vec(), Row { offset, value: row.value.to_vec() });
    }
    Ok(rows)
}

/// How the writes of a history ended, and how long the longest took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writes {
    pub acknowledged: usize,
    pub did_not_happen: usize,
    pub unknown: usize,
    pub longest: Duration,
}

impl Writes {
    pub fn of(history: &History) -> Writes {
        let mut writes = Writes::default();
        for operation in history.operations() {
            match (&operation.call, &operation.told) {
                (Call::Get { .. } | Call::Scan { .. }, _) => continue,
                (_, Told::Appended { .. }) => writes.acknowledged += 1,
                (_, Told::DidNotHappen | Told::Aborted) => writes.did_not_happen += 1,
                (_, Told::Unknown | Told::Row { .. } | Told::Rows { .. }) => writes.unknown += 1,
            }
            let took = operation.completed.map_or(0, |completed| completed - operation.invoked);
            writes.longest = writes.longest.max(Duration::from_nanos(took));
        }
        writes
    }
}

/// Writes this many records under keys of their own, which no compression makes much smaller.
pub fn fill(topic: &Topic, records: usize, value_bytes: usize) -> Result<()> {
    let keys: Vec<String> = (0..records).map(|number| format!("filled {number}")).collect();
    let mut dice = Dice::at(0, "fill", 0, 0);
    let mut value = || (0..value_bytes).map(|_| dice.draw().to_le_bytes()[0]).collect();
    let values: Vec<Vec<u8>> = keys.iter().map(|_| value()).collect();
    topic.put_all(keys.iter().zip(&values).map(|(key, value)| {
        (partition_of(key.as_bytes(), topic.partitions()), key.as_bytes(), Some(&value[..]))
    }))?;
    Ok(())
}

/// What the log says: the newest record of each key, by another client than the nodes'.
pub fn fold(topic: &Topic) -> Result<Rows> {
    let mut rows = Rows::new();
    for partition in Partition::all(topic.partitions()) {
        for record in topic.read(partition, Offset::ZERO, Isolation::Committed)? {
            let Some(key) = record.key else { continue };
            if partition_of(&key, topic.partitions()) != partition {
                continue;
            }
            match record.value {
                Some(value) => rows.insert(key, Row { offset: record.offset.0, value }),
                None => rows.remove(&key),
            };
        }
    }
    Ok(rows)
}

/// Checks that every node holds what its callers were told, that all hold the same, and that their digests say so.
pub async fn judge(nodes: &[Node], history: &History) -> Result<()> {
    let mut digests = Vec::new();
    let mut contents = Vec::new();
    for node in nodes {
        contents.push(rows(node).await?);
        let digest = node.store().await?.status_with_digest().await?.digest;
        digests.push(digest.context("a READY node has a digest")?);
    }
    for content in &contents {
        ensure!(*content == contents[0], "the nodes' contents differ");
    }
    ensure!(digests.iter().all(|digest| *digest == digests[0]), "the digests differ: {digests:?}");
    // All are equal, and what others wrote is no part of the history.
    contents.truncate(1);
    contents[0].retain(|key, _| key.starts_with(b"writer-"));
    let violations = history.judge(&Evidence { contents, ..Evidence::default() });
    ensure!(violations.is_empty(), "{violations:#?}");
    Ok(())
}
