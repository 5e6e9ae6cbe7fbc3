//! Each row of the table, and what it must not do.

use super::*;
use crate::dates::Dates;
use crate::deposed::Proof;
use crate::fixtures::{G1, G2, P1, TOPIC, copy, intact};
use crate::offset::Offset;
use crate::time::Now;
use crate::topic::PartitionFacts;

const NOW_MS: u64 = 1_000_000_000;
const RETENTION_MS: u64 = 1_000_000;

fn facts() -> LogFacts {
    crate::fixtures::facts().of_partitions(2).reaching(0, 100).led_by(6).retaining(RETENTION_MS)
}

fn partition(log_start: u64, high_watermark: u64) -> PartitionFacts {
    let (log_start, high_watermark) = (Offset(log_start), Offset(high_watermark));
    PartitionFacts { log_start, high_watermark, epoch: Some(Epoch(6)) }
}

fn lineage(position: u64) -> Lineage {
    Lineage::empty(NOW_MS - 1_000, RETENTION_MS).read_to(position).of_epochs(&[(5, 0)])
}

fn current(position: u64) -> Found {
    copy(intact(G1, [lineage(50), lineage(position)]), None)
}

/// A situation to vary.
struct Case {
    found: Found,
    facts: LogFacts,
    epochs_known: Vec<Option<Epoch>>,
    diverged: BTreeSet<(Generation, Partition)>,
    inexact: BTreeSet<(Generation, Partition)>,
    past_horizon: BTreeSet<Generation>,
    wall_ms: u64,
}

fn case(found: Found) -> Case {
    let (diverged, inexact, past_horizon) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (facts, epochs_known) = (facts(), vec![None; 2]);
    Case { found, facts, epochs_known, diverged, inexact, past_horizon, wall_ms: NOW_MS }
}

impl Case {
    fn plan(&self) -> Plan {
        decide(Situation {
            store: "s",
            found: &self.found,
            facts: &self.facts,
            epochs_known: &self.epochs_known,
            diverged: &self.diverged,
            inexact: &self.inexact,
            past_horizon: &self.past_horizon,
            dates: &Dates::new(Now { mono: Duration::from_secs(7), wall_ms: self.wall_ms }),
            limits: &Limits::PRODUCTION,
        })
    }

    fn rebuild(&self) -> (Cause, Vec<(Generation, Old)>) {
        match self.plan() {
            Plan { old, then: Then::Rebuild { generation, cause, refusal: None }, .. } => {
                let next = match &self.found {
                    Found::Copy(copy) => copy.next,
                    Found::Nothing | Found::Foreign { .. } => G1,
                };
                assert_eq!(generation, next);
                (cause, old)
            }
            other => panic!("expected a rebuild: {other:?}"),
        }
    }

    fn resumes(&self) {
        let plan = self.plan();
        assert!(matches!(plan.then, Then::Resume { generation: G1, .. }), "{plan:?}");
    }

    fn waits(&self) -> Deposed {
        match self.plan().then {
            Then::Wait(deposed) => deposed,
            other => panic!("a deposed leader answers: {other:?}"),
        }
    }

    fn refusal(&self) -> (Refusal, Option<Generation>) {
        match self.plan() {
            Plan {
                serve,
                then: Then::Refuse(refusal) | Then::Rebuild { refusal: Some(refusal), .. },
                ..
            } => (refusal, serve),
            other => panic!("expected a refusal: {other:?}"),
        }
    }
}

fn quarantined(old: &[(Generation, Old)]) -> Vec<Generation> {
    old.iter()
        .filter(|(_, old)| matches!(old, Old::Quarantine(_)))
        .map(|(generation, _)| *generation)
        .collect()
}

#[test]
fn nothing_on_disk_and_a_complete_log_is_a_rebuild() {
    assert_eq!(case(Found::Nothing).rebuild(), (Cause::Empty, Vec::new()));
}

#[test]
fn a_valid_copy_resumes_at_its_position() {
    let plan = case(current(100)).plan();
    let Then::Resume { generation: G1, lineages } = &plan.then else { panic!("{plan:?}") };
    assert_eq!((plan.serve, &plan.old[..]), (Some(G1), &[][..]));
    assert_eq!(lineages[1].position, Offset(100));
}

#[test]
fn another_identity_is_refused_and_nothing_is_served() {
    let case = case(Found::Foreign { is: "store \"other\"".to_owned() });
    let (Refusal::Identity { found, expected }, None) = case.refusal() else {
        panic!("{:?}", case.plan())
    };
    assert_eq!((found.as_str(), expected.topic), ("store \"other\"", TOPIC));
}

#[test]
fn an_unsafe_policy_is_refused_before_anything_else_is_judged() {
    for cleanup in ["delete", "compact,delete", "delete,compact", ""] {
        let mut case = case(current(500));
        case.facts.policy.cleanup = cleanup.to_owned();
        let (refusal, serve) = case.refusal();
        assert_eq!(refusal, Refusal::Policy(PolicyFault::Cleanup(cleanup.to_owned())));
        assert_eq!(serve, Some(G1));
    }
    let mut case = case(Found::Nothing);
    for is_ms in [100, 1_500] {
        case.facts.policy.delete_retention_ms = is_ms;
        let fault = PolicyFault::DeleteRetention { is_ms, above_ms: 1_500 };
        assert_eq!(case.refusal(), (Refusal::Policy(fault), None));
    }
    case.facts.policy.delete_retention_ms = 1_501;
    case.rebuild();
}

#[test]
fn a_leader_below_a_known_epoch_is_waited_out_whoever_knows_it() {
    let from_copy = {
        let mut case = case(current(100));
        case.facts.partitions[1].epoch = Some(Epoch(4));
        case
    };
    let from_answers = {
        let mut case = case(Found::Nothing);
        case.epochs_known[1] = Some(Epoch(7));
        case
    };
    for (case, known) in [(from_copy, 5), (from_answers, 7)] {
        let deposed = case.waits();
        assert_eq!((deposed.partition, deposed.proof), (P1, Proof::Later(Epoch(known))));
    }
}

#[test]
fn a_deposed_leaders_short_log_is_no_reason_to_rebuild() {
    let mut case = case(current(100));
    case.facts.partitions[1] = PartitionFacts { epoch: Some(Epoch(4)), ..partition(0, 10) };
    case.waits();
}

#[test]
fn a_leader_of_the_copys_own_epoch_has_lost_nothing_of_it() {
    let mut case = case(current(100));
    case.facts.partitions[1] = PartitionFacts { epoch: Some(Epoch(5)), ..partition(0, 99) };
    let deposed = case.waits();
    let (end, position) = (Offset(99), Offset(100));
    assert_eq!(deposed.proof, Proof::EndsBefore { end, reached: position });
    case.facts.partitions[1].epoch = Some(Epoch(6));
    assert_eq!(case.rebuild().0, Cause::Truncated);
}

#[test]
fn a_log_that_starts_above_zero_is_never_rebuilt_from() {
    let mut empty = case(Found::Nothing);
    empty.facts.partitions[1].log_start = Offset(1);
    let refusal = |position| {
        let log_start = Offset(1);
        Refusal::LogIncomplete { partition: P1, log_start, position }
    };
    assert_eq!(empty.refusal(), (refusal(None), None));

    let mut below = case(current(0));
    below.facts.partitions[1].log_start = Offset(1);
    assert_eq!(below.refusal(), (refusal(Some(Offset(0))), Some(G1)));

    let mut past = case(current(100));
    past.facts.partitions[1].log_start = Offset(1);
    past.wall_ms = NOW_MS + RETENTION_MS;
    assert_eq!(past.refusal(), (refusal(Some(Offset(100))), Some(G1)));
}

#[test]
fn a_copy_at_or_above_the_log_start_goes_on() {
    let mut case = case(current(60));
    case.facts.partitions[1].log_start = Offset(60);
    case.resumes();
}

#[test]
fn a_copy_beyond_the_logs_end_is_kept_for_the_operator_and_rebuilt() {
    let (cause, old) = case(current(101)).rebuild();
    assert_eq!((cause, quarantined(&old)), (Cause::Truncated, vec![G1]));
    assert!(matches!(&old[..], [(G1, Old::Quarantine(Why::Lost(_)))]), "{old:?}");
}

#[test]
fn a_copy_of_another_history_is_kept_for_the_operator_and_rebuilt() {
    let mut case = case(current(100));
    case.diverged.insert((G1, P1));
    let (cause, old) = case.rebuild();
    assert_eq!((cause, quarantined(&old)), (Cause::Diverged, vec![G1]));
    assert!(matches!(&old[..], [(G1, Old::Quarantine(Why::Lost(_)))]), "{old:?}");
}

/// The leader of the copy's own term has all that was written in it.
#[test]
fn a_refusal_that_the_leader_of_the_copys_own_term_contradicts_is_a_deposed_leaders() {
    let mut case = case(current(100));
    case.diverged.insert((G1, P1));
    case.facts.partitions[1].epoch = Some(Epoch(5));
    case.resumes();
    case.facts.partitions[1].epoch = None;
    assert_eq!(case.rebuild().0, Cause::Diverged, "who tells no epoch contradicts nothing");
}

#[test]
fn past_the_horizon_the_copy_is_rebuilt_and_serves_stale() {
    let margin = RETENTION_MS / 10;
    let confirmed = NOW_MS - 1_000;
    for (wall_ms, valid) in [
        (confirmed, true),
        (confirmed + RETENTION_MS - margin - 1, true),
        (confirmed + RETENTION_MS - margin, false),
        (confirmed - margin, true),
        (confirmed - margin - 1, false),
    ] {
        let mut case = case(current(100));
        case.wall_ms = wall_ms;
        if valid {
            case.resumes()
        } else {
            assert_eq!(
                case.rebuild(),
                (Cause::PastHorizon, vec![(G1, Old::ServeStale)]),
                "at {wall_ms}"
            )
        }
    }
}

#[test]
fn the_smallest_retention_ever_seen_sets_the_horizon() {
    let mut lowered_before = case(current(100));
    let mut short = lineage(100);
    short.delete_retention_ms_min = 1_000;
    lowered_before.found = copy(intact(G1, [lineage(50), short]), None);
    assert_eq!(lowered_before.rebuild().0, Cause::PastHorizon);

    let mut lowered_now = case(current(100));
    lowered_now.facts.policy.delete_retention_ms = 2_000;
    lowered_now.wall_ms = NOW_MS + 1_000;
    assert_eq!(lowered_now.rebuild().0, Cause::PastHorizon);
}

#[test]
fn what_the_monotonic_clock_saw_outweighs_the_wall_clock() {
    let mut case = case(current(100));
    case.past_horizon.insert(G1);
    assert_eq!(case.rebuild().0, Cause::PastHorizon);
}

#[test]
fn a_damaged_or_foreign_format_is_set_aside_and_rebuilt() {
    for (state, cause) in [
        (GenerationState::Corrupt("bad block".to_owned()), Cause::Corrupt),
        (GenerationState::UnknownFormat("9".to_owned()), Cause::UnknownFormat),
    ] {
        let found = copy(Some(FoundGeneration { generation: G1, state }), None);
        let (is, old) = case(found).rebuild();
        assert_eq!((is, quarantined(&old)), (cause, vec![G1]));
        assert!(matches!(&old[..], [(G1, Old::Quarantine(Why::Damaged(_)))]), "{old:?}");
    }
}

#[test]
fn a_copy_with_another_number_of_partitions_than_its_identity_is_corrupt() {
    let case = case(copy(intact(G1, [lineage(1)]), None));
    assert_eq!(case.rebuild().0, Cause::Corrupt);
}

#[test]
fn an_unfinished_rebuild_that_is_still_valid_continues() {
    let old = intact(G1, [lineage(5), lineage(5)]);
    let case = case(copy(old, intact(G2, [lineage(10), lineage(20)])));
    let plan = case.plan();
    assert_eq!((plan.serve, &plan.old[..]), (Some(G1), &[(G1, Old::ServeStale)][..]));
    assert!(matches!(plan.then, Then::Continue { generation: G2, .. }), "{plan:?}");
}

#[test]
fn beside_an_unfinished_rebuild_too_what_the_log_lost_is_kept() {
    let old = intact(G1, [lineage(5), lineage(500)]);
    let case = case(copy(old, intact(G2, [lineage(10), lineage(20)])));
    let plan = case.plan();
    let [(G1, Old::Quarantine(why))] = &plan.old[..] else { panic!("{plan:?}") };
    assert!(matches!(plan.then, Then::Continue { generation: G2, .. }), "{plan:?}");
    assert_eq!(plan.serve, None);
    assert!(why.to_string().contains("the log ends at 100, the copy at 500"), "{why}");
}

#[test]
fn an_unfinished_rebuild_past_its_horizon_is_discarded_not_kept() {
    let mut stale = lineage(10);
    stale.confirmed_at_ms = NOW_MS - RETENTION_MS;
    let unfinished = || intact(G2, [stale.clone(), lineage(10)]);
    assert_eq!(
        case(copy(None, unfinished())).rebuild(),
        (Cause::PastHorizon, vec![(G2, Old::Discard)])
    );

    let resumes = case(copy(intact(G1, [lineage(1), lineage(1)]), unfinished()));
    resumes.resumes();
    assert_eq!(resumes.plan().old, [(G2, Old::Discard)]);
}

#[test]
fn an_unfinished_rebuild_that_has_what_the_log_lost_is_kept() {
    let valid = intact(G1, [lineage(10), lineage(10)]);
    let case = case(copy(valid, intact(G2, [lineage(10), lineage(101)])));
    case.resumes();
    let plan = case.plan();
    let [(G2, Old::Quarantine(why))] = &plan.old[..] else { panic!("{plan:?}") };
    assert!(why.to_string().contains("the log ends at 100, the copy at 101"), "{why}");
}

#[test]
fn one_bad_partition_decides_for_all() {
    let (cause, _) = case(copy(intact(G1, [lineage(101), lineage(0)]), None)).rebuild();
    assert_eq!(cause, Cause::Truncated);
}

#[test]
fn what_the_log_lost_is_kept_whatever_another_partition_suffers_from() {
    let old = Lineage { confirmed_at_ms: 0, ..lineage(100) };
    for lineages in [[old.clone(), lineage(101)], [lineage(101), old.clone()]] {
        let (cause, old) = case(copy(intact(G1, lineages), None)).rebuild();
        assert_eq!((cause, quarantined(&old)), (Cause::Truncated, vec![G1]));
    }
}

#[test]
fn a_cancelled_plan_serves_what_the_plan_would_and_begins_nothing() {
    let serve = |case: Case| match case.plan().cancelled() {
        Plan { serve, then: Then::Refuse(Refusal::Cancelled), .. } => serve,
        plan => panic!("{plan:?}"),
    };
    assert_eq!(serve(case(current(100))), Some(G1));
    let mut past = case(current(100));
    past.wall_ms = NOW_MS + RETENTION_MS;
    assert_eq!(serve(past), Some(G1), "stale, as beside its rebuild");
    assert_eq!(serve(case(current(101))), None, "it would be set aside");
    assert_eq!(serve(case(Found::Nothing)), None);
    let mut unsafe_policy = case(current(100));
    unsafe_policy.facts.policy.cleanup = "delete".to_owned();
    let plan = unsafe_policy.plan();
    assert_eq!(plan.clone().cancelled(), plan);
}

/// It would otherwise be given up for what its predecessor suffered from, or take its place unjudged.
#[test]
fn what_is_known_of_one_generation_says_nothing_of_another() {
    let old = || intact(G1, [lineage(10), lineage(20)]);
    let new = || intact(G2, [lineage(10), lineage(20)]);
    let knows: [fn(&mut Case, Generation) -> bool; 2] =
        [|case, of| case.diverged.insert((of, P1)), |case, of| case.past_horizon.insert(of)];
    for know in knows {
        let mut of_old = case(copy(old(), new()));
        know(&mut of_old, G1);
        let plan = of_old.plan();
        assert!(matches!(plan.then, Then::Continue { generation: G2, .. }), "{plan:?}");
        let mut of_new = case(copy(old(), new()));
        know(&mut of_new, G2);
        of_new.resumes();
        let mut of_old_alone = case(copy(old(), None));
        know(&mut of_old_alone, G1);
        of_old_alone.rebuild();
    }
}

#[test]
fn where_the_log_is_incomplete_what_a_peer_gives_takes_a_place_of_its_own() {
    let mut case = case(copy(intact(G1, [lineage(5), lineage(101)]), None));
    case.facts.partitions[0].log_start = Offset(6);
    let plan = case.plan();
    let Then::Rebuild { generation: G2, cause, refusal: Some(_) } = plan.then else {
        panic!("{plan:?}")
    };
    let put_away = (cause, quarantined(&plan.old));
    assert_eq!(put_away, (Cause::Truncated, vec![G1]), "it has what was lost");
}

/// Read to 90, exact only from `exact_from` on, as a leader of `leader` had told.
fn inexact(exact_from: u64, leader: u32) -> Lineage {
    let mut lineage = Lineage { exact_from: Offset(exact_from), ..lineage(90) };
    lineage.ends.tell(Epoch(leader), Offset(exact_from));
    lineage
}

#[test]
fn a_copy_that_waits_for_an_end_that_the_log_lost_is_rebuilt_and_serves_meanwhile() {
    let rebuild = |lineage: Lineage| {
        let in_use = copy(intact(G1, [self::lineage(50), lineage.clone()]), None);
        let unfinished = copy(None, intact(G2, [self::lineage(50), lineage]));
        [case(in_use).rebuild(), case(unfinished).rebuild()]
    };
    let [in_use, unfinished] = rebuild(inexact(101, 5));
    assert_eq!(in_use, (Cause::Truncated, vec![(G1, Old::ServeStale)]));
    assert_eq!(unfinished, (Cause::Truncated, vec![(G2, Old::Discard)]));
    let still_there = copy(intact(G1, [lineage(50), inexact(100, 5)]), None);
    case(still_there.clone()).resumes();
    let mut seen = case(still_there);
    seen.inexact.insert((G1, P1));
    assert_eq!(seen.rebuild(), (Cause::Truncated, vec![(G1, Old::ServeStale)]));
}

#[test]
fn a_leader_of_the_term_that_told_an_end_has_not_lost_it() {
    let told_by_6 = copy(intact(G1, [lineage(50), inexact(101, 6)]), None);
    let deposed = case(told_by_6).waits();
    let proof = Proof::EndsBefore { end: Offset(100), reached: Offset(101) };
    assert_eq!((deposed.partition, deposed.proof), (P1, proof));
}
