//! The cleaner's rules, one by one.

use std::time::Duration;

use outrigger_core::conformance::log::{LogUnderTest, read_to};
use outrigger_core::lineage::Lineage;
use outrigger_core::log::{LogCall, LogEvent};
use outrigger_core::offset::{Offset, Partition};
use outrigger_model::log::{CleanerPace, Foreign, ProducerId, SegmentLimits, Verdict};

use crate::world::{World, config, foreign};

const P0: Partition = Partition(0);
const RETENTION: Duration = Duration::from_millis(2_000);

fn world() -> World {
    let mut config = config(1);
    config.policy.delete_retention_ms = 2_000;
    World::new(config)
}

fn readable(world: &mut World) -> Vec<u64> {
    let end = world.model.last_stable(P0);
    read_to(world, 9, P0, Offset(0), end).offsets()
}

#[test]
fn a_tombstone_goes_in_two_phases() {
    let mut world = world();
    world.put("a", Some("1"));
    world.put("a", None);
    world.put("b", Some("1"));
    world.pass(10 * RETENTION);
    world.clean();
    assert_eq!(readable(&mut world), [1, 2], "its age in the log does not count, only its horizon");
    world.pass(RETENTION - Duration::from_millis(1));
    world.clean();
    assert_eq!(readable(&mut world), [1, 2], "the horizon has not come");
    world.pass(Duration::from_millis(1));
    assert_eq!(readable(&mut world), [1, 2], "it goes in a pass, not by itself");
    world.clean();
    assert_eq!(readable(&mut world), [2]);
}

#[test]
fn a_tombstone_without_retention_outlives_the_first_pass() {
    let mut world = world();
    let policy = world.model.policy().clone();
    world.model.set_policy(outrigger_core::topic::TopicPolicy { delete_retention_ms: 0, ..policy });
    world.model.append(world.now, P0, &[foreign("a", None), foreign("b", Some("1"))]);
    world.clean();
    assert_eq!(readable(&mut world), [0, 1]);
    world.clean();
    assert_eq!(readable(&mut world), [1]);
}

#[test]
fn the_active_segment_is_never_cleaned() {
    let mut world = world();
    world.put("a", Some("1"));
    world.put("a", Some("2"));
    world.model.clean(world.now);
    assert_eq!(readable(&mut world), [0, 1]);
    world.clean();
    assert_eq!(readable(&mut world), [1]);
}

#[test]
fn a_segment_rolls_when_full_or_old_at_the_next_append() {
    let mut config = config(1);
    config.segments = SegmentLimits { offsets_max: 2, age_ms: 1_000 };
    let mut world = World::new(config);
    for _ in 0..3 {
        world.put("a", Some("1"));
    }
    world.model.clean(world.now);
    assert_eq!(readable(&mut world), [1, 2], "two filled a segment, the third is in the next");
    world.pass(Duration::from_millis(1_001));
    world.model.clean(world.now);
    assert_eq!(readable(&mut world), [1, 2], "age alone rolls nothing");
    world.put("a", Some("2"));
    world.model.clean(world.now);
    assert_eq!(readable(&mut world), [2, 3]);
}

#[test]
fn nothing_younger_than_the_compaction_lag_is_cleaned() {
    let mut config = config(1);
    config.policy.min_compaction_lag_ms = 60_000;
    let mut world = World::new(config);
    world.put("a", Some("1"));
    world.put("a", Some("2"));
    world.pass(Duration::from_millis(59_999));
    world.clean();
    assert_eq!(readable(&mut world), [0, 1]);
    world.pass(Duration::from_millis(1));
    world.clean();
    assert_eq!(readable(&mut world), [1]);
}

#[test]
fn the_cleaner_stops_at_an_open_transaction() {
    let mut world = world();
    world.put("a", Some("1"));
    world.put("a", Some("2"));
    world.model.roll(P0);
    let writer = ProducerId(5);
    world.model.append_in_transaction(world.now, P0, writer, &[foreign("a", Some("open"))]);
    world.put("a", Some("3"));
    world.clean();
    assert_eq!(readable(&mut world), [1], "below the transaction it cleans");
    world.model.end_transaction(world.now, writer, Verdict::Abort);
    assert_eq!(readable(&mut world), [1, 3], "nothing at or above the transaction was touched");
    world.clean();
    assert_eq!(readable(&mut world), [3], "and afterwards the aborted record shadows nothing");
}

#[test]
fn a_marker_outlives_its_records_by_a_horizon() {
    let mut world = world();
    let writer = ProducerId(5);
    world.model.append_in_transaction(world.now, P0, writer, &[foreign("a", Some("aborted"))]);
    world.model.end_transaction(world.now, writer, Verdict::Abort);
    world.put("b", Some("1"));
    let markers = |world: &World| world.model.batches(P0).filter(|batch| batch.is_marker()).count();
    world.clean();
    assert_eq!((readable(&mut world), markers(&world)), (vec![2], 1), "the pass drops the record");
    world.pass(RETENTION);
    world.clean();
    assert_eq!(markers(&world), 1, "the pass that finds it empty only sets the horizon");
    world.pass(RETENTION);
    world.clean();
    assert_eq!((readable(&mut world), markers(&world)), (vec![2], 0));
}

#[test]
fn a_record_without_a_key_goes_at_the_first_pass() {
    let mut world = world();
    world.model.append(world.now, P0, &[Foreign { key: None, value: None }, foreign("a", None)]);
    world.clean();
    let seen = read_to(&mut world, 1, P0, Offset(0), Offset(2));
    assert_eq!((seen.offsets(), seen.keyless, seen.gap), (vec![1], 0, true));
}

#[test]
fn a_topic_that_is_not_compacted_is_not_cleaned() {
    let mut world = world();
    world.put("a", Some("1"));
    world.put("a", Some("2"));
    let policy = world.model.policy().clone();
    let cleanup = "delete".to_owned();
    world.model.set_policy(outrigger_core::topic::TopicPolicy { cleanup, ..policy });
    world.clean();
    assert_eq!(readable(&mut world), [0, 1]);
}

/// At its target the reader holds a value that the log had replaced before it.
#[test]
fn a_copy_that_met_a_gap_is_exact_only_beyond_the_clean_bound() {
    let mut world = world();
    world.put("k", Some("v0"));
    world.put("x", Some("x"));
    world.call(1, LogCall::Assign { partition: P0, at: Offset(0), epoch: None });
    world.call(1, LogCall::Fetch { partition: P0, bytes_max: 1 });
    world.put("k", Some("v1"));
    world.put("y", Some("y"));
    let target = world.model.last_stable(P0);
    world.put("k", Some("v2"));
    world.clean();

    let mut lineage = Lineage::empty(0, 2_000);
    let mut value_of_k = None;
    let mut at_target = None;
    while at_target.is_none() {
        match world.next_event(1, Duration::from_secs(1)).expect("there is more to read") {
            LogEvent::Fetched(batch) => {
                lineage = lineage.after(&batch, true);
                for record in batch.records().filter(|record| record.key == b"k") {
                    value_of_k = record.value.map(<[u8]>::to_vec);
                }
                if lineage.position >= target && lineage.position < Offset(5) {
                    at_target = Some((value_of_k.clone(), lineage.exact()));
                }
                world.call(1, LogCall::Fetch { partition: P0, bytes_max: 1 });
            }
            other => assert!(matches!(other, LogEvent::Assigned { .. }), "{other:?}"),
        }
    }
    let v0 = Some(b"v0".to_vec());
    assert_eq!(at_target, Some((v0, false)), "v1 was committed below the target and is not there");
    assert_eq!(lineage.exact_from, Offset(5), "exact again where v2 has been read");
}

#[test]
fn the_cleaner_starts_by_itself_when_enough_is_new() {
    let mut config = config(1);
    let pace = CleanerPace { every: Duration::from_secs(10), dirty_percent_min: 50 };
    (config.cleaner, config.segments.offsets_max) = (Some(pace), 1);
    let mut world = World::new(config);
    let idle = |world: &mut World| assert_eq!(world.next_event(9, Duration::from_secs(11)), None);
    for key in ["a", "b", "c", "a", "active"] {
        world.put(key, Some("1"));
    }
    assert_eq!(readable(&mut world), [0, 1, 2, 3, 4], "not before its time");
    idle(&mut world);
    assert_eq!(readable(&mut world), [1, 2, 3, 4]);
    world.put("b", Some("2"));
    world.put("active", Some("2"));
    idle(&mut world);
    assert_eq!(readable(&mut world), [1, 2, 3, 4, 5, 6], "two new of five are too few");
    world.put("c", Some("2"));
    world.put("active", Some("3"));
    idle(&mut world);
    assert_eq!(readable(&mut world), [3, 5, 6, 7, 8]);
}
