//! The callers that read: core's `ReadPath`, driven as the sidecar's handlers drive it, and one snapshot that gives both
//! rows and token.
//!
//! A handler's thread may be held up between the gate and the snapshot: here it opens it some time later.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outrigger_core::gate::{ReadLevel, Rejection};
use outrigger_core::lineage::Lineage;
use outrigger_core::node::{Command, Event};
use outrigger_core::offset::{Generation, Offset, RequestId, Revision};
use outrigger_core::read::{Answer, Demand, Opened, ReadPath, Step};
use outrigger_core::store::{StoreError, StoreErrorKind, View};
use outrigger_model::store::ModelView;

use super::clients::{Pending, key, show, small};
use super::forward::Forwarded;
use super::{Due, Run};
use crate::dice::Dice;
use crate::history::{Call, Level as Demanded, Row, Told};
use crate::oracle::{Least, Moment, Read};
use crate::plan::{Level, Operation};
use crate::reference::{Rows, rows_of};
use crate::trace::Line;
use crate::world::rejection_mark;

/// Longest time between the gate and the snapshot: a node is closed, opened and READY again meanwhile.
const HELD_UP_MS_MAX: u64 = 10_000;

/// A paused process is looked at again after this.
const AWAKE_AGAIN: Duration = Duration::from_millis(100);

/// What a plan's read asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// None: all keys.
    pub(super) key: Option<u32>,
    pub(super) level: Level,
    pub(super) max_staleness_ms: Option<u64>,
}

#[derive(Debug)]
pub(super) struct PendingRead {
    pub(super) client: u32,
    /// Whose copy is read: the node's that was asked, or a peer's.
    pub(super) node: usize,
    pub(super) operation: usize,
    key: Option<Bytes>,
    pub(super) path: ReadPath,
    /// How long it may wait for a copy.
    pub(super) wait: Duration,
    pub(super) forwarded: Option<Box<Forwarded>>,
    /// How many snapshots it has asked for.
    opened: u64,
    /// What the answer must hold, whatever `ReadPath` says: by the gate that admitted it, and by the end that it waited
    /// for.
    pub(super) least: Least,
    pub(super) line: Line,
}

impl PendingRead {
    pub(super) fn is_forwarded(&self) -> bool {
        self.forwarded.is_some()
    }

    /// The node that the caller has asked.
    pub(super) fn asked(&self) -> usize {
        self.forwarded.as_ref().map_or(self.node, |forwarded| forwarded.by)
    }
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
        let (level, first, demanded) = match (level, token) {
            (Level::Stale, _) => (ReadLevel::Stale, None, Demanded::Stale),
            (Level::Local, _) | (Level::AtLeast, None) => (ReadLevel::Local, None, Demanded::Local),
            (Level::AtLeast, Some(token)) => {
                let positions = token.positions.iter().map(|(position, _)| position.0).collect();
                (ReadLevel::AtLeast(token), None, Demanded::AtLeast(positions))
            }
            (Level::Latest, token) => (ReadLevel::Latest, token, Demanded::Latest),
        };
        let key = number.map(key);
        let partition =
            key.as_deref().and_then(|key| self.world.node(node).gate().partition_of(key));
        let demand = Demand { level, partition, first, staleness_ms_max: max_staleness_ms };
        let call = match &key {
            Some(key) => Call::Get { key: key.to_vec(), level: demanded },
            None => Call::Scan { start: Vec::new(), end: None, level: demanded },
        };
        let now = self.tick();
        let index = self.history.invoke(number_of_session, small(node), call, now);
        let line = self.note_operation(operation, || {
            let what = number.map_or("scan".to_owned(), |number| format!("get k{number}"));
            let most = max_staleness_ms.map(|ms| format!(", at most {ms} ms old"));
            format!("{what} at node {node}, {}{}", name(&demand.level), most.unwrap_or_default())
        });
        let wait = Duration::from_millis(wait_ms);
        self.go_on(PendingRead {
            client,
            node,
            operation: index,
            key,
            path: ReadPath::new(demand, self.world.now.mono + wait),
            wait,
            forwarded: None,
            opened: 0,
            least: Least::default(),
            line,
        });
    }

    pub(super) fn go_on(&mut self, mut read: PendingRead) {
        let node = read.node;
        let now = self.world.now_of(node);
        let gate = Arc::new(self.world.node(node).gate().clone());
        match read.path.next(&gate, now) {
            Ok(Step::Open(generation)) => {
                read.least.admitted = gate.positions.clone();
                self.open_soon(read, generation);
            }
            Ok(Step::Wait { until, deadline }) => {
                let id = self.world.next_id();
                let line = read.line;
                self.bound(&read, id);
                self.pending.insert((node, id), Pending::Read(read));
                self.world.command_from(node, Command::Await { until, deadline }, line);
            }
            Err(rejection) => self.reject(read, rejection),
        }
    }

    /// Opens the snapshot, mostly at once; now and then the read's thread is held up first.
    fn open_soon(&mut self, mut read: PendingRead, generation: Generation) {
        read.opened += 1;
        let operation = u64::try_from(read.operation).expect("numbers fit 64 bits");
        let mut dice = Dice::at(self.plan.seed, "opens-later", operation, read.opened);
        let late = Duration::from_millis(dice.scaled(1, HELD_UP_MS_MAX));
        let before_the_end = self.world.now.mono + late < self.heals_at();
        if dice.once_in(3) && before_the_end {
            let (node, id) = (read.node, self.world.take_id());
            self.bound(&read, id);
            self.pending.insert((node, id), Pending::Opening(read, generation));
            self.later(late, Due::Open(node, id));
        } else {
            self.open(read, generation)
        }
    }

    /// The read's thread runs again, unless the process has ended.
    pub(super) fn open_late(&mut self, node: usize, id: RequestId) {
        if self.world.is_running(node) && self.world.is_paused(node) {
            return self.later(AWAKE_AGAIN, Due::Open(node, id));
        }
        if let Some(Pending::Opening(read, generation)) = self.pending.remove(&(node, id)) {
            self.open(read, generation);
        }
    }

    /// The copy does not answer the read: perhaps another's does.
    pub(super) fn reject(&mut self, read: PendingRead, rejection: Rejection) {
        if let Some((read, rejection)) = self.elsewhere(read, rejection) {
            self.refuse(&read, &rejection);
        }
    }

    pub(super) fn refuse(&mut self, read: &PendingRead, rejection: &Rejection) {
        self.world.marks.hit(rejection_mark(rejection));
        self.tell(read.operation, Told::DidNotHappen, read.line, read.client, || {
            rejection.to_string()
        });
        if rejection.is_of_the_token() {
            self.new_session(read.client);
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
            path: ReadPath::new(ReadLevel::Local.into(), self.world.now.mono),
            wait: Duration::ZERO,
            forwarded: None,
            opened: 0,
            least: Least::default(),
            line: Line::NONE,
        });
    }

    fn open(&mut self, mut read: PendingRead, generation: Generation) {
        let node = read.node;
        let view = self.world.open_view(node, generation);
        let lineages = match view.as_ref().map(View::lineages).transpose() {
            Ok(lineages) => lineages,
            Err(error) => return self.failed(read, generation, error),
        };
        match (read.path.opened(lineages.as_deref(), self.world.now_of(node)), view, lineages) {
            (Ok(Opened::Answer(answer)), Some(view), Some(lineages)) => {
                match rows_asked_for(&view, read.key.as_deref()) {
                    Ok(rows) => self.answer(&read, generation, (answer, &lineages, &rows)),
                    Err(error) => self.failed(read, generation, error),
                }
            }
            (Ok(Opened::Answer(_) | Opened::Again), _, _) => self.go_on(read),
            (Err(rejection), _, _) => self.reject(read, rejection),
        }
    }

    fn failed(&mut self, read: PendingRead, generation: Generation, error: StoreError) {
        let (node, text) = (read.node, error.to_string());
        if error.kind == StoreErrorKind::Corrupt {
            self.world.event(node, Event::Damaged { generation, detail: error.detail });
        }
        if read.is_forwarded() {
            self.not_answered(read);
        } else {
            self.tell(read.operation, Told::Unknown, read.line, read.client, || text);
        }
    }

    /// One snapshot gave all of it.
    fn answer(
        &mut self,
        read: &PendingRead,
        generation: Generation,
        (answer, lineages, rows): (Answer, &[Lineage], &Rows),
    ) {
        let key = read.key.as_deref();
        let Demand { level, partition: _, first: _, staleness_ms_max } = read.path.demand();
        let seen = Read {
            level,
            max_staleness_ms: *staleness_ms_max,
            generation,
            lineages,
            token: &answer.token,
            confirmed_at_ms: answer.confirmed_at_ms,
            least: &read.least,
            key,
            rows,
        };
        self.world.judge(&Moment::Read { node: read.node, read: &seen });
        self.answered(read);
        if answer.token.topic != self.world.log.topic() {
            // What an earlier topic's copy says is no contradiction to this one's history.
            let unknown = || "an answer of an earlier topic".to_owned();
            return self.tell(read.operation, Told::Unknown, read.line, read.client, unknown);
        }
        let positions = lineages.iter().map(|lineage| lineage.position.0).collect();
        let told = told_of(key, rows, positions);
        self.tell(read.operation, told, read.line, read.client, || show_rows(rows));
        if *level != ReadLevel::Stale {
            self.saw(read.client, answer.token);
        }
    }

    pub(super) fn reached(&mut self, mut read: PendingRead, end: Option<Vec<Offset>>) {
        read.least.end = end.clone().unwrap_or_default();
        read.path.reached(end);
        self.go_on(read);
    }
}

fn rows_asked_for(view: &ModelView, key: Option<&[u8]>) -> Result<Rows, StoreError> {
    match key {
        None => rows_of(view),
        Some(key) => {
            let row = view.get(key)?.map(|row| (key.to_vec(), (row.revision, row.value)));
            Ok(row.into_iter().collect())
        }
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
