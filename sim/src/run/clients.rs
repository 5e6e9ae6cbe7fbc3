//! The callers: what they ask, what they are told, what their sessions have seen.

use bytes::Bytes;
use outrigger_core::node::Reply;
use outrigger_core::offset::Generation;
use outrigger_core::token::Token;

use super::Run;
use super::reads::{Asked, PendingRead};
use crate::history::{Evidence, Told};
use crate::plan::{Act, Operation};
use crate::trace::{Lane, Line};
use crate::world::rejection_mark;

/// One caller's view of the store.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) number: u32,
    pub(super) token: Option<Token>,
}

/// A call that has no answer yet.
#[derive(Debug)]
pub(super) enum Pending {
    Write {
        client: u32,
        operations: Vec<usize>,
        line: Line,
    },
    /// The read waits through the node.
    Read(PendingRead),
    /// The read is about to open a snapshot of this generation.
    Opening(PendingRead, Generation),
    /// The read was forwarded to a peer that says nothing.
    Silent(PendingRead),
    Pin,
    /// The watch of this number waits for a copy that is behind its point.
    Watch(usize),
}

impl Pending {
    fn read(&self) -> Option<&PendingRead> {
        match self {
            Pending::Read(read) | Pending::Opening(read, _) | Pending::Silent(read) => Some(read),
            Pending::Write { .. } | Pending::Pin | Pending::Watch(_) => None,
        }
    }
}

impl Run<'_> {
    pub(super) fn operate(&mut self, index: usize) {
        let plan = self.plan;
        let operation = &plan.operations[index];
        match &operation.act {
            Act::Put { node, key } => self.write(operation, *node, &[(*key, false)]),
            Act::Delete { node, key } => self.write(operation, *node, &[(*key, true)]),
            Act::Batch { node, changes } => self.write(operation, *node, changes),
            Act::Get { node, key, level, wait_ms, max_staleness_ms } => {
                let (key, max_staleness_ms) = (Some(*key), *max_staleness_ms);
                self.read(
                    operation,
                    *node,
                    Asked { key, level: *level, max_staleness_ms },
                    *wait_ms,
                );
            }
            Act::Scan { node, level, wait_ms, max_staleness_ms } => {
                let (key, max_staleness_ms) = (None, *max_staleness_ms);
                self.read(
                    operation,
                    *node,
                    Asked { key, level: *level, max_staleness_ms },
                    *wait_ms,
                );
            }
            Act::Foreign { records } => self.foreign(operation, records),
            Act::Transaction { keys, lasts_ms, .. } => {
                self.transaction(index, operation, keys, *lasts_ms)
            }
        }
    }

    pub(super) fn session(&mut self, client: u32) -> &mut Session {
        let next = &mut self.next_session;
        self.sessions.entry(client).or_insert_with(|| {
            *next += 1;
            Session { number: *next, token: None }
        })
    }

    /// The caller's next calls are a new session's: its token was refused for good.
    pub(super) fn new_session(&mut self, client: u32) {
        self.sessions.remove(&client);
    }

    /// The session has seen everything up to `token`.
    pub(super) fn saw(&mut self, client: u32, token: Token) {
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

    /// Takes every answer that nodes have given, and what their readers beside them have read.
    pub(super) fn hear(&mut self) {
        self.hear_readers();
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
                (Pending::Watch(index), Reply::Reached { .. }) => {
                    self.waited((node, id), index, Ok(()));
                }
                (Pending::Watch(index), Reply::Rejected(rejection)) => {
                    self.waited((node, id), index, Err(rejection));
                }
                (Pending::Pin, Reply::Pinned) => {}
                (Pending::Pin, Reply::Rejected(rejection)) => {
                    self.world.marks.hit(rejection_mark(&rejection));
                }
                (Pending::Read(read), _) if lost && read.is_forwarded() => {
                    self.not_answered(read);
                }
                (Pending::Read(read), _) if lost => {
                    self.tell(read.operation, Told::Unknown, line, read.client, || {
                        "no answer".to_owned()
                    });
                }
                (Pending::Read(read), Reply::Reached { end }) => self.reached(read, end),
                (Pending::Read(read), Reply::Rejected(rejection)) => self.reject(read, rejection),
                (pending, reply) => unreachable!("no answer to {pending:?}: {reply:?}"),
            }
        }
    }

    /// The topic is about to be recreated: what callers were told so far is a history of its own. Nobody
    /// listens to the answers of calls that are under way.
    pub(super) fn end_topic(&mut self) {
        self.hear();
        while let Some((_, pending)) = self.pending.pop_first() {
            self.break_off(pending);
        }
        // Sessions keep the tokens that they have: no node may take them for this topic's.
        for session in self.sessions.values_mut() {
            self.next_session += 1;
            session.number = self.next_session;
        }
        let mut licence = self.licence();
        // Whoever has not noticed a loss by now never will.
        for loss in licence.losses.iter_mut() {
            loss.declared = true;
        }
        let evidence = Evidence { log: Some(self.whole_log()), contents: Vec::new(), licence };
        self.end_history(evidence);
    }

    pub(super) fn tell(
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

    /// Nobody will hear what became of the calls under way at this node. Reads that others have forwarded to it go on
    /// elsewhere.
    pub(super) fn hang_up(&mut self, node: usize) {
        self.peers.remove(&node);
        let its = self.pending.iter().filter(|((at, _), pending)| {
            *at == node || pending.read().is_some_and(|read| read.asked() == node)
        });
        let its: Vec<_> = its.map(|(id, _)| *id).collect();
        for id in its {
            match self.pending.remove(&id) {
                Some(Pending::Read(read) | Pending::Opening(read, _) | Pending::Silent(read))
                    if read.asked() != node =>
                {
                    self.not_answered(read)
                }
                Some(pending) => self.break_off(pending),
                None => {}
            }
        }
    }

    fn break_off(&mut self, pending: Pending) {
        let broke = || "the connection broke".to_owned();
        match pending {
            Pending::Write { client, operations, line } => {
                for operation in operations {
                    self.tell(operation, Told::Unknown, line, client, broke);
                }
            }
            Pending::Read(read) | Pending::Opening(read, _) | Pending::Silent(read) => {
                self.tell(read.operation, Told::Unknown, read.line, read.client, broke);
            }
            Pending::Pin | Pending::Watch(_) => {}
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

pub(super) fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn small(node: usize) -> u32 {
    u32::try_from(node).expect("a world has few nodes")
}
