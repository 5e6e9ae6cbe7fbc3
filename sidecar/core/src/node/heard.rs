//! What a node has heard of the topic's retention, and must not forget when its process ends.
//!
//! A copy that is kept and not read on, because the node refuses or rebuilds, may be read on by the next process. If the
//! retention was raised again meanwhile, that process cannot know that tombstones which the copy lacks may be gone. So
//! what was heard is written to every copy that is found, before anything is decided about it. A copy that is read into
//! learns it with a flush that does not wait for its time.

use std::collections::{BTreeMap, VecDeque};

use crate::offset::{Generation, Partition};
use crate::store::{Found, FoundCopy, FoundGeneration, GenerationState, StoreCall};
use crate::topic::{Identity, LogFacts};

use super::reading::Served;
use super::{Node, Stage};

/// Smallest delete.retention.ms that this process has heard of while it had a generation open.
#[derive(Debug, Default)]
pub(super) struct Heard {
    retention_ms_min: BTreeMap<Generation, u64>,
}

impl Heard {
    pub(super) fn hear(&mut self, generation: Generation, delete_retention_ms: u64) {
        let heard = self.retention_ms_min.entry(generation).or_insert(delete_retention_ms);
        *heard = (*heard).min(delete_retention_ms);
    }

    /// What the generation was given lately may lack tombstones: no confirmation makes it trusted again.
    pub(super) fn condemn(&mut self, generation: Generation) {
        self.hear(generation, 0);
    }

    pub(super) fn forget(&mut self, gone: Generation) {
        self.retention_ms_min.remove(&gone);
    }

    pub(super) fn clear(&mut self) {
        self.retention_ms_min.clear();
    }

    /// Lowers what the copy knows to what was heard. Returns the store calls that make that durable.
    pub(super) fn apply_to(&self, copy: &mut FoundCopy) -> VecDeque<StoreCall> {
        let found = [&mut copy.current, &mut copy.building].into_iter().flatten();
        found.flat_map(|found| self.lower(found)).collect()
    }

    fn lower(&self, found: &mut FoundGeneration) -> Vec<StoreCall> {
        let generation = found.generation;
        let heard = self.retention_ms_min.get(&generation);
        let (Some(heard), GenerationState::Intact(lineages)) = (heard, &mut found.state) else {
            return Vec::new();
        };
        let lineages = (0..).map(Partition).zip(lineages);
        let lowered = lineages.filter(|(_, lineage)| *heard < lineage.delete_retention_ms_min);
        let mut calls: Vec<_> = lowered
            .map(|(partition, lineage)| {
                lineage.see_retention(*heard);
                StoreCall::Confirm { generation, partition, lineage: lineage.clone() }
            })
            .collect();
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
