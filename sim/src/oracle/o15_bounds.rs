//! O15: what a node keeps, asks and says is bounded, whatever goes wrong around it.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_core::log::LogCall;
use outrigger_core::node::{Command, Effect, Event};
use outrigger_core::store::{StoreCall, StoreEvent};

use super::{Moment, Oracle, OracleId, Wrong};
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

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        match moment {
            Moment::Effect { node, effect } => self.effect(*node, effect, world),
            Moment::Handled { node, event } => {
                let counts = self.nodes.entry(*node).or_default();
                counts.events += 1;
                if matches!(event, Event::Command(_, Command::Await { .. })) {
                    let (is, max) = (world.node(*node).status().awaits, world.limits().awaits_max);
                    if is > max {
                        return Err(Wrong::of(
                            *node,
                            format!("{is} reads wait, at most {max} may"),
                        ));
                    }
                }
                if matches!(event, Event::Store(StoreEvent::Pinned { .. })) {
                    let (kept, max) = (world.disk(*node).pins(), world.limits().pins_max);
                    if kept > max || world.node(*node).status().pins > max {
                        let what = format!("{kept} pins are kept, at most {max} may be wanted");
                        return Err(Wrong::of(*node, what));
                    }
                }
                if matches!(event, Event::Store(StoreEvent::Applied { .. })) {
                    counts.applying -= 1;
                }
                Ok(())
            }
            Moment::Started { node } | Moment::Crashed { node } => {
                self.nodes.remove(node);
                Ok(())
            }
            Moment::Ready { .. }
            | Moment::Read { .. }
            | Moment::Audit { .. }
            | Moment::DiskChanged { .. }
            | Moment::LogChanged => Ok(()),
        }
    }
}

impl Bounds {
    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        let counts = self.nodes.entry(node).or_default();
        let window = world.elapsed().as_secs() / WINDOW.as_secs();
        if counts.window != window {
            *counts = Counts { window, applying: counts.applying, ..Counts::default() };
        }
        let limits = world.limits();
        let over = |what: &str, is: u64, max: u64| match is > max {
            true => Err(Wrong::of(
                node,
                format!("{is} {what} within {WINDOW:?}, at most {max} are expected"),
            )),
            false => Ok(()),
        };
        match effect {
            Effect::Log(LogCall::Describe) => {
                counts.describes += 1;
                // Thrice the pace of a node that fails all the time, and what its log makes it ask.
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
                // One more each: a batch held back during a check.
                // And one more for each position at which a pin splits a batch.
                let pieces = limits.applying_batches_max + 1 + limits.pins_max;
                let max = pieces * partitions;
                let max = i64::try_from(max).expect("a small bound");
                match counts.applying > max {
                    true => Err(Wrong::of(
                        node,
                        format!("{} batches with the disk, at most {max}", counts.applying),
                    )),
                    false => Ok(()),
                }
            }
            Effect::Store(StoreCall::Open { .. }) => {
                counts.applying = 0;
                Ok(())
            }
            Effect::Log(_) | Effect::Store(_) | Effect::Peer(_) | Effect::Reply(..) => Ok(()),
        }
    }
}
