//! What reads the log for a watch that is behind the ring: core's `LogReader`, with a client of its own.

use std::sync::Arc;
use std::time::Duration;

use outrigger_core::watch::reader::{Answer, LogReader, Missed, Turn, Wanted};
use outrigger_core::watch::sight::Sight;

use super::{Stream, Took};
use crate::run::Run;
use crate::world::World;

/// How long after it has failed a question is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Beside {
    /// Among the readers of its node.
    number: u32,
    reader: LogReader,
}

impl Run<'_> {
    pub(super) fn read_log(&mut self, index: usize, stream: &mut Stream, wanted: Wanted) -> Took {
        let node = stream.node;
        self.world.marks.hit("watch: read from the log");
        self.note_watch(index, || format!("{wanted:?}"));
        let beside = stream.beside.as_ref();
        if beside.is_some_and(|beside| self.world.reader_gives_way(beside.number)) {
            self.world.marks.hit("watch: its reader gave way");
            self.let_reader_go(stream);
            give(&self.world, stream, Err(Missed::Failed));
            return Took::Nothing;
        }
        let beside = stream.beside.get_or_insert_with(|| {
            let number = self.world.begin_reader(node);
            Beside { number, reader: LogReader::default() }
        });
        let call = beside.reader.read(wanted);
        self.world.call_of_reader(node, beside.number, call, Duration::ZERO);
        Took::Nothing
    }

    pub(super) fn let_reader_go(&mut self, stream: &mut Stream) {
        if let Some(Beside { number, .. }) = stream.beside.take() {
            self.world.end_reader(stream.node, number);
        }
    }

    /// Hands on what the log has told readers of watches.
    pub(in crate::run) fn hear_readers(&mut self) {
        while let Some((node, number, event)) = self.world.take_read() {
            let mut streams =
                self.watching.values_mut().filter_map(|watching| watching.stream.as_mut());
            let its = |stream: &&mut Stream| {
                let beside = stream.beside.as_ref();
                stream.node == node && beside.is_some_and(|beside| beside.number == number)
            };
            let Some(stream) = streams.find(its) else { continue };
            let beside = stream.beside.as_mut().expect("it was found by it");
            match beside.reader.on_event(event) {
                Turn::Call(call) => self.world.call_of_reader(node, number, call, Duration::ZERO),
                Turn::Again(call) => self.world.call_of_reader(node, number, call, AGAIN_AFTER),
                Turn::Answer(answer) => give(&self.world, stream, answer),
                Turn::Nothing => {}
            }
        }
    }
}

fn give(world: &World, stream: &mut Stream, answer: Answer) {
    let node = stream.node;
    let gate = Arc::new(world.node(node).gate().clone());
    let (ring, limits, now) = (world.ring(node), world.limits(), world.now_of(node));
    stream.watcher.read(answer, &Sight { ring, gate: &gate, limits, now });
}
