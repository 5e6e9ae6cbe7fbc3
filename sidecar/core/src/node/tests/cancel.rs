//! An operator stops a restore at any moment, and lets it go on.

use super::*;
use crate::gate::Rejection;
use crate::peer::{PeerCall, PeerEvent};
use crate::phase::Refusal;
use crate::store::{StoreError, StoreErrorKind};

const CANCEL: RequestId = RequestId(1);
const CONTINUE: RequestId = RequestId(2);

fn five_to_read() -> LogFacts {
    facts().reaching(0, 5)
}

/// A rebuild of five records with a credit out.
fn restoring() -> Driven {
    let mut driven = Driven::rebuilding(five_to_read(), Limits::PRODUCTION);
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.effects();
    driven
}

impl Driven {
    fn cancel(&mut self) -> Vec<Effect> {
        self.event(Event::Command(CANCEL, Command::Cancel));
        self.effects()
    }

    /// The reply to the command of this id.
    fn reply(effects: &[Effect], asked: RequestId) -> Option<Reply> {
        effects.iter().find_map(|effect| match effect {
            Effect::Reply(id, reply) if *id == asked => Some(reply.clone()),
            _ => None,
        })
    }

    /// Cancelled, with nothing under way: as long as it is asked, nothing is read or changed.
    fn stands_still(&mut self) {
        assert_eq!(self.node.shared.phase, Phase::Refused(Refusal::Cancelled));
        for _ in 0..3 {
            self.pass(Limits::PRODUCTION.ends_interval);
            self.log(LogEvent::Facts(five_to_read()));
            let quiet = |effect: &Effect| *effect == Effect::Log(LogCall::Describe);
            let effects = self.effects();
            assert!(effects.iter().all(quiet), "{effects:?}");
        }
        assert_eq!(self.node.shared.phase, Phase::Refused(Refusal::Cancelled));
    }

    /// Let go on, it reads from `at`.
    fn goes_on(&mut self, at: u64) {
        self.event(Event::Command(CONTINUE, Command::Continue));
        let effects = self.effects();
        assert_eq!(Driven::reply(&effects, CONTINUE), Some(Reply::Done));
        assert_eq!(self.node.shared.phase, Phase::Opening);
        self.log(LogEvent::Facts(five_to_read()));
        let assign = LogCall::Assign { partition: P0, at: Offset(at), epoch: None };
        assert!(self.effects().contains(&Effect::Log(assign)));
    }

    /// Opened again, with a rebuild on the disk that has read this much.
    fn finds_unfinished(&mut self, position: u64) {
        self.log(LogEvent::Facts(five_to_read()));
        let lineage = Lineage::empty(self.now.wall_ms, DAY_MS).read_to(position);
        self.store(StoreEvent::Found(copy(None, intact(G1, [lineage]))));
        self.effects();
    }
}

#[test]
fn a_cancelled_restore_closes_without_a_flush_stands_still_and_goes_on_from_the_disk() {
    let mut driven = restoring();
    driven.takes(batch(0, b"a"));
    driven.effects();
    let effects = driven.cancel();
    assert_eq!(Driven::reply(&effects, CANCEL), Some(Reply::Done));
    assert!(
        !flushes(&effects) && effects.contains(&Effect::Store(StoreCall::Close { generation: G1 }))
    );
    driven.log(LogEvent::Fetched(batch(1, b"b")));
    assert_eq!(applies(&driven.effects()), 0, "what was on its way comes too late");
    driven.done(StoreCallKind::Close);
    driven.finds_unfinished(3);
    driven.stands_still();
    driven.goes_on(3);
    assert_eq!(driven.node.shared.phase, Phase::Restoring(crate::phase::Cause::Unfinished));
}

#[test]
fn cancelled_before_the_log_has_answered_nothing_is_begun() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.effects();
    assert_eq!(Driven::reply(&driven.cancel(), CANCEL), Some(Reply::Done));
    assert_eq!(driven.node.shared.phase, Phase::Refused(Refusal::Cancelled));
    driven.finds_unfinished(3);
    driven.stands_still();
    driven.goes_on(3);
}

#[test]
fn cancelled_while_the_disk_is_opened_nothing_is_begun() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.log(LogEvent::Facts(five_to_read()));
    driven.effects();
    driven.cancel();
    driven.store(StoreEvent::Found(Found::Nothing));
    driven.effects();
    driven.stands_still();
}

#[test]
fn cancelled_while_a_generation_is_made_it_is_closed_when_it_is_there() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.log(LogEvent::Facts(five_to_read()));
    driven.store(StoreEvent::Found(Found::Nothing));
    driven.effects();
    driven.cancel();
    driven.done(StoreCallKind::Create);
    let effects = driven.effects();
    assert_eq!(effects, [Effect::Store(StoreCall::Close { generation: G1 })]);
    driven.done(StoreCallKind::Close);
    driven.finds_unfinished(0);
    driven.stands_still();
    driven.goes_on(0);
}

#[test]
fn cancelled_in_the_pause_after_a_disk_error_it_stays_so() {
    let mut driven = restoring();
    let error = StoreError { kind: StoreErrorKind::Io, detail: "detail".to_owned() };
    driven.store(StoreEvent::Failed { call: StoreCallKind::Apply, error });
    assert_eq!(Driven::reply(&driven.cancel(), CANCEL), Some(Reply::Done));
    driven.pass(Limits::PRODUCTION.retry_max);
    driven.done(StoreCallKind::Close);
    driven.finds_unfinished(3);
    driven.stands_still();
    driven.goes_on(3);
}

#[test]
fn cancelled_while_it_is_closed_for_another_reason_it_stays_so() {
    let mut driven = restoring();
    driven.log(LogEvent::TopicId(OTHER_TOPIC));
    driven.effects();
    assert_eq!(Driven::reply(&driven.cancel(), CANCEL), Some(Reply::Done));
    driven.done(StoreCallKind::Close);
    driven.finds_unfinished(3);
    driven.stands_still();
}

#[test]
fn a_ready_node_is_not_cancelled_and_one_that_was_not_does_not_go_on() {
    let mut driven = Driven::reading();
    let refused = Reply::Rejected(Rejection::NoRestore(Phase::Ready));
    assert_eq!(Driven::reply(&driven.cancel(), CANCEL), Some(refused));
    driven.event(Event::Command(CONTINUE, Command::Continue));
    let refused = Reply::Rejected(Rejection::NotCancelled(Phase::Ready));
    assert_eq!(Driven::reply(&driven.effects(), CONTINUE), Some(refused));
    assert_eq!(driven.node.shared.phase, Phase::Ready);
}

#[test]
fn cancelling_twice_is_once_and_a_draining_node_takes_neither() {
    let mut driven = restoring();
    driven.cancel();
    assert_eq!(driven.cancel(), [Effect::Reply(CANCEL, Reply::Done)]);
    driven.event(Event::Command(RequestId(3), Command::Drain));
    let refused = Some(Reply::Rejected(Rejection::Draining));
    assert_eq!(Driven::reply(&driven.cancel(), CANCEL), refused);
    driven.event(Event::Command(CONTINUE, Command::Continue));
    assert_eq!(Driven::reply(&driven.effects(), CONTINUE), refused);
    driven.done(StoreCallKind::Close);
    assert!(driven.effects().contains(&Effect::Reply(RequestId(3), Reply::Drained)));
}

#[test]
fn let_go_on_before_it_is_closed_it_opens_as_if_nothing_had_been() {
    let mut driven = restoring();
    driven.cancel();
    driven.event(Event::Command(CONTINUE, Command::Continue));
    driven.done(StoreCallKind::Close);
    driven.finds_unfinished(3);
    assert_eq!(driven.node.shared.phase, Phase::Restoring(crate::phase::Cause::Unfinished));
}

/// What is wrong with the topic is told first: it would be refused anyway.
#[test]
fn another_refusal_comes_before_the_operators() {
    let mut driven = restoring();
    driven.cancel();
    driven.done(StoreCallKind::Close);
    let mut unsafe_policy = five_to_read();
    unsafe_policy.policy.cleanup = "delete".to_owned();
    driven.log(LogEvent::Facts(unsafe_policy));
    driven.store(StoreEvent::Found(Found::Nothing));
    assert!(matches!(driven.node.shared.phase, Phase::Refused(Refusal::Policy(_))));
    driven.pass(Limits::PRODUCTION.ends_interval);
    driven.log(LogEvent::Facts(five_to_read()));
    driven.effects();
    driven.stands_still();
}

/// A node with peers that asks one for a copy: of a log without its beginning, it refuses meanwhile.
fn fetching(log_start: u64) -> Driven {
    let driven = Driven::new(Limits { peer_offsets_min: 5, ..Limits::PRODUCTION });
    let mut driven = Driven { node: driven.node.with_peers(), ..driven };
    driven.log(LogEvent::Facts(facts().reaching(log_start, log_start + 5)));
    driven.effects();
    driven.store(StoreEvent::Found(Found::Nothing));
    let asks = |effect: &Effect| matches!(effect, Effect::Peer(PeerCall::Fetch { .. }));
    assert!(driven.effects().iter().any(asks));
    driven
}

#[test]
fn a_cancelled_fetch_is_called_off_and_no_peer_is_asked_until_it_goes_on() {
    for log_start in [0, 5] {
        let mut driven = fetching(log_start);
        let effects = driven.cancel();
        assert_eq!(Driven::reply(&effects, CANCEL), Some(Reply::Done));
        assert!(effects.contains(&Effect::Peer(PeerCall::Cancel)), "{effects:?}");
        let (generation, detail) = (G1, "called off".to_owned());
        driven.event(Event::Peer(PeerEvent::Failed { generation, detail }));
        let asks = |effect: &Effect| {
            matches!(effect, Effect::Peer(_) | Effect::Store(StoreCall::Create { .. }))
        };
        driven.pass(Limits::PRODUCTION.peer_retry);
        assert!(!driven.effects().iter().any(asks));
        driven.event(Event::Command(CONTINUE, Command::Continue));
        assert_eq!(Driven::reply(&driven.effects(), CONTINUE), Some(Reply::Done));
    }
}

#[test]
fn a_node_that_refuses_and_fetches_nothing_has_no_restore_to_cancel() {
    let mut driven = fetching(5);
    let (generation, detail) = (G1, "nobody is READY".to_owned());
    driven.event(Event::Peer(PeerEvent::Failed { generation, detail }));
    driven.effects();
    let phase = driven.node.shared.phase.clone();
    assert!(matches!(phase, Phase::Refused(Refusal::LogIncomplete { .. })), "{phase:?}");
    let refused = Reply::Rejected(Rejection::NoRestore(phase));
    assert_eq!(Driven::reply(&driven.cancel(), CANCEL), Some(refused));
}
