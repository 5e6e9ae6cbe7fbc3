//! O24: no change comes twice in a watch, nor again once a point after it was used.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_core::offset::{Offset, Partition};
use outrigger_core::watch::message::Message;

use super::watched::{Saw, Watched};
use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Once {
    watches: BTreeMap<usize, Seen>,
}

#[derive(Default)]
struct Seen {
    changes: BTreeSet<(Partition, Offset)>,
    /// The positions of the point that was used.
    used: Vec<Offset>,
}

impl Oracle for Once {
    fn id(&self) -> OracleId {
        OracleId::O24
    }

    fn watched(&mut self, node: usize, watched: &Watched<'_>, _world: &World) -> Result<(), Wrong> {
        let seen = self.watches.entry(watched.number).or_default();
        match watched.saw {
            Saw::Asked { point, .. } => {
                let positions = point.map(|point| point.token.positions.iter());
                let used = positions.into_iter().flatten().map(|(at, _)| *at).collect();
                *seen = Seen { changes: BTreeSet::new(), used };
            }
            Saw::Message(Message::Started { point: None } | Message::Again { .. }) => {
                *seen = Seen::default();
            }
            Saw::Message(Message::Changes(changes)) => {
                let partition = changes.batch.partition;
                for record in changes.records() {
                    let used = seen.used.get(partition.index());
                    let again = used.is_some_and(|used| record.offset < *used)
                        || !seen.changes.insert((partition, record.offset));
                    if again {
                        let what = format!(
                            "watch {} is sent p{partition} {} again",
                            watched.number, record.offset
                        );
                        return Err(Wrong::of(node, what));
                    }
                }
            }
            Saw::Message(_) | Saw::Rows(_) | Saw::Ended(_) | Saw::Idle => {}
        }
        Ok(())
    }
}
