//! The callers: what they ask, what they are told, what their sessions have seen.
//!
//! Reads go the way that the sidecar's handlers go: admitted by the gate, waiting through the node, then one
//! snapshot that gives both rows and token.

use std::time::Duration;

use bytes::Bytes;
use outrigger_core::gate::{Admit, ReadLevel, Rejection};
use outrigger_core::node::{Change, Command, Outcome, Reply};
use outrigger_core::offset::{Generation, Revision};
use outrigger_core::store::{StoreErrorKind, View};
use outrigger_core::token::Token;
use outrigger_core::topic::TopicId;

use super::Run;
use crate::history::{Call, Evidence, Level as Demanded, Row, Told};
use crate::oracle::{Moment, Read};
use crate::plan::{Act, Level, Operation};
use crate::reference::{Rows, rows_of};
use crate::trace::{Lane, Line};
use crate::world::rejection_mark;

/// One caller's view of the store.
#[derive(Clone, Debug)]
pub(super) struct Session {
    number: u32,
    token: Option<Token>,
}

/// A call that has no answer yet.
#[derive(Debug)]
pub(super) enum Pending {
    Write { client: u32, operations: Vec<usize>, line: Line },
    Read(PendingRead),
}

#[derive(Clone, Debug)]
pub(super) struct PendingRead {
    client: u32,
    node: usize,
    operation: usize,
    key: Option<Bytes>,
    level: ReadLevel,
    until: Duration,
    line: Line,
}

impl Run<'_> {
    pub(super) fn operate(&mut self, index: usize) {
        let plan = self.plan;
        let operation = &plan.operations[index];
        match &operation.act {
            Act::Put { node, key } => self.write(operation, *node, &[(*key, false)]),
            Act::Delete { node, key } => self.write(operation, *node, &[(*key, true)]),
            Act::Batch { node, changes } => self.write(operation, *node, changes),
            Act::Get { node, key, level, wait_ms } => {
                self.read(operation, *node, Some(*key), *level, *wait_ms);
            }
            Act::Scan { node, level, wait_ms } => {
                self.read(operation, *node, None, *level, *wait_ms)
            }
            Act::Foreign { records } => self.foreign(operation, records),
            Act::Transaction { keys, lasts_ms, .. } => {
                self.transaction(index, operation, keys, *lasts_ms)
            }
        }
    }

    fn session(&mut self, client: u32) -> &mut Session {
        let next = &mut self.next_session;
        self.sessions.entry(client).or_insert_with(|| {
            *next += 1;
            Session { number: *next, token: None }
        })
    }

    /// The client's next calls are a new session's: its token was refused for good.
    pub(super) fn new_session(&mut self, client: u32) {
        self.sessions.remove(&client);
    }

    fn write(&mut self, operation: &Operation, node: usize, changes: &[(u32, bool)]) {
        if !self.world.is_running(node) {
            return;
        }
        let client = operation.client;
        let session = self.session(client).number;
        let mut operations = Vec::new();
        let mut written = Vec::new();
        for (place, (number, deletes)) in changes.iter().enumerate() {
            let key = key(*number);
            let value = (!deletes).then(|| value(operation.id, place));
            let call = match &value {
                Some(value) => Call::Put { key: key.to_vec(), value: value.to_vec() },
                None => Call::Delete { key: key.to_vec() },
            };
            let now = self.tick();
            operations.push(self.history.invoke(session, small(node), call, now));
            written.push(Change { key, value });
        }
        let line = self.note_operation(operation, || {
            let each = changes.iter().enumerate().map(|(place, (number, deletes))| match deletes {
                true => format!("delete k{number}"),
                false => format!("put k{number}={}", show(&value(operation.id, place))),
            });
            format!("{} at node {node}", each.collect::<Vec<_>>().join(", "))
        });
        let id = self.world.next_id();
        self.pending.insert((node, id), Pending::Write { client, operations, line });
        self.world.command_from(node, Command::Write(written), line);
    }

    fn read(
        &mut self,
        operation: &Operation,
        node: usize,
        number: Option<u32>,
        level: Level,
        wait_ms: u64,
    ) {
        if !self.world.is_running(node) || self.world.is_paused(node) {
            return;
        }
        let client = operation.client;
        let session = self.session(client);
        let (number_of_session, token) = (session.number, session.token.clone());
        let (level, demanded) = match (level, token) {
            (Level::Stale, _) => (ReadLevel::Stale, Demanded::Stale),
            (Level::Local, _) | (Level::AtLeast, None) => (ReadLevel::Local, Demanded::Local),
            (Level::AtLeast, Some(token)) => {
                let positions = token.positions.iter().map(|(position, _)| position.0).collect();
                (ReadLevel::AtLeast(token), Demanded::AtLeast(positions))
            }
            (Level::Latest, _) => (ReadLevel::Latest, Demanded::Latest),
        };
        let key = number.map(key);
        let call = match &key {
            Some(key) => Call::Get { key: key.to_vec(), level: demanded },
            None => Call::Scan { start: Vec::new(), end: None, level: demanded },
        };
        let now = self.tick();
        let index = self.history.invoke(number_of_session, small(node), call, now);
        let line = self.note_operation(operation, || match number {
            Some(number) => format!("get k{number} at node {node}, {}", name(&level)),
            None => format!("scan at node {node}, {}", name(&level)),
        });
        let until = self.world.now.mono + Duration::from_millis(wait_ms);
        self.go_on(PendingRead { client, node, operation: index, key, level, until, line });
    }

    /// Admits a read, or lets it wait.
    fn go_on(&mut self, read: PendingRead) {
        let node = read.node;
        let now = self.world.now_of(node);
        match self.world.node(node).gate().admit(&read.level, None, now) {
            Ok(Admit::Now(generation)) => self.answer(read, generation),
            Ok(Admit::Wait(until)) => {
                let deadline = read.until.saturating_sub(self.world.now.mono);
                let id = self.world.next_id();
                let line = read.line;
                self.pending.insert((node, id), Pending::Read(read));
                self.world.command_from(node, Command::Await { until, deadline }, line);
            }
            Err(rejection) => self.reject(&read, &rejection),
        }
    }

    fn reject(&mut self, read: &PendingRead, rejection: &Rejection) {
        self.world.marks.hit(rejection_mark(rejection));
        self.tell(read.operation, Told::DidNotHappen, read.line, read.client, || {
            rejection.to_string()
        });
        match rejection {
            Rejection::TokenOfAnotherTopic { .. }
            | Rejection::TokenOfAnotherHistory
            | Rejection::TokenBeyondLog { .. }
            | Rejection::TokenMalformed { .. } => self.new_session(read.client),
            Rejection::NotReady(_)
            | Rejection::Refused(_)
            | Rejection::Draining
            | Rejection::TooStale { .. }
            | Rejection::Overloaded
            | Rejection::Deadline { .. } => {}
        }
    }

    /// A scan by an operator, outside of every session.
    pub(super) fn scan(&mut self, node: usize) {
        let client = u32::MAX;
        self.new_session(client);
        let number = self.session(client).number;
        let now = self.tick();
        let call = Call::Scan { start: Vec::new(), end: None, level: Demanded::Local };
        let operation = self.history.invoke(number, small(node), call, now);
        let (key, level, until, line) = (None, ReadLevel::Local, self.world.now.mono, Line::NONE);
        self.go_on(PendingRead { client, node, operation, key, level, until, line });
    }

    /// One snapshot gives rows and token.
    fn answer(&mut self, read: PendingRead, generation: Generation) {
        let node = read.node;
        let Some(topic) = self.world.node(node).gate().topic else {
            return self.tell(read.operation, Told::Unknown, read.line, read.client, || {
                "no topic".to_owned()
            });
        };
        let view = self.world.view_of(node, generation);
        let rows = match &read.key {
            Some(key) => view.get(key).map(|row| {
                let row = row.map(|row| (key.to_vec(), (row.revision, row.value)));
                row.into_iter().collect::<Rows>()
            }),
            None => rows_of(&view),
        };
        let found = view.lineages().and_then(|lineages| Ok((lineages, rows?)));
        let (lineages, rows) = match found {
            Ok(found) => found,
            Err(error) => {
                self.tell(read.operation, Told::Unknown, read.line, read.client, || {
                    error.to_string()
                });
                if error.kind == StoreErrorKind::Corrupt {
                    let damaged =
                        outrigger_core::node::Event::Damaged { generation, detail: error.detail };
                    self.world.event(node, damaged);
                }
                return;
            }
        };
        let key = read.key.as_deref();
        let seen = Read { level: &read.level, lineages: &lineages, key, rows: &rows };
        self.world.judge(&Moment::Read { node, read: &seen });
        if topic != self.world.log.topic() {
            // What an earlier topic's copy says is no contradiction to this one's history.
            let unknown = || "an answer of an earlier topic".to_owned();
            return self.tell(read.operation, Told::Unknown, read.line, read.client, unknown);
        }
        let token = Token::of(topic, &lineages);
        let positions = lineages.iter().map(|lineage| lineage.position.0).collect();
        let told = told_of(key, &rows, positions);
        self.tell(read.operation, told, read.line, read.client, || show_rows(&rows));
        if read.level != ReadLevel::Stale {
            self.saw(read.client, token);
        }
    }

    /// The session has seen everything up to `token`.
    fn saw(&mut self, client: u32, token: Token) {
        let session = self.session(client);
        match &mut session.token {
            Some(seen) if seen.topic == token.topic => {
                for (seen, new) in seen.positions.iter_mut().zip(token.positions) {
                    if new.0 > seen.0 || new.0 == seen.0 && new.1.is_some() {
                        *seen = new;
                    }
                }
            }
            Some(_) => self.new_session(client),
            None => session.token = Some(token),
        }
    }

    /// Takes every answer that nodes have given.
    pub(super) fn hear(&mut self) {
        while let Some((node, id, line, reply)) = self.world.take_reply() {
            let Some(pending) = self.pending.remove(&(node, id)) else {
                continue;
            };
            let lost = self.lossy.contains(&node);
            match (pending, reply) {
                (
                    Pending::Write { client, operations, .. },
                    Reply::Written { topic, partitions, outcomes },
                ) => {
                    self.written(client, &operations, (topic, partitions), &outcomes, lost, line);
                }
                (Pending::Write { client, operations, .. }, Reply::Rejected(rejection)) => {
                    let told = if lost { Told::Unknown } else { Told::DidNotHappen };
                    for operation in operations {
                        self.tell(operation, told.clone(), line, client, || rejection.to_string());
                    }
                }
                (Pending::Read(read), _) if lost => {
                    self.tell(read.operation, Told::Unknown, line, read.client, || {
                        "no answer".to_owned()
                    });
                }
                (Pending::Read(read), Reply::Reached) => self.reached(read),
                (Pending::Read(read), Reply::Rejected(rejection)) => self.reject(&read, &rejection),
                (pending, reply) => unreachable!("no answer to {pending:?}: {reply:?}"),
            }
        }
    }

    fn reached(&mut self, mut read: PendingRead) {
        if read.level == ReadLevel::Latest {
            // The end that was asked for is applied, and a snapshot is never behind the gate.
            read.level = ReadLevel::Local;
        }
        self.go_on(read);
    }

    fn written(
        &mut self,
        client: u32,
        operations: &[usize],
        (topic, partitions): (TopicId, u32),
        outcomes: &[Outcome],
        lost: bool,
        line: Line,
    ) {
        assert_eq!(operations.len(), outcomes.len(), "one outcome per change");
        for (operation, outcome) in operations.iter().zip(outcomes) {
            let told = match outcome {
                _ if lost => Told::Unknown,
                Outcome::Appended(Revision { partition, offset }) => {
                    Told::Appended { partition: partition.0, offset: offset.0 }
                }
                Outcome::DidNotHappen(_) => Told::DidNotHappen,
                Outcome::Unknown(_) => Told::Unknown,
            };
            self.tell(*operation, told, line, client, || format!("{outcome:?}"));
            if let (Outcome::Appended(revision), false) = (outcome, lost) {
                self.saw(client, Token::of_write(topic, partitions, *revision));
            }
        }
    }

    /// The topic is about to be recreated: what callers were told so far is a history of its own. Nobody
    /// listens to the answers of calls that are under way.
    pub(super) fn end_topic(&mut self) {
        self.hear();
        for node in 0..self.world.count() {
            self.hang_up(node);
        }
        // Sessions go on with the tokens they have: no node may take them for this topic's.
        for session in self.sessions.values_mut() {
            self.next_session += 1;
            session.number = self.next_session;
        }
        let mut licence = self.licence();
        // Whoever has not noticed a loss by now never will.
        licence.losses.iter_mut().for_each(|loss| loss.declared = true);
        let evidence = Evidence { log: Some(self.whole_log()), contents: Vec::new(), licence };
        self.end_history(evidence);
    }

    fn tell(
        &mut self,
        operation: usize,
        told: Told,
        cause: Line,
        client: u32,
        text: impl FnOnce() -> String,
    ) {
        let now = self.tick();
        self.history.complete(operation, now, told);
        self.world.note(cause, Lane::Client(client), "answer", || {
            format!("operation {operation}: {}", text())
        });
    }

    /// Nobody will hear what became of the calls under way at this node.
    pub(super) fn hang_up(&mut self, node: usize) {
        let its: Vec<_> = self.pending.keys().copied().filter(|(at, _)| *at == node).collect();
        for id in its {
            match self.pending.remove(&id) {
                Some(Pending::Write { client, operations, line }) => {
                    for operation in operations {
                        self.tell(operation, Told::Unknown, line, client, || {
                            "the connection broke".to_owned()
                        });
                    }
                }
                Some(Pending::Read(read)) => {
                    let broke = || "the connection broke".to_owned();
                    self.tell(read.operation, Told::Unknown, read.line, read.client, broke);
                }
                None => {}
            }
        }
    }

    pub(super) fn note_operation(
        &self,
        operation: &Operation,
        text: impl FnOnce() -> String,
    ) -> Line {
        let at = self.world.elapsed();
        self.world.trace.note_with(
            at,
            Line::NONE,
            Lane::Client(operation.client),
            "operation",
            || (text(), serde_json::json!({ "op": operation.id })),
        )
    }
}

pub(super) fn key(number: u32) -> Bytes {
    Bytes::from(format!("k{number}"))
}

pub(super) fn value(operation: u32, place: usize) -> Bytes {
    Bytes::from(format!("v{operation}.{place}"))
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn show_rows(rows: &Rows) -> String {
    let rows = rows.iter().map(|(key, (revision, value))| {
        format!("{}={} at p{} {}", show(key), show(value), revision.partition, revision.offset)
    });
    rows.collect::<Vec<_>>().join(", ")
}

fn told_of(key: Option<&[u8]>, rows: &Rows, positions: Vec<u64>) -> Told {
    let row = |(revision, value): &(Revision, Vec<u8>)| Row {
        offset: revision.offset.0,
        value: value.clone(),
    };
    match key {
        Some(key) => Told::Row { row: rows.get(key).map(row), positions },
        None => {
            let rows = rows.iter().map(|(key, found)| (key.clone(), row(found))).collect();
            Told::Rows { rows, positions }
        }
    }
}

fn name(level: &ReadLevel) -> &'static str {
    match level {
        ReadLevel::Stale => "STALE",
        ReadLevel::Local => "LOCAL",
        ReadLevel::AtLeast(_) => "AT_LEAST",
        ReadLevel::Latest => "LATEST",
    }
}

fn small(node: usize) -> u32 {
    u32::try_from(node).expect("a world has few nodes")
}
