//! The core thread: runs every node of the process off one inbox, and carries out what they ask for.
//!
//! It never waits for anything but its inbox. After each event the gate is published before the effects go out: no
//! read that looks again finds a generation whose `Close` was sent, and no answer overtakes the state that it speaks
//! of.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use outrigger_core::node::{Command, Effect, Event, Node, Notice, Reply};
use outrigger_core::offset::RequestId;
use outrigger_core::phase::Phase;

use super::clock;
use super::disks::Disks;
use super::door::Door;
use super::inbox::{Input, Waiter};
use super::lost::LostReports;
use super::notices::Notices;
use super::peers::Peers;
use super::throttle;
use crate::index::StoreIndex;
use crate::log::Log;
use crate::telemetry::metrics::Writes;
use crate::telemetry::trace;
use crate::vital::{Heartbeat, Pulse, Work};
use crate::watchdog::{Watched, Worker};

/// Inputs handled before timers and statuses have their turn.
const BURST_MAX: usize = 256;

/// How often the status of a busy store is published.
const STATUS_INTERVAL: Duration = Duration::from_millis(50);

/// The pause after a timer that stays due, such as a drain's that waits for a slow disk.
const PATIENCE_MIN: Duration = Duration::from_millis(1);

/// Longest wait without any timer: whoever shows a state tells by this thread's heartbeat whether it is still so.
const PATIENCE_MAX: Duration = Duration::from_millis(500);

pub(super) struct Machine {
    inbox: Work<Input>,
    log: Box<dyn Log>,
    disks: Disks,
    lost: LostReports,
    peers: Peers,
    /// The nodes, by store index.
    hosted: Vec<Hosted>,
    heartbeat: Heartbeat,
    /// Bytes per second of all stores together.
    restore_rate: Option<NonZeroU64>,
    /// What each node was told of it.
    restore_share: Option<NonZeroU64>,
}

/// A node and everything that belongs to it.
struct Hosted {
    node: Node,
    door: Arc<Door>,
    waiters: BTreeMap<RequestId, Waiter>,
    /// Writes that were accepted and not answered, and since when, whether their callers still wait or not.
    unanswered: BTreeMap<RequestId, Instant>,
    oldest_write: Pulse,
    notices: Notices,
    writes: Writes,
    applies: trace::Applies,
    status: StatusClock,
}

/// When a status is published next.
#[derive(Default)]
struct StatusClock {
    changed: bool,
    urgent: bool,
    /// Monotonic: when it was published last.
    published: Duration,
}

impl Machine {
    pub(super) fn new(
        inbox: Work<Input>,
        log: Box<dyn Log>,
        disks: Disks,
        lost: LostReports,
        peers: Peers,
        hosted: Vec<(Node, Arc<Door>)>,
        restore_rate: Option<NonZeroU64>,
    ) -> Machine {
        let hosted = hosted.into_iter().map(|(node, door)| Hosted {
            notices: Notices::new(door.clone()),
            writes: Writes::of(&door.name),
            applies: trace::Applies::of(&door.name),
            node,
            door,
            waiters: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            oldest_write: Pulse::default(),
            status: StatusClock::default(),
        });
        let hosted = hosted.collect();
        let heartbeat = Heartbeat::default();
        heartbeat.beat(clock::now().mono);
        let restore_share = None;
        Machine { inbox, log, disks, lost, peers, hosted, heartbeat, restore_rate, restore_share }
    }

    pub(super) fn heartbeat(&self) -> Heartbeat {
        self.heartbeat.clone()
    }

    /// Returns what is watched of this thread, and of what is asked of it.
    pub(super) fn watched(&self) -> Vec<Watched> {
        let core =
            Watched { name: "core".to_owned(), worker: Worker::Core, pulse: self.inbox.pulse() };
        let writes = self.hosted.iter().map(|hosted| Watched {
            name: format!("writes of {}", hosted.door.name),
            worker: Worker::Writes,
            pulse: hosted.oldest_write.clone(),
        });
        std::iter::once(core).chain(writes).chain(self.log.watched()).collect()
    }

    pub(super) fn run(mut self) {
        for index in (0..self.hosted.len()).map(StoreIndex) {
            self.carry_out(index);
        }
        self.share_rate();
        loop {
            match self.inbox.recv_within(self.patience()) {
                Ok(Input::Stop) => return,
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("the doors hold senders"),
            }
            for _ in 1..BURST_MAX {
                match self.inbox.try_recv() {
                    Ok(Input::Stop) => return,
                    Ok(input) => self.take(input),
                    Err(_) => break,
                }
            }
            self.share_rate();
            self.fire_timers();
            if self.log.due().is_some_and(|due| due <= Instant::now()) {
                self.log.send_due();
            }
            self.publish_statuses();
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Command { store, id, command, waiter } => {
                let hosted = &mut self.hosted[store.0];
                hosted.waiters.insert(id, waiter);
                if matches!(command, Command::Write(_)) {
                    hosted.unanswered.insert(id, Instant::now());
                }
                if matches!(command, Command::Drain) {
                    hosted.notices.drains();
                }
                self.step(store, Event::Command(id, command));
            }
            Input::Gone(store, id) => {
                self.hosted[store.0].waiters.remove(&id);
                self.step(store, Event::Gone(id));
            }
            Input::Withdraw(store, id) => self.step(store, Event::Withdraw(id)),
            Input::Damaged { store, generation, detail } => {
                self.step(store, Event::Damaged { generation, detail });
                self.hosted[store.0].door.damage_reported.store(false, Ordering::Release);
            }
            Input::Log(store, event) => self.step(store, Event::Log(event)),
            // What it has comes through the inbox, like everything of any thread.
            Input::LogTurn => self.log.turn(),
            Input::Store(store, event) => self.step(store, Event::Store(event)),
            Input::RestoreRate(rate, holds) => {
                self.restore_rate = rate;
                self.share_rate();
                // Whoever asked may be gone: the rate holds regardless.
                let _gone = holds.send(());
            }
            Input::Peer(store, event) => self.step(store, Event::Peer(event)),
            Input::Stop => unreachable!("ends the loop that takes inputs"),
        }
    }

    fn step(&mut self, store: StoreIndex, event: Event) {
        self.hosted[store.0].node.handle(clock::now(), event);
        self.carry_out(store);
    }

    fn carry_out(&mut self, store: StoreIndex) {
        let hosted = &mut self.hosted[store.0];
        hosted.status.changed = true;
        let mut moved = false;
        if let Some(gate) = hosted.node.changed_gate() {
            hosted.door.gate.store(Arc::new(gate));
            moved = true;
        }
        while let Some(effect) = hosted.node.poll() {
            match effect {
                Effect::Log(call) => self.log.call(store, call),
                Effect::Store(call) => self.disks.call(store, call),
                Effect::Peer(call) => self.peers.call(store, call),
                Effect::Reply(id, reply) => hosted.reply(id, reply),
                Effect::Ring(news) => {
                    hosted.door.feed.take(news);
                    moved = true;
                }
                Effect::Notice(notice) => {
                    hosted.notices.tell(&notice);
                    if let (Notice::Phase(Phase::Ready), Some(generation)) =
                        (&notice, hosted.node.gate().generation)
                    {
                        self.lost.on_ready(store, generation);
                    }
                    hosted.status.urgent = true;
                }
            }
        }
        if moved {
            hosted.door.feed.moved();
        }
        hosted.writes.shown(hosted.node.gate());
        hosted.applies.shown(hosted.node.gate());
    }

    /// Tells each store what it may read, where that has changed: with the rate, or with the number of those that
    /// restore.
    fn share_rate(&mut self) {
        let phases = self.hosted.iter().map(|hosted| &hosted.node.gate().phase);
        let share = throttle::share(self.restore_rate, phases);
        if share == self.restore_share {
            return;
        }
        self.restore_share = share;
        for index in (0..self.hosted.len()).map(StoreIndex) {
            self.step(index, Event::RestoreRate(share));
        }
    }

    fn fire_timers(&mut self) {
        let now = clock::now().mono;
        for index in (0..self.hosted.len()).map(StoreIndex) {
            if self.hosted[index.0].node.next_timer().is_some_and(|timer| timer <= now) {
                self.step(index, Event::Timer);
            }
        }
    }

    fn publish_statuses(&mut self) {
        let now = clock::now().mono;
        for hosted in &mut self.hosted {
            hosted.oldest_write.set(hosted.unanswered.keys().next().map(|id| id.0));
            if hosted.status.due().is_some_and(|due| due <= now) {
                hosted.status = StatusClock { published: now, ..StatusClock::default() };
                hosted.door.status.send_replace(Arc::new(hosted.node.status()));
            }
        }
        // What is published was so until this moment.
        self.heartbeat.beat(now);
    }

    /// Returns how long nothing has to be done.
    fn patience(&self) -> Duration {
        let timers =
            self.hosted.iter().flat_map(|hosted| [hosted.node.next_timer(), hosted.status.due()]);
        let now = clock::now().mono;
        let next = timers.flatten().min().map(|timer| timer.saturating_sub(now));
        let turn = self.log.due().map(|due| due.saturating_duration_since(Instant::now()));
        next.into_iter().chain(turn).min().unwrap_or(PATIENCE_MAX).clamp(PATIENCE_MIN, PATIENCE_MAX)
    }
}

impl Hosted {
    fn reply(&mut self, id: RequestId, reply: Reply) {
        let began = self.unanswered.remove(&id);
        if let (Reply::Written { outcomes, .. }, Some(began)) = (&reply, began) {
            self.writes.answered(outcomes, began);
        }
        if let Some(Waiter { answer, permit, append }) = self.waiters.remove(&id) {
            self.applies.answered(append, &reply);
            // Perhaps nobody is there any more: a write is not stopped when its caller leaves.
            let _gone = answer.send(reply);
            drop(permit);
        }
    }
}

impl StatusClock {
    /// Returns when (monotonic) it is published next; none while nothing changed.
    fn due(&self) -> Option<Duration> {
        match (self.changed, self.urgent) {
            (false, _) => None,
            (true, true) => Some(Duration::ZERO),
            (true, false) => Some(self.published + STATUS_INTERVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_told_at_once_and_progress_a_few_times_a_second() {
        let published = Duration::from_secs(100);
        let quiet = StatusClock { published, ..StatusClock::default() };
        assert_eq!(quiet.due(), None);
        let moving = StatusClock { changed: true, urgent: false, published };
        assert_eq!(moving.due(), Some(published + STATUS_INTERVAL));
        let notable = StatusClock { changed: true, urgent: true, published };
        assert_eq!(notable.due(), Some(Duration::ZERO));
    }
}
