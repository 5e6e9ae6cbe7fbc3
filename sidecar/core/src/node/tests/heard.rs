//! What is written of a retention that was heard, and before what.

use super::peers::{NOW_MS, held, limits, log_of};
use super::*;
use crate::phase::Cause;
use crate::store::StoreErrorKind;

const LOWERED_MS: u64 = 25_000;
/// Older than the lowered retention lets it be, and younger than the other.
const BEHIND_MS: u64 = NOW_MS - 50_000;

fn with_retention(delete_retention_ms: u64) -> LogFacts {
    log_of(0, 100).retaining(delete_retention_ms)
}

fn refusing(delete_retention_ms: u64) -> LogEvent {
    LogEvent::Facts(with_retention(delete_retention_ms).deleting())
}

fn lowest(calls: &[StoreCall]) -> Vec<(Generation, u64)> {
    let confirmed = calls.iter().filter_map(|call| match call {
        StoreCall::Confirm { generation, lineage, .. } => {
            Some((*generation, lineage.delete_retention_ms_min))
        }
        _ => None,
    });
    confirmed.collect()
}

impl Driven {
    /// The store answers what is written of what was heard. Everything that the node wanted until it had.
    pub(super) fn recorded(&mut self) -> Vec<Effect> {
        let mut all = Vec::new();
        loop {
            let effects = self.effects();
            let writes = effects.iter().filter_map(|effect| match effect {
                Effect::Store(StoreCall::Confirm { generation, .. }) => {
                    Some((StoreCallKind::Confirm, *generation))
                }
                Effect::Store(StoreCall::Flush { generation }) => {
                    Some((StoreCallKind::Flush, *generation))
                }
                _ => None,
            });
            let writes: Vec<_> = writes.collect();
            all.extend(effects);
            if writes.is_empty() {
                return all;
            }
            for (call, generation) in writes {
                self.ended(call, generation);
            }
        }
    }
}

#[test]
fn what_a_refusing_node_hears_is_on_disk_before_it_waits_on() {
    let mut driven = Driven::new(limits());
    driven.log(refusing(100_000));
    driven.effects();
    driven.store(StoreEvent::Found(copy(held(G1, 90, BEHIND_MS), None)));
    assert_eq!(driven.store_calls(), [], "nothing that the copy does not know");
    assert_eq!(driven.node.gate().generation, Some(G1));

    driven.log(refusing(LOWERED_MS));
    let calls = driven.store_calls();
    assert_eq!(lowest(&calls), [(G1, LOWERED_MS)]);
    assert_eq!(calls.len(), 1, "one after another: {calls:?}");
    assert_eq!(driven.node.gate().generation, Some(G1), "it is served meanwhile");
    driven.ended(StoreCallKind::Confirm, G1);
    assert_eq!(driven.store_calls(), [StoreCall::Flush { generation: G1 }]);
    driven.ended(StoreCallKind::Flush, G1);
    assert!(matches!(driven.node.shared.phase, Phase::Refused(_)));

    driven.log(refusing(LOWERED_MS));
    assert_eq!(driven.store_calls(), [], "once");
    driven.log(LogEvent::Facts(with_retention(100_000)));
    let calls = driven.store_calls();
    assert!(matches!(calls[..], [StoreCall::Create { generation: G2, .. }]), "{calls:?}");
}

/// The unfinished rebuild goes on, and may turn out to be of no use: then the copy in use is judged again.
#[test]
fn both_generations_learn_it_before_either_is_judged() {
    let mut driven = Driven::new(limits());
    let found = copy(held(G1, 90, BEHIND_MS), held(G2, 10, NOW_MS));
    driven.finds(with_retention(LOWERED_MS), found);
    let effects = driven.recorded();
    let calls: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Store(call) => Some(call.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(lowest(&calls), [(G1, LOWERED_MS), (G2, LOWERED_MS)]);
    assert_eq!(driven.node.shared.phase, Phase::Restoring(Cause::Unfinished));
}

#[test]
fn what_could_not_be_written_is_written_when_the_copy_is_opened_again() {
    let mut driven = Driven::new(limits());
    driven.log(refusing(100_000));
    driven.store(StoreEvent::Found(copy(held(G1, 90, BEHIND_MS), None)));
    driven.log(refusing(LOWERED_MS));
    driven.ended(StoreCallKind::Confirm, G1);
    driven.fails(StoreCallKind::Flush, StoreErrorKind::Full);
    assert_eq!(driven.node.gate().generation, Some(G1), "it is served meanwhile");
    driven.pass(limits().retry_max);
    driven.ended(StoreCallKind::Close, G1);
    driven.effects();
    driven.finds(with_retention(100_000), copy(held(G1, 90, BEHIND_MS), None));
    assert_eq!(lowest(&driven.store_calls()), [(G1, LOWERED_MS)]);
}

/// Whether it is a sign of the disk or of a process that is no more, what cannot be written cannot be read on.
#[test]
fn a_copy_that_turns_out_to_be_damaged_when_it_is_written_is_not_written_again() {
    let mut driven = Driven::new(limits());
    driven.finds(with_retention(LOWERED_MS), copy(held(G1, 90, NOW_MS), None));
    assert_eq!(lowest(&driven.store_calls()), [(G1, LOWERED_MS)]);
    driven.fails(StoreCallKind::Confirm, StoreErrorKind::Corrupt);
    driven.pass(limits().retry_max);
    driven.ended(StoreCallKind::Close, G1);
    driven.effects();
    driven.finds(with_retention(LOWERED_MS), copy(held(G1, 90, NOW_MS), None));
    let calls = driven.store_calls();
    assert!(matches!(calls[..], [StoreCall::Quarantine { generation: G1, .. }]), "{calls:?}");
}

/// Given up for a reason that ends with this process, it may be read on by the next.
#[test]
fn a_copy_that_is_kept_beside_its_rebuild_learns_it_too() {
    let mut driven = Driven::new(limits());
    driven.finds(log_of(0, 100), copy(held(G1, 90, NOW_MS), held(G2, 10, NOW_MS)));
    assert_eq!(driven.node.shared.phase, Phase::Restoring(Cause::Unfinished));
    driven.effects();
    driven.log(LogEvent::Facts(with_retention(90_000)));
    let closes = [G1, G2].map(|generation| StoreCall::Close { generation });
    assert_eq!(driven.store_calls(), closes);
    for (call, of) in closes.iter().zip([G1, G2]) {
        driven.ended(call.kind(), of);
    }
    driven.effects();
    driven.finds(log_of(0, 100), copy(held(G1, 90, NOW_MS), held(G2, 10, NOW_MS)));
    let effects = driven.recorded();
    let calls = effects.into_iter().filter_map(|effect| match effect {
        Effect::Store(call) => Some(call),
        _ => None,
    });
    assert_eq!(lowest(&calls.collect::<Vec<_>>()), [(G1, 90_000), (G2, 90_000)]);
}

#[test]
fn a_copy_that_is_read_into_learns_it_with_a_flush_at_once() {
    let mut driven = Driven::ready(log_of(0, 0), limits());
    driven.log(LogEvent::Facts(log_of(0, 0)));
    assert_eq!(driven.store_calls(), []);
    driven.log(LogEvent::Facts(log_of(0, 0).retaining(90_000)));
    driven.log(LogEvent::TopicId(TOPIC));
    driven.log(LogEvent::TopicId(TOPIC));
    let calls = driven.store_calls();
    assert_eq!(lowest(&calls), [(G1, 90_000)]);
    assert_eq!(calls.last(), Some(&StoreCall::Flush { generation: G1 }));
    assert_eq!(driven.node.shared.phase, Phase::Ready);
}

/// Shorter than what answers are trusted for: what was applied since the last one may lack tombstones, whatever is
/// confirmed or raised afterwards.
#[test]
fn a_copy_that_may_lack_tombstones_already_is_condemned_on_disk() {
    let trust_ms = u64::try_from(limits().policy_trust.as_millis()).unwrap();
    let mut driven = Driven::ready(log_of(0, 0), limits());
    driven.log(LogEvent::Facts(log_of(0, 0).retaining(trust_ms)));
    driven.ended(StoreCallKind::Close, G1);
    driven.effects();
    driven.finds(log_of(0, 100), copy(held(G1, 0, NOW_MS), None));
    let calls = driven.store_calls();
    // What was heard is kept: it counts for a peer's copy, too.
    assert_eq!(lowest(&calls), [(G1, trust_ms)]);
    let never = |call: &StoreCall| match call {
        StoreCall::Confirm { lineage, .. } => lineage.confirmed_at_ms == 0,
        _ => false,
    };
    assert!(never(&calls[0]), "{calls:?}");
    driven.ended(StoreCallKind::Confirm, G1);
    driven.recorded();
    driven.ended(StoreCallKind::Create, G2);
    assert_eq!(driven.node.shared.phase, Phase::Restoring(Cause::PastHorizon));
}

/// What did not count because of the lag may have to, and a crash would forget that it is not known yet.
#[test]
fn a_gap_that_a_lag_protects_is_flushed_when_the_lag_is_known_to_be_the_same() {
    let changed = |lag_ms| {
        let mut facts = facts();
        facts.policy.min_compaction_lag_ms = lag_ms;
        LogEvent::Facts(facts)
    };
    for (lag_ms, exact_from) in [(60_000, 0), (0, 9)] {
        let mut driven = Driven::reading();
        driven.pass(Duration::from_secs(1));
        driven.log(ends(0, None));
        driven.takes(records(0, [1], None, 9));
        driven.pass(Limits::PRODUCTION.flush_interval);
        assert!(!driven.flushed(), "the configuration of then is not known");
        driven.log(ends(9, None));
        assert!(!flushes(&driven.effects()), "nor is it by the ends");
        driven.log(changed(lag_ms));
        driven.log(ends(9, None));
        let effects = driven.effects();
        assert!(flushes(&effects), "{effects:?}");
        let confirmed = effects.iter().rev().find_map(|effect| match effect {
            Effect::Store(StoreCall::Confirm { lineage, .. }) => Some(lineage.exact_from),
            _ => None,
        });
        assert_eq!(confirmed.unwrap_or_default(), Offset(exact_from), "{effects:?}");
    }
}
