//! Gaps beside a READY copy: reads see nothing that is not exact, and are refused only where that goes on.

use super::*;
use crate::log::Loss;

/// What others write with transactions to a topic that protects nothing.
fn plain() -> Driven {
    Driven::ready(facts().led_by(5).on_writers_clocks(), Limits::PRODUCTION)
}

/// A record at `to - 1`; what lies between `from` and it is missing.
fn holed(from: u64, to: u64, epoch: u32, bound: u64) -> Batch {
    records(from, [to - 1], Some(epoch), bound)
}

fn applied(effects: Vec<Effect>) -> Vec<(std::ops::Range<u64>, bool)> {
    let apply = |effect| match effect {
        Effect::Store(StoreCall::Apply { batch, lineage, .. }) => {
            Some((batch.range.start.0..batch.range.end.0, lineage.exact()))
        }
        _ => None,
    };
    effects.into_iter().filter_map(apply).collect()
}

fn asks_for_more(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Log(LogCall::Fetch { .. })))
}

#[test]
fn a_gap_is_shown_with_what_makes_the_copy_exact_again() {
    let mut driven = plain();
    driven.log(LogEvent::Fetched(holed(0, 2, 5, 5)));
    driven.log(LogEvent::Fetched(holed(2, 4, 5, 6)));
    let effects = driven.effects();
    assert!(asks_for_more(&effects), "what is missing is still to come");
    assert_eq!(applied(effects), [], "it would be refused to every reader");
    driven.log(LogEvent::Fetched(holed(4, 6, 5, 6)));
    assert_eq!(applied(driven.effects()), [(0..6, true)], "one write: no snapshot is between");
    driven.store(StoreEvent::Applied { generation: G1, partition: P0, position: Offset(6) });
    assert_eq!(driven.node.shared.phase, Phase::Ready);
}

#[test]
fn a_batch_that_is_exact_by_itself_waits_for_nothing() {
    let mut driven = plain();
    driven.log(LogEvent::Fetched(holed(0, 2, 5, 2)));
    driven.log(LogEvent::Fetched(batch(2, b"a")));
    assert_eq!(applied(driven.effects()), [(0..2, true), (2..3, true)]);
}

#[test]
fn gaps_that_go_on_are_shown_as_they_are_after_a_time() {
    let mut driven = plain();
    driven.log(LogEvent::Fetched(holed(0, 2, 5, 9)));
    assert_eq!(driven.node.next_timer().map(|at| at > driven.now.mono), Some(true));
    driven.pass(Limits::PRODUCTION.gap_wait_max / 2);
    driven.log(LogEvent::Fetched(holed(2, 4, 5, 11)));
    assert_eq!(applied(driven.effects()), []);
    driven.pass(Limits::PRODUCTION.gap_wait_max / 2);
    assert_eq!(applied(driven.effects()), [(0..4, false)]);
    driven.store(StoreEvent::Applied { generation: G1, partition: P0, position: Offset(4) });
    assert_eq!(driven.node.shared.phase, Phase::CatchingUp);
    driven.log(LogEvent::Fetched(holed(4, 5, 5, 12)));
    assert_eq!(applied(driven.effects()), [(4..5, false)], "nothing is refused that was not");
}

#[test]
fn what_would_become_too_much_is_shown_as_it_is() {
    let mut driven = plain();
    let large = |from: u64| {
        let value = vec![0; 600 * 1024];
        let mut builder = BatchBuilder::new(P0, 1, Offset(from));
        builder.push(Offset(from + 1), Some(Epoch(5)), Some(b"k"), Some(&value));
        builder.finish(Offset(9))
    };
    driven.log(LogEvent::Fetched(large(0)));
    assert_eq!(applied(driven.effects()), []);
    driven.log(LogEvent::Fetched(large(2)));
    assert_eq!(applied(driven.effects()), [(0..2, false), (2..4, false)]);
}

/// Where the log lost the end that the first one told, the second tells it: only piece by piece that is seen.
#[test]
fn a_later_leaders_records_are_not_mixed_with_a_gap_before_them() {
    let mut driven = plain();
    driven.log(LogEvent::Fetched(holed(0, 2, 5, 8)));
    driven.log(LogEvent::Fetched(holed(2, 9, 6, 9)));
    let effects = driven.effects();
    let (at, epoch) = (Offset(8), Some(Epoch(5)));
    let asked = Effect::Log(LogCall::Assign { partition: P0, at, epoch });
    assert!(effects.contains(&asked), "epoch 6 may begin at 2: {effects:?}");
    assert_eq!(applied(effects), [(0..2, false)]);
}

#[test]
fn a_later_leader_that_answers_ends_the_wait_before_it_is_read_from() {
    let mut driven = plain();
    driven.effects();
    driven.log(LogEvent::Fetched(holed(0, 2, 5, 8)));
    driven.pass(Limits::PRODUCTION.gap_wait_max / 2);
    driven.effects();
    driven.node.shared.ends.hurry();
    driven.pass(Duration::ZERO);
    driven.log(ends(8, Some(6)));
    assert_eq!(applied(driven.effects()), [(0..2, false)], "a leader of epoch 5 told its end");
}

#[test]
fn what_was_not_shown_is_read_again_and_a_refusal_behind_it_says_nothing_about_the_disk() {
    let mut driven = plain();
    driven.log(LogEvent::Fetched(holed(0, 2, 5, 9)));
    driven.log(LogEvent::Lost { partition: P0, loss: Loss::UnknownEpoch });
    driven.effects();
    driven.pass(Limits::PRODUCTION.retry_max.min(Limits::PRODUCTION.gap_wait_max / 2));
    let at_the_disk =
        |effect: &Effect| matches!(effect, Effect::Log(LogCall::Assign { at: Offset(0), .. }));
    let effects = driven.effects();
    assert!(effects.iter().any(at_the_disk), "{effects:?}");
    let mut driven = plain();
    driven.log(LogEvent::Fetched(holed(0, 2, 5, 9)));
    driven.log(LogEvent::Lost { partition: P0, loss: Loss::Diverged });
    assert!(
        driven.node.shared.evidence.diverged.is_empty(),
        "the position on disk was not refused"
    );
}
