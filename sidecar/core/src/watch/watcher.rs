//! One watch: what its caller is sent next. It asks nobody and waits for nobody: whoever drives it pulls.
//!
//! ```text
//! Start::Now, Start::Point --------------------------------> Following <-- judged again with every reading of the log
//! Start::State --> Opening --> Rows --> RowsSent (StateEnd) ---^  |
//!                     ^--------- Lost (Again) <-------------------'
//! Start::Lost --------------------^
//! ```
//! A partition whose place is behind the ring is read from the log (`from_log`), one after the other, while the others go on.
//! Changes go out only while the copy admits reads: whoever reads after an event sees it.

use std::sync::Arc;
use std::time::Duration;

use super::behind::Behind;
use super::judge::{Judgement, judge, lost_by, token};
use super::message::{Changes, Message};
use super::place::Place;
use super::point::{Lost, Point};
use super::reader::Wanted;
use super::selection::Selection;
use super::sight::Sight;
use crate::batch::Batch;
use crate::gate::{ReadLevel, Rejection, Until};
use crate::lineage::Lineage;
use crate::offset::{Generation, Offset, Partition};
use crate::phase::Operation;
use crate::read::{self, Opened, ReadPath};
use crate::time::Now;
use crate::topic::TopicId;

mod from_log;

use from_log::FromLog;

/// What a caller wants to be sent.
#[derive(Clone, Debug)]
pub struct Demand {
    pub start: Start,
    pub selection: Arc<Selection>,
    pub on_lost: OnLost,
    /// Longest time without a point.
    pub progress: Duration,
    /// Longest wait for a copy that is behind the point.
    pub wait: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The state, and what changes after it.
    State,
    /// What changes from now on.
    Now,
    /// What changed after the point.
    Point(Point),
    /// Where it was to begin cannot be told.
    Lost(Lost),
}

/// What becomes of a watch whose changes cannot be proven complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    /// It is sent the state again.
    State,
    /// It ends.
    Fail,
}

/// What is to be done for a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Send(Message),
    /// `filter` is to be called, with the ring let go: comparing keys takes its time.
    Filter,
    /// A snapshot of this generation is to be opened; its lineages go to `opened`.
    Open(Generation),
    /// The rows of the snapshot that was opened are to be sent, then `rows_sent` or `rows_lost` called.
    Rows,
    /// `Command::Await` is to be sent; its answer goes to `waited`.
    Wait {
        until: Until,
        deadline: Duration,
    },
    /// It is to be read by a `LogReader` that this watch has for itself as long as `reads_log` says so; the answer goes to
    /// `read`. The next step is asked for meanwhile, too.
    Read(Wanted),
    /// Nothing, until ring or gate have changed, the log has answered, or until this monotonic time.
    Idle {
        until: Option<Duration>,
    },
    End(End),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    #[error("changes cannot be proven complete: {0}")]
    Lost(Lost),
    #[error(transparent)]
    Rejected(Rejection),
}

#[derive(Debug)]
pub struct Watcher {
    selection: Arc<Selection>,
    on_lost: OnLost,
    progress: Duration,
    wait: Duration,
    stage: Stage,
    at: Option<At>,
    /// The partition that is read from the log.
    behind: Option<Behind>,
    /// The smallest delete.retention.ms that the log told while it was read for this watch.
    retention_ms: u64,
    /// The reading of the log that the places were judged by.
    reading: Option<u64>,
    taken: Option<Taken>,
    /// The partition whose turn it is.
    turn: usize,
    /// Monotonic: when it was last sent a point.
    told: Duration,
}

#[derive(Debug)]
enum Stage {
    Starting(Start),
    /// `started`: the caller was told that the watch has begun.
    Lost {
        why: Lost,
        started: bool,
    },
    Opening(ReadPath),
    Rows,
    RowsSent,
    Following,
    Ended(End),
}

#[derive(Debug)]
struct At {
    topic: TopicId,
    /// One for each partition, in order.
    places: Vec<Place>,
}

#[derive(Debug)]
struct Taken {
    batch: Arc<Batch>,
    /// What is before it was delivered.
    from: Offset,
    point: Option<Point>,
}

impl Watcher {
    pub fn new(demand: Demand, now: Now) -> Watcher {
        let Demand { start, selection, on_lost, progress, wait } = demand;
        let at = match &start {
            Start::Point(point) => {
                Some(At { topic: point.token.topic, places: Place::all_of(point, now) })
            }
            Start::State | Start::Now | Start::Lost(_) => None,
        };
        let stage = match (start, on_lost) {
            (Start::Lost(why), OnLost::State) => Stage::Lost { why, started: false },
            (Start::Lost(why), OnLost::Fail) => Stage::Ended(End::Lost(why)),
            (start @ (Start::State | Start::Now | Start::Point(_)), _) => Stage::Starting(start),
        };
        Watcher {
            selection,
            on_lost,
            progress,
            wait,
            stage,
            at,
            behind: None,
            retention_ms: u64::MAX,
            reading: None,
            taken: None,
            turn: 0,
            told: now.mono,
        }
    }

    /// The next step; the last one is finished.
    pub fn next(&mut self, sight: &Sight<'_>) -> Step {
        match &self.stage {
            Stage::Ended(end) => return Step::End(end.clone()),
            Stage::Lost { why, started } => return self.tell_lost(*why, *started),
            Stage::Rows => return Step::Rows,
            Stage::RowsSent => return self.end_state(sight),
            Stage::Starting(_) | Stage::Opening(_) | Stage::Following => {}
        }
        if let Err(rejection) = sight.gate.admit_operation(Operation::Read) {
            return self.rejected(rejection);
        }
        if !sight.is_ready() {
            return Step::Idle { until: None };
        }
        match &self.stage {
            Stage::Starting(Start::State) => self.start_with_state(),
            Stage::Starting(Start::Now) => self.start_now(sight),
            Stage::Starting(Start::Point(_)) | Stage::Following => self.follow(sight),
            Stage::Opening(_) => self.open(sight),
            Stage::Starting(Start::Lost(_))
            | Stage::Lost { .. }
            | Stage::Rows
            | Stage::RowsSent
            | Stage::Ended(_) => {
                unreachable!("they need no copy")
            }
        }
    }

    /// What is selected of the batch that was taken last.
    pub fn filter(&mut self) -> Option<Message> {
        let Taken { batch, from, point } = self.taken.take().expect("`next` has taken a batch");
        let records = (0..).zip(batch.records());
        let new = records.filter(|(_, record)| record.offset >= from);
        let selected = new.filter(|(_, record)| self.selection.contains(record.key));
        let records: Vec<u32> = selected.map(|(number, _)| number).collect();
        (!records.is_empty()).then_some(Message::Changes(Changes { batch, records, point }))
    }

    /// Judges the snapshot by what it says of itself; none: the generation is not open.
    pub fn opened(&mut self, lineages: Option<&[Lineage]>, now: Now) {
        let Stage::Opening(path) = &mut self.stage else {
            unreachable!("a snapshot is opened after a step that says so")
        };
        match path.opened(lineages, now) {
            Ok(Opened::Answer(answer)) => {
                let lineages = lineages.unwrap_or_default().iter();
                let place = |lineage| Place::of(lineage, answer.confirmed_at_ms, now);
                let places = lineages.map(place).collect();
                self.at = Some(At { topic: answer.token.topic, places });
                self.retention_ms = u64::MAX;
                self.stage = Stage::Rows;
            }
            Ok(Opened::Again) => {}
            Err(rejection) => {
                self.rejected(rejection);
            }
        }
    }

    pub fn rows_sent(&mut self) {
        self.stage = Stage::RowsSent;
    }

    /// The rest of the rows cannot be read: those of another snapshot do not go with them.
    pub fn rows_lost(&mut self) {
        self.lose(Lost::Snapshot);
    }

    pub fn waited(&mut self, answer: Result<(), Rejection>) {
        let Err(rejection) = answer else { return };
        match lost_by(&rejection) {
            Some(why) => self.lose(why),
            None => {
                self.rejected(rejection);
            }
        }
    }

    fn start_with_state(&mut self) -> Step {
        self.stage = opening();
        Step::Send(Message::Started { point: None })
    }

    fn start_now(&mut self, sight: &Sight<'_>) -> Step {
        let Some(topic) = sight.ring.topic() else { return Step::Idle { until: None } };
        let confirmed_at_ms = sight.gate.confirmed_at_ms;
        let place = |lane| Place::at_end_of(lane, confirmed_at_ms, sight.now);
        let places = sight.ring.lanes().iter().map(place).collect();
        self.at = Some(At { topic, places });
        match self.point(sight) {
            Some(point) => self.begin(sight, point),
            None => Step::Idle { until: None },
        }
    }

    fn begin(&mut self, sight: &Sight<'_>, point: Point) -> Step {
        self.stage = Stage::Following;
        self.reading = Some(sight.ring.readings());
        self.told = sight.now.mono;
        Step::Send(Message::Started { point: Some(point) })
    }

    fn tell_lost(&mut self, why: Lost, started: bool) -> Step {
        if started {
            self.stage = opening();
            return Step::Send(Message::Again { why });
        }
        self.stage = Stage::Lost { why, started: true };
        Step::Send(Message::Started { point: None })
    }

    fn open(&mut self, sight: &Sight<'_>) -> Step {
        let Stage::Opening(path) = &mut self.stage else {
            unreachable!("a state is sent from a snapshot")
        };
        match path.next(sight.gate, sight.now) {
            Ok(read::Step::Open(generation)) => {
                self.reading = Some(sight.ring.readings());
                Step::Open(generation)
            }
            Ok(read::Step::Wait { until, deadline }) => Step::Wait { until, deadline },
            Err(rejection) => self.rejected(rejection),
        }
    }

    fn end_state(&mut self, sight: &Sight<'_>) -> Step {
        self.stage = Stage::Following;
        self.told = sight.now.mono;
        let At { topic, places } = self.at.as_ref().expect("a snapshot was opened");
        Step::Send(Message::StateEnd { point: point_of(*topic, places) })
    }

    fn follow(&mut self, sight: &Sight<'_>) -> Step {
        if self.reading != Some(sight.ring.readings()) {
            let At { topic, places } = self.at.as_ref().expect("it has its places");
            let from_log = self.behind.as_ref().map(|behind| behind.partition);
            let resumed = match judge(*topic, places, from_log, sight) {
                Judgement::Resume => self.resume(sight),
                Judgement::Wait => return self.wait_for_copy(),
                Judgement::Lost(why) => Err(why),
            };
            if let Err(why) = resumed {
                self.lose(why);
                return self.next(sight);
            }
        }
        if let Stage::Starting(Start::Point(point)) = &self.stage {
            let point = point.clone();
            return self.begin(sight, point);
        }
        self.go_on(sight)
    }

    fn resume(&mut self, sight: &Sight<'_>) -> Result<(), Lost> {
        self.reading = Some(sight.ring.readings());
        let At { places, .. } = self.at.as_mut().expect("it has its places");
        if let Stage::Following = self.stage {
            for (place, lane) in places.iter_mut().zip(sight.ring.lanes()) {
                place.doubt_gaps(lane);
            }
        }
        for (partition, place) in (0..).map(Partition).zip(places.iter_mut()) {
            place.judged(partition, sight);
        }
        match &mut self.behind {
            Some(behind) => behind.begin_again(places[behind.partition.index()].exact_from),
            None => Ok(()),
        }
    }

    /// A point that is due comes first: it is about what was delivered before.
    fn go_on(&mut self, sight: &Sight<'_>) -> Step {
        let due = self.told.saturating_add(self.progress);
        if due <= sight.now.mono
            && let Some(point) = self.point(sight)
        {
            self.told = sight.now.mono;
            return Step::Send(Message::Progress { point });
        }
        let until = match self.go_through_log(sight) {
            Ok(FromLog::Step(step)) => return step,
            Ok(FromLog::Wait(until)) => until,
            Err(why) => {
                self.lose(why);
                return self.next(sight);
            }
        };
        if let Some(step) = self.take_applied(sight) {
            return step;
        }
        // Where a point is due, it waits for a copy that is exact.
        let due = Some(due).filter(|due| *due > sight.now.mono);
        Step::Idle { until: due.into_iter().chain(until).min() }
    }

    fn take_applied(&mut self, sight: &Sight<'_>) -> Option<Step> {
        let At { places, .. } = self.at.as_mut().expect("it has its places");
        let lanes = sight.ring.lanes();
        let count = lanes.len();
        let read = self.behind.as_ref().map(|behind| behind.partition.index());
        let turns = (0..count).map(|turn| (self.turn + turn) % count);
        let mut turns =
            turns.filter(|turn| Some(*turn) != read && !places[*turn].is_behind(&lanes[*turn]));
        let next = turns.find_map(|turn| Some((turn, lanes[turn].next(places[turn].at)?)));
        let (turn, applied) = next?;
        self.turn = (turn + 1) % count;
        let from = places[turn].at;
        places[turn].pass(applied, sight.now);
        let point = self.point(sight);
        self.taken = Some(Taken { batch: Arc::clone(&applied.batch), from, point });
        Some(Step::Filter)
    }

    fn wait_for_copy(&self) -> Step {
        let At { topic, places } = self.at.as_ref().expect("it has its places");
        Step::Wait { until: Until::AtLeast(token(*topic, places)), deadline: self.wait }
    }

    /// None: what was sent is not the state there, or may be of a history that the log does not have any more.
    fn point(&mut self, sight: &Sight<'_>) -> Option<Point> {
        let At { topic, places } = self.at.as_mut()?;
        if places.iter().any(Place::is_hidden) {
            return None;
        }
        // What the gate shows of a partition was confirmed with all others, and all of it is delivered.
        for (place, shown) in places.iter_mut().zip(&sight.gate.positions) {
            if place.at >= *shown {
                place.confirm(sight.gate.confirmed_at_ms, sight.now);
            }
        }
        let mut each = places.iter().zip(sight.ring.lanes());
        each.all(|(place, lane)| place.is_exact(lane)).then(|| point_of(*topic, places))
    }

    fn lose(&mut self, why: Lost) {
        let started = !matches!(self.stage, Stage::Starting(_));
        (self.reading, self.behind) = (None, None);
        self.stage = match self.on_lost {
            OnLost::State => Stage::Lost { why, started },
            OnLost::Fail => Stage::Ended(End::Lost(why)),
        };
    }

    /// A copy that is not READY may become so.
    fn rejected(&mut self, rejection: Rejection) -> Step {
        if let Rejection::NotReady(_) = rejection {
            if let Stage::Opening(path) = &mut self.stage {
                *path = ReadPath::new(ReadLevel::Local.into(), Duration::ZERO);
            }
            return Step::Idle { until: None };
        }
        let end = End::Rejected(rejection);
        self.stage = Stage::Ended(end.clone());
        Step::End(end)
    }
}

fn opening() -> Stage {
    Stage::Opening(ReadPath::new(ReadLevel::Local.into(), Duration::ZERO))
}

fn point_of(topic: TopicId, places: &[Place]) -> Point {
    let confirmed = places.iter().map(|place| place.confirmed_at_ms);
    Point { token: token(topic, places), confirmed_at_ms: confirmed.min().unwrap_or(0) }
}
