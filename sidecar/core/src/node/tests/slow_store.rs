//! A disk that does not answer is named, whatever waits for it, and by nothing else.

use super::*;
use crate::stall::StallKind;
use crate::store::StoreErrorKind;

const STALL_AFTER: Duration = Limits::PRODUCTION.stall_after;

impl Driven {
    /// Nothing is answered any more: the disk's name is there in time, and alone.
    fn hangs(&mut self, what: &str) {
        let due = self.now.mono + STALL_AFTER;
        while self.now.mono < due - JUST {
            assert_eq!(self.stall(), None, "{what}: too early");
            let timer = self.node.next_timer().expect("it wakes for the name");
            let next = timer.clamp(self.now.mono + JUST, due - JUST);
            self.pass(next - self.now.mono);
            self.effects();
        }
        assert!(self.node.next_timer().is_some_and(|timer| timer <= due), "{what}: sleeps on");
        self.pass(JUST);
        let detail = format!("the disk does not answer: {what}");
        assert_eq!(self.stall(), Some((StallKind::StoreSlow, detail)));
    }

    fn stall(&self) -> Option<(StallKind, String)> {
        let stalls = self.node.status().stalls;
        assert!(stalls.len() < 2, "{stalls:?}");
        stalls.into_iter().next().map(|stall| (stall.kind, stall.detail))
    }
}

#[test]
fn whatever_a_node_waits_for_on_its_way_to_reading() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.log(LogEvent::Facts(facts()));
    driven.hangs("opening the copy");
    driven.store(StoreEvent::Found(Found::Nothing));
    assert_eq!(driven.stall(), None, "it answers");
    driven.hangs("creating a generation");
}

#[test]
fn a_restore_whose_batches_are_not_written() {
    let mut driven = Driven::rebuilding(facts().reaching(0, 9), Limits::PRODUCTION);
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.log(LogEvent::Fetched(batch(0, b"a")));
    driven.hangs("writing a batch");
    driven.store(StoreEvent::Applied { generation: G1, partition: P0, position: Offset(1) });
    assert_eq!(driven.stall(), None);
}

/// Four slow answers take longer than a stall: it is the disk that takes the time, not the log, and it answers.
#[test]
fn a_disk_that_answers_slowly_is_no_stall() {
    let mut driven = Driven::rebuilding(facts().reaching(0, 9), Limits::PRODUCTION);
    driven.log(LogEvent::Assigned { partition: P0 });
    for offset in 0..4 {
        driven.log(LogEvent::Fetched(batch(offset, b"a")));
    }
    for offset in 0..4 {
        driven.pass(STALL_AFTER - JUST);
        assert_eq!(driven.stall(), None, "{offset}");
        let position = Offset(offset + 1);
        driven.store(StoreEvent::Applied { generation: G1, partition: P0, position });
    }
}

#[test]
fn a_ready_node_whose_batch_is_not_written() {
    let mut driven = Driven::reading();
    driven.log(LogEvent::Fetched(batch(0, b"a")));
    driven.hangs("writing a batch");
    assert_eq!(driven.node.shared.phase, Phase::Ready);
}

#[test]
fn a_copy_that_is_not_closed() {
    let mut driven = Driven::reading();
    driven.log(LogEvent::TopicId(OTHER_TOPIC));
    driven.hangs("closing a generation");
    driven.done(StoreCallKind::Close);
    assert_eq!(driven.stall(), None);
}

#[test]
fn a_copy_that_is_not_put_aside() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.log(LogEvent::Facts(facts()));
    driven.store(StoreEvent::Found(copy(corrupt(G1), None)));
    driven.hangs("setting a generation aside");
}

/// Nothing is wrong with what is on disk, and every try finds the same: it is told once.
#[test]
fn a_copy_that_is_still_read_is_no_failed_disk_and_is_tried_again() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    let mut told = 0;
    for failures in 0..3 {
        driven.log(LogEvent::Facts(facts()));
        driven.fails(StoreCallKind::Open, StoreErrorKind::Held);
        let (kind, detail) = driven.stall().expect("it is named");
        assert_eq!(kind, StallKind::StoreSlow);
        assert!(detail.contains("the copy is still read"), "{detail}");
        driven.pass(Limits::PRODUCTION.retry_after(failures));
        driven.event(Event::Timer);
        let began = |effect: &Effect| matches!(effect, Effect::Notice(Notice::StallBegan { .. }));
        told += driven.effects().iter().filter(|effect| began(effect)).count();
    }
    assert_eq!(told, 1);
    driven.log(LogEvent::Facts(facts()));
    driven.store(StoreEvent::Found(Found::Nothing));
    assert_eq!(driven.stall(), None, "it is open");
}
