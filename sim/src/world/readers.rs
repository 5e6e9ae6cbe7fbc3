//! Readers of the log that a node has beside its own: calls and answers take their time as the node's own do.

use std::time::Duration;

use outrigger_core::log::{LogCall, LogEvent};
use outrigger_model::log::beside;

use super::passing::Passing;
use super::{World, client};
use crate::dice::Dice;
use crate::trace::{Lane, Line};

/// One batch in this many is the last of its reader.
const WAY: u64 = 8;

impl World {
    /// A reader that the running node has from now on, by its number.
    pub fn begin_reader(&mut self, index: usize) -> u32 {
        let number = self.next_reader;
        self.next_reader += 1;
        let process = self.nodes[index].process.as_mut().expect("the node runs");
        process.readers.insert(number);
        number
    }

    pub fn end_reader(&mut self, index: usize, number: u32) {
        if let Some(process) = &mut self.nodes[index].process
            && process.readers.remove(&number)
        {
            process.read.retain(|(its, _)| *its != number);
            self.log.forget(beside(client(index), number));
            self.queue.forget_reader(number);
        }
    }

    /// Whether others have this reader's place from now on, as the sidecar gives places by turns.
    pub fn reader_gives_way(&self, number: u32) -> bool {
        let mut dice = Dice::at(self.latencies.seed, "way", number.into(), self.queue.sent());
        dice.once_in(WAY)
    }

    pub fn call_of_reader(&mut self, index: usize, number: u32, call: LogCall, after: Duration) {
        let most = self.latencies.log_call + self.nodes[index].slow_log;
        let at = self.now.mono + after + self.draw("log call", index, most);
        self.queue.send(index, at, Line::NONE, Passing::ReaderCall(number, call));
    }

    /// Takes something that the log has told a reader, with the reader's node and number.
    pub fn take_read(&mut self) -> Option<(usize, u32, LogEvent)> {
        let mut nodes = self.nodes.iter_mut().enumerate().filter(|(_, node)| !node.paused);
        nodes.find_map(|(index, node)| {
            let (number, event) = node.process.as_mut()?.read.pop_front()?;
            Some((index, number, event))
        })
    }

    pub(super) fn ask_log_beside(
        &mut self,
        (node, number): (usize, u32),
        call: LogCall,
        cause: Line,
    ) {
        let line = self
            .note(cause, Lane::Log, "call", || format!("reader {number} of node {node}: {call:?}"));
        let mut out = Vec::new();
        self.log.handle(self.now, beside(client(node), number), call, &mut out);
        self.send_events(out, line);
        self.learn(line);
    }

    pub(super) fn hear_beside(&mut self, node: usize, number: u32, event: LogEvent) {
        if let Some(process) = &mut self.nodes[node].process
            && process.readers.contains(&number)
        {
            process.read.push_back((number, event));
        }
    }
}
