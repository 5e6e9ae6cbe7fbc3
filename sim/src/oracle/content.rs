//! How a copy differs from the log: what the content oracles share.

use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::store::View;

use super::{Wrong, show};
use crate::reference::{Asked, Copied, Difference, Kind, Reference, Rows, rows_of};
use crate::world::World;

/// Judges the copy that a READY node serves. `strict`: it must know of everything that the log lost.
pub(super) fn served(
    world: &World,
    node: usize,
    strict: bool,
    kinds: &[Kind],
) -> Result<(), Wrong> {
    let gate = world.node(node).gate();
    let Some(generation) = gate.generation else {
        return Err(Wrong::of(node, "READY without a generation to read from".to_owned()));
    };
    let view = world.view_of(node, generation);
    let (lineages, rows) = match (view.lineages(), rows_of(&view)) {
        (Ok(lineages), Ok(rows)) => (lineages, rows),
        // By then everything was read once and every damage was met, except in what a peer has given since.
        _ if strict && kinds.contains(&Kind::Missing) && !world.was_given(node, generation) => {
            return Err(Wrong::of(node, "READY, but its rows cannot be read".to_owned()));
        }
        // Damaged rows cannot be compared; a read of them is answered with an error.
        _ => return Ok(()),
    };
    let log = Log { reference: &world.reference, world: Some(world) };
    wrong(node, differences(log, &lineages, &rows, Asked::All, strict), kinds)
}

/// What a log says, and what its leaders hold of that.
#[derive(Clone, Copy)]
pub(super) struct Log<'a> {
    pub(super) reference: &'a Reference,
    /// None: it is a topic that is no more.
    pub(super) world: Option<&'a World>,
}

impl Log<'_> {
    fn holds(self, partition: Partition, offset: Offset) -> bool {
        self.world.is_some_and(|world| world.log.offsets(partition).any(|held| held == offset))
    }
}

pub(super) fn differences(
    log: Log<'_>,
    lineages: &[Lineage],
    rows: &Rows,
    asked: Asked<'_>,
    strict: bool,
) -> Vec<Difference> {
    let reference = log.reference;
    let partitions = Partition::all(reference.count()).zip(lineages);
    let each = |(partition, lineage): (Partition, &Lineage)| {
        let (position, exact_from) = (lineage.position, lineage.exact_from);
        let copy = Copied { position, exact_from, rows, asked };
        let holds = |offset| log.holds(partition, offset);
        if strict {
            reference.differences(partition, copy, &holds)
        } else {
            reference.differences_from_any(partition, copy, &holds)
        }
    };
    partitions.flat_map(each).collect()
}

pub(super) fn wrong(node: usize, found: Vec<Difference>, kinds: &[Kind]) -> Result<(), Wrong> {
    let of: Vec<_> = found.iter().filter(|difference| kinds.contains(&difference.kind)).collect();
    let Some(first) = of.first() else {
        return Ok(());
    };
    let keys = of.iter().map(|difference| show(&difference.key)).collect();
    let what = match of.len() {
        1 => first.to_string(),
        more => format!("{first}; {} more", more - 1),
    };
    Err(Wrong { node: Some(node), keys, what })
}
