//! Where the log lost its beginning only peers help: they are asked again, and what one gave damaged is replaced.

use super::peers::{NOW_MS, adopt, fetch, fetch_after, fetched, held, limits, log_of, with_peers};
use super::*;
use crate::peer::{PeerCall, PeerEvent};
use crate::phase::{Cause, Refusal};

/// Nobody else can help. A refused node changes nothing on its disk until somebody has.
#[test]
fn where_the_log_is_incomplete_peers_are_asked_again_and_again() {
    let mut driven = with_peers(limits());
    driven.finds(log_of(20, 30), copy(held(G1, 31, NOW_MS), None));
    for _ in 0..3 {
        assert!(matches!(driven.node.shared.phase, Phase::Refused(Refusal::LogIncomplete { .. })));
        assert_eq!(driven.node.gate().generation, Some(G1));
        let effects = driven.effects();
        assert!(effects.contains(&fetch(G2)), "{effects:?}");
        driven.pass(Duration::from_secs(1));
        driven.fails_to_fetch(G2);
        driven.log(LogEvent::Facts(log_of(20, 30)));
        driven.pass(limits().peer_retry - Duration::from_millis(1));
        driven.log(LogEvent::Facts(log_of(20, 30)));
        assert!(!driven.effects().contains(&fetch(G2)), "too soon");
        driven.pass(Duration::from_millis(1));
        driven.log(LogEvent::Facts(log_of(20, 30)));
    }
    driven.peer(fetched(G2));
    driven.log(LogEvent::Facts(log_of(20, 30)));
    driven.log(LogEvent::Facts(log_of(20, 30)));
    let calls = driven.store_calls();
    assert!(matches!(calls[..], [StoreCall::Quarantine { generation: G1, .. }]), "{calls:?}");
    driven.ended(StoreCallKind::Quarantine, G1);
    assert_eq!(driven.store_calls(), [adopt(G2)]);
    driven.ended(StoreCallKind::Adopt, G2);
    let given = held(G2, 25, driven.now.wall_ms);
    driven.finds(log_of(20, 30), copy(None, given));
    assert_eq!(driven.node.shared.phase, Phase::Restoring(Cause::Unfinished));
}

/// Its peer comes last, and it makes room when the next copy is here: kept, such copies would fill the disk.
#[test]
fn where_only_peers_help_a_damaged_copy_is_replaced_by_another_peers_after_growing_pauses() {
    let mut driven = with_peers(limits());
    driven.finds(log_of(20, 30), Found::Nothing);
    let mut suspects = vec![];
    for (generation, peer, pauses) in [(G1, "one", 2), (G2, "two", 4), (G3, "one", 8)] {
        let next = Generation(generation.0 + 1);
        let effects = driven.effects();
        assert!(effects.contains(&fetch_after(generation, &suspects)), "{effects:?}");
        driven.peer(PeerEvent::Fetched {
            generation,
            peer: peer.to_owned(),
            delete_retention_ms_min: u64::MAX,
        });
        driven.log(LogEvent::Facts(log_of(20, 30)));
        driven.log(LogEvent::Facts(log_of(20, 30)));
        assert_eq!(driven.store_calls(), [adopt(generation)]);
        driven.ended(StoreCallKind::Adopt, generation);
        if generation != G1 {
            let before = Generation(generation.0 - 1);
            assert_eq!(driven.store_calls(), [StoreCall::Remove { generation: before }]);
            driven.ended(StoreCallKind::Remove, before);
        }
        driven.finds(log_of(20, 30), copy(None, corrupt(generation)));
        assert!(matches!(driven.node.shared.phase, Phase::Refused(Refusal::LogIncomplete { .. })));
        suspects.retain(|suspect| *suspect != peer);
        suspects.push(peer);
        driven.pass(limits().peer_retry * pauses - Duration::from_millis(1));
        driven.log(LogEvent::Facts(log_of(20, 30)));
        let asks = |effect: &Effect| matches!(effect, Effect::Peer(_));
        assert!(!driven.effects().iter().any(asks), "{next} too soon");
        driven.pass(Duration::from_millis(1));
        driven.log(LogEvent::Facts(log_of(20, 30)));
    }
    assert!(driven.effects().contains(&fetch_after(G4, &["two", "one"])));
}

/// What was in use is kept, and such copies are few; those that never were do not count.
#[test]
fn copies_of_peers_that_are_damaged_in_use_are_replaced_three_times() {
    let mut driven = with_peers(limits());
    driven.finds(log_of(20, 30), Found::Nothing);
    let copies = [false, false, true, true, true, true];
    for (generation, in_use) in (1..).map(Generation).zip(copies) {
        let effects = driven.effects();
        let asks = |effect: &Effect| matches!(effect, Effect::Peer(PeerCall::Fetch { .. }));
        assert!(effects.iter().any(asks), "{generation}: {effects:?}");
        driven.peer(fetched(generation));
        driven.log(LogEvent::Facts(log_of(20, 30)));
        driven.log(LogEvent::Facts(log_of(20, 30)));
        let before = Generation(generation.0 - 1);
        let kept = generation.0 > 3;
        if kept {
            let calls = driven.store_calls();
            assert!(matches!(calls[..], [StoreCall::Quarantine { .. }]), "{calls:?}");
            driven.ended(StoreCallKind::Quarantine, before);
        }
        assert_eq!(driven.store_calls(), [adopt(generation)]);
        driven.ended(StoreCallKind::Adopt, generation);
        if generation != G1 && !kept {
            driven.ended(StoreCallKind::Remove, before);
        }
        let damaged = corrupt(generation);
        let found = if in_use { copy(damaged, None) } else { copy(None, damaged) };
        driven.finds(log_of(20, 30), found);
        driven.pass(limits().peer_retry * 16);
        driven.log(LogEvent::Facts(log_of(20, 30)));
    }
    assert!(!driven.effects().iter().any(|effect| matches!(effect, Effect::Peer(_))));
}

/// It has what the log lost; the next one would too, and be kept beside it. One that was in use was good for a time.
#[test]
fn after_a_copy_that_has_what_the_log_lost_nobody_is_asked_for_another_unless_it_was_in_use() {
    for in_use in [false, true] {
        after_a_copy_that_has_what_the_log_lost(in_use);
    }
}

fn after_a_copy_that_has_what_the_log_lost(in_use: bool) {
    let mut driven = with_peers(limits());
    driven.finds(log_of(20, 30), Found::Nothing);
    driven.peer(fetched(G1));
    driven.log(LogEvent::Facts(log_of(20, 30)));
    driven.log(LogEvent::Facts(log_of(20, 30)));
    driven.ended(StoreCallKind::Adopt, G1);
    let lost = held(G1, 31, NOW_MS);
    driven.finds(log_of(20, 30), if in_use { copy(lost, None) } else { copy(None, lost) });
    assert!(matches!(driven.node.shared.phase, Phase::Refused(Refusal::LogIncomplete { .. })));
    driven.effects();
    driven.pass(limits().peer_retry * 16);
    driven.log(LogEvent::Facts(log_of(20, 30)));
    let asks = driven.effects().iter().any(|effect| matches!(effect, Effect::Peer(_)));
    assert_eq!(asks, in_use);
}

/// Beyond the margin by which clocks may differ its copy is of no use: one that takes hours is not fetched every few
/// seconds for that.
#[test]
fn what_a_peer_gives_of_a_wrong_clock_is_asked_for_after_growing_pauses() {
    let within = fetches_in_ten_minutes(10_000);
    assert_eq!(within, (1, Phase::Restoring(Cause::Unfinished)), "as far as clocks may differ");
    assert_eq!(fetches_in_ten_minutes(20_000), within, "once that is over");
    let (fetches, phase) = fetches_in_ten_minutes(3_600_000);
    assert!((2..=6).contains(&fetches), "{fetches}");
    assert!(matches!(phase, Phase::Refused(Refusal::LogIncomplete { .. })), "{phase}");
}

/// Whole copies that are fetched while the giver's clock is ahead by this much; the retention is 100 s.
fn fetches_in_ten_minutes(ahead_ms: u64) -> (u32, Phase) {
    let mut driven = with_peers(limits());
    driven.finds(log_of(20, 30), Found::Nothing);
    let (mut fetches, mut given) = (0, None);
    for _ in 0..600 {
        while let Some(effect) = driven.node.poll() {
            match effect {
                Effect::Peer(PeerCall::Fetch { generation, .. }) => {
                    fetches += 1;
                    given = held(generation, 25, driven.now.wall_ms + ahead_ms);
                    driven.peer(fetched(generation));
                }
                Effect::Log(LogCall::Describe) => driven.log(LogEvent::Facts(log_of(20, 30))),
                Effect::Store(StoreCall::Open { .. }) => {
                    driven.store(StoreEvent::Found(copy(None, given.clone())));
                }
                Effect::Store(
                    call @ (StoreCall::Adopt { generation, .. }
                    | StoreCall::Remove { generation }
                    | StoreCall::Close { generation }),
                ) => driven.ended(call.kind(), generation),
                Effect::Store(_) | Effect::Log(_) | Effect::Reply(..) | Effect::Notice(_) => {}
                Effect::Ring(_) => {}
                Effect::Peer(PeerCall::Cancel) => panic!("nobody calls it off"),
            }
        }
        driven.pass(Duration::from_secs(1));
    }
    (fetches, driven.node.shared.phase.clone())
}
