//! The log is away: what is in use is served, and nothing of it changed, until somebody answers.

use super::peers::{NOW_MS, held, log_of};
use bytes::Bytes;

use super::*;
use crate::gate::{Admit, ReadLevel, Rejection};
use crate::horizon::Horizon;
use crate::store::{FoundGeneration, GenerationState, Looked, StoreErrorKind};
use crate::topic::Identity;

fn unheard() -> Driven {
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.effects();
    driven.pass(Limits::PRODUCTION.unheard_after - Duration::from_millis(1));
    assert_eq!(driven.store_calls(), []);
    driven.pass(Duration::from_millis(1));
    assert_eq!(driven.store_calls(), [StoreCall::Look { store: "s".to_owned() }]);
    driven
}

fn looked(found: Option<FoundGeneration>) -> StoreEvent {
    let identity = Identity {
        store: "s".to_owned(),
        cluster: "c".to_owned(),
        topic: OTHER_TOPIC,
        partitions: 1,
    };
    StoreEvent::Looked(found.map(|found| Looked { identity, found }))
}

fn served() -> Driven {
    let mut driven = unheard();
    driven.store(looked(held(G2, 7, NOW_MS)));
    driven
}

impl Driven {
    fn admits(&self, level: ReadLevel) -> Result<Admit, Rejection> {
        self.node.gate().admit(&level, None, self.now)
    }
}

#[test]
fn reads_that_are_content_with_any_copy_are_answered_and_nothing_else_is() {
    let mut driven = served();
    assert_eq!(driven.node.shared.phase, Phase::Opening);
    assert_eq!(driven.admits(ReadLevel::Stale), Ok(Admit::Now(G2)));
    let gate = driven.node.gate();
    assert_eq!((gate.confirmed_at_ms, gate.topic), (NOW_MS, Some(OTHER_TOPIC)));
    for level in [ReadLevel::Local, ReadLevel::Latest] {
        assert_eq!(driven.admits(level), Err(Rejection::NotReady(Phase::Opening)));
    }
    assert!(!driven.node.shared.phase.admits(crate::phase::Operation::Write));
    driven.pass(Duration::from_secs(60));
    assert_eq!(driven.store_calls(), [], "once is enough");
}

#[test]
fn where_the_disk_has_nothing_in_use_nothing_is_served() {
    let state = GenerationState::UnknownFormat("9".to_owned());
    for found in [None, corrupt(G2), Some(FoundGeneration { generation: G2, state })] {
        let mut driven = unheard();
        driven.store(looked(found));
        assert_eq!(driven.admits(ReadLevel::Stale), Err(Rejection::NotReady(Phase::Opening)));
        driven.log(LogEvent::Facts(log_of(0, 10)));
        assert!(matches!(driven.store_calls()[..], [StoreCall::Open { .. }]));
    }
}

#[test]
fn the_first_answer_of_the_log_opens_it_anew() {
    for disk_first in [true, false] {
        let mut driven = unheard();
        if disk_first {
            driven.store(looked(held(G2, 7, NOW_MS)));
        }
        driven.log(LogEvent::Facts(log_of(0, 10)));
        assert!(matches!(driven.store_calls()[..], [StoreCall::Open { .. }]));
        if !disk_first {
            driven.store(looked(held(G2, 7, NOW_MS)));
        }
        assert_eq!(driven.admits(ReadLevel::Stale), Err(Rejection::NotReady(Phase::Opening)));
        driven.store(StoreEvent::Found(copy(held(G3, 10, NOW_MS), None)));
        assert_eq!(driven.node.gate().topic, Some(TOPIC));
        assert_eq!(driven.node.shared.phase, Phase::Ready, "it is at the end of the log");
    }
}

#[test]
fn a_log_that_answers_with_errors_alone_is_not_heard() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    let error = kafka_error(-195, "_TRANSPORT");
    for _ in 0..30 {
        driven.log(LogEvent::Failed { call: LogCallKind::Describe, error: error.clone() });
        driven.pass(Duration::from_millis(100));
    }
    assert_eq!(driven.store_calls(), [StoreCall::Look { store: "s".to_owned() }]);
}

#[test]
fn a_disk_that_fails_is_asked_again() {
    let mut driven = unheard();
    driven.fails(StoreCallKind::Look, StoreErrorKind::Io);
    driven.pass(Limits::PRODUCTION.retry_max);
    assert_eq!(driven.store_calls(), []);
    driven.pass(Limits::PRODUCTION.unheard_after);
    assert_eq!(driven.store_calls(), [StoreCall::Look { store: "s".to_owned() }]);
}

/// Its files may open all the same: the process that met the damage knows better.
#[test]
fn a_copy_that_was_found_damaged_is_not_served() {
    let mut read = Driven::reading();
    read.event(Event::Damaged { generation: G1, detail: "a block".to_owned() });
    let mut flushed = Driven::reading();
    flushed.takes(batch(0, b"a"));
    flushed.pass(Limits::PRODUCTION.flush_interval);
    assert!(flushed.flushed());
    flushed.fails(StoreCallKind::Flush, StoreErrorKind::Corrupt);
    flushed.pass(Limits::PRODUCTION.retry_max);
    for mut driven in [read, flushed] {
        driven.ended(StoreCallKind::Close, G1);
        driven.effects();
        driven.pass(Limits::PRODUCTION.unheard_after);
        assert_eq!(driven.store_calls(), [StoreCall::Look { store: "s".to_owned() }]);
        driven.store(looked(held(G1, 1, NOW_MS)));
        assert_eq!(driven.admits(ReadLevel::Stale), Err(Rejection::NotReady(Phase::Opening)));
    }
}

#[test]
fn a_drain_closes_it_and_waits_for_the_disk_only() {
    let drain = Event::Command(RequestId(1), Command::Drain);
    let mut driven = served();
    driven.event(drain.clone());
    assert_eq!(driven.store_calls(), [StoreCall::Close { generation: G2 }]);
    driven.ended(StoreCallKind::Close, G2);
    assert_eq!(driven.node.shared.phase, Phase::Stopped);

    let mut looking = unheard();
    looking.event(drain);
    assert_ne!(looking.node.shared.phase, Phase::Stopped);
    looking.store(looked(held(G2, 7, NOW_MS)));
    looking.ended(StoreCallKind::Close, G2);
    assert_eq!(looking.node.shared.phase, Phase::Stopped);
}

/// Otherwise the thread of all stores would spin until the disk answers.
#[test]
fn a_drain_whose_time_is_up_asks_nothing_and_has_no_timer_for_it() {
    let mut looking = unheard();
    let error = kafka_error(-195, "_TRANSPORT");
    looking.log(LogEvent::Failed { call: LogCallKind::Describe, error });
    looking.event(Event::Command(RequestId(1), Command::Drain));
    looking.pass(Limits::PRODUCTION.drain_max + Limits::PRODUCTION.retry_max);
    looking.effects();
    let now = looking.now.mono;
    assert!(looking.node.next_timer().is_none_or(|timer| timer > now), "only the disk ends it");
}

/// Else its timer would come round at once, again and again.
#[test]
fn what_drains_looks_for_nothing_more() {
    let mut driven = Driven::reading();
    let change = Change { key: Bytes::from_static(b"k"), value: None };
    driven.event(Event::Command(RequestId(1), Command::Write(vec![change])));
    driven.event(Event::Damaged { generation: G1, detail: "a block".to_owned() });
    driven.ended(StoreCallKind::Close, G1);
    driven.event(Event::Command(RequestId(2), Command::Drain));
    driven.effects();
    driven.pass(Limits::PRODUCTION.unheard_after * 2);
    assert_eq!(driven.store_calls(), []);
    assert!(driven.node.next_timer().is_some_and(|at| at > driven.now.mono), "the drain's");
}

#[test]
fn what_is_served_tells_how_long_it_may_still_be_without_the_log() {
    let mut driven = served();
    let before = driven.node.status().horizon.unwrap();
    assert!(before.left > SECOND && before.left <= before.of, "{before:?}");
    driven.pass(SECOND);
    let after = Horizon { left: before.left - SECOND, ..before };
    assert_eq!(driven.node.status().horizon, Some(after));
}
