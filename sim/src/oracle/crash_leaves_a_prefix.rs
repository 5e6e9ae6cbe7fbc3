//! O5: whatever a crash leaves is consistent: each durable generation holds exactly what its positions say.
//!
//! Below the offset from which the copy counts as exact, there may be differences that records still to be read
//! explain. What a node calls durable is on its disk.

use outrigger_core::node::Event;
use outrigger_core::offset::Partition;
use outrigger_core::store::{StoreCallKind, StoreEvent};
use outrigger_core::topic::Identity;
use outrigger_model::store::StoredGeneration;

use super::content::{self, Log};
use super::{Oracle, OracleId, Wrong};
use crate::reference::{Asked, Kind, Rows};
use crate::world::World;

pub(super) struct Disk;

const ALL: [Kind; 5] =
    [Kind::Aborted, Kind::Resurrected, Kind::Stranger, Kind::Wrong, Kind::Missing];

impl Oracle for Disk {
    fn id(&self) -> OracleId {
        OracleId::O5
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        let Event::Store(
            StoreEvent::Done { call: StoreCallKind::Flush, .. } | StoreEvent::Failed { .. },
        ) = event
        else {
            return Ok(());
        };
        durable(node, world)
    }

    fn crashed(&mut self, node: usize, world: &World) -> Result<(), Wrong> {
        everything(node, world)
    }

    fn audit(&mut self, node: usize, world: &World) -> Result<(), Wrong> {
        everything(node, world)
    }
}

fn everything(node: usize, world: &World) -> Result<(), Wrong> {
    let disk = world.disk(node);
    // What a process that died had read of a recreated topic may be there too: IDENTITY refuses all of it, and
    // nobody can say of which topic a copy without a readable one is.
    let topic = world.log.topic();
    let ours = |identity: &Identity| identity.topic == topic && identity.store == "store";
    if !disk.identity().is_some_and(ours) {
        return Ok(());
    }
    let mut sound = disk.generations().filter(|stored| stored.sound);
    let log = Log { reference: &world.reference, world: Some(world) };
    sound.try_for_each(|stored| consistent(node, &stored, log))
}

/// Judges whether what is durable of the generation equals what `log` says at its positions.
pub(super) fn consistent(
    node: usize,
    stored: &StoredGeneration<'_>,
    log: Log<'_>,
) -> Result<(), Wrong> {
    let lineages: Vec<_> =
        stored.durable.iter().map(|contents| contents.lineage().clone()).collect();
    let mut rows = Rows::new();
    for (partition, contents) in (0..).map(Partition).zip(stored.durable) {
        for (key, (offset, value)) in contents.rows() {
            let revision = outrigger_core::offset::Revision { partition, offset: *offset };
            rows.insert(key.clone(), (revision, value.clone()));
        }
    }
    let found = content::differences(log, &lineages, &rows, Asked::All, false);
    content::wrong(node, found, &ALL).map_err(|wrong| Wrong {
        what: format!("{} on disk: {}", stored.generation, wrong.what),
        ..wrong
    })
}

/// Judges whether what the node calls durable is on the disk.
fn durable(node: usize, world: &World) -> Result<(), Wrong> {
    let status = world.node(node).status();
    let stored = status.fed.and_then(|fed| world.disk(node).generation(fed));
    let Some(stored) = stored else {
        return Ok(());
    };
    for (partition, (told, contents)) in status.partitions.iter().zip(stored.durable).enumerate() {
        let (told, is) = (told.durable, contents.lineage().position);
        if told > is {
            let what = format!("partition {partition}: {told} is called durable, on disk is {is}");
            return Err(Wrong::of(node, what));
        }
    }
    Ok(())
}
