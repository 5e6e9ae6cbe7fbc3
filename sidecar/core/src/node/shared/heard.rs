//! What a node has heard of the topic's retention, and must not forget when its process ends.
//!
//! A copy that is kept and not read on, because the node refuses or rebuilds, may be read on by the next process. If the
//! retention was raised again meanwhile, that process cannot know that tombstones which the copy lacks may be gone. So
//! what was heard is written to every copy that is found, before anything is decided about it. A copy that is read into
//! learns it with a flush that does not wait for its time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::offset::{Generation, Partition};
use crate::store::{FoundCopy, FoundGeneration, GenerationState, StoreCall};

#[derive(Debug, Default)]
pub(in crate::node) struct Heard {
    /// Smallest delete.retention.ms that this process has heard of while it had a generation open.
    retention_ms_min: BTreeMap<Generation, u64>,
    /// Generations that may lack tombstones which they were given lately: no confirmation makes them trusted again.
    condemned: BTreeSet<Generation>,
}

impl Heard {
    pub(in crate::node) fn hear(&mut self, generation: Generation, delete_retention_ms: u64) {
        let heard = self.retention_ms_min.entry(generation).or_insert(delete_retention_ms);
        *heard = (*heard).min(delete_retention_ms);
    }

    /// Returns the smallest that this process has heard of; `u64::MAX`: nothing.
    pub(in crate::node) fn retention_ms(&self, generation: Generation) -> u64 {
        self.retention_ms_min.get(&generation).copied().unwrap_or(u64::MAX)
    }

    pub(in crate::node) fn condemn(&mut self, generation: Generation) {
        self.condemned.insert(generation);
    }

    pub(in crate::node) fn forget(&mut self, gone: Generation) {
        self.retention_ms_min.remove(&gone);
        self.condemned.remove(&gone);
    }

    pub(in crate::node) fn clear(&mut self) {
        *self = Heard::default();
    }

    /// Lowers what the copy knows to what was heard. Returns the store calls that make that durable.
    pub(in crate::node) fn apply_to(&self, copy: &mut FoundCopy) -> VecDeque<StoreCall> {
        let found = [&mut copy.current, &mut copy.building].into_iter().flatten();
        found.flat_map(|found| self.lower(found)).collect()
    }

    fn lower(&self, found: &mut FoundGeneration) -> Vec<StoreCall> {
        let generation = found.generation;
        let GenerationState::Intact(lineages) = &mut found.state else {
            return Vec::new();
        };
        let heard = self.retention_ms(generation);
        let condemned = self.condemned.contains(&generation);
        let mut calls = Vec::new();
        for (partition, lineage) in (0..).map(Partition).zip(lineages) {
            let denied = condemned && lineage.confirmed_at_ms > 0;
            if denied {
                // It is of no time then: no clock takes it for young.
                lineage.confirmed_at_ms = 0;
            }
            if denied || heard < lineage.delete_retention_ms_min {
                lineage.see_retention(heard);
                let lineage = lineage.clone();
                calls.push(StoreCall::Confirm { generation, partition, lineage });
            }
        }
        if !calls.is_empty() {
            calls.push(StoreCall::Flush { generation });
        }
        calls
    }
}
