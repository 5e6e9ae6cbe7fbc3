//! The machine of one store: everything it knows, and the only code that changes it.
//!
//! A node is always in one [`Stage`](stage::Stage), which owns what belongs to it alone; what outlives it is in
//! [`Shared`](shared::Shared). Unexpected news from the log or the disk never patches the state in place: the node closes
//! its generations without flushing, asks and opens again, and decides anew.
//!
//! ```text
//! Asking -> Opening -> Recording -> Preparing -> Reading     (restore, then the tail)
//!                       ^  |  |                     | anything unexpected
//!     the log says      |  |  |                     v
//!     something else    |  v  |        Suspended (a pause) -> Closing -> Asking
//!                     Waiting |                                 ^  |
//!                       ^     v                                 |  +-> Stopped, in a drain
//!                       +-- Fetching (from a peer) -------------+
//! ```
//! From any stage but Closing and Stopped a failing disk leads to Suspended, and a drain to Closing in the end.
//!
//! | what happens | where it is handled |
//! |---|---|
//! | an event comes | here: by the stage, or by what it concerns whatever the stage is |
//! | one stage follows another | `stage`, by what its handlers return |
//! | a copy is judged | [`decide`](crate::decide), called by `stage::decided`, which carries the plan out |
//! | records go from the log to the store | `stage::reading` |
//! | the phase, and what reads see | follow from the stage: `stage`, and `publish` here |

mod cancel;
mod drain;
mod event;
mod shared;
mod stage;
mod status;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::gate::{Gate, Rejection, Until};
use crate::limits::Limits;
use crate::log::{EndAnswer, KafkaError, LogEvent};
use crate::offset::{Generation, Partition, RequestId};
use crate::peer::PeerEvent;
use crate::phase::{Operation, Phase};
use crate::stall::StallKind;
use crate::store::{StoreCallKind, StoreError, StoreEvent};
use crate::time::Now;
use crate::token::Token;
use crate::topic::{LogFacts, TopicFacts, TopicId};
use crate::watch::ring::RingNews;

pub use event::{Change, Command, Effect, Event, Notice, Outcome, PolicyWarning, Reply};
use shared::Shared;
pub use shared::Stall;
use stage::{Next, Reading, Stage, Stays};
pub use status::{PartitionStatus, Progress, Source, Status};

#[derive(Debug)]
pub struct Node {
    shared: Shared,
    stage: Stage,
}

impl Node {
    /// A node of `store`; drain its first effects with `poll`.
    pub fn new(store: String, limits: Limits, now: Now) -> Node {
        let shared = Shared::new(store, limits, now);
        let stage = Stage::asking(&shared);
        let mut node = Node { shared, stage };
        node.advance();
        node
    }

    /// This node has peers that it may ask for a copy.
    #[must_use]
    pub fn with_peers(mut self) -> Node {
        self.shared.peers.configured = true;
        self
    }

    pub fn handle(&mut self, now: Now, event: Event) {
        assert!(now.mono >= self.shared.now.mono, "the monotonic clock went back");
        self.shared.dates.observe(now);
        self.shared.now = self.shared.dates.now();
        let next = match event {
            Event::Log(event) => self.on_log(event),
            Event::Store(event) => self.on_store(event),
            Event::Peer(event) => self.on_peer(event),
            Event::Command(id, command) => self.on_command(id, command),
            Event::Gone(id) => self.on_gone(id),
            Event::Damaged { generation, detail } => self.on_damaged(generation, detail),
            Event::Withdraw(id) => {
                self.shared.withdraw(id);
                Next::Stay
            }
            Event::RestoreRate(rate) => {
                self.shared.throttle.set(rate);
                Next::Stay
            }
            Event::Timer => Next::Stay,
        };
        self.transition(next);
        self.advance();
    }

    /// The next thing to carry out. Between two polls lies a crash point.
    pub fn poll(&mut self) -> Option<Effect> {
        self.shared.effects.pop_front()
    }

    /// Monotonic time at which `Event::Timer` is wanted at the latest.
    pub fn next_timer(&self) -> Option<Duration> {
        let shared = &self.shared;
        let drain = shared.drain.as_ref().map(|drain| drain.until);
        let drain = drain.filter(|until| *until > shared.now.mono);
        let waits = [shared.slow_store_timer(), shared.awaits.timer()];
        waits.into_iter().chain([self.stage.timer(shared), drain]).flatten().min()
    }

    pub fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// The gate, once per change.
    pub fn changed_gate(&mut self) -> Option<Gate> {
        std::mem::take(&mut self.shared.gate_changed).then(|| self.shared.gate.clone())
    }

    fn on_command(&mut self, id: RequestId, command: Command) -> Next {
        match command {
            Command::Write(changes) => self.shared.write(id, changes),
            Command::Await { until, deadline } => self.wait_for(id, until, deadline),
            Command::Pin { at, deadline } => self.pin(id, at, deadline),
            Command::Cancel => self.cancel(id),
            Command::Continue => self.continue_restore(id),
            Command::Drain => self.begin_drain(id),
        }
        Next::Stay
    }

    fn on_log(&mut self, event: LogEvent) -> Next {
        match event {
            LogEvent::Facts(facts) => return self.on_facts(facts),
            LogEvent::Leaderless { topic, partition, error } => {
                return self.on_leaderless(topic, partition, &error);
            }
            LogEvent::Ends(ends) => return self.on_ends(&ends),
            LogEvent::TopicId(topic) => return self.on_topic_id(topic),
            LogEvent::Assigned { partition } => {
                let last = self.shared.assigned(partition);
                return self.read(|reading, _| reading.on_assigned(partition, last));
            }
            LogEvent::Fetched(batch) => {
                self.shared.end_stalls(|kind| {
                    matches!(kind, StallKind::PoisonBatch | StallKind::NoProgress)
                });
                return self.read(|reading, shared| reading.on_fetched(shared, batch));
            }
            LogEvent::Lost { partition, loss } => {
                return self.read(|reading, shared| reading.on_lost(shared, partition, loss));
            }
            LogEvent::PartitionCount(count) => {
                return self.read(|reading, shared| reading.on_partition_count(shared, count));
            }
            LogEvent::Appended { id, results } => self.shared.on_appended(id, results),
            LogEvent::Failed { call, error } => self.shared.on_log_failed(call, &error),
            LogEvent::Trouble(error) => {
                self.shared.begin_stall(StallKind::of(&error), error.to_string());
            }
        }
        Next::Stay
    }

    fn on_store(&mut self, event: StoreEvent) -> Next {
        self.shared.note_answer(&event);
        match event {
            StoreEvent::Found(found) => {
                let Stage::Opening(opening) = &self.stage else { return Next::Stay };
                opening.on_found(&mut self.shared, found)
            }
            StoreEvent::Looked(looked) => {
                if let Stage::Asking(asking) = &mut self.stage {
                    asking.on_looked(&mut self.shared, looked);
                }
                Next::Stay
            }
            StoreEvent::Applied { generation, partition, position } => {
                self.read(|reading, shared| {
                    reading.on_applied(shared, generation, partition, position)
                })
            }
            StoreEvent::Pinned { pin, partition } => self.read(|reading, shared| {
                reading.pins.on_pinned(shared, pin, partition);
                Ok(())
            }),
            StoreEvent::Done { call, generation } => {
                self.shared.note_done(call, generation);
                self.stage.on_done(&mut self.shared, call, generation)
            }
            StoreEvent::Failed { call, error } => self.on_store_failed(call, &error),
        }
    }

    fn on_peer(&mut self, event: PeerEvent) -> Next {
        let Stage::Fetching(fetching) = &mut self.stage else { return Next::Stay };
        fetching.on_peer(&mut self.shared, event)
    }

    fn on_gone(&mut self, id: RequestId) -> Next {
        self.shared.awaits.remove(id);
        self.read(|reading, shared| {
            reading.pins.unpin(shared, id);
            Ok(())
        })
    }

    /// Hands an event to the copy that is read into. Without one, the event belongs to a copy that is closed by now.
    fn read(&mut self, handle: impl FnOnce(&mut Reading, &mut Shared) -> Stays) -> Next {
        let Stage::Reading(reading) = &mut self.stage else { return Next::Stay };
        handle(reading, &mut self.shared).into()
    }

    fn on_facts(&mut self, facts: LogFacts) -> Next {
        let delete_retention_ms = facts.policy.delete_retention_ms;
        self.shared.ring(RingNews::Retention { delete_retention_ms, at: self.shared.now.mono });
        self.shared.end_silence(!self.stage.leaderless().is_empty());
        let reads = matches!(self.stage, Stage::Reading(_));
        let news = self.shared.learn(facts, reads);
        self.stage.on_facts(&mut self.shared, &news)
    }

    /// All ends are needed to decide about a copy. A node that reads one has the answers to its own questions for the ends,
    /// so it audits the topic alone.
    fn on_leaderless(
        &mut self,
        topic: TopicFacts,
        partition: Partition,
        error: &KafkaError,
    ) -> Next {
        if let Stage::Reading(_) = self.stage
            && let Some(facts) = self.shared.with_known_ends(topic)
        {
            return self.on_facts(facts);
        }
        self.shared.describe.failed(self.shared.now, &self.shared.limits);
        let detail = stage::silence(partition, error);
        self.shared.begin_stall(StallKind::LeaderUnavailable, detail);
        Next::Stay
    }

    fn on_ends(&mut self, ends: &[EndAnswer]) -> Next {
        let number = self.shared.ends.asked();
        let interval = self.shared.limits.ends_interval;
        let asked = self.shared.ends.answered(self.shared.now, interval);
        let silent = stage::silent(ends);
        let details: Vec<_> = silent.iter().map(|(at, error)| stage::silence(*at, error)).collect();
        if let Stage::Reading(reading) = &mut self.stage {
            reading.leaderless = silent;
        }
        self.shared.end_silence(!self.stage.leaderless().is_empty());
        if !details.is_empty() {
            self.shared.begin_stall(StallKind::LeaderUnavailable, details.join(", "));
        }
        match asked {
            Some(asked) => {
                self.read(|reading, shared| reading.on_ends(shared, number, asked, ends))
            }
            None => Next::Stay,
        }
    }

    fn on_topic_id(&mut self, topic: TopicId) -> Next {
        let interval = self.shared.limits.ends_interval;
        self.shared.topic_id.answered(self.shared.now, interval);
        self.read(|reading, shared| reading.on_topic_id(shared, topic))
    }

    fn on_store_failed(&mut self, call: StoreCallKind, error: &StoreError) -> Next {
        match call {
            // A failed pin loses nothing; a failing disk shows at the next write.
            StoreCallKind::Pin | StoreCallKind::Unpin => self.read(|reading, shared| {
                reading.pins.end(shared);
                Ok(())
            }),
            call => self.stage.on_store_failed(&mut self.shared, call, error),
        }
    }

    fn on_damaged(&mut self, generation: Generation, detail: String) -> Next {
        let corrupt = &self.shared.evidence.corrupt;
        if !self.shared.open.contains(&generation) || corrupt.contains_key(&generation) {
            return Next::Stay;
        }
        self.shared.begin_stall(StallKind::StoreFailed, detail.clone());
        let next = self.stage.on_damaged(generation, &detail);
        self.shared.evidence.corrupt.insert(generation, detail);
        next
    }

    fn wait_for(&mut self, id: RequestId, until: Until, deadline: Duration) {
        let shared = &mut self.shared;
        if let Err(rejection) = shared.gate.admit_operation(Operation::Read) {
            return shared.reply(id, Reply::Rejected(rejection));
        }
        if !shared.gate.awaits_free {
            return shared.reply(id, Reply::Rejected(Rejection::Overloaded));
        }
        if let Until::Latest(_) = until {
            shared.ends.hurry();
        }
        shared.awaits.add(id, until, shared.now.mono + deadline, shared.ends.asked());
    }

    fn pin(&mut self, id: RequestId, at: Token, deadline: Duration) {
        let gate = &self.shared.gate;
        let admitted = gate.admit_operation(Operation::Read).and_then(|()| gate.check_token(&at));
        let rejection = match (admitted, &mut self.stage) {
            (Ok(()), Stage::Reading(reading)) => {
                return reading.pin(&mut self.shared, id, at, deadline);
            }
            // The disk failed a moment ago; the phase may still be READY.
            (Ok(()), _) => Rejection::NotReady(self.shared.phase.clone()),
            (Err(rejection), _) => rejection,
        };
        self.shared.reply(id, Reply::Rejected(rejection));
    }

    /// Does everything that is due, whatever the event was: decisions stand in one place, not in each handler.
    fn advance(&mut self) {
        // This comes first: what waits for the disk gets no other name.
        self.shared.name_slow_store();
        let next = self.stage.advance(&mut self.shared);
        self.transition(next);
        let next = self.advance_drain();
        self.transition(next);
        self.stage.assess(&self.shared);
        self.follow_phase();
        self.publish();
        self.shared.settle_awaits(self.stage.leaderless());
        if let Stage::Reading(reading) = &mut self.stage {
            reading.pins.expire(&mut self.shared);
            reading.assert_ordered();
        }
    }

    /// What reads see follows from the stage.
    fn publish(&mut self) {
        let shared = &self.shared;
        let served = self.stage.served();
        let shown = self.stage.shown(&shared.gate);
        let gate = Gate {
            phase: if shared.drain.is_some() { Phase::Stopped } else { shared.phase.clone() },
            generation: served.map(|served| served.generation),
            fed: shown.fed,
            topic: shown.topic.or_else(|| shared.facts.as_ref().map(|facts| facts.topic)),
            positions: shown.positions,
            epochs: shown.epochs,
            exact: shown.exact,
            confirmed_at_ms: served.map_or(0, |served| served.confirmed_at_ms),
            awaits_free: shared.awaits.len() < shared.limits.awaits_max,
            delete_retention_ms_min: shown.delete_retention_ms_min,
        };
        if gate != shared.gate {
            self.shared.gate = gate;
            self.shared.gate_changed = true;
        }
    }
}
