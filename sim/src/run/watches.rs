//! The callers that watch: core's `Watcher`, driven as a handler drives it, and what a caller keeps to go on elsewhere.

use std::sync::Arc;
use std::time::Duration;

use outrigger_core::gate::Rejection;
use outrigger_core::keys::Keys;
use outrigger_core::node::{Command, Event};
use outrigger_core::offset::{Generation, Offset, Partition, RequestId};
use outrigger_core::phase::Phase;
use outrigger_core::store::{StoreErrorKind, View};
use outrigger_core::watch::message::Message;
use outrigger_core::watch::point::{Lost, Point};
use outrigger_core::watch::selection::Selection;
use outrigger_core::watch::sight::Sight;
use outrigger_core::watch::watcher::{Demand, End, OnLost, Start, Step, Watcher};
use outrigger_model::store::ModelView;

mod beside;

use beside::Beside;

use super::clients::{Pending, key, small};
use super::{Due, Run};
use crate::oracle::{Moment, OracleId, Saw, Watched, Wrong, point_of};
use crate::plan::{KEPT_MAX, Selected, Turning, Watch, selects};
use crate::reference::{Rows, rows_of};
use crate::trace::{Lane, Line};

/// The trace's lanes of callers that watch come after those of all others.
const LANES: u32 = 100;

/// Rows of a message: states take their time, so that much may happen between them.
const ROWS: usize = 3;

/// Healed, a watch has come to the end within this time.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

/// One caller that watches.
#[derive(Debug, Default)]
pub(super) struct Watching {
    stream: Option<Stream>,
    /// The points that it was given and has kept, oldest first.
    kept: Vec<Point>,
    node: usize,
    /// Monotonic: it takes nothing, or is away, until then.
    rests_until: Duration,
}

#[derive(Debug)]
struct Stream {
    node: usize,
    /// Of this process.
    starts: u32,
    watcher: Watcher,
    snapshot: Option<Snapshot>,
    waits: Option<RequestId>,
    /// It reads the log for this watch.
    beside: Option<Beside>,
}

#[derive(Debug)]
struct Snapshot {
    generation: Generation,
    view: ModelView,
    /// Rows that were sent.
    sent: usize,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Took {
    Message,
    Nothing,
    /// There is nothing more for now.
    Rest,
}

impl Run<'_> {
    fn watch(&self, index: usize) -> &Watch {
        &self.plan.watches.as_ref().expect("somebody watches").watches[index]
    }

    pub(super) fn begin_watch(&mut self, index: usize) {
        let node = self.watch(index).node;
        self.watching.insert(index, Watching { node, ..Watching::default() });
        self.pull(index);
    }

    pub(super) fn pull(&mut self, index: usize) {
        let (every, messages) = (self.watch(index).every_ms, self.watch(index).messages);
        self.later(Duration::from_millis(every), Due::Pull(index));
        if self.watching[&index].rests_until <= self.world.now.mono {
            self.take_messages(index, messages);
        }
    }

    pub(super) fn turn(&mut self, index: usize, number: usize) {
        let what = self.watch(index).turns[number].what.clone();
        let now = self.world.now.mono;
        if let Turning::Move { .. } = what {
            self.hang_up_watch(index);
        }
        let Some(watching) = self.watching.get_mut(&index) else { return };
        match what {
            Turning::Stop { lasts_ms } => {
                watching.rests_until = now + Duration::from_millis(lasts_ms);
            }
            Turning::Move { node, back, after_ms } => {
                let left = watching.kept.len().saturating_sub(back).max(1);
                watching.kept.truncate(left);
                watching.node = node;
                watching.rests_until = now + Duration::from_millis(after_ms);
            }
        }
    }

    fn hang_up_watch(&mut self, index: usize) {
        let stream = self.watching.get_mut(&index).and_then(|watching| watching.stream.take());
        let Some(mut stream) = stream else { return };
        self.let_reader_go(&mut stream);
        let Stream { node, waits: Some(id), .. } = stream else { return };
        if self.pending.remove(&(node, id)).is_some() && self.world.is_running(node) {
            self.world.event(node, Event::Gone(id));
        }
    }

    fn take_messages(&mut self, index: usize, messages: u32) {
        let mut left = messages;
        while left > 0 && self.world.violation().is_none() {
            let mut watching = self.watching.remove(&index).expect("it watches");
            let took = self.step(index, &mut watching);
            self.watching.insert(index, watching);
            match took {
                Took::Message => left -= 1,
                Took::Nothing => {}
                Took::Rest => return,
            }
        }
    }

    fn step(&mut self, index: usize, watching: &mut Watching) -> Took {
        if !self.connect(index, watching) {
            return Took::Rest;
        }
        let stream = watching.stream.as_mut().expect("it is connected");
        let node = stream.node;
        if self.world.is_paused(node) || stream.waits.is_some() {
            return Took::Rest;
        }
        let gate = Arc::new(self.world.node(node).gate().clone());
        let now = self.world.now_of(node);
        let (ring, limits) = (self.world.ring(node), self.world.limits());
        let step = stream.watcher.next(&Sight { ring, gate: &gate, limits, now });
        if !stream.watcher.reads_log() && stream.beside.is_some() {
            self.let_reader_go(stream);
            if let Step::Idle { .. } = step {
                self.world.marks.hit("watch: seam");
            }
        }
        match step {
            Step::Read(wanted) => self.read_log(index, stream, wanted),
            Step::Send(message) => self.send(index, watching, &message),
            Step::Filter => match stream.watcher.filter() {
                Some(message) => self.send(index, watching, &message),
                None => Took::Nothing,
            },
            Step::Open(generation) => self.open_watch(stream, generation),
            Step::Rows => self.send_rows(index, stream),
            Step::Wait { until, deadline } => {
                let id = self.world.next_id();
                self.pending.insert((node, id), Pending::Watch(index));
                stream.waits = Some(id);
                self.world.marks.hit("watch: waited");
                self.world.command_from(node, Command::Await { until, deadline }, Line::NONE);
                Took::Rest
            }
            Step::Idle { until: Some(until) } if until <= now.mono => Took::Nothing,
            Step::Idle { .. } => {
                if !stream.watcher.reads_log() {
                    self.judge_watch(index, node, &Saw::Idle);
                }
                Took::Rest
            }
            Step::End(end) => {
                self.end_watch(index, watching, &end);
                Took::Rest
            }
        }
    }

    /// Whether it has somebody who answers: a connection ends with its process, and the next is made to the next node.
    fn connect(&mut self, index: usize, watching: &mut Watching) -> bool {
        let world = &self.world;
        let lasts = |stream: &mut Stream| {
            world.is_running(stream.node) && world.starts(stream.node) == stream.starts
        };
        if watching.stream.as_mut().is_some_and(lasts) {
            return true;
        }
        watching.stream = None;
        let node = watching.node;
        if !self.world.is_running(node) {
            watching.node = (node + 1) % self.world.count();
            return false;
        }
        if watching.kept.last().is_some_and(|point| self.lowered_since(point.confirmed_at_ms)) {
            watching.kept.clear();
        }
        let watch = self.watch(index);
        let point = watching.kept.last().cloned();
        let start = match &point {
            Some(point) => Start::Point(point.clone()),
            None if watch.state => Start::State,
            None => Start::Now,
        };
        let selection = Selection::new(watch.keys.iter().map(keys).collect());
        let demand = Demand {
            start,
            selection: Arc::new(selection.expect("a plan has few")),
            on_lost: if watch.fails { OnLost::Fail } else { OnLost::State },
            progress: Duration::from_millis(watch.progress_ms),
            wait: Duration::from_millis(watch.wait_ms),
        };
        let watcher = Watcher::new(demand, self.world.now_of(node));
        let starts = self.world.starts(node);
        let (snapshot, waits, beside) = (None, None, None);
        watching.stream = Some(Stream { node, starts, watcher, snapshot, waits, beside });
        self.note_watch(index, || format!("asks node {node}, from {point:?}"));
        let point = point.as_ref();
        let lives_ms = self.retention_ms_since(point.map_or(0, |point| point.confirmed_at_ms));
        self.judge_watch(index, node, &Saw::Asked { point, lives_ms });
        true
    }

    fn send(&mut self, index: usize, watching: &mut Watching, message: &Message) -> Took {
        self.world.marks.hit(match message {
            Message::Started { point: Some(_) } if watching.kept.is_empty() => {
                "watch: started (now)"
            }
            message => mark(message),
        });
        self.note_watch(index, || show(message));
        let node = watching.stream.as_ref().expect("it is connected").node;
        if let Message::Changes(changes) = message
            && self.world.ring(node).is_behind(&changes.batch)
        {
            self.world.marks.hit("watch: changes from the log");
        }
        self.judge_watch(index, node, &Saw::Message(message));
        if let Some(point) = point_of(message) {
            watching.kept.pop_if(|kept| kept == point);
            watching.kept.push(point.clone());
            if watching.kept.len() > KEPT_MAX {
                watching.kept.remove(0);
            }
        }
        if let Message::Again { .. } | Message::Started { point: None } = message {
            watching.kept.clear();
        }
        Took::Message
    }

    fn open_watch(&mut self, stream: &mut Stream, generation: Generation) -> Took {
        let node = stream.node;
        let view = self.world.open_view(node, generation);
        let lineages = view.as_ref().map(View::lineages).transpose();
        let lineages = lineages.unwrap_or_else(|error| {
            self.damaged_watch(node, generation, error.kind, error.detail);
            None
        });
        stream.watcher.opened(lineages.as_deref(), self.world.now_of(node));
        stream.snapshot = view.map(|view| Snapshot { generation, view, sent: 0 });
        Took::Nothing
    }

    fn send_rows(&mut self, index: usize, stream: &mut Stream) -> Took {
        let node = stream.node;
        let Some(snapshot) = &mut stream.snapshot else {
            stream.watcher.rows_lost();
            return Took::Nothing;
        };
        let generation = snapshot.generation;
        let closed = snapshot.sent > 0 && self.world.open_view(node, generation).is_none();
        let rows = match rows_of(&snapshot.view) {
            Ok(rows) if !closed => rows,
            Ok(_) => {
                stream.watcher.rows_lost();
                return Took::Nothing;
            }
            Err(error) => {
                self.damaged_watch(node, generation, error.kind, error.detail);
                stream.watcher.rows_lost();
                return Took::Rest;
            }
        };
        let selection = &self.watch(index).keys;
        let mut left = rows.into_iter().filter(|(key, _)| selects(selection, key));
        let rows: Rows = left.by_ref().skip(snapshot.sent).take(ROWS).collect();
        snapshot.sent += rows.len();
        if left.next().is_none() {
            stream.snapshot = None;
            stream.watcher.rows_sent();
        }
        self.judge_watch(index, node, &Saw::Rows(&rows));
        Took::Message
    }

    fn damaged_watch(
        &mut self,
        node: usize,
        generation: Generation,
        kind: StoreErrorKind,
        detail: String,
    ) {
        if kind == StoreErrorKind::Corrupt {
            self.world.event(node, Event::Damaged { generation, detail });
        }
    }

    /// What was waited for is answered.
    pub(super) fn waited(
        &mut self,
        (node, id): (usize, RequestId),
        index: usize,
        answer: Result<(), Rejection>,
    ) {
        let stream = self.watching.get_mut(&index).and_then(|watching| watching.stream.as_mut());
        if let Some(stream) =
            stream.filter(|stream| (stream.node, stream.waits) == (node, Some(id)))
        {
            stream.waits = None;
            stream.watcher.waited(answer);
        }
    }

    fn end_watch(&mut self, index: usize, watching: &mut Watching, end: &End) {
        self.note_watch(index, || format!("ended: {end}"));
        let node = watching.stream.take().expect("it is connected").node;
        self.judge_watch(index, node, &Saw::Ended(end));
        match end {
            End::Lost(_) => {
                self.world.marks.hit("watch: ended (compacted)");
                watching.kept.clear();
            }
            End::Rejected(_) => {
                self.world.marks.hit("watch: ended (rejected)");
                watching.node = (watching.node + 1) % self.world.count();
            }
        }
    }

    fn judge_watch(&mut self, index: usize, node: usize, saw: &Saw<'_>) {
        let watch = self.watch(index).clone();
        let watched = Watched { number: index, watch: &watch, saw };
        self.world.judge(&Moment::Watched { node, watched: &watched });
    }

    fn note_watch(&self, index: usize, text: impl FnOnce() -> String) {
        self.world.note(Line::NONE, Lane::Client(LANES + small(index)), "watch", text);
    }

    /// Everything is healed: every watch comes to the end of the log.
    pub(super) fn watch_to_the_end(&mut self) {
        let end = self.world.now.mono + ENDS_WITHIN;
        let mut left: Vec<usize> = self.watching.keys().copied().collect();
        while self.world.violation().is_none() && !left.is_empty() {
            for index in &left {
                self.take_messages(*index, u32::MAX);
            }
            left.retain(|index| !self.is_at_the_end(*index));
            if let Some(index) = left.first().filter(|_| self.world.now.mono >= end) {
                let what = format!("watch {index} has no point at the end of the log");
                let wrong = Wrong::of(self.watching[index].node, what);
                return self.violate(OracleId::O27, wrong);
            }
            self.pass(self.world.now.mono + Duration::from_millis(100));
        }
    }

    fn is_at_the_end(&self, index: usize) -> bool {
        let ready = |node: usize| self.world.node(node).gate().phase == Phase::Ready;
        if !(0..self.world.count()).any(ready) {
            return true;
        }
        let Some(point) = self.watching[&index].kept.last() else { return false };
        let ends = Partition::all(self.plan.setting.partitions);
        let ends: Vec<Offset> = ends.map(|of| self.world.log.last_stable(of)).collect();
        let at: Vec<Offset> = point.token.positions.iter().map(|(at, _)| *at).collect();
        point.token.topic == self.world.log.topic() && at == ends
    }
}

fn keys(selected: &Selected) -> Keys {
    let name = |number: &u32| key(*number).to_vec();
    match selected {
        Selected::Key(number) => Keys::Key(name(number)),
        Selected::Prefix(number) => Keys::Prefix(name(number)),
        Selected::Range { start, end } => Keys::Range { start: name(start), end: Some(name(end)) },
    }
}

fn mark(message: &Message) -> &'static str {
    match message {
        Message::Started { point: None } => "watch: started (state)",
        Message::Started { .. } => "watch: resumed",
        Message::StateEnd { .. } => "watch: state",
        Message::Changes(_) => "watch: changes",
        Message::Progress { .. } => "watch: progress",
        Message::Again { why: Lost::Topic } => "watch: again (topic)",
        Message::Again { why: Lost::History } => "watch: again (history)",
        Message::Again { why: Lost::Horizon } => "watch: again (horizon)",
        Message::Again { why: Lost::Snapshot } => "watch: again (snapshot)",
        Message::Again { why: Lost::Cursor(_) } => "watch: again (cursor)",
    }
}

fn show(message: &Message) -> String {
    match message {
        Message::Changes(changes) => {
            let offsets: Vec<_> = changes.records().map(|record| record.offset.0).collect();
            let (partition, point) = (changes.batch.partition, &changes.point);
            format!("changes of p{partition} at {offsets:?}, then {point:?}")
        }
        message => format!("{message:?}"),
    }
}
