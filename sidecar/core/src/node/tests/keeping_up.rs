//! What a reading node does by the clock, and the timers that wake it: flushes above all.

use super::*;

#[test]
fn applied_data_is_flushed_when_it_is_old_and_not_before() {
    let interval = Limits::PRODUCTION.flush_interval;
    let mut driven = Driven::reading();
    driven.takes(batch(0, b"a"));
    driven.pass(SECOND);
    driven.takes(batch(1, b"b"));
    driven.pass(interval - SECOND - Duration::from_millis(1));
    assert!(!driven.flushed());
    driven.pass(Duration::from_millis(1));
    assert!(driven.flushed(), "the oldest decides");
}

#[test]
fn applied_data_is_flushed_when_it_is_much_and_not_before() {
    let bytes = batch(0, b"a").unflushed_bytes();
    let limits = Limits { flush_bytes_max: 2 * bytes, ..Limits::PRODUCTION };
    let mut driven = Driven::ready(facts(), limits);
    driven.takes(batch(0, b"a"));
    assert!(!driven.flushed());
    driven.takes(batch(1, b"b"));
    assert!(driven.flushed());
    driven.done(StoreCallKind::Flush);
    driven.takes(batch(2, b"c"));
    assert!(!driven.flushed(), "what was flushed no longer counts");
}

#[test]
fn a_node_without_events_wakes_for_its_flush() {
    let mut driven = Driven::reading();
    let since = driven.now.mono;
    driven.takes(batch(0, b"a"));
    // The topic's id is asked for and not answered: it asks for no timer any more.
    driven.pass(SECOND);
    let flush_at = since + Limits::PRODUCTION.flush_interval;
    assert_eq!(driven.node.next_timer(), Some(flush_at));
}

#[test]
fn a_flush_under_way_needs_no_timer() {
    let mut driven = Driven::reading();
    driven.takes(batch(0, b"a"));
    driven.pass(Limits::PRODUCTION.flush_interval);
    assert!(driven.flushed());
    let slow_at = driven.now.mono + Limits::PRODUCTION.stall_after;
    driven.log(LogEvent::Fetched(batch(1, b"b")));
    driven.log(LogEvent::Facts(facts()));
    driven.pass(SECOND);
    let describe_at = driven.now.mono - SECOND + Limits::PRODUCTION.policy_trust / 2;
    let wanted = Some(describe_at.min(slow_at));
    assert_eq!(driven.node.next_timer(), wanted, "its answer is the next event, or none");
}

#[test]
fn a_restore_without_events_wakes_to_name_what_it_waits_for() {
    let mut driven = Driven::rebuilding(facts().reaching(0, 9), Limits::PRODUCTION);
    driven.log(LogEvent::Assigned { partition: P0 });
    let stall_at = driven.now.mono + Limits::PRODUCTION.stall_after;
    driven.pass(SECOND);
    assert_eq!(driven.node.next_timer(), Some(stall_at));
    driven.pass(Limits::PRODUCTION.stall_after - SECOND);
    assert_eq!(driven.node.status().stalls.len(), 1);
    assert_eq!(driven.node.next_timer(), None, "it has its name, and everything was asked");
}

#[test]
fn a_restores_progress_counts_what_was_sent_to_the_store() {
    let mut driven = Driven::reading();
    driven.takes(batch(0, b"a"));
    driven.takes(batch(1, b"bcd"));
    let progress = driven.node.status().progress.expect("the node reads");
    assert_eq!((progress.records, progress.bytes), (2, 2 + 4), "keys and values");
}

#[test]
fn an_answered_audit_is_not_repeated_before_its_interval() {
    let mut driven = Driven::reading();
    let describes =
        |driven: &mut Driven| driven.effects().contains(&Effect::Log(LogCall::Describe));
    for _ in 0..2 {
        for _ in 1..Limits::PRODUCTION.describe_interval.as_secs() {
            driven.log(ends(0, None));
            driven.pass(SECOND);
            assert!(!describes(&mut driven));
        }
        driven.pass(SECOND - Duration::from_millis(1));
        assert!(!describes(&mut driven));
        driven.pass(Duration::from_millis(1));
        assert!(describes(&mut driven));
        driven.log(LogEvent::Facts(facts()));
    }
}

/// Below its target a rebuild has confirmed nothing, however young its clock says it is.
#[test]
fn a_gap_counts_in_a_rebuild_and_not_in_a_copy_confirmed_a_moment_ago() {
    let mut rebuild = Driven::rebuilding(facts().reaching(0, 9), Limits::PRODUCTION);
    rebuild.log(LogEvent::Assigned { partition: P0 });
    for (mut driven, exact_from) in [(rebuild, Offset(9)), (Driven::reading(), Offset(0))] {
        driven.takes(records(0, [1], None, 9));
        assert_eq!(driven.node.status().partitions[0].exact_from, exact_from);
    }
}

#[test]
fn a_rebuild_is_used_once_all_of_it_was_read_and_flushed() {
    let mut driven = Driven::rebuilding(facts().reaching(0, 2), Limits::PRODUCTION);
    driven.log(LogEvent::Assigned { partition: P0 });
    let activates = |driven: &mut Driven| {
        driven.effects().contains(&Effect::Store(StoreCall::Activate { generation: G1 }))
    };
    driven.takes(batch(0, b"a"));
    driven.pass(Limits::PRODUCTION.flush_interval);
    assert!(driven.flushed());
    driven.done(StoreCallKind::Flush);
    assert!(!activates(&mut driven), "flushed by the clock, one of two records read");
    driven.log(LogEvent::Facts(facts()));
    driven.takes(batch(1, b"b"));
    assert!(driven.flushed(), "by its end, not by the clock");
    driven.done(StoreCallKind::Flush);
    assert!(activates(&mut driven));
}

/// Until then keys that other tools write by the new count are taken for misplaced.
#[test]
fn another_number_of_partitions_is_looked_into_at_once() {
    let mut driven = Driven::reading();
    driven.effects();
    driven.log(LogEvent::PartitionCount(1));
    assert_eq!(driven.effects(), []);
    driven.log(LogEvent::PartitionCount(2));
    assert_eq!(driven.effects(), [Effect::Log(LogCall::Describe)]);
    driven.log(LogEvent::Facts(facts().of_partitions(2)));
    assert!(driven.effects().contains(&Effect::Store(StoreCall::Close { generation: G1 })));
}

/// What a store can keep in its memory no more it makes durable by itself, of whatever topic it is.
#[test]
fn what_waits_for_the_topics_id_to_be_flushed_is_bounded() {
    let flush_bytes_max = 2 * batch(0, b"k").unflushed_bytes();
    let limits = Limits { flush_bytes_max, ..Limits::PRODUCTION };
    let mut driven = Driven::ready(facts(), limits.clone());
    // A question from before is under way, and its answer would not do.
    driven.pass(limits.ends_interval);
    assert!(driven.effects().contains(&Effect::Log(LogCall::TopicId)));
    let applies_next = |at: &u64| {
        driven.log(LogEvent::Fetched(batch(*at, b"k")));
        let applied = applies(&driven.effects()) == 1;
        if applied {
            let position = Offset(at + 1);
            driven.store(StoreEvent::Applied { generation: G1, partition: P0, position });
        }
        applied
    };
    let applied = (0..100).take_while(applies_next).count();
    assert!(applied < 10, "{applied} batches");
}
