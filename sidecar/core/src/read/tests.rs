//! What is waited for, and which snapshots may answer.

use super::*;
use crate::fixtures::{G1, TOPIC, epochs, token, token_at};

const NOW: Now = Now { mono: Duration::from_secs(1), wall_ms: 10_000 };
const UNTIL: Duration = Duration::from_secs(3);

/// READY, read up to `position`, confirmed one second ago.
fn ready(position: u64) -> Arc<Gate> {
    Arc::new(Gate {
        phase: Phase::Ready,
        generation: Some(G1),
        fed: true,
        topic: Some(TOPIC),
        positions: vec![Offset(position)],
        epochs: Arc::new([epochs(&[])]),
        exact: true,
        confirmed_at_ms: 9_000,
        ..Gate::closed()
    })
}

/// On disk the confirmation is four seconds old.
fn snapshot(position: u64) -> Lineage {
    Lineage::empty(6_000, 0).read_to(position)
}

fn path(demand: impl Into<Demand>) -> ReadPath {
    ReadPath::new(demand.into(), UNTIL)
}

fn latest_after(position: u64) -> Demand {
    Demand { first: Some(token(position)), ..ReadLevel::Latest.into() }
}

fn wait(until: Until) -> Result<Step, Rejection> {
    Ok(Step::Wait { until, deadline: Duration::from_secs(2) })
}

const OPEN: Result<Step, Rejection> = Ok(Step::Open(G1));

fn opened(path: &mut ReadPath, gate: &Arc<Gate>, lineage: &Lineage) -> Result<Opened, Rejection> {
    assert_eq!(path.next(gate, NOW), OPEN);
    path.opened(Some(std::slice::from_ref(lineage)), NOW)
}

fn position(opened: Result<Opened, Rejection>) -> Option<Offset> {
    match opened {
        Ok(Opened::Answer(answer)) => Some(answer.token.positions[0].0),
        Ok(Opened::Again) => None,
        Err(rejection) => panic!("{rejection}"),
    }
}

#[test]
fn the_answer_is_the_snapshots_and_may_be_ahead_of_the_gate() {
    for level in [ReadLevel::Stale, ReadLevel::Local, ReadLevel::AtLeast(token(5))] {
        let answer = opened(&mut path(level), &ready(5), &snapshot(7));
        let of = Answer { token: token(7), exact: true, confirmed_at_ms: 9_000 };
        assert_eq!(answer, Ok(Opened::Answer(of)));
    }
}

#[test]
fn a_snapshot_behind_the_ready_copy_that_admitted_it_does_not_answer() {
    for level in [ReadLevel::Local, ReadLevel::AtLeast(token(3))] {
        let mut path = path(level);
        assert_eq!(position(opened(&mut path, &ready(5), &snapshot(4))), None);
        assert_eq!(position(opened(&mut path, &ready(4), &snapshot(4))), Some(Offset(4)));
    }
}

#[test]
fn a_snapshot_behind_the_token_does_not_answer() {
    let mut path = path(ReadLevel::AtLeast(token(5)));
    assert_eq!(position(opened(&mut path, &ready(5), &snapshot(4))), None);
    assert_eq!(path.next(&ready(4), NOW), wait(Until::AtLeast(token(5))));
}

#[test]
fn a_snapshot_of_another_history_than_the_tokens_is_refused() {
    let of_epoch_1 = token_at(&[(5, Some(1))]);
    let other = snapshot(9).of_epochs(&[(2, 4)]);
    let latest = Demand { first: Some(of_epoch_1.clone()), ..ReadLevel::Latest.into() };
    for demand in [ReadLevel::AtLeast(of_epoch_1).into(), latest] {
        let mut path = path(demand);
        path.reached(Some(vec![Offset(5)]));
        let refused = opened(&mut path, &ready(5), &other);
        assert_eq!(refused, Err(Rejection::TokenOfAnotherHistory));
    }
}

#[test]
fn latest_waits_for_the_end_and_then_for_nothing() {
    let mut path = path(ReadLevel::Latest);
    assert_eq!(path.next(&ready(5), NOW), wait(Until::Latest(None)));
    path.reached(Some(vec![Offset(6)]));
    assert_eq!(position(opened(&mut path, &ready(6), &snapshot(6))), Some(Offset(6)));
}

#[test]
fn latest_asks_anew_when_the_copy_is_opened_again_before_the_end_that_it_waited_for() {
    let mut path = path(ReadLevel::Latest);
    path.reached(Some(vec![Offset(6)]));
    assert_eq!(position(opened(&mut path, &ready(5), &snapshot(5))), None);
    assert_eq!(path.next(&ready(5), NOW), wait(Until::Latest(None)));
}

#[test]
fn latest_with_a_token_waits_for_the_token_first_and_opens_one_snapshot() {
    let mut path = path(latest_after(6));
    assert_eq!(path.next(&ready(5), NOW), wait(Until::AtLeast(token(6))));
    path.reached(None);
    assert_eq!(path.next(&ready(6), NOW), wait(Until::Latest(None)));
    path.reached(Some(vec![Offset(2)]));
    let behind_the_token = opened(&mut path, &ready(6), &snapshot(5));
    assert_eq!(position(behind_the_token), None);
}

#[test]
fn a_wait_gets_what_is_left_of_the_time() {
    let mut path = path(ReadLevel::Latest);
    let late = Now { mono: UNTIL + Duration::from_secs(1), ..NOW };
    let step = path.next(&ready(5), late);
    assert_eq!(step, Ok(Step::Wait { until: Until::Latest(None), deadline: Duration::ZERO }));
}

#[test]
fn a_generation_that_is_closed_is_looked_for_again_a_few_times_only() {
    let mut path = path(ReadLevel::Stale);
    for _ in 1..OPENED_MAX {
        assert_eq!(path.next(&ready(5), NOW), OPEN);
        assert_eq!(path.opened(None, NOW), Ok(Opened::Again));
    }
    assert_eq!(path.next(&ready(5), NOW), OPEN);
    assert_eq!(path.opened(None, NOW), Err(Rejection::NotReady(Phase::Opening)));
}

#[test]
fn an_inexact_snapshot_answers_stale_reads_only_and_says_so() {
    let holed = Lineage { exact_from: Offset(9), ..snapshot(5) };
    let refused = opened(&mut path(ReadLevel::Local), &ready(5), &holed);
    assert_eq!(refused, Err(Rejection::NotReady(Phase::CatchingUp)));
    let Ok(Opened::Answer(answer)) = opened(&mut path(ReadLevel::Stale), &ready(5), &holed) else {
        panic!("STALE is content with it")
    };
    assert!(!answer.exact);
}

#[test]
fn a_stale_answer_from_further_back_has_the_age_that_is_on_disk() {
    let stale = |staleness_ms_max, lineage: &Lineage| {
        let demand = Demand { staleness_ms_max, ..ReadLevel::Stale.into() };
        match opened(&mut path(demand), &ready(5), lineage)? {
            Opened::Answer(answer) => Ok(answer.confirmed_at_ms),
            Opened::Again => panic!("STALE is content with it"),
        }
    };
    assert_eq!(stale(Some(1_000), &snapshot(5)), Ok(9_000));
    assert_eq!(stale(None, &snapshot(4)), Ok(6_000));
    let too_old = Rejection::TooStale { age_ms: 4_000, max_ms: 1_000 };
    assert_eq!(stale(Some(1_000), &snapshot(4)), Err(too_old));
}
