//! The door of one store for everything outside of the core thread: handlers, health, metrics.
//!
//! Commands enter the core's inbox only with a permit, which is kept until their answer: that bounds
//! the inbox. Reads do not pass through the core unless they must wait for a position.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use outrigger_core::gate::{Admit, Gate, ReadLevel, Rejection, Until};
use outrigger_core::limits::Limits;
use outrigger_core::lineage::Lineage;
use outrigger_core::log::KafkaError;
use outrigger_core::node::{Change, Command, Outcome, Reply, Status};
use outrigger_core::offset::{Generation, Offset, Partition, RequestId};
use outrigger_core::phase::Phase;
use outrigger_core::read::{Answer, Demand, Opened, ReadPath, Step};
use outrigger_core::store::{StoreError, View};
use outrigger_core::token::Token;
use outrigger_core::topic::TopicId;
use outrigger_core::watch::reader;
use outrigger_core::watch::sight::Sight;
use outrigger_core::watch::watcher::{self, Watcher};
use tokio::sync::futures::Notified;
use tokio::sync::{oneshot, watch};

use super::admission::Permit;
use super::beside::LogBeside;
use super::circumstances::Circumstances;
use super::clock;
use super::disk_times::DiskShown;
use super::door::Door;
use super::inbox::{Input, Waiter};
use super::snapshot::Snapshot;
use crate::rocks::{Checkpoint, Closing, RocksView};
use crate::telemetry::metrics::Vitals;
use crate::telemetry::trace;

/// A clone is a reference to the same store.
#[derive(Clone)]
pub struct StoreHandle {
    pub(super) door: Arc<Door>,
}

/// What the log answered, one outcome per change in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub topic: TopicId,
    pub partitions: u32,
    pub outcomes: Vec<Outcome>,
}

/// A read that may be answered: one snapshot, and what is said of it.
pub struct Read {
    pub view: Snapshot,
    pub generation: Generation,
    /// The end of that generation: whoever reads for long ends when it is closed.
    pub closing: Closing,
    pub answer: Answer,
}

/// The snapshot that the state of a watch comes from.
pub struct State {
    pub view: Snapshot,
    pub generation: Generation,
    /// The end of that generation.
    pub closing: Closing,
}

/// Why there is no snapshot.
#[derive(Debug)]
pub enum ReadError {
    Rejected(Rejection),
    Disk { generation: Generation, closing: Closing, error: StoreError },
}

/// The answer to a write that has entered the core. Dropping it changes nothing: the write is not stopped.
#[must_use = "the outcome of a write is known only here"]
pub struct PendingWrite {
    state: Pending,
}

enum Pending {
    Waiting { id: RequestId, reply: oneshot::Receiver<Reply>, changes: usize, door: Arc<Door> },
    Rejected(Rejection),
}

impl StoreHandle {
    pub(super) fn new(door: Arc<Door>) -> StoreHandle {
        StoreHandle { door }
    }

    pub fn name(&self) -> &str {
        &self.door.name
    }

    /// Name of the store's topic.
    pub fn topic(&self) -> &str {
        &self.door.topic
    }

    pub fn limits(&self) -> &Limits {
        &self.door.limits
    }

    pub fn circumstances(&self) -> &Circumstances {
        &self.door.circumstances
    }

    pub fn gate(&self) -> Arc<Gate> {
        self.door.gate.load_full()
    }

    pub fn status(&self) -> Arc<Status> {
        self.door.status.borrow().clone()
    }

    /// Returns how long its disk takes.
    pub fn disk(&self) -> DiskShown {
        self.door.times.shown()
    }

    /// Returns how the store's open databases are. Blocks on them for a moment.
    pub fn vitals(&self) -> Vitals {
        self.door.views.vitals()
    }

    /// Wakes after changes: at once for a phase or a stall, else a few times a second while something changes.
    pub fn status_changes(&self) -> watch::Receiver<Arc<Status>> {
        self.door.status.subscribe()
    }

    /// Writes and waits for the log's answer. Dropping the future does not stop the write.
    pub async fn write(&self, changes: Vec<Change>) -> Result<Written, Rejection> {
        self.begin_write(changes)?.await
    }

    /// Begins a single call's write. Without room it is refused at once (`Overloaded`): a single call has its own
    /// deadline and a caller that can try again, and waiting calls would be the unbounded queue that admission is there
    /// to prevent.
    pub fn begin_write(&self, changes: Vec<Change>) -> Result<PendingWrite, Rejection> {
        let permit = self.door.admission.call(&changes).ok_or(Rejection::Overloaded)?;
        Ok(self.enter(changes, permit))
    }

    /// Waits for room, then hands the write to the core and returns: writes of one caller are appended in the order of
    /// these calls. It is for streams, which are told to wait by not being read from; they have their own room, so that
    /// a bulk load cannot turn single calls away.
    pub async fn submit(&self, changes: Vec<Change>) -> PendingWrite {
        let room = self.door.admission.stream(&changes);
        let permit = trace::admission(self.name(), room).await;
        self.enter(changes, permit)
    }

    /// Returns a snapshot that is as fresh as `demand` asks for, and waits for it no longer than `deadline`.
    pub async fn read(&self, demand: Demand, deadline: Duration) -> Result<Read, ReadError> {
        let mut path = ReadPath::new(demand, clock::now().mono + deadline);
        loop {
            match path.next(&self.gate(), clock::now())? {
                // It is boxed: a future is moved with all that it may hold, and most reads do not wait.
                Step::Wait { until, deadline } => {
                    let reached = trace::wait(self.name(), self.reach(until, deadline));
                    path.reached(Box::pin(reached).await?);
                }
                Step::Open(generation) => {
                    if let Some(read) = self.open(generation, &mut path)? {
                        return Ok(read);
                    }
                }
            }
        }
    }

    /// Waits until reads of this node's copy at LOCAL find what was written before `reached`, an exclusive position in each
    /// of these partitions of `topic`. Returns whether they do: not when the copy is not READY, there is no room to wait, or
    /// the time is `until`.
    pub async fn shows(
        &self,
        topic: TopicId,
        reached: impl IntoIterator<Item = (Partition, Offset)>,
        until: Instant,
    ) -> bool {
        let wait_max = until.saturating_duration_since(Instant::now());
        let gate = self.gate();
        let mut positions = vec![(Offset::ZERO, None); gate.positions.len()];
        for (partition, position) in reached {
            match positions.get_mut(partition.index()) {
                Some(at) => *at = (position, None),
                None => return false,
            }
        }
        let written = ReadLevel::AtLeast(Token { topic, positions });
        match gate.admit(&written, None, clock::now()) {
            Ok(Admit::Now(_)) => true,
            Ok(Admit::Wait(until)) => {
                let reached = self.reach(until, wait_max).await.is_ok();
                let admitted = self.gate().admit(&written, None, clock::now());
                reached && matches!(admitted, Ok(Admit::Now(_)))
            }
            Err(_) => false,
        }
    }

    /// Returns the next step of a watch. It is cheap, and blocks for no longer than another watch's step takes.
    pub fn watch(&self, watcher: &mut Watcher) -> watcher::Step {
        self.seen(|sight| watcher.next(sight))
    }

    /// Hands a watch what was read from the log for it.
    pub fn read_for(&self, watcher: &mut Watcher, answer: reader::Answer) {
        self.seen(|sight| watcher.read(answer, sight));
    }

    /// A reader of the log for one watch. It must be called on a tokio runtime.
    pub fn log_beside(&self) -> LogBeside {
        self.door.beside.reader(self.door.index)
    }

    pub(super) fn seen<T>(&self, act: impl FnOnce(&Sight<'_>) -> T) -> T {
        let ring = self.door.feed.ring();
        // It is loaded under the lock: so it is never older than the ring.
        let gate = self.gate();
        act(&Sight { ring: &ring, gate: &gate, limits: &self.door.limits, now: clock::now() })
    }

    /// Wakes when there may be another step for a watch: after whatever happens from this call on.
    pub fn next_move(&self) -> Notified<'_> {
        self.door.feed.next_move()
    }

    /// Opens a snapshot for the state of a watch, which judges it. None: it has to look again.
    pub fn open_state(
        &self,
        generation: Generation,
        watcher: &mut Watcher,
    ) -> Result<Option<State>, ReadError> {
        let opened = self.snapshot(generation)?;
        let lineages = opened.as_ref().map(|(_, lineages)| lineages.as_slice());
        watcher.opened(lineages, clock::now());
        Ok(opened.map(|(view, _)| {
            let closing = view.closing().clone();
            State { view: Snapshot::new(view, self.door.disk.clone()), generation, closing }
        }))
    }

    /// Stops the restore that runs; what is on disk is kept.
    pub async fn cancel(&self) -> Result<(), Rejection> {
        self.operate(Command::Cancel).await
    }

    /// Resumes a cancelled restore.
    pub async fn continue_restore(&self) -> Result<(), Rejection> {
        self.operate(Command::Continue).await
    }

    /// Hands a command to the core. It is answered at once, so that the room of waiting reads bounds it well enough.
    async fn operate(&self, command: Command) -> Result<(), Rejection> {
        let permit = self.door.admission.wait().ok_or(Rejection::Overloaded)?;
        let (answer, reply) = oneshot::channel();
        self.door.enter(command, Waiter::of(answer, Some(permit)))?;
        match reply.await {
            Ok(Reply::Done) => Ok(()),
            Ok(Reply::Rejected(rejection)) => Err(rejection),
            Ok(Reply::Written { .. } | Reply::Reached { .. } | Reply::Pinned | Reply::Drained) => {
                unreachable!("a command is answered as what it is")
            }
            Err(_) => Err(Rejection::Draining),
        }
    }

    /// Makes a checkpoint of the copy in use; none while it is not READY. Blocks on the disk.
    pub fn checkpoint(&self, id: &str) -> Option<Result<Checkpoint, StoreError>> {
        let gate = self.gate();
        let generation = gate.generation.filter(|_| gate.phase == Phase::Ready)?;
        self.door.views.checkpoint(generation, id)
    }

    /// Counts a read that failed. Returns how many failed since that was told last, when it is to be told now.
    pub fn count_failed_read(&self) -> Option<u64> {
        self.door.count_failed_read()
    }

    /// A read met damage: the core decides what becomes of the generation.
    pub fn report_damage(&self, generation: Generation, detail: String) {
        self.door.report_damage(generation, detail);
    }

    fn enter(&self, changes: Vec<Change>, permit: Permit) -> PendingWrite {
        let (answer, reply) = oneshot::channel();
        let count = changes.len();
        let append = trace::Append::begin(self.name(), count);
        let waiter = Waiter { append, ..Waiter::of(answer, Some(permit)) };
        let entered = self.door.enter(Command::Write(changes), waiter);
        let state = match entered {
            Ok(id) => Pending::Waiting { id, reply, changes: count, door: self.door.clone() },
            Err(rejection) => Pending::Rejected(rejection),
        };
        PendingWrite { state }
    }

    /// Waits until the copy has what `until` says, `deadline` at most.
    pub async fn reach(
        &self,
        until: Until,
        deadline: Duration,
    ) -> Result<Option<Vec<Offset>>, Rejection> {
        let permit = self.door.admission.wait().ok_or(Rejection::Overloaded)?;
        let (answer, reply) = oneshot::channel();
        let waiter = Waiter::of(answer, Some(permit));
        let id = self.door.enter(Command::Await { until, deadline }, waiter)?;
        let gone = Gone { door: &self.door, id };
        let reply = reply.await;
        std::mem::forget(gone);
        match reply {
            Ok(Reply::Reached { end }) => Ok(end),
            Ok(Reply::Rejected(rejection)) => Err(rejection),
            Ok(Reply::Written { .. } | Reply::Pinned | Reply::Drained | Reply::Done) => {
                unreachable!("an await is answered as one")
            }
            Err(_) => Err(Rejection::Draining),
        }
    }

    /// Returns the copy as it is exactly at `at`, once it is there. It is kept until the pin is dropped or its lease
    /// ([`Limits::pin_lease`]) ends.
    pub async fn pin(&self, at: Token, deadline: Duration) -> Result<PinnedCopy, Rejection> {
        let permit = self.door.admission.wait().ok_or(Rejection::Overloaded)?;
        let (answer, reply) = oneshot::channel();
        let waiter = Waiter::of(answer, Some(permit));
        let id = self.door.enter(Command::Pin { at, deadline }, waiter)?;
        let pin = PinnedCopy { door: self.door.clone(), id };
        match reply.await {
            Ok(Reply::Pinned) => Ok(pin),
            Ok(Reply::Rejected(rejection)) => Err(rejection),
            Ok(Reply::Written { .. } | Reply::Reached { .. } | Reply::Drained | Reply::Done) => {
                unreachable!("a pin is answered as one")
            }
            Err(_) => Err(Rejection::Draining),
        }
    }

    /// Opens a snapshot of `generation` for `path`. None: it has to look again.
    fn open(&self, generation: Generation, path: &mut ReadPath) -> Result<Option<Read>, ReadError> {
        let Some((view, lineages)) = self.snapshot(generation)? else {
            path.opened(None, clock::now())?;
            return Ok(None);
        };
        match path.opened(Some(&lineages), clock::now())? {
            Opened::Answer(answer) => {
                let closing = view.closing().clone();
                let view = Snapshot::new(view, self.door.disk.clone());
                Ok(Some(Read { view, generation, closing, answer }))
            }
            Opened::Again => Ok(None),
        }
    }

    /// None: the generation is not open.
    fn snapshot(
        &self,
        generation: Generation,
    ) -> Result<Option<(RocksView, Vec<Lineage>)>, ReadError> {
        let Some(view) = self.door.views.view(generation) else { return Ok(None) };
        match view.lineages() {
            Ok(lineages) => Ok(Some((view, lineages))),
            Err(error) => {
                Err(ReadError::Disk { generation, closing: view.closing().clone(), error })
            }
        }
    }
}

impl From<Rejection> for ReadError {
    fn from(rejection: Rejection) -> ReadError {
        ReadError::Rejected(rejection)
    }
}

/// A copy that is kept as it is at one position. Dropped, it is no longer kept.
pub struct PinnedCopy {
    door: Arc<Door>,
    id: RequestId,
}

impl PinnedCopy {
    /// Returns the copy and the generation that it is of. None: the lease is over, or the generation was closed.
    pub fn view(&self) -> Option<(Generation, Closing, Box<dyn View + Send>)> {
        let view = self.door.views.pinned(self.id)?;
        Some((view.generation(), view.closing().clone(), Box::new(view)))
    }
}

impl Drop for PinnedCopy {
    fn drop(&mut self) {
        self.door.send(Input::Gone(self.door.index, self.id));
    }
}

/// Tells the core that nobody waits any more, unless the answer came first.
struct Gone<'a> {
    door: &'a Door,
    id: RequestId,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.door.send(Input::Gone(self.door.index, self.id));
    }
}

impl PendingWrite {
    /// Returns the circumstances of its store; none where it was turned away at the door.
    pub fn circumstances(&self) -> Option<&Circumstances> {
        match &self.state {
            Pending::Waiting { door, .. } => Some(&door.circumstances),
            Pending::Rejected(_) => None,
        }
    }

    /// Sees to it that what has not been sent by now is never sent. The answer comes as ever: at once, if nothing was
    /// sent.
    pub fn withdraw(&self) {
        match &self.state {
            Pending::Waiting { id, door, .. } => door.send(Input::Withdraw(door.index, *id)),
            Pending::Rejected(_) => {}
        }
    }
}

impl Future for PendingWrite {
    type Output = Result<Written, Rejection>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            Pending::Rejected(rejection) => Poll::Ready(Err(rejection.clone())),
            Pending::Waiting { reply, changes, door, .. } => {
                Pin::new(reply).poll(context).map(|reply| match reply {
                    Ok(Reply::Written { topic, partitions, outcomes }) => {
                        Ok(Written { topic, partitions, outcomes })
                    }
                    Ok(Reply::Rejected(rejection)) => Err(rejection),
                    Ok(Reply::Reached { .. } | Reply::Pinned | Reply::Drained | Reply::Done) => {
                        unreachable!("a write is answered as one")
                    }
                    Err(_) => unanswered(*changes, &door.gate.load()),
                })
            }
        }
    }
}

/// Returns the outcome where the core ended before the log answered: what it had been given may be in the log.
fn unanswered(changes: usize, gate: &Gate) -> Result<Written, Rejection> {
    // While no topic was known no write was ever handed to the log.
    let topic = gate.topic.ok_or(Rejection::Draining)?;
    let partitions =
        u32::try_from(gate.positions.len()).expect("Kafka counts partitions in 31 bits");
    let outcome = Outcome::Unknown(KafkaError::client_gone());
    Ok(Written { topic, partitions, outcomes: vec![outcome; changes] })
}
