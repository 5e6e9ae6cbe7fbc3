//! O7: a copy that claims a confirmation holds everything that the log had committed when its node asked then,
//! and no read is answered from a copy that is older than it asked for.
//!
//! It need not hold what the answer did not tell: a deposed leader's, or one after the log lost records.

use std::collections::BTreeMap;

use outrigger_core::log::{EndAnswer, LogCall, LogEvent};
use outrigger_core::node::{Effect, Event};
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::topic::TopicId;

use super::{Oracle, OracleId, Read, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Ages {
    topic: Option<TopicId>,
    nodes: BTreeMap<usize, Asked>,
}

#[derive(Default)]
struct Asked {
    /// The node's wall clock when it last handled an event.
    wall_ms: u64,
    /// The high watermarks when it asked for the log's ends, by its wall clock then. They are never more than at a later
    /// time: of two partitions one may have been confirmed before the clock went back.
    ends: BTreeMap<u64, Vec<Offset>>,
}

impl Oracle for Ages {
    fn id(&self) -> OracleId {
        OracleId::O7
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        let asked = self.nodes.entry(node).or_default();
        asked.wall_ms = world.now_of(node).wall_ms;
        if let Event::Log(LogEvent::Ends(ends)) = event {
            // Nothing is known of a leader that did not answer.
            let end =
                |end: &EndAnswer| end.as_ref().map_or(Offset(u64::MAX), |end| end.high_watermark);
            asked.answered(ends.iter().map(end));
        }
        if let Event::Log(LogEvent::Facts(facts)) = event {
            asked.answered(facts.partitions.iter().map(|facts| facts.high_watermark));
        }
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        if let Effect::Log(LogCall::Ends | LogCall::Describe) = effect {
            self.nodes.entry(node).or_default().asks(world);
        }
        Ok(())
    }

    fn started(&mut self, node: usize, world: &World) {
        self.nodes.entry(node).or_default().wall_ms = world.now_of(node).wall_ms;
        self.follow(world.log.topic());
    }

    fn read(&mut self, node: usize, read: &Read<'_>, world: &World) -> Result<(), Wrong> {
        if !world.disk_is_its_own(node) {
            return Ok(());
        }
        young(node, read, world)?;
        match self.nodes.get(&node) {
            Some(asked) => asked.holds(node, read),
            None => Ok(()),
        }
    }

    fn log_changed(&mut self, world: &World) {
        self.follow(world.log.topic());
    }
}

impl Ages {
    /// What another topic had committed says nothing.
    fn follow(&mut self, topic: TopicId) {
        if self.topic.replace(topic) != Some(topic) {
            for asked in self.nodes.values_mut() {
                asked.ends.clear();
            }
        }
    }
}

impl Asked {
    fn asks(&mut self, world: &World) {
        let partitions = Partition::all(world.reference.count());
        let ends: Vec<_> =
            partitions.map(|partition| world.log.high_watermark(partition)).collect();
        self.lower(&ends);
        let newer = self.ends.range(self.wall_ms..).next().map(|(_, newer)| newer.clone());
        self.ends.insert(self.wall_ms, newer.unwrap_or(ends));
    }

    /// It cannot know of more than it was told.
    fn answered(&mut self, ends: impl Iterator<Item = Offset>) {
        self.lower(&ends.collect::<Vec<_>>());
    }

    fn lower(&mut self, to: &[Offset]) {
        for known in self.ends.values_mut().rev() {
            let mut pairs =
                known.iter_mut().zip(to).filter(|(known, to)| **known > **to).peekable();
            if pairs.peek().is_none() {
                return;
            }
            for (known, to) in pairs {
                *known = *to;
            }
        }
    }

    fn holds(&self, node: usize, read: &Read<'_>) -> Result<(), Wrong> {
        let confirmed_at_ms = read.confirmed_at_ms;
        let Some(ends) = self.ends.get(&confirmed_at_ms) else {
            return Ok(());
        };
        for (partition, (lineage, end)) in read.lineages.iter().zip(ends).enumerate() {
            if lineage.position < *end {
                let what = format!(
                    "partition {partition}: confirmed at {confirmed_at_ms} ms, when {end} was committed, and \
                     answers at {}",
                    lineage.position
                );
                return Err(Wrong::of(node, what));
            }
        }
        Ok(())
    }
}

fn young(node: usize, read: &Read<'_>, world: &World) -> Result<(), Wrong> {
    let age_ms = world.now_of(node).wall_ms.saturating_sub(read.confirmed_at_ms);
    match read.max_staleness_ms {
        Some(most_ms) if age_ms > most_ms => {
            let what = format!("answers {age_ms} ms after its confirmation, asked for {most_ms}");
            Err(Wrong::of(node, what))
        }
        Some(_) | None => Ok(()),
    }
}
