//! O15: what a node keeps, asks and says is bounded, whatever goes wrong around it.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_core::log::LogCall;
use outrigger_core::node::{Command, Effect, Event};
use outrigger_core::store::{StoreCall, StoreEvent};

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

const WINDOW: Duration = Duration::from_secs(10);

/// Notices in a window beside those that answer something: stalls that come and go, phases.
const NOTICES_MAX: u64 = 200;

#[derive(Default)]
pub(super) struct Bounds {
    nodes: BTreeMap<usize, Counts>,
}

#[derive(Default)]
struct Counts {
    window: u64,
    describes: u64,
    notices: u64,
    events: u64,
    applying: i64,
}

impl Oracle for Bounds {
    fn id(&self) -> OracleId {
        OracleId::O15
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        let counts = self.nodes.entry(node).or_default();
        counts.events += 1;
        if let Event::Store(StoreEvent::Applied { .. }) = event {
            counts.applying -= 1;
        }
        match event {
            Event::Command(_, Command::Await { .. }) => reads_wait(node, world),
            Event::Store(StoreEvent::Pinned { .. }) => pins_kept(node, world),
            Event::Command(..)
            | Event::Store(_)
            | Event::Log(_)
            | Event::Peer(_)
            | Event::Gone(_)
            | Event::Withdraw(_)
            | Event::Damaged { .. }
            | Event::RestoreRate(_)
            | Event::Timer => Ok(()),
        }
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        let counts = self.nodes.entry(node).or_default();
        let window = world.elapsed().as_secs() / WINDOW.as_secs();
        if counts.window != window {
            *counts = Counts { window, applying: counts.applying, ..Counts::default() };
        }
        let limits = world.limits();
        let over = |what: &str, is: u64, max: u64| {
            if is > max {
                Err(Wrong::of(
                    node,
                    format!("{is} {what} within {WINDOW:?}, at most {max} are expected"),
                ))
            } else {
                Ok(())
            }
        };
        match effect {
            Effect::Log(LogCall::Describe) => {
                counts.describes += 1;
                // This is thrice the pace of a node that fails all the time, and what its log makes it ask.
                // A copy that is past its horizon is opened anew: no faster than tombstones can vanish.
                let horizon = Duration::from_millis(world.log.policy().delete_retention_ms / 16);
                let pace = limits.retry_min.min(limits.describe_interval).min(limits.ends_interval);
                let pace = pace.min(horizon);
                let asks = WINDOW.as_millis() / pace.as_millis().max(1);
                let max = 3 * u64::try_from(asks).expect("a window has few tries") + 50;
                over("descriptions asked for", counts.describes, max)
            }
            Effect::Notice(_) => {
                counts.notices += 1;
                over("notices", counts.notices, NOTICES_MAX + counts.events)
            }
            Effect::Store(StoreCall::Apply { .. }) => {
                counts.applying += 1;
                let partitions =
                    usize::try_from(world.reference.count()).expect("usize holds 32 bits");
                // A batch that is held back during a check is one more, and so is each piece that a pin splits off.
                let pieces = limits.applying_batches_max + 1 + limits.pins_max;
                let max = pieces * partitions;
                let max = i64::try_from(max).expect("a small bound");
                if counts.applying > max {
                    Err(Wrong::of(
                        node,
                        format!("{} batches with the disk, at most {max}", counts.applying),
                    ))
                } else {
                    Ok(())
                }
            }
            Effect::Store(StoreCall::Open { .. }) => {
                counts.applying = 0;
                Ok(())
            }
            Effect::Log(_)
            | Effect::Store(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Reply(..) => Ok(()),
        }
    }

    fn forget(&mut self, node: usize) {
        self.nodes.remove(&node);
    }
}

fn reads_wait(node: usize, world: &World) -> Result<(), Wrong> {
    let (is, max) = (world.node(node).status().awaits, world.limits().awaits_max);
    if is > max {
        return Err(Wrong::of(node, format!("{is} reads wait, at most {max} may")));
    }
    Ok(())
}

fn pins_kept(node: usize, world: &World) -> Result<(), Wrong> {
    let (kept, max) = (world.disk(node).pins(), world.limits().pins_max);
    if kept > max || world.node(node).status().pins > max {
        let what = format!("{kept} pins are kept, at most {max} may be wanted");
        return Err(Wrong::of(node, what));
    }
    Ok(())
}
