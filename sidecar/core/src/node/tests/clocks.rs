//! A wall clock that is wrong, or set while the process runs.

use super::peers::{NOW_MS, RETENTION_MS, adopt, fetched, held, limits, log_of, with_peers};
use super::*;
use crate::phase::{Cause, Refusal};
use crate::store::FoundGeneration;

const MARGIN_MS: u64 = RETENTION_MS / 10;

fn refuses(driven: &Driven) -> bool {
    matches!(driven.node.shared.phase, Phase::Refused(Refusal::LogIncomplete { .. }))
}

/// A node that only a peer can help, with what one gave after `away_ms`, while the clock was set back by `back_ms`.
fn given(away_ms: u64, back_ms: u64, given: Option<FoundGeneration>) -> Driven {
    let mut driven = with_peers(limits());
    driven.finds(log_of(20, 30), Found::Nothing);
    driven.pass(Duration::from_millis(away_ms));
    driven.now.wall_ms -= back_ms;
    driven.peer(fetched(G1));
    for _ in 0..2 {
        driven.log(LogEvent::Facts(log_of(20, 30)));
    }
    assert_eq!(driven.store_calls(), [adopt(G1)]);
    driven.ended(StoreCallKind::Adopt, G1);
    driven.finds(log_of(20, 30), copy(None, given));
    driven
}

#[test]
fn a_clock_that_is_set_back_makes_no_peers_copy_young() {
    let trusted = RETENTION_MS - MARGIN_MS;
    for back_ms in [0, MARGIN_MS, trusted / 2, trusted, 5 * RETENTION_MS] {
        let taken = |age_ms| {
            let driven = given(age_ms, back_ms.min(NOW_MS), held(G1, 25, NOW_MS));
            driven.node.shared.phase == Phase::Restoring(Cause::Unfinished)
        };
        assert!(taken(trusted - 1) && !taken(trusted), "set back by {back_ms} ms");
    }
}

/// What this node is given is read on until its own horizon, whatever the clock says.
#[test]
fn a_clock_that_is_set_back_costs_no_copy_that_is_read_into() {
    let mut driven = given(0, 5 * RETENTION_MS, held(G1, 25, NOW_MS));
    assert_eq!(driven.node.shared.phase, Phase::Restoring(Cause::Unfinished));
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.now.wall_ms = 0;
    driven.takes(batch(25, b"k"));
    assert_eq!(driven.node.shared.phase, Phase::Restoring(Cause::Unfinished));
    assert_eq!(applies(&driven.effects()), 1);
}

/// By the time that this clock has caught up with the one that confirmed it, the copy is as old as that took.
#[test]
fn a_copy_from_the_future_becomes_no_younger_by_waiting() {
    for (set_forward_ms, taken) in [(0, false), (3 * MARGIN_MS - 1, false), (3 * MARGIN_MS, true)] {
        let mut driven = given(0, 0, held(G1, 25, NOW_MS + 4 * MARGIN_MS));
        for _ in 0..4 {
            assert!(refuses(&driven), "{:?}", driven.node.shared.phase);
            driven.pass(Duration::from_millis(MARGIN_MS));
            driven.log(LogEvent::Facts(log_of(20, 30)));
        }
        driven.fails_to_fetch(G2);
        driven.now.wall_ms += set_forward_ms;
        driven.log(LogEvent::Facts(log_of(20, 30)));
        assert_eq!(!refuses(&driven), taken, "{:?}", driven.node.shared.phase);
    }
}

/// One that is ahead for a time may have been set by what set the peer's clock, too: a date that it showed then is of then,
/// also where both show it once more. That costs a copy which a peer confirmed just now.
#[test]
fn a_date_that_a_clock_showed_while_it_was_ahead_makes_no_peers_copy_young() {
    let ahead = Duration::from_millis(RETENTION_MS);
    let taken = |confirmed_ago_ms: u64| {
        let mut driven = with_peers(limits());
        driven.finds(log_of(20, 30), Found::Nothing);
        driven.now.wall_ms += RETENTION_MS;
        driven.pass(Duration::from_millis(1));
        driven.pass(Duration::from_millis(MARGIN_MS));
        driven.now.wall_ms -= RETENTION_MS;
        driven.pass(ahead);
        driven.peer(fetched(G1));
        for _ in 0..2 {
            driven.log(LogEvent::Facts(log_of(20, 30)));
        }
        driven.ended(StoreCallKind::Adopt, G1);
        let confirmed_at_ms = driven.now.wall_ms - confirmed_ago_ms;
        driven.finds(log_of(20, 30), copy(None, held(G1, 25, confirmed_at_ms)));
        driven.node.shared.phase == Phase::Restoring(Cause::Unfinished)
    };
    assert!(!taken(0) && !taken(MARGIN_MS));
    assert!(taken(2 * MARGIN_MS), "that it showed once");
}
