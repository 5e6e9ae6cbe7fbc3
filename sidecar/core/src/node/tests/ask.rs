//! The rhythm of questions: one at a time, neither forgotten nor hammered.

use super::*;
use crate::node::shared::Ask;

const INTERVAL: Duration = Duration::from_secs(1);

fn at(ms: u64) -> Moment {
    Clock::new(Now { mono: Duration::from_millis(ms), wall_ms: ms }).now()
}

fn asked(ms: u64) -> Ask {
    let mut ask = Ask::default();
    assert!(ask.ask(at(ms)));
    ask
}

#[test]
fn a_question_is_due_at_once_and_never_asked_twice_before_its_answer() {
    let mut ask = asked(5);
    assert_eq!(ask.timer(), None, "the answer comes by itself");
    assert!(!ask.ask(at(100_000)));
    assert_eq!(ask.answered(at(7), INTERVAL), Some(at(5)), "when it was asked, not answered");
    assert_eq!(ask.answered(at(8), INTERVAL), None);
}

#[test]
fn an_answered_question_is_asked_again_after_its_interval() {
    let mut ask = asked(5);
    ask.answered(at(7), INTERVAL);
    assert_eq!(ask.timer(), Some(Duration::from_millis(1_007)));
    assert!(!ask.ask(at(1_006)));
    assert!(ask.ask(at(1_007)));
}

#[test]
fn each_question_has_its_number() {
    let mut ask = Ask::default();
    assert_eq!(ask.asked(), 0);
    for number in 1..=3 {
        assert!(ask.ask(at(number * 2_000)));
        assert_eq!(ask.asked(), number);
        ask.answered(at(number * 2_000), INTERVAL);
    }
}

#[test]
fn what_cannot_wait_is_asked_at_once_or_right_after_the_outstanding_answer() {
    let mut idle = asked(5);
    idle.answered(at(7), INTERVAL);
    idle.hurry();
    assert!(!idle.superseded());
    assert!(idle.ask(at(8)));

    idle.hurry();
    assert!(idle.superseded(), "the outstanding question began before this was wanted");
    idle.answered(at(9), INTERVAL);
    assert!(!idle.superseded());
    assert!(idle.ask(at(9)));
    idle.answered(at(10), INTERVAL);
    assert!(!idle.ask(at(10)), "once");
}

#[test]
fn a_question_that_fails_is_repeated_after_longer_and_longer_pauses() {
    let limits = Limits::PRODUCTION;
    let mut ask = Ask::default();
    let mut now = at(1_000);
    for failures in 0..10 {
        assert!(ask.ask(now));
        ask.failed(now, &limits);
        let due = now.mono + limits.retry_after(failures);
        assert_eq!(ask.timer(), Some(due));
        now.mono = due;
    }
    assert!(ask.ask(now));
    ask.answered(now, INTERVAL);
    now.mono += INTERVAL;
    assert!(ask.ask(now));
    ask.failed(now, &limits);
    assert_eq!(
        ask.timer(),
        Some(now.mono + limits.retry_min),
        "an answer ends the row of failures"
    );
}

#[test]
fn a_question_at_rest_is_not_asked_before_its_time() {
    let mut ask = Ask::default();
    ask.rest(at(100), INTERVAL);
    assert_eq!(ask.timer(), Some(Duration::from_millis(1_100)));
    assert!(!ask.ask(at(1_099)));
    assert!(ask.ask(at(1_100)));
}

/// A question that failed and is asked anew begins after whatever wanted it.
#[test]
fn what_a_failed_question_was_too_early_for_the_next_one_is_not() {
    let limits = Limits::PRODUCTION;
    let mut ask = asked(5);
    ask.hurry();
    assert!(ask.superseded());
    ask.failed(at(7), &limits);
    assert!(ask.ask(at(100_000)));
    assert!(!ask.superseded(), "asked since");
}
