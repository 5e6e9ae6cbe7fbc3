//! Watch: a stream of what changes, at the pace of its reader.
//!
//! ```text
//!  ring, gate ──(core's Watcher: the next step)──> task ──> channel ──> HTTP/2 ──> caller
//!  snapshot ───(blocking thread, one batch)─────────┤
//!  log ────────(a reader beside, one batch)─────────┘
//! ```
//! A watch pulls: the core thread knows of none. Between two messages it is a place in the ring, and while the state is sent
//! a snapshot. It ends with its caller and with the node; a caller that takes nothing keeps one message waiting, and is cut
//! only while it keeps a snapshot.

mod demand;
mod message;

use std::pin::pin;
use std::time::Duration;

use outrigger_core::gate::Until;
use outrigger_core::offset::Generation;
use outrigger_core::store::View;
use outrigger_core::watch::message::Message;
use outrigger_core::watch::point::Lost;
use outrigger_core::watch::reader::Answer;
use outrigger_core::watch::watcher::{End, Step, Watcher};
use outrigger_proto::v1::watch_response::Part as Told;
use outrigger_proto::v1::{
    CopyState, ErrorDetail, StateAgain, StateEnd, StateRows, WatchProgress, WatchRequest,
    WatchResponse, WatchStarted,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::time::{sleep, timeout};
use tonic::Status;

use self::demand::Asked;
use super::answers::{Answers, Part};
use super::deadline::CallDeadline;
use super::door::Asker;
use super::read::{self, Origin};
use super::room::Share;
use super::scan::{BATCHES_AHEAD, IDLE_MAX, next_rows};
use super::service::Service;
use super::walk::Walk;
use super::{convert, error};
use crate::runtime::{LogBeside, ReadError, State, StoreHandle, clock};
use crate::telemetry::metrics::OpenWatch;
use crate::telemetry::trace;

pub(super) async fn watch(
    service: &Service,
    asker: &Asker,
    request: WatchRequest,
    deadline: CallDeadline,
    share: &Share,
) -> Result<Answers<WatchResponse>, ErrorDetail> {
    let store = &service.stores.one(&request.store)?.handle;
    let asked = Asked::of(&request, deadline)?;
    asked.is_allowed(asker, store.name())?;
    let Some(place) = share.try_watch() else {
        return Err(error::too_many_watches());
    };
    // A copy that cannot be read is told now and by name; nothing is read of the snapshot.
    let copy = read::open(store, request.read.as_ref(), None, deadline).await;
    let copy = copy.map_err(|missed| missed.detail)?.copy;
    let demand = asked.demand(asked.start(&request, store).await?);
    let (parts, answers) = Answers::channel(BATCHES_AHEAD + 1, &service.ending);
    let end = parts.clone().try_reserve_owned().expect("nothing was sent yet");
    let watch = Watch {
        watcher: Watcher::new(demand, clock::now()),
        store: store.clone(),
        asked,
        copy: Some(copy),
        state: None,
        beside: None,
        share: share.clone(),
        parts,
        lost: None,
        counted: OpenWatch::begin(store.name()),
        _place: place,
    };
    let ending = service.ending.clone();
    let watching = async move { ending.run_until_cancelled(watch.run(end)).await };
    service.tasks.spawn(trace::carried(watching));
    Ok(answers)
}

struct Watch {
    watcher: Watcher,
    store: StoreHandle,
    asked: Asked,
    /// Told with the first message.
    copy: Option<CopyState>,
    /// The snapshot that the watcher was shown last, and its place among the scans.
    state: Option<(State, OwnedSemaphorePermit)>,
    /// It reads the log for this watch while that is behind the ring.
    beside: Option<LogBeside>,
    share: Share,
    parts: mpsc::Sender<Part<WatchResponse>>,
    /// Why the next state is sent; none: the caller asked for it.
    lost: Option<Lost>,
    counted: OpenWatch,
    /// One of those that may be open.
    _place: OwnedSemaphorePermit,
}

/// Why a watch does not go on.
enum Stop {
    /// Nobody is there to hear of it.
    Gone,
    Failed(ErrorDetail),
}

impl From<ErrorDetail> for Stop {
    fn from(detail: ErrorDetail) -> Stop {
        Stop::Failed(detail)
    }
}

/// What was read from the log; where nothing is, it never comes.
async fn answer(beside: &mut Option<LogBeside>) -> Answer {
    match beside {
        Some(beside) => beside.answer().await,
        None => std::future::pending().await,
    }
}

impl Watch {
    /// `end` is a place of its own: why a watch ends is told whether its caller has taken what came before or not.
    async fn run(mut self, end: OwnedPermit<Part<WatchResponse>>) {
        loop {
            match self.step().await {
                Ok(()) => {}
                Err(Stop::Gone) => return,
                Err(Stop::Failed(detail)) => {
                    end.send(Part::Last(Err(Status::from(detail))));
                    return;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), Stop> {
        let store = self.store.clone();
        let mut moved = pin!(store.next_move());
        moved.as_mut().enable();
        let step = store.watch(&mut self.watcher);
        if !self.watcher.reads_log() {
            self.beside = None;
        }
        match step {
            Step::Read(wanted) => {
                let beside = self.beside.get_or_insert_with(|| store.log_beside());
                beside.read(wanted);
                Ok(())
            }
            Step::Send(message) => self.tell(message).await,
            Step::Filter => match self.watcher.filter() {
                Some(message) => self.tell(message).await,
                None => Ok(()),
            },
            Step::Open(generation) => self.open(generation),
            Step::Rows => self.send_state().await,
            Step::Wait { until, deadline } => self.wait(until, deadline).await,
            Step::Idle { until } => {
                let left = until.map(|until| until.saturating_sub(clock::now().mono));
                tokio::select! {
                    () = moved => Ok(()),
                    answer = answer(&mut self.beside) => {
                        store.read_for(&mut self.watcher, answer);
                        Ok(())
                    }
                    () = sleep(left.unwrap_or_default()), if left.is_some() => Ok(()),
                    () = self.parts.closed() => Err(Stop::Gone),
                }
            }
            Step::End(End::Lost(lost)) => Err(error::compacted(&lost).into()),
            Step::End(End::Rejected(rejection)) => {
                Err(error::turned_away(store.circumstances(), &rejection).into())
            }
        }
    }

    async fn tell(&mut self, message: Message) -> Result<(), Stop> {
        let told = match message {
            Message::Started { point } => Told::Started(WatchStarted {
                copy: self.copy.take(),
                point: point.as_ref().map(convert::point),
            }),
            Message::StateEnd { point } => {
                self.state = None;
                Told::StateEnd(StateEnd { point: Some(convert::point(&point)) })
            }
            Message::Progress { point } => {
                Told::Progress(WatchProgress { point: Some(convert::point(&point)) })
            }
            Message::Again { why } => {
                self.state = None;
                self.lost = Some(why);
                Told::Again(StateAgain { why: Some(error::compacted(&why)) })
            }
            Message::Changes(changes) => {
                self.counted.sends_changes(changes.records().len());
                for changes in message::changes(&changes, &self.asked.rows) {
                    let changes = changes.map_err(|large| error::row_too_large(&large))?;
                    self.send(Told::Changes(changes)).await?;
                }
                return Ok(());
            }
        };
        self.send(told).await
    }

    async fn send(&self, told: Told) -> Result<(), Stop> {
        let place = self.parts.reserve().await.map_err(|_gone| Stop::Gone)?;
        place.send(Part::Message(WatchResponse { part: Some(told) }));
        Ok(())
    }

    fn open(&mut self, generation: Generation) -> Result<(), Stop> {
        self.state = None;
        let place = self.share.try_scan().ok_or_else(|| error::overloaded("scans"))?;
        match self.store.open_state(generation, &mut self.watcher) {
            Ok(state) => {
                if state.is_some() {
                    self.counted.begins_state(self.lost.take());
                }
                self.state = state.map(|state| (state, place));
                Ok(())
            }
            Err(ReadError::Rejected(rejection)) => {
                Err(error::turned_away(self.store.circumstances(), &rejection).into())
            }
            Err(ReadError::Disk { generation, closing, error }) => {
                let origin = Origin::new(self.store.clone(), generation, closing);
                Err(origin.failed(&error).into())
            }
        }
    }

    /// Sends the rows of the snapshot. It is kept from its opening to its last row, by callers who take rows.
    async fn send_state(&mut self) -> Result<(), Stop> {
        let (state, _place) = self.state.take().expect("the watcher was shown it");
        let State { view, generation, closing } = state;
        let origin = Origin::new(self.store.clone(), generation, closing.clone());
        let sent = tokio::select! {
            biased;
            () = closing.closed() => None,
            sent = self.send_rows(Box::new(view), &origin) => Some(sent?),
        };
        match sent {
            Some(()) => self.watcher.rows_sent(),
            None => self.watcher.rows_lost(),
        }
        Ok(())
    }

    async fn send_rows(&self, mut view: Box<dyn View + Send>, origin: &Origin) -> Result<(), Stop> {
        for range in self.asked.ranges() {
            let mut walk = Walk::new(view, self.asked.rows.selection(range));
            while !walk.at_end() {
                let place = match timeout(IDLE_MAX, self.parts.reserve()).await {
                    Ok(Ok(place)) => place,
                    Ok(Err(_gone)) => return Err(Stop::Gone),
                    Err(_idle) => return Err(error::state_not_read(IDLE_MAX).into()),
                };
                let Some((rows, read)) = next_rows(walk, origin).await else {
                    return Err(Stop::Gone);
                };
                walk = read;
                let rows = rows?;
                if !rows.is_empty() {
                    let part = Some(Told::Rows(StateRows { rows }));
                    place.send(Part::Message(WatchResponse { part }));
                }
            }
            view = walk.into_view();
        }
        Ok(())
    }

    async fn wait(&mut self, until: Until, deadline: Duration) -> Result<(), Stop> {
        let reached = tokio::select! {
            reached = self.store.reach(until, deadline) => reached.map(|_end| ()),
            () = self.parts.closed() => return Err(Stop::Gone),
        };
        self.watcher.waited(reached);
        Ok(())
    }
}
