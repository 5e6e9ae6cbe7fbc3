//! O21: no record is silently skipped: what goes to the disk continues exactly where the last batch ended.

use std::collections::BTreeMap;

use outrigger_core::log::{LogCall, LogEvent};
use outrigger_core::node::{Effect, Event, Notice};
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::store::StoreCall;

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Skipped {
    /// Where the next batch of each assignment must begin.
    next: BTreeMap<(usize, Partition), Offset>,
    /// Records that cannot be applied, of a batch just handed over: they must be reported before the batch
    /// is applied.
    unreported: BTreeMap<(usize, Partition), u32>,
}

impl Oracle for Skipped {
    fn id(&self) -> OracleId {
        OracleId::O21
    }

    fn handled(&mut self, node: usize, event: &Event, _world: &World) -> Result<(), Wrong> {
        if let Event::Log(LogEvent::Fetched(batch)) = event {
            let ignored = batch.misplaced + batch.keyless;
            self.unreported.insert((node, batch.partition), ignored);
        }
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: &Effect, _world: &World) -> Result<(), Wrong> {
        match effect {
            Effect::Log(LogCall::Assign { partition, at, .. }) => {
                self.next.insert((node, *partition), *at);
            }
            Effect::Notice(Notice::Ignored { partition, misplaced, keyless }) => {
                let left = self.unreported.entry((node, *partition)).or_default();
                *left = left.saturating_sub(misplaced + keyless);
            }
            Effect::Store(StoreCall::Apply { batch, lineage, .. }) => {
                let at = (node, batch.partition);
                let (begins, ends) = (batch.range.start, batch.range.end);
                let next = self.next.insert(at, ends);
                if next.is_some_and(|next| next != begins) || lineage.position != ends {
                    let what = format!(
                        "partition {}: applies {begins}..{ends} for position {} after {next:?}",
                        batch.partition, lineage.position
                    );
                    return Err(Wrong::of(node, what));
                }
                if self
                    .unreported
                    .get(&at)
                    .is_some_and(|left| *left > 0 && batch.misplaced + batch.keyless > 0)
                {
                    let what = format!(
                        "partition {}: leaves records out and says nothing",
                        batch.partition
                    );
                    return Err(Wrong::of(node, what));
                }
            }
            Effect::Log(_)
            | Effect::Store(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Reply(..)
            | Effect::Notice(_) => {}
        }
        Ok(())
    }

    fn forget(&mut self, node: usize) {
        self.next.retain(|(of, _), _| *of != node);
        self.unreported.retain(|(of, _), _| *of != node);
    }
}
