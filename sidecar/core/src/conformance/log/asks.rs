//! Describe, Ends, TopicId.

use super::LogUnderTest;
use super::fixture::{ONE, TWO, appended, describe, ends, foreign, put, topic_id};
use crate::offset::{Offset, Partition};

pub(super) fn the_ends_are_high_watermarks(log: &mut dyn LogUnderTest) {
    assert_eq!(ends(log, ONE)[0].high_watermark, Offset(0));
    appended(log, &[put("a", "1"), put("b", "2")]);
    let ends = ends(log, ONE);
    assert_eq!((ends.len(), ends[0].high_watermark), (1, Offset(2)));
}

pub(super) fn an_ask_sees_what_was_acknowledged_before_it(log: &mut dyn LogUnderTest) {
    for round in 1..=20 {
        log.append(Partition(0), &[foreign("a", "1")]);
        let end = ends(log, TWO)[0].high_watermark;
        assert!(end >= Offset(round), "acknowledged up to {round}, told {end}");
    }
}

pub(super) fn the_facts_tell_the_topic_and_its_policy(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    let facts = describe(log, ONE);
    assert_eq!(facts.topic, topic_id(log, ONE));
    assert!(!facts.cluster.is_empty(), "a cluster has an id");
    assert_eq!(facts.policy.cleanup, "compact");
    assert_eq!(facts.policy.delete_retention_ms, 86_400_000);
    assert_eq!(facts.policy.message_bytes_max, 1_048_588);
    assert!(facts.policy.replication >= 1);
    let [partition] = &facts.partitions[..] else { panic!("one partition: {facts:?}") };
    assert_eq!((partition.log_start, partition.high_watermark), (Offset(0), Offset(1)));
    assert_eq!(partition.epoch, ends(log, ONE)[0].epoch);
    assert_eq!(facts.identity("store"), describe(log, TWO).identity("store"));
}

pub(super) fn the_facts_follow_an_altered_policy(log: &mut dyn LogUnderTest) {
    describe(log, ONE);
    log.set_delete_retention(12_345_000);
    assert_eq!(describe(log, ONE).policy.delete_retention_ms, 12_345_000);
}
