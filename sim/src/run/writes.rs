//! The callers that write.

use outrigger_core::node::{Change, Command, Outcome};
use outrigger_core::offset::Revision;
use outrigger_core::token::Token;
use outrigger_core::topic::TopicId;

use super::Run;
use super::clients::{Pending, key, show, small, value};
use crate::history::{Call, Told};
use crate::plan::Operation;
use crate::trace::Line;

impl Run<'_> {
    pub(super) fn write(&mut self, operation: &Operation, node: usize, changes: &[(u32, bool)]) {
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
            let each = changes.iter().enumerate().map(|(place, (number, deletes))| {
                if *deletes {
                    format!("delete k{number}")
                } else {
                    format!("put k{number}={}", show(&value(operation.id, place)))
                }
            });
            format!("{} at node {node}", each.collect::<Vec<_>>().join(", "))
        });
        let id = self.world.next_id();
        self.pending.insert((node, id), Pending::Write { client, operations, line });
        self.world.command_from(node, Command::Write(written), line);
    }

    pub(super) fn written(
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
}
