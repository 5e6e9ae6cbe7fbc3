//! O7: a read beyond STALE is answered from an exact snapshot, at or after the token it brought and of its topic, the
//! end that was asked for it and what the READY copy had that admitted it; the token that it tells is the snapshot's.
//!
//! What sessions see of each other's writes is judged from their histories; this looks at the snapshot.

use outrigger_core::gate::ReadLevel;
use outrigger_core::offset::Offset;
use outrigger_core::token::Token;

use super::{Oracle, OracleId, Read, Wrong};
use crate::world::World;

pub(super) struct Reads;

impl Oracle for Reads {
    fn id(&self) -> OracleId {
        OracleId::O7
    }

    fn read(&mut self, node: usize, read: &Read<'_>, world: &World) -> Result<(), Wrong> {
        told(node, read)?;
        match read.level {
            ReadLevel::Stale => Ok(()),
            ReadLevel::Local => exact(node, read).and_then(|()| admitted(node, read)),
            ReadLevel::Latest => {
                exact(node, read)?;
                admitted(node, read)?;
                after(node, read, "the leaders answered", &read.least.end)
            }
            ReadLevel::AtLeast(token) => {
                let topic = world.disk(node).identity().map(|identity| identity.topic);
                if topic.is_some_and(|topic| topic != token.topic) {
                    let what = format!("answers a token of topic {}", token.topic);
                    return Err(Wrong::of(node, what));
                }
                exact(node, read)?;
                admitted(node, read)?;
                reached(node, read, token)
            }
        }
    }
}

fn told(node: usize, read: &Read<'_>) -> Result<(), Wrong> {
    let is = read.lineages.iter().map(|lineage| (lineage.position, lineage.epochs.latest()));
    if is.eq(read.token.positions.iter().copied()) {
        Ok(())
    } else {
        let what = format!("its token is not its snapshot's: {:?}", read.token.positions);
        Err(Wrong::of(node, what))
    }
}

fn exact(node: usize, read: &Read<'_>) -> Result<(), Wrong> {
    match read.lineages.iter().position(|lineage| !lineage.exact()) {
        None => Ok(()),
        Some(partition) => Err(Wrong::of(
            node,
            format!("partition {partition}: answered from a copy that is not exact"),
        )),
    }
}

fn admitted(node: usize, read: &Read<'_>) -> Result<(), Wrong> {
    after(node, read, "its gate showed", &read.least.admitted)
}

fn after(node: usize, read: &Read<'_>, whose: &str, least: &[Offset]) -> Result<(), Wrong> {
    let pairs = read.lineages.iter().zip(least).enumerate();
    let behind = pairs.into_iter().find(|(_, (lineage, least))| lineage.position < **least);
    match behind {
        None => Ok(()),
        Some((partition, (lineage, least))) => {
            let is = lineage.position;
            let what = format!("partition {partition}: answered at {is}, {whose} {least}");
            Err(Wrong::of(node, what))
        }
    }
}

fn reached(node: usize, read: &Read<'_>, token: &Token) -> Result<(), Wrong> {
    for (partition, ((wanted, epoch), lineage)) in
        token.positions.iter().zip(read.lineages).enumerate()
    {
        if epoch.is_some_and(|epoch| !lineage.epochs.allows(epoch, *wanted)) {
            let what = format!(
                "partition {partition}: answers a token of a history that it does not have"
            );
            return Err(Wrong::of(node, what));
        }
        if lineage.position < *wanted {
            let is = lineage.position;
            return Err(Wrong::of(
                node,
                format!("partition {partition}: answered at {is}, asked for {wanted}"),
            ));
        }
    }
    Ok(())
}
