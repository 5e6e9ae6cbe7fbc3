//! Pins: exactly the copy at one position, for those who still want it.

use bytes::Bytes;

use super::*;
use crate::gate::Rejection;
use crate::lineage::Lineage;
use crate::token::Token;

const DEADLINE: Duration = Duration::from_secs(2);

/// Records `from..to` of one partition of `partitions`, all of them.
fn unbroken(partition: Partition, partitions: u32, from: u64, to: u64) -> Batch {
    let mut keys = (0..).map(|number| format!("{number}").into_bytes());
    let belongs = |key: &Vec<u8>| crate::partitioner::partition_of(key, partitions) == partition;
    let key = keys.find(belongs).expect("murmur2 reaches every partition");
    let mut builder = BatchBuilder::new(partition, partitions, Offset(from));
    for offset in from..to {
        builder.push(Offset(offset), None, Some(&key), Some(b"v"));
    }
    builder.finish(Offset(to))
}

impl Driven {
    fn pin(&mut self, id: u64, at: Token) {
        self.event(Event::Command(RequestId(id), Command::Pin { at, deadline: DEADLINE }));
    }

    fn pinned(&mut self, id: u64, partition: Partition) {
        self.store(StoreEvent::Pinned { pin: RequestId(id), partition });
    }

    fn applied(&mut self, position: u64) {
        self.store(StoreEvent::Applied {
            generation: G1,
            partition: P0,
            position: Offset(position),
        });
    }

    /// What the store is asked and callers are told.
    fn told(&mut self) -> Vec<Effect> {
        let mut effects = self.effects();
        effects.retain(|effect| matches!(effect, Effect::Store(_) | Effect::Reply(..)));
        effects
    }
}

/// The lineages of what the store is given, and the pins between them.
#[derive(Debug, PartialEq)]
enum Given {
    Apply(Lineage, Vec<u64>),
    Pin(u64, Partition),
    Unpin(u64),
}

fn given(effects: &[Effect]) -> Vec<Given> {
    let given = effects.iter().filter_map(|effect| match effect {
        Effect::Store(StoreCall::Apply { batch, lineage, .. }) => {
            let offsets = batch.records().map(|record| record.offset.0).collect();
            Some(Given::Apply(lineage.clone(), offsets))
        }
        Effect::Store(StoreCall::Pin { pin, partition, .. }) => Some(Given::Pin(pin.0, *partition)),
        Effect::Store(StoreCall::Unpin { pin, .. }) => Some(Given::Unpin(pin.0)),
        Effect::Store(_)
        | Effect::Log(_)
        | Effect::Peer(_)
        | Effect::Ring(_)
        | Effect::Reply(..)
        | Effect::Notice(_) => None,
    });
    given.collect()
}

fn rejected(id: u64, rejection: Rejection) -> Effect {
    Effect::Reply(RequestId(id), Reply::Rejected(rejection))
}

fn lineages_after(batch: Batch, limits: Limits, facts: LogFacts, pins: &[u64]) -> Vec<Given> {
    let epoch = facts.partitions[0].epoch.map(|epoch| epoch.0);
    let mut driven = Driven::ready(facts, limits);
    driven.log(ends(0, epoch));
    for (id, position) in (1..).zip(pins) {
        driven.pin(id, token_at(&[(*position, None)]));
    }
    driven.log(LogEvent::Fetched(batch));
    given(&driven.effects())
}

#[test]
fn the_batch_that_crosses_a_pin_is_split_there() {
    let mut driven = Driven::reading();
    driven.pin(1, token_at(&[(2, None)]));
    assert_eq!(driven.told(), [], "nothing is there yet");
    driven.log(LogEvent::Fetched(unbroken(P0, 1, 0, 4)));
    let effects = driven.effects();
    let given = given(&effects);
    let [Given::Apply(first, below), Given::Pin(1, P0), Given::Apply(whole, above)] = &given[..]
    else {
        panic!("{given:?}")
    };
    assert_eq!((below, above), (&vec![0, 1], &vec![2, 3]));
    assert_eq!((first.position, whole.position), (Offset(2), Offset(4)));
    driven.applied(2);
    assert_eq!(driven.told(), [], "not kept yet");
    driven.pinned(1, P0);
    assert_eq!(driven.told(), [Effect::Reply(RequestId(1), Reply::Pinned)]);
    driven.applied(4);
    assert_eq!(driven.node.gate().positions, [Offset(4)]);
}

#[test]
fn several_pins_split_a_batch_into_more_pieces() {
    let given = lineages_after(unbroken(P0, 1, 0, 9), Limits::PRODUCTION, facts(), &[7, 3, 9, 3]);
    let pins: Vec<_> = given
        .iter()
        .map(|given| match given {
            Given::Apply(lineage, _) => (lineage.position.0, 0),
            Given::Pin(id, _) => (0, *id),
            Given::Unpin(_) => panic!("{given:?}"),
        })
        .collect();
    assert_eq!(pins, [(3, 0), (0, 2), (0, 4), (7, 0), (0, 1), (9, 0), (0, 3)]);
}

/// Split anywhere, in a hole, before or behind it: the copy knows afterwards what it would have known.
#[test]
fn a_split_batch_leaves_the_lineage_of_the_whole_one() {
    // Offsets 2 to 4 are missing, then 7 and 8 before the end.
    let holed = || {
        let mut builder = BatchBuilder::new(P0, 1, Offset(0));
        for (offset, epoch) in [(0, 1), (1, 1), (5, 2), (6, 3)] {
            builder.push(Offset(offset), Some(Epoch(epoch)), Some(b"k"), Some(b"v"));
        }
        builder.at_end(Offset(9), Some(Epoch(4)))
    };
    for log_append_time in [true, false] {
        let mut facts = facts();
        facts.policy.log_append_time = log_append_time;
        facts.partitions[0].epoch = Some(Epoch(4));
        let limits = Limits::PRODUCTION;
        let whole = lineages_after(holed(), limits.clone(), facts.clone(), &[]);
        let [Given::Apply(whole, _)] = &whole[..] else { panic!("{whole:?}") };
        for position in 1..9 {
            let given = lineages_after(holed(), limits.clone(), facts.clone(), &[position]);
            let Some(Given::Apply(last, _)) = given.last() else { panic!("{given:?}") };
            assert_eq!(last, whole, "split at {position}");
            let Given::Apply(first, offsets) = &given[0] else { panic!("{given:?}") };
            assert_eq!(first.position, Offset(position));
            assert_eq!(first.confirmed_at_ms, whole.confirmed_at_ms);
            assert!(offsets.iter().all(|offset| *offset < position), "{given:?}");
            // Inside a hole also the one behind it, which the position may be of.
            let in_hole = matches!(position, 3..=5 | 8);
            let starts = whole.epochs.starts();
            let known = starts.iter().filter(|(_, start)| start.0 < position).count();
            let known = known + usize::from(in_hole);
            assert_eq!(first.epochs.starts(), &starts[..known], "split at {position}");
            // A hole below the position, were it compaction's, would make the copy at the position inexact.
            let holed = position > 2 && !log_append_time;
            assert_eq!(first.exact(), !holed, "split at {position}");
            assert_eq!(
                given.contains(&Given::Pin(1, P0)),
                !holed,
                "split at {position}: {given:?}"
            );
        }
    }
}

#[test]
fn an_inexact_copy_is_not_pinned() {
    let mut driven = Driven::ready(facts().on_writers_clocks(), GAPS_AT_ONCE);
    driven.pin(1, token_at(&[(2, None)]));
    driven.log(LogEvent::Fetched(records(0, [1], None, 3)));
    let catching_up = rejected(1, Rejection::NotReady(Phase::CatchingUp));
    assert!(driven.told().contains(&catching_up));
}

#[test]
fn a_pin_where_the_copy_is_now_needs_nothing_to_come() {
    let mut driven = Driven::reading();
    driven.log(LogEvent::Fetched(unbroken(P0, 1, 0, 3)));
    driven.effects();
    driven.pin(1, token_at(&[(3, None)]));
    assert_eq!(given(&driven.effects()), [Given::Pin(1, P0)], "behind the Apply under way");
    driven.applied(3);
    driven.pinned(1, P0);
    assert_eq!(driven.told(), [Effect::Reply(RequestId(1), Reply::Pinned)]);
}

#[test]
fn what_the_copy_has_passed_is_refused_by_name() {
    let mut driven = Driven::reading();
    driven.log(LogEvent::Fetched(unbroken(P0, 1, 0, 3)));
    driven.effects();
    driven.pin(1, token_at(&[(2, None)]));
    let passed = Rejection::Passed { partition: P0, at: Offset(2), is: Offset(3) };
    assert_eq!(driven.told(), [rejected(1, passed)]);
    assert_eq!(driven.node.status().pins, 0);
}

#[test]
fn a_position_that_does_not_come_ends_at_the_deadline() {
    let mut driven = Driven::reading();
    driven.pass(Limits::PRODUCTION.ends_interval);
    driven.pin(1, token_at(&[(5, None)]));
    assert_eq!(driven.node.next_timer(), Some(driven.now.mono + DEADLINE));
    driven.pass(DEADLINE - Duration::from_millis(1));
    assert_eq!(driven.told(), []);
    driven.pass(Duration::from_millis(1));
    assert_eq!(driven.told(), [rejected(1, Rejection::Deadline { stall: None })]);
    driven.log(LogEvent::Fetched(unbroken(P0, 1, 0, 6)));
    assert_eq!(applies(&driven.effects()), 1, "nobody wants 5 any more");
}

#[test]
fn each_partition_is_pinned_when_it_is_there() {
    let mut driven = Driven::ready(facts().of_partitions(2), Limits::PRODUCTION);
    driven.pin(1, token_at(&[(0, None), (2, None)]));
    assert_eq!(given(&driven.effects()), [Given::Pin(1, P0)]);
    driven.pinned(1, P0);
    driven.log(LogEvent::Fetched(unbroken(P0, 2, 0, 4)));
    assert_eq!(applies(&driven.effects()), 1, "what is pinned is not held up");
    driven.log(LogEvent::Fetched(unbroken(P1, 2, 0, 2)));
    assert_eq!(given(&driven.effects())[1..], [Given::Pin(1, P1)]);
    driven.pinned(1, P1);
    assert!(driven.told().contains(&Effect::Reply(RequestId(1), Reply::Pinned)));
}

#[test]
fn no_more_are_pinned_than_may_be_and_one_that_is_gone_makes_room() {
    let limits = Limits { pins_max: 2, ..Limits::PRODUCTION };
    let mut driven = Driven::ready(facts(), limits);
    driven.pin(1, token_at(&[(0, None)]));
    driven.pin(2, token_at(&[(5, None)]));
    driven.effects();
    driven.pin(3, token_at(&[(0, None)]));
    assert_eq!(driven.told(), [rejected(3, Rejection::Overloaded)]);
    driven.event(Event::Gone(RequestId(2)));
    assert_eq!(given(&driven.effects()), [], "the store has nothing of it");
    driven.event(Event::Gone(RequestId(1)));
    assert_eq!(given(&driven.effects()), [Given::Unpin(1)], "although it was not answered yet");
    driven.pinned(1, P0);
    assert_eq!(driven.told(), [], "nobody wants it");
    assert_eq!(driven.node.status().pins, 0);
}

#[test]
fn a_pin_ends_with_its_lease() {
    let mut driven = Driven::reading();
    driven.pin(1, token_at(&[(0, None)]));
    driven.pass(DEADLINE / 2);
    driven.pinned(1, P0);
    driven.effects();
    let lease = Limits::PRODUCTION.pin_lease;
    let end = driven.now.mono + lease;
    let Stage::Reading(reading) = &driven.node.stage else { panic!("it reads") };
    assert_eq!(reading.pins.timer(), Some(end));
    driven.pass(lease - Duration::from_millis(1));
    assert_eq!(given(&driven.effects()), []);
    driven.pass(Duration::from_millis(1));
    let effects = driven.effects();
    assert_eq!(given(&effects), [Given::Unpin(1)]);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Reply(..))), "{effects:?}");
}

#[test]
fn whoever_waits_for_a_pin_is_told_when_the_node_drains_and_a_pin_lasts_until_it_closes() {
    let mut driven = Driven::reading();
    driven.pin(1, token_at(&[(5, None)]));
    driven.pin(2, token_at(&[(0, None)]));
    driven.pinned(2, P0);
    driven.effects();
    driven.event(Event::Command(RequestId(3), Command::Drain));
    let told = driven.told();
    assert_eq!(told[0], rejected(1, Rejection::Draining));
    driven.pin(4, token_at(&[(0, None)]));
    assert!(driven.told().contains(&rejected(4, Rejection::Draining)));
    assert_eq!(
        told[1..],
        [
            Effect::Store(StoreCall::Unpin { generation: G1, pin: RequestId(2) }),
            Effect::Store(StoreCall::Close { generation: G1 }),
        ]
    );
}

#[test]
fn whoever_waits_for_a_pin_does_not_wait_for_the_writes_that_a_drain_waits_for() {
    let mut driven = Driven::reading();
    let change = Change { key: Bytes::from_static(b"k"), value: None };
    driven.event(Event::Command(RequestId(1), Command::Write(vec![change])));
    driven.pin(2, token_at(&[(5, None)]));
    driven.effects();
    driven.event(Event::Command(RequestId(3), Command::Drain));
    assert_eq!(driven.told(), [rejected(2, Rejection::Draining)]);
}

#[test]
fn a_pin_ends_when_its_copy_is_opened_anew() {
    let mut driven = Driven::reading();
    driven.pin(1, token_at(&[(5, None)]));
    driven.pin(2, token_at(&[(0, None)]));
    driven.effects();
    driven.event(Event::Damaged { generation: G1, detail: "a block".to_owned() });
    let told = driven.told();
    for id in [1, 2] {
        assert!(told.contains(&rejected(id, Rejection::NotReady(Phase::Opening))), "{told:?}");
    }
    assert_eq!(driven.node.status().pins, 0);
    driven.pinned(2, P0);
    assert_eq!(driven.told(), [], "it came too late");
}

#[test]
fn a_store_that_cannot_pin_goes_on_with_everything_else() {
    let mut driven = Driven::reading();
    driven.pin(1, token_at(&[(0, None)]));
    let error = crate::store::StoreError {
        kind: crate::store::StoreErrorKind::Io,
        detail: "g1 is not open".to_owned(),
    };
    driven.store(StoreEvent::Failed { call: StoreCallKind::Pin, error });
    assert!(driven.told().contains(&rejected(1, Rejection::NotReady(Phase::Ready))));
    driven.log(LogEvent::Fetched(batch(0, b"a")));
    assert_eq!(applies(&driven.effects()), 1);
}

#[test]
fn a_token_that_this_copy_can_never_reach_is_refused_by_name() {
    let mut driven = Driven::reading();
    driven.takes(records(0, [0], Some(2), 1));
    driven.effects();
    driven.pin(1, token_at(&[(5, Some(1))]));
    assert_eq!(driven.told(), [rejected(1, Rejection::TokenOfAnotherHistory)]);
    driven.pin(2, Token { topic: OTHER_TOPIC, ..token_at(&[(1, None)]) });
    let other = Rejection::TokenOfAnotherTopic { token: OTHER_TOPIC, topic: TOPIC };
    assert_eq!(driven.told(), [rejected(2, other)]);
    driven.pin(3, token_at(&[(1, None), (1, None)]));
    assert_eq!(driven.told(), [rejected(3, Rejection::TokenMalformed { has: 2, partitions: 1 })]);
    driven.pin(4, token_at(&[(7, Some(3))]));
    driven.log(ends(1, Some(3)));
    driven.pass(Limits::PRODUCTION.ends_interval);
    assert_eq!(driven.told(), []);
    driven.log(ends(6, Some(3)));
    let beyond = Rejection::TokenBeyondLog { position: Offset(7), end: Offset(6) };
    assert!(driven.told().contains(&rejected(4, beyond)));
}

#[test]
fn another_history_is_found_when_the_position_is_reached() {
    let mut driven = Driven::reading();
    driven.pin(1, token_at(&[(2, Some(1))]));
    let mut builder = BatchBuilder::new(P0, 1, Offset(0));
    builder.push(Offset(0), Some(Epoch(1)), Some(b"k"), None);
    builder.push(Offset(1), Some(Epoch(2)), Some(b"k"), None);
    driven.log(LogEvent::Fetched(builder.finish(Offset(2))));
    assert!(driven.told().contains(&rejected(1, Rejection::TokenOfAnotherHistory)));
}

#[test]
fn only_a_ready_node_pins() {
    let mut driven = Driven::rebuilding(facts(), Limits::PRODUCTION);
    driven.effects();
    driven.pin(1, token_at(&[(0, None)]));
    assert_eq!(driven.told(), [rejected(1, Rejection::NotReady(Phase::CatchingUp))]);
}
