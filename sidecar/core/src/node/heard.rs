//! What a node has heard of the topic's retention, and must not forget when its process ends.
//!
//! A copy that is kept and not read on, because the node refuses or rebuilds, may be read on by the next process. If the
//! retention was raised again meanwhile, that process cannot know that tombstones which the copy lacks may be gone. So
//! what was heard is written to every copy that is found, before anything is decided about it. A copy that is read into
//! learns it with a flush that does not wait for its time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::offset::{Generation, Partition};
use crate::store::{Found, FoundCopy, FoundGeneration, GenerationState, StoreCall};
use crate::topic::{Identity, LogFacts};

use super::reading::Served;
use super::{Node, Stage};

#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Smallest delete.retention.ms that this process has heard of while it had a generation open.
    retention_ms_min: BTreeMap<Generation, u64>,
    /// What they were given lately may lack tombstones: no confirmation makes them trusted again.
    condemned: BTreeSet<Generation>,
}

impl Heard {
    pub(super) fn hear(&mut self, generation: Generation, delete_retention_ms: u64) {
        let heard = self.retention_ms_min.entry(generation).or_insert(delete_retention_ms);
        *heard = (*heard).min(delete_retention_ms);
    }

    pub(super) fn condemn(&mut self, generation: Generation) {
        self.condemned.insert(generation);
    }

    pub(super) fn forget(&mut self, gone: Generation) {
        self.retention_ms_min.remove(&gone);
        self.condemned.remove(&gone);
    }

    pub(super) fn clear(&mut self) {
        *self = Heard::default();
    }

    /// Lowers what the copy knows to what was heard. Returns the store calls that make that durable.
    pub(super) fn apply_to(&self, copy: &mut FoundCopy) -> VecDeque<StoreCall> {
        let found = [&mut copy.current, &mut copy.building].into_iter().flatten();
        found.flat_map(|found| self.lower(found)).collect()
    }

    fn lower(&self, found: &mut FoundGeneration) -> Vec<StoreCall> {
        let generation = found.generation;
        let GenerationState::Intact(lineages) = &mut found.state else {
            return Vec::new();
        };
        let heard = self.retention_ms_min.get(&generation).copied().unwrap_or(u64::MAX);
        let condemned = self.condemned.contains(&generation);
        let mut calls = Vec::new();
        for (partition, lineage) in (0..).map(Partition).zip(lineages) {
            let denied = condemned && lineage.confirmed_at_ms > 0;
            if denied {
                // Of no time: no clock takes it for young.
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

impl Node {
    /// The retention as it is now counts for all that is open.
    pub(super) fn hear_retention(&mut self, facts: &LogFacts) {
        for generation in &self.open {
            self.heard.hear(*generation, facts.policy.delete_retention_ms);
        }
    }

    /// Writes what was heard to what was found, where that knows less, then decides. `served`: what answers reads meanwhile.
    pub(super) fn record(&mut self, found: Found, identity: Identity, served: Option<Served>) {
        let mut found = found;
        let calls = match &mut found {
            Found::Copy(copy) => self.heard.apply_to(copy),
            Found::Nothing | Found::Foreign { .. } => VecDeque::new(),
        };
        self.stage = Stage::Recording { calls, found, identity, served };
        self.record_or_decide();
    }

    pub(super) fn recorded(&mut self) {
        if let Stage::Recording { calls, .. } = &mut self.stage {
            calls.pop_front();
        }
        self.record_or_decide();
    }

    /// The generation that is written to.
    pub(super) fn recording(&self) -> Option<Generation> {
        let Stage::Recording { calls, .. } = &self.stage else { return None };
        match calls.front()? {
            StoreCall::Confirm { generation, .. } | StoreCall::Flush { generation } => {
                Some(*generation)
            }
            call => unreachable!("{:?} records nothing", call.kind()),
        }
    }

    /// The first call is under way.
    fn record_or_decide(&mut self) {
        let Stage::Recording { calls, found, identity, .. } = &self.stage else {
            return;
        };
        if let Some(call) = calls.front() {
            return self.store(call.clone());
        }
        let (mut found, identity) = (found.clone(), identity.clone());
        if let Found::Copy(copy) = &mut found {
            // A read may have met damage meanwhile.
            self.note_generations(copy);
        }
        let facts = self.facts.clone().expect("the copy is opened only after the log's facts came");
        self.act_on(found, identity, &facts);
    }
}
