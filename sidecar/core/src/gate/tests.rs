//! Who is let in, and what the others are told.

use std::time::Duration;

use super::*;
use crate::fixtures::{G1, OTHER_TOPIC, P1, TOPIC, epochs, token, token_at};
use crate::offset::Revision;
use crate::phase::{Cause, PolicyFault};

const NOW: Now = Now { mono: Duration::from_secs(1), wall_ms: 10_000 };

/// READY, exact, one partition read up to 5, confirmed one second ago.
fn ready() -> Gate {
    Gate {
        phase: Phase::Ready,
        generation: Some(G1),
        fed: true,
        topic: Some(TOPIC),
        positions: vec![Offset(5)],
        epochs: Arc::new([epochs(&[(1, 0), (3, 4)])]),
        exact: true,
        confirmed_at_ms: 9_000,
        awaits_free: true,
        delete_retention_ms_min: u64::MAX,
    }
}

fn at_least(token: Token) -> ReadLevel {
    ReadLevel::AtLeast(token)
}

fn admit(gate: &Gate, level: &ReadLevel) -> Result<Admit, Rejection> {
    gate.admit(level, None, NOW)
}

#[test]
fn a_ready_copy_is_read_at_once_unless_a_later_position_is_asked_for() {
    let gate = ready();
    assert_eq!(admit(&gate, &ReadLevel::Stale), Ok(Admit::Now(G1)));
    assert_eq!(admit(&gate, &ReadLevel::Local), Ok(Admit::Now(G1)));
    assert_eq!(admit(&gate, &at_least(token(5))), Ok(Admit::Now(G1)));
    assert_eq!(admit(&gate, &at_least(token(6))), Ok(Admit::Wait(Until::AtLeast(token(6)))));
    assert_eq!(admit(&gate, &ReadLevel::Latest), Ok(Admit::Wait(Until::Latest(None))));
}

#[test]
fn a_snapshot_that_ran_ahead_of_the_gate_into_a_gap_answers_stale_reads_only() {
    let exact = Lineage::empty(0, 0).read_to(5);
    let holed = Lineage { exact_from: Offset(9), ..exact.clone() };
    for level in [ReadLevel::Local, at_least(token(5)), ReadLevel::Latest] {
        assert_eq!(level.check_snapshot(&[exact.clone(), exact.clone()]), Ok(()));
        let refused = level.check_snapshot(&[exact.clone(), holed.clone()]);
        assert_eq!(refused, Err(Rejection::NotReady(Phase::CatchingUp)));
    }
    assert_eq!(ReadLevel::Stale.check_snapshot(&[holed]), Ok(()));
}

#[test]
fn only_an_exact_copy_that_is_fed_holds_a_token() {
    let gates = [
        (ready(), true),
        (Gate { exact: false, ..ready() }, false),
        (Gate { fed: false, ..ready() }, false),
    ];
    for (gate, holds) in gates {
        assert_eq!(gate.holds(&token(5)), holds, "{gate:?}");
        assert!(!gate.holds(&token(6)), "{gate:?}");
    }
}

#[test]
fn one_partition_below_the_token_is_enough_to_wait() {
    let mut gate = ready();
    gate.positions = vec![Offset(5), Offset(7)];
    let wants = |first, second| token_at(&[(first, None), (second, None)]);
    assert!(gate.holds(&wants(5, 7)));
    assert!(!gate.holds(&wants(6, 7)) && !gate.holds(&wants(5, 8)));
}

#[test]
fn what_must_wait_is_refused_when_too_many_do_and_nothing_else_is() {
    let full = Gate { awaits_free: false, ..ready() };
    for level in [ReadLevel::Latest, at_least(token(6))] {
        assert_eq!(admit(&full, &level), Err(Rejection::Overloaded));
    }
    for level in [ReadLevel::Stale, ReadLevel::Local, at_least(token(5))] {
        assert_eq!(admit(&full, &level), Ok(Admit::Now(G1)));
    }
}

#[test]
fn a_copy_exactly_as_old_as_accepted_is_read() {
    let gate = ready();
    let admit = |max_ms, now| gate.admit(&ReadLevel::Local, Some(max_ms), now);
    assert_eq!(admit(1_000, NOW), Ok(Admit::Now(G1)));
    assert_eq!(admit(999, NOW), Err(Rejection::TooStale { age_ms: 1_000, max_ms: 999 }));
    let before = Now { wall_ms: 8_000, ..NOW };
    assert_eq!(admit(0, before), Ok(Admit::Now(G1)), "a clock that went back is no age");
}

#[test]
fn a_token_that_can_never_be_reached_is_an_error_not_a_wait() {
    let gate = ready();
    let of_epoch = |position, epoch| token_at(&[(position, Some(epoch))]);
    let cases = [
        (
            Token { topic: OTHER_TOPIC, ..token(5) },
            Err(Rejection::TokenOfAnotherTopic { token: OTHER_TOPIC, topic: TOPIC }),
        ),
        (token_at(&[]), Err(Rejection::TokenMalformed { has: 0, partitions: 1 })),
        (of_epoch(5, 1), Err(Rejection::TokenOfAnotherHistory)),
        (of_epoch(4, 1), Ok(())),
        (of_epoch(9, 3), Ok(())),
        (token(9), Ok(())),
    ];
    for (token, judged) in cases {
        assert_eq!(gate.check_token(&token), judged, "{token:?}");
    }
    let unknown = Gate { topic: None, ..ready() };
    assert_eq!(
        unknown.check_token(&token(5)),
        Ok(()),
        "no topic is known that it could contradict"
    );
}

#[test]
fn a_phase_that_does_not_admit_says_what_it_is() {
    let operation = Operation::Read;
    let judged = |phase| Gate { phase, ..ready() }.admit_operation(operation);
    let policy = Refusal::Policy(PolicyFault::Cleanup("delete".to_owned()));
    assert_eq!(judged(Phase::Ready), Ok(()));
    assert_eq!(judged(Phase::Stopped), Err(Rejection::Draining));
    assert_eq!(judged(Phase::Refused(policy.clone())), Err(Rejection::Refused(policy)));
    for phase in [Phase::Opening, Phase::Restoring(Cause::Empty), Phase::CatchingUp] {
        assert_eq!(judged(phase.clone()), Err(Rejection::NotReady(phase)));
    }
}

#[test]
fn a_phase_that_admits_is_not_enough_without_a_copy() {
    let gate = Gate { generation: None, ..ready() };
    assert_eq!(admit(&gate, &ReadLevel::Stale), Err(Rejection::NotReady(Phase::Ready)));
}

#[test]
fn a_missed_deadline_names_the_stall_if_there_is_one() {
    let says = |stall| Rejection::Deadline { stall }.to_string();
    assert_eq!(says(None), "the position was not reached in time");
    assert_eq!(
        says(Some(StallKind::StoreFull)),
        "the position was not reached in time: store_full"
    );
}

#[test]
fn the_token_of_a_write_asks_for_its_own_record_and_nothing_else() {
    let revision = Revision { partition: P1, offset: Offset(5) };
    let token = Token::of_write(TOPIC, 3, revision);
    assert_eq!(token.positions, [0, 6, 0].map(|position| (Offset(position), None)));
}
