//! A topic with another number of partitions than the copy has: keys belong elsewhere.

use std::time::Duration;

use outrigger_core::phase::{Phase, Refusal};
use outrigger_core::topic::TopicId;
use outrigger_model::store::Image;
use outrigger_sim::world::World;

use crate::fixture::*;

const SECOND: Duration = Duration::from_secs(1);

fn is_refused(world: &World) -> bool {
    matches!(world.phase(0), Phase::Refused(Refusal::Identity { .. }))
}

#[test]
fn a_partition_more_is_noticed_within_seconds() {
    let mut world = ready(2);
    world.log.add_partitions(1);
    world.until("refused", SECOND * 3, is_refused);
}

/// The process goes on while an operator makes the topic anew and moves the copy away; what the log said of the old
/// partitions comes when the new copy is read already.
#[test]
fn a_topic_made_anew_with_fewer_partitions_is_read_by_the_same_process() {
    let mut world = ready(3);
    append(&mut world, &[("a", Some("1")), ("b", Some("2"))]);
    world.advance(SECOND * 10);
    world.sim_node(0).slow_log = SECOND * 2;
    append(&mut world, &[("c", Some("3"))]);
    world.log.recreate_with(TopicId([2; 16]), 1);
    world.until("refused", SECOND * 60, is_refused);
    world.sim_node(0).disk.mount(Image::default());
    append(&mut world, &[("d", Some("4"))]);
    world.until_ready(0);
    assert_exact(&world, 0);
    world.advance(SECOND * 30);
    assert_eq!(world.phase(0), Phase::Ready);
    assert_exact(&world, 0);
}
