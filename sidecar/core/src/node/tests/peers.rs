//! A copy from a peer: when one is asked for, what is done with it, what ends it.

use super::*;
use crate::peer::{PeerCall, PeerEvent, Transfer};
use crate::phase::Cause;
use crate::stall::StallKind;
use crate::store::{FoundGeneration, StoreErrorKind};

pub(super) const NOW_MS: u64 = 1_000_000;
pub(super) const RETENTION_MS: u64 = 100_000;
const OLD_MS: u64 = NOW_MS - 2 * RETENTION_MS;

pub(super) fn limits() -> Limits {
    Limits { peer_offsets_min: 50, ..Limits::PRODUCTION }
}

pub(super) fn log_of(log_start: u64, high_watermark: u64) -> LogFacts {
    facts().reaching(log_start, high_watermark).led_by(6).retaining(RETENTION_MS)
}

pub(super) fn read_to(position: u64, confirmed_at_ms: u64) -> Lineage {
    Lineage::empty(confirmed_at_ms, RETENTION_MS).read_to(position).of_epochs(&[(5, 0)])
}

pub(super) fn held(generation: Generation, position: u64, at: u64) -> Option<FoundGeneration> {
    intact(generation, [read_to(position, at)])
}

pub(super) fn fetch(generation: Generation) -> Effect {
    fetch_after(generation, &[])
}

pub(super) fn fetch_after(generation: Generation, suspects: &[&str]) -> Effect {
    let identity = log_of(0, 100).identity("s");
    let suspects = suspects.iter().map(|suspect| (*suspect).to_owned()).collect();
    Effect::Peer(PeerCall::Fetch { generation, identity, suspects })
}

pub(super) fn fetched(generation: Generation) -> PeerEvent {
    fetched_with(generation, u64::MAX)
}

fn fetched_with(generation: Generation, delete_retention_ms_min: u64) -> PeerEvent {
    let peer = "one".to_owned();
    PeerEvent::Fetched { generation, peer, delete_retention_ms_min }
}

pub(super) fn adopt(generation: Generation) -> StoreCall {
    let facts = log_of(0, 100);
    let delete_retention_ms_min = facts.policy.delete_retention_ms;
    StoreCall::Adopt { generation, identity: facts.identity("s"), delete_retention_ms_min }
}

pub(super) fn with_peers(limits: Limits) -> Driven {
    let driven = Driven::new(limits);
    Driven { node: driven.node.with_peers(), ..driven }
}

impl Driven {
    pub(super) fn finds(&mut self, facts: LogFacts, found: Found) {
        self.log(LogEvent::Facts(facts));
        self.effects();
        self.store(StoreEvent::Found(found));
    }

    pub(super) fn peer(&mut self, event: PeerEvent) {
        self.event(Event::Peer(event));
    }

    pub(super) fn fails_to_fetch(&mut self, generation: Generation) {
        self.peer(PeerEvent::Failed { generation, detail: "nobody is READY".to_owned() });
    }

    fn stalled_by(&self, kind: StallKind) -> bool {
        self.node.status().stalls.iter().any(|stall| stall.kind == kind)
    }
}

/// It asks for what is to replace a copy past its horizon; the copy is g1, the unfinished rebuild g2.
fn asked() -> Driven {
    let mut driven = with_peers(limits());
    driven.finds(log_of(0, 100), copy(held(G1, 90, OLD_MS), held(G2, 10, OLD_MS)));
    assert!(driven.effects().contains(&fetch(G3)));
    driven
}

#[test]
fn only_a_rebuild_of_a_log_that_is_worth_it_asks_and_only_configured_peers() {
    let found = || copy(held(G1, 30, OLD_MS), None);
    let cases = [
        (with_peers(limits()), log_of(0, 50), found(), true),
        (with_peers(limits()), log_of(0, 49), copy(None, None), false),
        (with_peers(limits()), log_of(0, 100), copy(held(G1, 90, NOW_MS), None), false),
        (Driven::new(limits()), log_of(0, 100), found(), false),
    ];
    for (mut driven, facts, found, asks) in cases {
        driven.finds(facts, found.clone());
        let asked = |effect: &Effect| matches!(effect, Effect::Peer(_));
        assert_eq!(driven.effects().iter().any(asked), asks, "{found:?}");
    }
}

#[test]
fn while_a_peer_gives_the_old_copy_answers_and_writes_go_on() {
    let mut driven = asked();
    assert_eq!(driven.node.shared.phase, Phase::Restoring(Cause::PastHorizon));
    assert_eq!(driven.node.gate().generation, Some(G1));
    driven.event(Event::Command(RequestId(1), Command::Write(Vec::new())));
    let appends = |effect: &Effect| matches!(effect, Effect::Log(LogCall::Append { .. }));
    assert!(driven.effects().iter().any(appends));
    let transfer = Transfer { peer: "one".to_owned(), bytes: 1, bytes_total: 3 };
    driven.peer(PeerEvent::Progress(transfer.clone()));
    let progress = driven.node.status().progress.unwrap();
    assert_eq!(
        (progress.cause, progress.source),
        (Cause::PastHorizon, Source::Peer(Some(transfer)))
    );
}

/// The old copy goes when the new one is in use, the unfinished one when the new one is there.
#[test]
fn what_a_peer_gave_is_adopted_and_then_judged_like_anything_on_disk() {
    let mut driven = asked();
    driven.peer(fetched(G3));
    assert_eq!(driven.effects(), [Effect::Log(LogCall::Describe)], "the log is asked first");
    driven.log(LogEvent::Facts(log_of(0, 120)));
    assert_eq!(driven.store_calls(), [adopt(G3)]);
    driven.ended(StoreCallKind::Adopt, G3);
    assert_eq!(driven.store_calls(), [StoreCall::Remove { generation: G2 }]);
    driven.ended(StoreCallKind::Remove, G2);
    assert_eq!(driven.store_calls(), [StoreCall::Close { generation: G1 }]);
    driven.ended(StoreCallKind::Close, G1);
    driven.finds(log_of(0, 120), copy(held(G1, 90, OLD_MS), held(G3, 80, NOW_MS)));
    assert_eq!(driven.node.shared.phase, Phase::Restoring(Cause::Unfinished));
    assert_eq!(driven.node.gate().generation, Some(G1), "it answers STALE reads");
    let status = driven.node.status();
    assert_eq!((status.fed, status.partitions[0].target), (Some(G3), Offset(120)));
}

#[test]
fn what_a_peer_gave_and_is_past_its_horizon_is_discarded_and_the_log_is_read() {
    let mut driven = asked();
    driven.peer(fetched(G3));
    driven.log(LogEvent::Facts(log_of(0, 100)));
    driven.ended(StoreCallKind::Adopt, G3);
    driven.ended(StoreCallKind::Remove, G2);
    driven.ended(StoreCallKind::Close, G1);
    driven.effects();
    driven.finds(log_of(0, 100), copy(held(G1, 90, OLD_MS), held(G3, 80, OLD_MS)));
    assert_eq!(driven.store_calls(), [StoreCall::Remove { generation: G3 }]);
    driven.ended(StoreCallKind::Remove, G3);
    assert!(matches!(driven.store_calls()[..], [StoreCall::Create { generation: G4, .. }]));
}

#[test]
fn a_peer_that_fails_is_not_asked_again_before_the_node_was_ready() {
    let mut driven = with_peers(Limits { peer_offsets_min: 0, ..limits() });
    for _ in 0..2 {
        driven.finds(log_of(0, 0), Found::Nothing);
        assert!(driven.effects().contains(&fetch(G1)));
        driven.fails_to_fetch(G1);
        driven.finds(log_of(0, 0), Found::Nothing);
        assert!(matches!(driven.store_calls()[..], [StoreCall::Create { generation: G1, .. }]));
        driven.fails(StoreCallKind::Create, StoreErrorKind::Full);
        driven.pass(Limits::PRODUCTION.retry_max);
        driven.finds(log_of(0, 0), Found::Nothing);
        assert!(matches!(driven.store_calls()[..], [StoreCall::Create { generation: G1, .. }]));
        driven.ended(StoreCallKind::Create, G1);
        driven.log(LogEvent::Assigned { partition: P0 });
        driven.log(LogEvent::TopicId(TOPIC));
        driven.log(LogEvent::TopicId(TOPIC));
        driven.ended(StoreCallKind::Flush, G1);
        driven.ended(StoreCallKind::Activate, G1);
        assert_eq!(driven.node.shared.phase, Phase::Ready);
        driven.event(Event::Damaged { generation: G1, detail: "a block".to_owned() });
        driven.ended(StoreCallKind::Close, G1);
    }
}

/// Its process knows of it, and nobody else: a crash must not make it good again.
#[test]
fn what_the_log_lost_is_set_aside_before_anybody_is_asked() {
    let mut driven = with_peers(limits());
    driven.finds(log_of(0, 100), copy(held(G1, 101, NOW_MS), None));
    let calls = driven.effects();
    let quarantines = |effect: &Effect| {
        matches!(effect, Effect::Store(StoreCall::Quarantine { generation: G1, .. }))
    };
    assert!(calls.iter().any(quarantines) && !calls.contains(&fetch(G2)), "{calls:?}");
    driven.ended(StoreCallKind::Quarantine, G1);
    assert!(driven.effects().contains(&fetch(G2)));
    driven.peer(fetched(G2));
    driven.log(LogEvent::Facts(log_of(0, 100)));
    assert_eq!(driven.store_calls(), [adopt(G2)], "and not once more");
}

#[test]
fn what_changed_meanwhile_decides_what_becomes_of_the_old_copy() {
    let mut driven = asked();
    driven.peer(fetched(G3));
    driven.effects();
    driven.log(LogEvent::Facts(log_of(0, 85)));
    let calls = driven.store_calls();
    let quarantined = matches!(calls[..], [StoreCall::Quarantine { generation: G1, .. }]);
    assert!(quarantined, "it has what the log lost since: {calls:?}");
    driven.ended(StoreCallKind::Quarantine, G1);
    assert_eq!(driven.store_calls(), [adopt(G3)]);
}

#[test]
fn a_deposed_leaders_answer_decides_nothing_about_what_was_fetched() {
    let mut driven = asked();
    driven.peer(fetched(G3));
    driven.effects();
    let mut deposed = log_of(0, 10);
    deposed.partitions[0].epoch = Some(Epoch(4));
    driven.log(LogEvent::Facts(deposed));
    assert!(driven.stalled_by(StallKind::StaleLeader) && driven.store_calls().is_empty());
    driven.log(LogEvent::Facts(log_of(0, 100)));
    assert!(!driven.stalled_by(StallKind::StaleLeader));
    assert_eq!(driven.store_calls(), [adopt(G3)]);
}

/// Else a retention that was lowered since the copy was taken, and raised again, would be forgotten.
#[test]
fn a_retention_that_was_lowered_counts_for_what_is_fetched_whoever_heard_of_it() {
    let lowered_ms = RETENTION_MS / 4;
    let log = |delete_retention_ms| log_of(0, 100).retaining(delete_retention_ms);
    let old = |retention_ms| {
        let mut old = read_to(90, OLD_MS);
        old.see_retention(retention_ms);
        intact(G1, [old])
    };
    // At the start, by the copy that it had, while the fetch lasts, by the giver.
    let heard_by = |who: usize| {
        let mut heard = [RETENTION_MS; 4];
        if let Some(heard) = heard.get_mut(who) {
            *heard = lowered_ms;
        }
        heard
    };
    for (heard, judged) in (0..5).map(|who| (heard_by(who), who == 4)) {
        let mut driven = with_peers(limits());
        driven.log(LogEvent::Facts(log(heard[0])));
        driven.store(StoreEvent::Found(copy(old(heard[1]), None)));
        assert!(driven.recorded().contains(&fetch(G2)));
        driven.log(LogEvent::Facts(log(heard[2])));
        driven.recorded();
        driven.peer(fetched_with(G2, heard[3]));
        driven.log(LogEvent::Facts(log(RETENTION_MS)));
        driven.log(LogEvent::Facts(log(RETENTION_MS)));
        let identity = log(RETENTION_MS).identity("s");
        let delete_retention_ms_min = heard.into_iter().min().unwrap();
        let adopt = StoreCall::Adopt { generation: G2, identity, delete_retention_ms_min };
        assert_eq!(driven.store_calls(), [adopt], "durable with it: {heard:?}");
        driven.ended(StoreCallKind::Adopt, G2);
        driven.ended(StoreCallKind::Close, G1);
        let mut given = read_to(80, NOW_MS - RETENTION_MS / 2);
        given.see_retention(delete_retention_ms_min);
        driven.finds(log(RETENTION_MS), copy(old(RETENTION_MS), intact(G2, [given])));
        driven.recorded();
        let continues = driven.node.shared.phase == Phase::Restoring(Cause::Unfinished);
        assert_eq!(continues, judged, "{heard:?}: {:?}", driven.node.shared.phase);
    }
}

#[test]
fn what_was_heard_of_a_topic_that_is_no_more_says_nothing_about_its_successor() {
    let mut driven = with_peers(limits());
    let before = log_of(0, 100).retaining(RETENTION_MS / 4);
    driven.log(LogEvent::Facts(LogFacts { topic: OTHER_TOPIC, ..before }));
    driven.store(StoreEvent::Found(Found::Foreign { is: "its predecessor's".to_owned() }));
    driven.finds(log_of(0, 100), Found::Nothing);
    driven.peer(fetched(G1));
    driven.log(LogEvent::Facts(log_of(0, 100)));
    driven.log(LogEvent::Facts(log_of(0, 100)));
    driven.ended(StoreCallKind::Adopt, G1);
    driven.finds(log_of(0, 100), copy(None, held(G1, 80, NOW_MS - RETENTION_MS / 2)));
    assert_eq!(driven.node.shared.phase, Phase::Restoring(Cause::Unfinished));
}

#[test]
fn another_topic_or_an_unsafe_one_ends_a_fetch_and_is_judged_when_that_is_answered() {
    let another = LogFacts { topic: OTHER_TOPIC, ..log_of(0, 100) };
    for (changed, comes) in [(log_of(0, 100).deleting(), false), (another, true)] {
        let mut driven = asked();
        driven.log(LogEvent::Facts(changed.clone()));
        driven.log(LogEvent::Facts(changed));
        let cancels = driven.effects();
        let cancel = |effect: &&Effect| **effect == Effect::Peer(PeerCall::Cancel);
        assert_eq!(cancels.iter().filter(cancel).count(), 1, "{cancels:?}");
        if comes {
            driven.peer(fetched(G3))
        } else {
            driven.fails_to_fetch(G3)
        }
        let closes = [G1, G2].map(|generation| StoreCall::Close { generation });
        assert_eq!(driven.store_calls(), closes, "nothing is adopted");
    }
}

#[test]
fn a_topic_that_was_recreated_when_the_copy_is_here_is_not_given_it() {
    let mut driven = asked();
    driven.peer(fetched(G3));
    driven.effects();
    driven.log(LogEvent::Facts(LogFacts { topic: OTHER_TOPIC, ..log_of(0, 100) }));
    let closes = [G1, G2].map(|generation| StoreCall::Close { generation });
    assert_eq!(driven.store_calls(), closes);
}

#[test]
fn a_drain_ends_a_fetch_and_does_not_wait_for_it_for_ever() {
    for answered in [true, false] {
        let mut driven = asked();
        driven.event(Event::Command(RequestId(1), Command::Drain));
        assert!(driven.effects().contains(&Effect::Peer(PeerCall::Cancel)));
        if answered {
            driven.fails_to_fetch(G3)
        } else {
            driven.pass(Limits::PRODUCTION.drain_max)
        }
        driven.ended(StoreCallKind::Close, G1);
        driven.ended(StoreCallKind::Close, G2);
        let drained = Effect::Reply(RequestId(1), Reply::Drained);
        assert!(driven.effects().contains(&drained), "answered: {answered}");
        driven.fails_to_fetch(G3);
        assert_eq!(driven.effects(), [], "too late for anything");
    }
}

#[test]
fn a_peer_that_gives_nothing_is_named_and_one_that_goes_on_is_not_any_more() {
    let mut driven = asked();
    let at = driven.now.mono + Limits::PRODUCTION.stall_after;
    driven.pass(Duration::from_secs(2));
    driven.effects();
    assert_eq!(driven.node.next_timer(), Some(at), "the log has been asked, and has not answered");
    driven.pass(Duration::from_secs(2));
    assert!(driven.stalled_by(StallKind::PeerSilent));
    assert_eq!(driven.node.status().stalls[0].detail, "no peer gives anything for 4s");
    assert_eq!(driven.node.next_timer(), None, "it has its name");
    let transfer = Transfer { peer: "one".to_owned(), bytes: 1, bytes_total: 3 };
    driven.peer(PeerEvent::Progress(transfer));
    assert!(!driven.stalled_by(StallKind::PeerSilent));
    driven.pass(Limits::PRODUCTION.stall_after);
    assert!(driven.stalled_by(StallKind::PeerSilent));
    driven.peer(fetched(G3));
    assert!(!driven.stalled_by(StallKind::PeerSilent));

    let mut driven = asked();
    driven.pass(Limits::PRODUCTION.stall_after);
    assert!(driven.stalled_by(StallKind::PeerSilent));
    driven.fails_to_fetch(G3);
    assert!(!driven.stalled_by(StallKind::PeerSilent));
}

#[test]
fn what_the_log_said_before_the_copy_was_here_decides_nothing() {
    let mut driven = asked();
    driven.pass(Duration::from_secs(2));
    assert_eq!(driven.effects(), [Effect::Log(LogCall::Describe)]);
    driven.peer(fetched(G3));
    driven.log(LogEvent::Facts(log_of(0, 100)));
    assert_eq!(driven.effects(), [Effect::Log(LogCall::Describe)]);
    driven.log(LogEvent::Facts(log_of(0, 100)));
    assert_eq!(driven.store_calls(), [adopt(G3)]);
}

#[test]
fn while_the_disk_is_at_work_the_log_is_not_asked() {
    let mut driven = with_peers(limits());
    driven.finds(log_of(0, 100), copy(corrupt(G1), None));
    let calls = driven.effects();
    assert!(matches!(calls[..], [.., Effect::Store(StoreCall::Quarantine { .. })]), "{calls:?}");
    driven.pass(Duration::from_secs(2));
    assert_eq!(driven.effects(), []);
    driven.ended(StoreCallKind::Quarantine, G1);
    assert!(driven.effects().contains(&fetch(G2)));
}

#[test]
fn a_cancel_ends_what_is_put_aside_and_what_is_adopted() {
    let mut driven = with_peers(limits());
    driven.finds(log_of(0, 100), copy(corrupt(G1), corrupt(G2)));
    driven.effects();
    driven.event(Event::Command(RequestId(1), Command::Cancel));
    driven.ended(StoreCallKind::Quarantine, G1);
    assert_eq!(driven.store_calls(), [], "no second one");

    let mut driven = asked();
    driven.peer(fetched(G3));
    driven.log(LogEvent::Facts(log_of(0, 100)));
    driven.effects();
    driven.event(Event::Command(RequestId(1), Command::Cancel));
    driven.ended(StoreCallKind::Adopt, G3);
    let closes = [G1, G2].map(|generation| StoreCall::Close { generation });
    assert_eq!(driven.store_calls(), closes, "nothing is removed");
}

#[test]
fn damage_in_what_is_served_meanwhile_ends_serving_and_not_the_fetch() {
    let mut driven = asked();
    driven.event(Event::Damaged { generation: G1, detail: "a block".to_owned() });
    assert_eq!(driven.store_calls(), []);
    assert_eq!(driven.node.gate().generation, None);
    driven.peer(fetched(G3));
    driven.log(LogEvent::Facts(log_of(0, 100)));
    driven.log(LogEvent::Facts(log_of(0, 100)));
    let calls = driven.store_calls();
    assert!(matches!(calls[..], [StoreCall::Quarantine { generation: G1, .. }]), "{calls:?}");
}

/// A block that is damaged at the peer too is found only when it is read, as often as it is fetched.
#[test]
fn a_copy_from_a_peer_that_is_found_damaged_later_is_not_replaced_by_another_one() {
    let mut driven = with_peers(Limits { peer_offsets_min: 0, ..limits() });
    driven.finds(log_of(0, 0), Found::Nothing);
    driven.peer(fetched(G1));
    driven.log(LogEvent::Facts(log_of(0, 0)));
    driven.log(LogEvent::Facts(log_of(0, 0)));
    driven.ended(StoreCallKind::Adopt, G1);
    driven.finds(log_of(0, 0), copy(None, held(G1, 0, NOW_MS)));
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.log(LogEvent::TopicId(TOPIC));
    driven.log(LogEvent::TopicId(TOPIC));
    driven.ended(StoreCallKind::Flush, G1);
    driven.ended(StoreCallKind::Activate, G1);
    assert_eq!(driven.node.shared.phase, Phase::Ready);
    driven.pass(limits().peer_retry * 16);
    driven.event(Event::Damaged { generation: G1, detail: "a block".to_owned() });
    driven.ended(StoreCallKind::Close, G1);
    driven.log(LogEvent::Facts(log_of(0, 0)));
    driven.finds(log_of(0, 0), copy(held(G1, 0, NOW_MS), None));
    driven.ended(StoreCallKind::Quarantine, G1);
    let calls = driven.store_calls();
    assert!(matches!(calls[..], [_, StoreCall::Create { generation: G2, .. }]), "{calls:?}");
}
