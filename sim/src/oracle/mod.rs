//! The oracles that look inside: each judges a world at certain moments, one file each.
//!
//! Cheap ones judge after every event, those that compare contents when a node becomes READY, at audits and
//! at the end. What needs only what callers saw is in `history`, so that tests on real processes judge with
//! the same code. An oracle never changes the world.

mod ages_are_true;
mod all_is_bounded;
mod cancelled_stands_still;
mod content;
mod crash_leaves_a_prefix;
mod current_is_not_deleted;
mod deposed_leader_is_named;
mod drain_ends;
mod fold_of_the_log;
mod foreign_data_is_left;
mod hopeless_tokens_are_refused;
mod id;
mod loss_is_real;
mod lost_records_are_kept;
mod nothing_goes_back;
mod nothing_is_skipped;
mod peers_are_asked_once;
mod pin_is_exact;
mod reads_reach_their_token;
mod ready_is_honest;
mod ready_is_kept;
mod ring_is_bounded;
mod served_was_current;
mod sound_copy_goes_on;
mod stale_reads_without_log;
mod waits_are_named;
mod watch_filters;
mod watch_goes_on;
mod watch_is_complete;
mod watch_is_ordered;
mod watch_is_unique;
mod watch_keeps_the_horizon;
mod watch_lives;
mod watched;

use std::fmt;
use std::time::Duration;

use outrigger_core::gate::ReadLevel;
use outrigger_core::lineage::Lineage;
use outrigger_core::node::{Effect, Event};
use outrigger_core::offset::{Generation, Offset};
use outrigger_core::token::Token;
use serde::{Deserialize, Serialize};

pub use self::id::{Class, OracleId};
pub(crate) use self::watched::point_of;
pub use self::watched::{Saw, Watched};

use self::fold_of_the_log::Fold;
use crate::reference::Rows;
use crate::world::World;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub oracle: OracleId,
    /// The simulated time since the run's start.
    pub at: Duration,
    pub node: Option<usize>,
    /// The keys that it speaks of.
    pub keys: Vec<String>,
    pub what: String,
}

/// When an oracle is asked.
#[derive(Debug)]
pub enum Moment<'a> {
    /// The node has handled an event.
    Handled {
        node: usize,
        event: &'a Event,
    },
    /// The node wants this done; it is about to be.
    Effect {
        node: usize,
        effect: &'a Effect,
    },
    /// A process was started on whatever is on its disk.
    Started {
        node: usize,
    },
    /// The process has ended; the disk holds what it holds.
    Crashed {
        node: usize,
    },
    Ready {
        node: usize,
    },
    /// A caller was answered from this snapshot.
    Read {
        node: usize,
        read: &'a Read<'a>,
    },
    /// A caller that watches asked, or was sent something.
    Watched {
        node: usize,
        watched: &'a Watched<'a>,
    },
    /// The node is READY and nothing is under way: a look at everything.
    Audit {
        node: usize,
    },
    /// The disk was changed from outside: wiped, an older image, or somebody else's.
    DiskChanged {
        node: usize,
    },
    /// The log lost records or is another topic: what was known of it does not hold any more.
    LogChanged,
}

impl Moment<'_> {
    fn judged_by(&self, oracle: &mut dyn Oracle, world: &World) -> Result<(), Wrong> {
        match self {
            Moment::Handled { node, event } => oracle.handled(*node, event, world),
            Moment::Effect { node, effect } => oracle.effect(*node, effect, world),
            Moment::Crashed { node } => oracle.crashed(*node, world),
            Moment::Ready { node } => oracle.ready(*node, world),
            Moment::Read { node, read } => oracle.read(*node, read, world),
            Moment::Watched { node, watched } => oracle.watched(*node, watched, world),
            Moment::Audit { node } => oracle.audit(*node, world),
            Moment::Started { node } => {
                oracle.started(*node, world);
                Ok(())
            }
            Moment::DiskChanged { node } => {
                oracle.disk_changed(*node, world);
                Ok(())
            }
            Moment::LogChanged => {
                oracle.log_changed(world);
                Ok(())
            }
        }
    }
}

/// What a caller was answered.
#[derive(Debug)]
pub struct Read<'a> {
    pub level: &'a ReadLevel,
    /// The oldest copy that was asked for.
    pub max_staleness_ms: Option<u64>,
    pub generation: Generation,
    pub lineages: &'a [Lineage],
    /// The token as the caller was told it.
    pub token: &'a Token,
    /// Wall clock, ms: what the age that the caller was told comes from.
    pub confirmed_at_ms: u64,
    pub least: &'a Least,
    /// The keys that were asked for; none: all of them.
    pub key: Option<&'a [u8]>,
    pub rows: &'a Rows,
}

/// Positions that an answer must not be behind, by partition; there are none where nothing was promised.
#[derive(Clone, Debug, Default)]
pub struct Least {
    /// The positions of the gate that admitted its snapshot.
    pub admitted: Vec<Offset>,
    /// The ends that the leaders answered to LATEST.
    pub end: Vec<Offset>,
}

/// Judges what is wrong at the moments that it knows, with the node and keys that it speaks of; it lets all others pass.
pub trait Oracle {
    fn id(&self) -> OracleId;

    fn handled(&mut self, _node: usize, _event: &Event, _world: &World) -> Result<(), Wrong> {
        Ok(())
    }

    fn effect(&mut self, _node: usize, _effect: &Effect, _world: &World) -> Result<(), Wrong> {
        Ok(())
    }

    /// What was seen of the node's process says nothing of the next one.
    fn forget(&mut self, _node: usize) {}

    fn started(&mut self, node: usize, _world: &World) {
        self.forget(node);
    }

    fn crashed(&mut self, node: usize, _world: &World) -> Result<(), Wrong> {
        self.forget(node);
        Ok(())
    }

    fn ready(&mut self, _node: usize, _world: &World) -> Result<(), Wrong> {
        Ok(())
    }

    fn read(&mut self, _node: usize, _read: &Read<'_>, _world: &World) -> Result<(), Wrong> {
        Ok(())
    }

    fn watched(&mut self, _node: usize, _: &Watched<'_>, _world: &World) -> Result<(), Wrong> {
        Ok(())
    }

    fn audit(&mut self, _node: usize, _world: &World) -> Result<(), Wrong> {
        Ok(())
    }

    fn disk_changed(&mut self, _node: usize, _world: &World) {}

    fn log_changed(&mut self, _world: &World) {}
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrong {
    pub node: Option<usize>,
    pub keys: Vec<String>,
    pub what: String,
}

impl Wrong {
    pub fn of(node: usize, what: String) -> Wrong {
        Wrong { node: Some(node), keys: Vec::new(), what }
    }
}

/// Every oracle that looks inside; where several would speak, the first one does.
pub struct Oracles(Vec<Box<dyn Oracle>>);

impl Oracles {
    pub fn all() -> Oracles {
        Oracles(vec![
            Box::new(loss_is_real::Needless::default()),
            Box::new(lost_records_are_kept::Kept::default()),
            Box::new(Fold::ABORTED),
            Box::new(Fold::RESURRECTED),
            Box::new(ready_is_honest::HonestReady::default()),
            Box::new(foreign_data_is_left::Foreign::default()),
            Box::new(served_was_current::Served),
            Box::new(reads_reach_their_token::Reads),
            Box::new(ages_are_true::Ages::default()),
            Box::new(hopeless_tokens_are_refused::Tokens::default()),
            Box::new(nothing_is_skipped::Skipped::default()),
            Box::new(Fold::OTHERWISE),
            Box::new(pin_is_exact::Verified::default()),
            Box::new(watch_filters::Filter),
            Box::new(watch_is_unique::Once::default()),
            Box::new(watch_is_ordered::Order::default()),
            Box::new(watch_keeps_the_horizon::Horizon::default()),
            Box::new(watch_is_complete::Complete::default()),
            Box::new(watch_lives::Live::default()),
            Box::new(watch_goes_on::GoesOn::default()),
            Box::new(ring_is_bounded::Rings),
            Box::new(crash_leaves_a_prefix::Disk),
            Box::new(nothing_goes_back::Monotonic::default()),
            Box::new(current_is_not_deleted::Dropped),
            Box::new(all_is_bounded::Bounds::default()),
            Box::new(cancelled_stands_still::Cancels::default()),
            Box::new(deposed_leader_is_named::Deposed::default()),
            Box::new(drain_ends::Drains::default()),
            Box::new(waits_are_named::Named::default()),
            Box::new(stale_reads_without_log::Unheard::default()),
            Box::new(ready_is_kept::Needless::default()),
            Box::new(peers_are_asked_once::Peers::default()),
            Box::new(sound_copy_goes_on::Rebuilds::default()),
        ])
    }

    pub fn none() -> Oracles {
        Oracles(Vec::new())
    }

    pub fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Option<(OracleId, Wrong)> {
        self.0.iter_mut().find_map(|oracle| {
            let wrong = moment.judged_by(oracle.as_mut(), world).err()?;
            Some((oracle.id(), wrong))
        })
    }
}

impl fmt::Debug for Oracles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|oracle| oracle.id())).finish()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { oracle, at, node, keys, what } = self;
        write!(f, "{oracle} ({}) at {:.3} s", oracle.class().name(), at.as_secs_f64())?;
        if let Some(node) = node {
            write!(f, ", node {node}")?;
        }
        if !keys.is_empty() {
            write!(f, ", {}", keys.join(" "))?;
        }
        write!(f, ": {what}")
    }
}

/// A key as people read it.
fn show(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}
