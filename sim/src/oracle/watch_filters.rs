//! O22: a watch is sent nothing but what its selection asks for, as the log has it, and as reads show it by then.

use outrigger_core::batch::Record;
use outrigger_core::offset::{Partition, Revision};
use outrigger_core::watch::message::{Changes, Message};

use super::watched::{Saw, Watched};
use super::{Oracle, OracleId, Wrong, show};
use crate::reference::Fate;
use crate::world::World;

pub(super) struct Filter;

impl Oracle for Filter {
    fn id(&self) -> OracleId {
        OracleId::O22
    }

    fn watched(&mut self, node: usize, watched: &Watched<'_>, world: &World) -> Result<(), Wrong> {
        match watched.saw {
            Saw::Rows(rows) => rows.keys().try_for_each(|key| selected(node, watched, key)),
            Saw::Message(Message::Changes(changes)) => changes.records().try_for_each(|record| {
                selected(node, watched, record.key)?;
                applied(node, changes, record, world)?;
                as_in_the_log(node, changes, record, world)
            }),
            Saw::Message(_) | Saw::Asked { .. } | Saw::Ended(_) | Saw::Idle => Ok(()),
        }
    }
}

fn selected(node: usize, watched: &Watched<'_>, key: &[u8]) -> Result<(), Wrong> {
    if watched.selects(key) {
        Ok(())
    } else {
        let what = format!("watch {} is sent a key that it did not select", watched.number);
        Err(Wrong { node: Some(node), keys: vec![show(key)], what })
    }
}

/// Whoever reads after an event sees it.
fn applied(node: usize, changes: &Changes, record: Record<'_>, world: &World) -> Result<(), Wrong> {
    let partition = changes.batch.partition;
    let applied = world.node(node).gate().positions.get(partition.index()).copied();
    let Record { offset, key, value } = record;
    let another = world.copied(node).has_another((partition, offset), key, value);
    if applied > Some(offset) && !another {
        return Ok(());
    }
    let what = if another {
        format!("the change at p{partition} {offset} is another one in the copy")
    } else {
        format!("the change at p{partition} {offset} comes before reads show it")
    };
    Err(Wrong { node: Some(node), keys: vec![show(key)], what })
}

/// A record that the log lost may still be with the node.
fn as_in_the_log(
    node: usize,
    changes: &Changes,
    record: Record<'_>,
    world: &World,
) -> Result<(), Wrong> {
    if !world.losses.is_empty() || !world.disk_is_its_own(node) {
        return Ok(());
    }
    let Record { offset, key, value } = record;
    let partition: Partition = changes.batch.partition;
    let found = world.reference.record(Revision { partition, offset });
    let same = found.is_some_and(|found| {
        found.fate == Fate::Committed
            && found.key.as_deref() == Some(key)
            && found.value.as_deref() == value
    });
    if same {
        return Ok(());
    }
    let what = format!("the change at p{partition} {offset} is {found:?} in the log");
    Err(Wrong { node: Some(node), keys: vec![show(key)], what })
}
