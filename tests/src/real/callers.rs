//! The plan's clients: calls to nodes by the client library, each at its time whatever became of the last.

use std::sync::Arc;
use std::time::Duration;

use outrigger_client::{Client, Entry, Error, ErrorKind, Revision, Scan, Store, Token};
use outrigger_client::{Level as Reading, Row as Found};
use outrigger_sim::history::{Call, Level, Row, Rows, Told};
use outrigger_sim::plan::{self, Act, Operation};
use tokio::sync::Mutex;

use super::book::{Asked, Book};
use crate::node::STORE;

/// This is longer than a node waits for Kafka, so that the node says the outcome.
const WRITE_MAX: Duration = Duration::from_secs(12);

const READ_MIN: Duration = Duration::from_millis(300);
const READ_MAX: Duration = Duration::from_secs(4);
const CONNECT_MAX: Duration = Duration::from_secs(2);

pub(super) struct Callers {
    book: Arc<Book>,
    partitions: u32,
    nodes: Vec<Way>,
}

/// The way to one node; a connection is made when it is first needed, and mends itself.
struct Way {
    url: String,
    client: Mutex<Option<Client>>,
}

/// One call of the plan under way.
struct Under<'a> {
    book: &'a Book,
    client: u32,
    partitions: u32,
    store: Store,
}

impl Callers {
    pub(super) fn new(book: Arc<Book>, partitions: u32, urls: Vec<String>) -> Callers {
        let way = |url| Way { url, client: Mutex::new(None) };
        Callers { book, partitions, nodes: urls.into_iter().map(way).collect() }
    }

    /// Does one operation to its end. Returns whether it could be asked at all.
    pub(super) async fn operate(&self, operation: &Operation) -> bool {
        let Some(node) = operation.act.node() else { return false };
        let Some(client) = self.nodes[node].client().await else { return false };
        let (book, partitions) = (&*self.book, self.partitions);
        let under =
            Under { book, client: operation.client, partitions, store: client.store(STORE) };
        match &operation.act {
            Act::Put { key, .. } => under.write(operation, node, &[(*key, false)]).await,
            Act::Delete { key, .. } => under.write(operation, node, &[(*key, true)]).await,
            Act::Batch { changes, .. } => under.write(operation, node, changes).await,
            Act::Get { key: number, level, wait_ms, max_staleness_ms, .. } => {
                let under = under.at_most(*max_staleness_ms);
                under.read(operation, node, Some(key(*number)), *level, *wait_ms).await;
            }
            Act::Scan { level, wait_ms, max_staleness_ms, .. } => {
                let under = under.at_most(*max_staleness_ms);
                under.read(operation, node, None, *level, *wait_ms).await;
            }
            Act::Foreign { .. } | Act::Transaction { .. } => return false,
        }
        true
    }
}

impl Way {
    async fn client(&self) -> Option<Client> {
        let mut client = self.client.lock().await;
        if client.is_none() {
            let connected = tokio::time::timeout(CONNECT_MAX, Client::connect(&self.url)).await;
            *client = connected.ok().and_then(Result::ok);
        }
        client.clone()
    }
}

impl Under<'_> {
    async fn write(self, operation: &Operation, node: usize, changes: &[(u32, bool)]) {
        let store = self.store.clone().with_write_deadline(WRITE_MAX);
        let changes = changes.iter().enumerate().map(|(place, (number, deletes))| {
            (key(*number), (!deletes).then(|| value(operation.id, place)))
        });
        let changes: Vec<(String, Option<String>)> = changes.collect();
        let calls =
            |_: Option<&Token>| changes.iter().map(|(key, value)| call(key, value)).collect();
        let asked = self.book.ask((operation.id, self.client, node), &store, calls);
        if let ([(key, value)], [asked]) = (&changes[..], &asked[..]) {
            let answer = match value {
                Some(value) => store.put(key, value).await,
                None => store.delete(key).await,
            };
            return self.written(asked, answer);
        }
        let writer = store.writer();
        let mut answers = Vec::new();
        for (key, value) in &changes {
            answers.push(match value {
                Some(value) => writer.put(key, value).await,
                None => writer.delete(key).await,
            });
        }
        for (asked, pending) in asked.iter().zip(answers) {
            let answer = match pending {
                Ok(pending) => pending.await,
                Err(error) => Err(error),
            };
            self.written(asked, answer);
        }
    }

    fn written(&self, asked: &Asked, answer: Result<Revision, Error>) {
        let told = match answer {
            Ok(Revision { partition, offset }) => Told::Appended { partition, offset },
            Err(error) if error.may_have_happened() => Told::Unknown,
            Err(_) => Told::DidNotHappen,
        };
        self.book.tell(asked, told, self.client, self.store.token());
    }

    /// Makes its reads ask for a copy that is no older.
    fn at_most(self, max_staleness_ms: Option<u64>) -> Self {
        let Some(ms) = max_staleness_ms else { return self };
        let store = self.store.clone().with_max_staleness(Duration::from_millis(ms));
        Under { store, ..self }
    }

    /// Reads one key, or all rows without a key.
    async fn read(
        self,
        operation: &Operation,
        node: usize,
        key: Option<String>,
        level: plan::Level,
        wait_ms: u64,
    ) {
        let deadline = Duration::from_millis(wait_ms).clamp(READ_MIN, READ_MAX);
        let store = self.store.clone().with_level(reading(level)).with_read_deadline(deadline);
        let call = |token: Option<&Token>| {
            let level = match (level, token) {
                (plan::Level::Stale, _) => Level::Stale,
                (plan::Level::Local, _) | (plan::Level::AtLeast, None) => Level::Local,
                (plan::Level::AtLeast, Some(token)) => Level::AtLeast(self.positions(token)),
                (plan::Level::Latest, _) => Level::Latest,
            };
            vec![match &key {
                Some(key) => Call::Get { key: key.clone().into(), level },
                None => Call::Scan { start: Vec::new(), end: None, level },
            }]
        };
        let asked = self.book.ask((operation.id, self.client, node), &store, call);
        let answer = match &key {
            Some(key) => store.read(key).await.map(|read| Told::Row {
                row: read.entry.map(row),
                positions: self.positions(&read.copy.token),
            }),
            None => self.scan(&store).await,
        };
        let lost = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::SessionLost);
        let told = answer.unwrap_or(Told::DidNotHappen);
        self.book.tell(&asked[0], told, self.client, store.token());
        if lost {
            self.book.lose_session(self.client);
        }
    }

    async fn scan(&self, store: &Store) -> Result<Told, Error> {
        let mut scan = store.scan(Scan::all()).await?;
        let mut rows = Rows::new();
        while let Some(found) = scan.next().await {
            let Found { key, value, revision } = found?;
            rows.insert(key.to_vec(), Row { offset: revision.offset, value: value.to_vec() });
        }
        Ok(Told::Rows { rows, positions: self.positions(&scan.copy().token) })
    }

    fn positions(&self, token: &Token) -> Vec<u64> {
        (0..self.partitions).map(|partition| token.position(partition)).collect()
    }
}

fn reading(level: plan::Level) -> Reading {
    match level {
        plan::Level::Stale => Reading::Stale,
        plan::Level::Local => Reading::Local,
        plan::Level::AtLeast => Reading::Session,
        plan::Level::Latest => Reading::Latest,
    }
}

fn row(entry: Entry) -> Row {
    Row { offset: entry.revision.offset, value: entry.value.to_vec() }
}

fn call(key: &str, value: &Option<String>) -> Call {
    match value {
        Some(value) => Call::Put { key: key.into(), value: value.as_str().into() },
        None => Call::Delete { key: key.into() },
    }
}

pub(super) fn key(number: u32) -> String {
    format!("k{number}")
}

/// A value that no other write of the plan has.
pub(super) fn value(operation: u32, place: usize) -> String {
    format!("v{operation}.{place}")
}
