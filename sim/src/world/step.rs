//! Time and causality: what happens next, one thing at a time.
//!
//! At one moment: first the effects that nodes already gave, then what arrived, then the log's own doings,
//! then timers. Only when nothing of that is left does time move.

use std::time::Duration;

use outrigger_core::log::LogEvent;
use outrigger_core::node::{Effect, Event, Notice};
use outrigger_core::offset::Partition;
use outrigger_core::phase::Phase;
use outrigger_model::log::{LogChange, Truncation, node_of, number_of};
use serde_json::json;

use super::marking;
use super::passing::{Due, Passing};
use super::{Loss, SimNode, World, client};
use crate::dice::Dice;
use crate::oracle::{Moment, OracleId, Wrong};
use crate::trace::{Lane, Line};

/// Steps without time passing after which a world counts as going round in circles.
const STEPS_MAX: usize = 100_000;

impl World {
    /// Lets time pass, from one due thing to the next; ends at once at a violation, or where a node
    /// must crash.
    pub fn advance(&mut self, by: Duration) {
        self.advance_to(self.now.mono + by);
    }

    pub fn advance_to(&mut self, until: Duration) {
        self.settle();
        while !self.interrupted()
            && let Some(next) = self.next_due().filter(|next| *next <= until)
        {
            self.move_to(next);
            self.settle();
        }
        if !self.interrupted() {
            self.move_to(until);
            self.settle();
        }
    }

    /// Whether nothing more may happen before somebody has looked.
    pub fn interrupted(&self) -> bool {
        let read = |node: &SimNode| {
            !node.paused && node.process.as_ref().is_some_and(|process| !process.read.is_empty())
        };
        let called = |node: &SimNode| self.attentive && (!node.replies.is_empty() || read(node));
        self.violation.is_some()
            || self.nodes.iter().any(called)
            || (0..self.count()).any(|index| self.must_crash(index))
    }

    /// Lets time pass until `reached`, which must come within `bound`.
    pub fn until(&mut self, what: &str, bound: Duration, reached: impl Fn(&World) -> bool) {
        let end = self.now.mono + bound;
        self.settle();
        while !reached(self) {
            assert!(self.violation.is_none(), "{}", self.violation.as_ref().expect("checked"));
            assert!(self.now.mono < end, "{what}: not within {bound:?}; {}", self.describe());
            self.advance(Duration::from_millis(50));
        }
    }

    pub fn until_ready(&mut self, index: usize) {
        self.until("READY", Duration::from_secs(120), |world| world.phase(index) == Phase::Ready);
    }

    fn move_to(&mut self, mono: Duration) {
        if mono > self.now.mono {
            let millis =
                |at: Duration| u64::try_from(at.as_millis()).expect("simulated centuries fit");
            self.now.wall_ms += millis(mono) - millis(self.now.mono);
            self.now.mono = mono;
        }
    }

    /// When the next thing is due, after `settle`.
    fn next_due(&self) -> Option<Duration> {
        let running = self.nodes.iter().filter(|node| !node.paused);
        let timers = running.filter_map(|node| node.process.as_ref()?.timer);
        timers.chain(self.log_due).chain(self.queue.next()).min()
    }

    /// Lets everything happen that is due at this moment.
    pub fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            if self.interrupted() || !self.step() {
                return;
            }
        }
        let what = format!("the world goes round in circles; {}", self.describe());
        self.violate(OracleId::O12, Wrong { what, ..Wrong::default() });
    }

    fn step(&mut self) -> bool {
        for index in 0..self.nodes.len() {
            if self.step_node(index) {
                return true;
            }
        }
        if let Some(due) = self.queue.pop(self.now.mono) {
            self.arrive(due);
            return true;
        }
        self.step_log() || self.fire_timers()
    }

    /// Carries out one effect of the node, or lets it handle one event. False: there is none.
    fn step_node(&mut self, index: usize) -> bool {
        if self.nodes[index].paused {
            return false;
        }
        let Some(process) = &mut self.nodes[index].process else {
            return false;
        };
        if let Some(effect) = process.node.poll() {
            let cause = process.cause;
            if let Effect::Ring(news) = effect {
                // It ends with its process, so that no crash can come between it and what is next.
                self.marks.hit(marking::ring(&news));
                process.copied.take(&news);
                process.ring.take(news);
                return true;
            }
            if let Some(left) = &mut process.crash_after {
                *left -= 1;
                if *left == 0 {
                    return true;
                }
            }
            self.carry_out(index, effect, cause);
            return true;
        }
        let Some((cause, event)) = process.inbox.pop_front() else {
            return false;
        };
        self.deliver(index, event, cause);
        true
    }

    fn deliver(&mut self, index: usize, event: Event, cause: Line) {
        self.marks.hit(marking::event(&event));
        let line = self.note(cause, Lane::Node(index), "event", || marking::show_event(&event));
        let now = self.now_of(index);
        let process = self.nodes[index].process.as_mut().expect("a running node has events");
        process.cause = line;
        process.node.handle(now, event.clone());
        process.timer = process.node.next_timer();
        self.judge(&Moment::Handled { node: index, event: &event });
        self.note_copy(index, line);
    }

    fn carry_out(&mut self, index: usize, effect: Effect, cause: Line) {
        self.marks.hit(marking::effect(&effect));
        let line = self.note(cause, Lane::Node(index), "effect", || marking::show_effect(&effect));
        self.judge(&Moment::Effect { node: index, effect: &effect });
        match effect {
            Effect::Log(call) => {
                let most = self.latencies.log_call + self.nodes[index].slow_log;
                let at = self.now.mono + self.draw("log call", index, most);
                self.queue.send(index, at, line, Passing::LogCall(call));
            }
            Effect::Store(call) => {
                let most = self.latencies.disk + self.nodes[index].slow_disk;
                let free = self.queue.disk_free(index).max(self.now.mono);
                let at = free + self.draw("disk", index, most);
                self.queue.send(index, at, line, Passing::StoreCall(call));
            }
            Effect::Peer(call) => {
                let at = self.now.mono + self.draw("peer call", index, self.latencies.log_call);
                self.queue.send(index, at, line, Passing::PeerCall(call));
            }
            Effect::Ring(_) => unreachable!("it goes nowhere"),
            Effect::Reply(id, reply) => {
                let before = self.nodes[index].replies.insert(id, (line, reply));
                assert!(before.is_none(), "{id:?} is answered once");
            }
            Effect::Notice(notice) => self.hear(index, notice, line),
        }
    }

    fn hear(&mut self, index: usize, notice: Notice, line: Line) {
        let ready = notice == Notice::Phase(Phase::Ready);
        self.note_notice(index, &notice, line);
        self.nodes[index].notices.push(notice);
        if ready {
            self.judge(&Moment::Ready { node: index });
        }
    }

    pub(super) fn draw(&self, site: &str, index: usize, most: Duration) -> Duration {
        if most.is_zero() {
            return Duration::ZERO;
        }
        let number = u64::try_from(index).expect("a world has few nodes");
        Dice::at(self.latencies.seed, site, number, self.queue.sent()).latency(most)
    }

    fn arrive(&mut self, due: Due) {
        let sent = matches!(due.what, Passing::LogCall(_) | Passing::ReaderCall(..));
        if self.nodes[due.node].paused && !sent {
            return self.queue.park(due);
        }
        if self.nodes[due.node].hung_disk && matches!(due.what, Passing::StoreCall(_)) {
            return self.queue.hang(due);
        }
        let Due { node, cause, what, .. } = due;
        match what {
            Passing::LogCall(call) => {
                let line = self.note(cause, Lane::Log, "call", || format!("node {node}: {call:?}"));
                let mut out = Vec::new();
                self.log.handle(self.now, client(node), call, &mut out);
                self.send_events(out, line);
                self.learn(line);
            }
            Passing::LogEvent(event) => self.enqueue(node, Event::Log(event), cause),
            Passing::ReaderCall(number, call) => self.ask_log_beside((node, number), call, cause),
            Passing::ReaderEvent(number, event) => self.hear_beside(node, number, event),
            Passing::StoreCall(call) => {
                let line =
                    self.note(cause, Lane::Disk(node), "call", || marking::show_store_call(&call));
                let event = self.nodes[node].disk.handle(call);
                let most = self.nodes[node].late_disk;
                let at = self.queue.disk_tells(node).max(self.now.mono);
                let owes = self.queue.owes_answer(node);
                match at + self.draw("disk answer", node, most) {
                    at if at == self.now.mono && !owes => {
                        self.enqueue(node, Event::Store(event), line)
                    }
                    at => self.queue.send(node, at, line, Passing::StoreEvent(event)),
                }
            }
            Passing::StoreEvent(event) => self.enqueue(node, Event::Store(event), cause),
            Passing::PeerCall(call) => self.peer_call(node, call, cause),
            Passing::PeerEvent(event) => self.enqueue(node, Event::Peer(event), cause),
            Passing::Transfer(number, share) => self.transfer(node, number, share, cause),
        }
    }

    fn enqueue(&mut self, node: usize, event: Event, cause: Line) {
        if let Some(process) = &mut self.nodes[node].process {
            process.inbox.push_back((cause, event));
        }
    }

    fn step_log(&mut self) -> bool {
        self.log_due = self.log.next_timer();
        if self.log_due.is_none_or(|due| due > self.now.mono) {
            return false;
        }
        let mut out = Vec::new();
        self.log.tick(self.now, &mut out);
        self.send_events(out, Line::NONE);
        self.learn(Line::NONE);
        true
    }

    pub(super) fn send_events(&mut self, events: Vec<(u32, LogEvent)>, cause: Line) {
        for (client, event) in events {
            let index = usize::try_from(node_of(client)).expect("usize holds 32 bits");
            if self.is_running(index) {
                let most = self.latencies.log_answer + self.nodes[index].slow_log;
                let at = self.now.mono + self.draw("log answer", index, most);
                let passing = match number_of(client) {
                    Some(number) => Passing::ReaderEvent(number, event),
                    None => Passing::LogEvent(event),
                };
                self.queue.send(index, at, cause, passing);
            }
        }
    }

    /// Each replica is compacted by itself: who leads next may lack what a lost record had superseded.
    fn note_missed(&mut self) {
        if self.losses.is_empty() {
            return;
        }
        for partition in Partition::all(self.reference.count()) {
            let leader = self.log.leader(partition);
            if self.leaders.insert(partition, leader) != Some(leader) && leader.is_some() {
                self.reference.miss(partition, &self.log.offsets(partition).collect());
            }
        }
    }

    /// Takes over what the authoritative log did.
    pub(super) fn learn(&mut self, cause: Line) {
        for change in self.log.take_history() {
            self.marks.hit(marking::log_change(&change));
            self.reference.learn(&change);
            match change {
                LogChange::Truncated(lost) => {
                    self.leaders.remove(&lost.partition);
                    let loss = self.witnessed(lost);
                    self.losses.push(loss);
                    self.judge(&Moment::LogChanged);
                }
                LogChange::Recreated { .. } => self.judge(&Moment::LogChanged),
                LogChange::Appended { .. }
                | LogChange::StartMoved { .. }
                | LogChange::Cleaned(_) => {}
            }
        }
        self.note_missed();
        self.note_ends(cause);
    }

    fn witnessed(&self, lost: Truncation) -> Loss {
        let held = |node: &usize| {
            let positions = &self.node(*node).gate().positions;
            let position = positions.get(lost.partition.index());
            position.is_some_and(|position| *position > lost.from)
        };
        let running = (0..self.count()).filter(|node| self.is_running(*node));
        let witnesses = running.filter(held).map(|node| (node, self.notices(node).len()));
        Loss { witnesses: witnesses.collect(), lost }
    }

    fn fire_timers(&mut self) -> bool {
        let mut fired = false;
        for node in self.nodes.iter_mut().filter(|node| !node.paused) {
            let Some(process) = &mut node.process else {
                continue;
            };
            let due = process.timer.is_some_and(|timer| timer <= self.now.mono);
            if due {
                process.inbox.push_back((Line::NONE, Event::Timer));
                fired = true;
            }
        }
        fired
    }

    fn note_copy(&mut self, index: usize, cause: Line) {
        if !self.trace.is_kept() {
            return;
        }
        let at = self.elapsed();
        let Some(process) = &mut self.nodes[index].process else {
            return;
        };
        let partitions = process.node.status().partitions;
        for (partition, status) in partitions.iter().enumerate() {
            let told = (status.applied, status.durable, status.target, status.exact_from);
            if process.traced.insert(partition, told) == Some(told) {
                continue;
            }
            self.trace.note_with(at, cause, Lane::Node(index), "copy", || {
                let more = json!({
                    "partition": partition, "applied": status.applied.0, "durable": status.durable.0,
                    "target": status.target.0, "exact_from": status.exact_from.0,
                });
                (format!("p{partition} applied {} durable {}", status.applied, status.durable), more)
            });
        }
    }

    fn note_notice(&mut self, index: usize, notice: &Notice, cause: Line) {
        let lane = Lane::Node(index);
        let at = self.elapsed();
        match notice {
            Notice::Phase(phase) => {
                self.trace.note_with(at, cause, lane, "phase", || {
                    (phase.to_string(), json!({ "phase": phase.name() }))
                });
            }
            Notice::StallBegan { kind, detail } => {
                self.trace.note_with(at, cause, lane, "stall", || {
                    (detail.clone(), json!({ "kind": kind.name(), "on": true }))
                });
            }
            Notice::StallEnded { kind } => {
                self.trace.note_with(at, cause, lane, "stall", || {
                    (String::new(), json!({ "kind": kind.name(), "on": false }))
                });
            }
            Notice::Ignored { .. }
            | Notice::LogIncomplete { .. }
            | Notice::Quarantined { .. }
            | Notice::PositionLost { .. }
            | Notice::Policy(_)
            | Notice::PeerFailed { .. } => {}
        }
    }

    fn note_ends(&mut self, cause: Line) {
        if !self.trace.is_kept() {
            return;
        }
        for partition in Partition::all(self.reference.count()) {
            let state = self.log.state(partition);
            let epoch = state.epochs.last().map_or(0, |(epoch, _)| epoch.0);
            let leader = self.log.leader(partition).map(|broker| broker.0);
            let last_stable = self.log.last_stable(partition).0;
            let high_watermark = self.log.high_watermark(partition).0;
            let more = json!({
                "partition": partition.0, "log_start": state.log_start.0, "last_stable": last_stable,
                "high_watermark": high_watermark, "log_end": state.log_end.0, "epoch": epoch, "leader": leader,
            });
            let told = more.to_string();
            if self.traced_ends.get(&partition) == Some(&told) {
                continue;
            }
            self.traced_ends.insert(partition, told);
            let text =
                format!("p{partition} ends at {} (high watermark {high_watermark})", state.log_end);
            self.trace.note_with(self.elapsed(), cause, Lane::Log, "log", || (text, more));
        }
    }
}
