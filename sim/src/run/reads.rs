//! The callers that read, the way that the sidecar's handlers go: admitted by the gate, waiting through the node,
//! then one snapshot that gives both rows and token.

use std::time::Duration;

use bytes::Bytes;
use outrigger_core::gate::{Admit, ReadLevel, Rejection};
use outrigger_core::node::Command;
use outrigger_core::offset::{Generation, Revision};
use outrigger_core::store::{StoreErrorKind, View};
use outrigger_core::token::Token;

use super::Run;
use super::clients::{Pending, key, show, small};
use crate::history::{Call, Level as Demanded, Row, Told};
use crate::oracle::{Moment, Read};
use crate::plan::{Level, Operation};
use crate::reference::{Rows, rows_of};
use crate::trace::Line;
use crate::world::rejection_mark;

/// What a plan's read asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// None: all keys.
    pub(super) key: Option<u32>,
    pub(super) level: Level,
    pub(super) max_staleness_ms: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct PendingRead {
    pub(super) client: u32,
    node: usize,
    pub(super) operation: usize,
    key: Option<Bytes>,
    level: ReadLevel,
    max_staleness_ms: Option<u64>,
    until: Duration,
    pub(super) line: Line,
}

impl Run<'_> {
    pub(super) fn read(&mut self, operation: &Operation, node: usize, asked: Asked, wait_ms: u64) {
        if !self.world.is_running(node) || self.world.is_paused(node) {
            return;
        }
        let Asked { key: number, level, max_staleness_ms } = asked;
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
        let line = self.note_operation(operation, || {
            let what = number.map_or("scan".to_owned(), |number| format!("get k{number}"));
            let most = max_staleness_ms.map(|ms| format!(", at most {ms} ms old"));
            format!("{what} at node {node}, {}{}", name(&level), most.unwrap_or_default())
        });
        let until = self.world.now.mono + Duration::from_millis(wait_ms);
        self.go_on(PendingRead {
            client,
            node,
            operation: index,
            key,
            level,
            max_staleness_ms,
            until,
            line,
        });
    }

    /// Admits a read, or lets it wait.
    fn go_on(&mut self, read: PendingRead) {
        let node = read.node;
        let now = self.world.now_of(node);
        match self.world.node(node).gate().admit(&read.level, read.max_staleness_ms, now) {
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

    pub(super) fn reject(&mut self, read: &PendingRead, rejection: &Rejection) {
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
            | Rejection::Passed { .. }
            | Rejection::NoRestore(_)
            | Rejection::NotCancelled(_)
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
        self.go_on(PendingRead {
            client,
            node,
            operation,
            key: None,
            level: ReadLevel::Local,
            max_staleness_ms: None,
            until: self.world.now.mono,
            line: Line::NONE,
        });
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
        if let Err(rejection) = read.level.check_snapshot(&lineages) {
            return self.reject(&read, &rejection);
        }
        let key = read.key.as_deref();
        let token = Token::of(topic, &lineages);
        let seen = Read {
            level: &read.level,
            max_staleness_ms: read.max_staleness_ms,
            generation,
            lineages: &lineages,
            token: &token,
            key,
            rows: &rows,
        };
        self.world.judge(&Moment::Read { node, read: &seen });
        if topic != self.world.log.topic() {
            // What an earlier topic's copy says is no contradiction to this one's history.
            let unknown = || "an answer of an earlier topic".to_owned();
            return self.tell(read.operation, Told::Unknown, read.line, read.client, unknown);
        }
        let positions = lineages.iter().map(|lineage| lineage.position.0).collect();
        let told = told_of(key, &rows, positions);
        self.tell(read.operation, told, read.line, read.client, || show_rows(&rows));
        if read.level != ReadLevel::Stale {
            self.saw(read.client, token);
        }
    }

    pub(super) fn reached(&mut self, mut read: PendingRead) {
        if read.level == ReadLevel::Latest {
            // The end that was asked for is applied, and a snapshot is never behind the gate.
            read.level = ReadLevel::Local;
        }
        self.go_on(read);
    }
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
