//! Partitions whose leaders do not answer while others' do. Each matters to its own keys only: what is read goes on, the
//! other partitions' ends are known, and a LATEST of their keys is answered. Only to decide about a copy all are needed.

use crate::log::{EndAnswer, KafkaError};
use crate::offset::Partition;

use super::{Durability, Reading};
use crate::node::shared::Shared;
use crate::node::stage::handlers::Stays;

impl Reading {
    /// A flush that waits for a leader that does not answer is put off: what other partitions bring is applied meanwhile,
    /// and the topic's id is asked for again before it is flushed.
    pub(super) fn put_flush_off(&mut self, shared: &mut Shared) -> Stays {
        if self.durability == Durability::Settling && !self.leaderless.is_empty() {
            self.durability = Durability::Wanted;
            self.release_held(shared)?;
        }
        Ok(())
    }
}

/// The partitions whose leaders did not answer, each with the error that told it.
pub(in crate::node) fn silent(ends: &[EndAnswer]) -> Vec<(Partition, KafkaError)> {
    let partitions = (0..).map(Partition).zip(ends);
    partitions
        .filter_map(|(partition, end)| Some((partition, end.as_ref().err()?.clone())))
        .collect()
}

pub(in crate::node) fn silence(partition: Partition, error: &KafkaError) -> String {
    format!("partition {partition}: {error}")
}
