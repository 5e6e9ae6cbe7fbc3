//! The oracles that look inside: each judges a world at certain moments, one file each.
//!
//! Cheap ones judge after every event, those that compare contents when a node becomes READY, at audits and
//! at the end. What needs only what callers saw is in `history`, so that tests on real processes judge with
//! the same code. An oracle never changes the world.

mod content;
mod o01_kept;
mod o01_needless;
mod o04_content;
mod o04_verify;
mod o05_disk;
mod o06_dropped;
mod o06_monotonic;
mod o06_served;
mod o07_age;
mod o07_reads;
mod o07_tokens;
mod o09_aborted;
mod o11_needless;
mod o11_ready;
mod o12_cancel;
mod o12_deposed;
mod o12_drain;
mod o12_named;
mod o12_peers;
mod o12_rebuild;
mod o12_unheard;
mod o13_resurrection;
mod o14_foreign;
mod o15_bounds;
mod o21_skipped;

use std::fmt;
use std::time::Duration;

use outrigger_core::gate::ReadLevel;
use outrigger_core::lineage::Lineage;
use outrigger_core::node::{Effect, Event};
use outrigger_core::offset::{Generation, Offset};
use outrigger_core::token::Token;
use serde::{Deserialize, Serialize};

use crate::reference::Rows;
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OracleId {
    O1,
    O2,
    O3,
    O4,
    O5,
    O6,
    O7,
    O9,
    O11,
    O12,
    O13,
    O14,
    O15,
    O16,
    O17,
    O18,
    O20,
    O21,
}

/// What kind of promise was broken; each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Safety,
    Liveness,
    Panic,
    Bound,
    NonDeterminism,
    ModelSelfCheck,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub oracle: OracleId,
    /// Since the run's start.
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
    /// A client was answered from this snapshot.
    Read {
        node: usize,
        read: &'a Read<'a>,
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

/// What a client was answered.
#[derive(Debug)]
pub struct Read<'a> {
    pub level: &'a ReadLevel,
    /// The oldest copy that was asked for.
    pub max_staleness_ms: Option<u64>,
    pub generation: Generation,
    pub lineages: &'a [Lineage],
    /// As the client was told it.
    pub token: &'a Token,
    /// Wall clock, ms: what the age that the client was told comes from.
    pub confirmed_at_ms: u64,
    pub least: &'a Least,
    /// The keys that were asked for; none: all of them.
    pub key: Option<&'a [u8]>,
    pub rows: &'a Rows,
}

/// Positions that an answer is not behind, by partition; none where nothing was promised.
#[derive(Clone, Debug, Default)]
pub struct Least {
    /// Of the gate that admitted its snapshot.
    pub admitted: Vec<Offset>,
    /// What the leaders answered to LATEST.
    pub end: Vec<Offset>,
}

pub trait Oracle {
    fn id(&self) -> OracleId;

    /// What is wrong at this moment, with the node and keys it speaks of.
    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong>;
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
            Box::new(o01_needless::Needless::default()),
            Box::new(o01_kept::Kept::default()),
            Box::new(o09_aborted::Aborted),
            Box::new(o13_resurrection::Resurrection),
            Box::new(o11_ready::HonestReady::default()),
            Box::new(o14_foreign::Foreign::default()),
            Box::new(o06_served::Served),
            Box::new(o07_reads::Reads),
            Box::new(o07_age::Ages::default()),
            Box::new(o07_tokens::Tokens::default()),
            Box::new(o21_skipped::Skipped::default()),
            Box::new(o04_content::Content),
            Box::new(o04_verify::Verified::default()),
            Box::new(o05_disk::Disk),
            Box::new(o06_monotonic::Monotonic::default()),
            Box::new(o06_dropped::Dropped),
            Box::new(o15_bounds::Bounds::default()),
            Box::new(o12_cancel::Cancels::default()),
            Box::new(o12_deposed::Deposed::default()),
            Box::new(o12_drain::Drains::default()),
            Box::new(o12_named::Named::default()),
            Box::new(o12_unheard::Unheard::default()),
            Box::new(o11_needless::Needless::default()),
            Box::new(o12_peers::Peers::default()),
            Box::new(o12_rebuild::Rebuilds::default()),
        ])
    }

    pub fn none() -> Oracles {
        Oracles(Vec::new())
    }

    pub fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Option<(OracleId, Wrong)> {
        self.0.iter_mut().find_map(|oracle| {
            let wrong = oracle.judge(moment, world).err()?;
            Some((oracle.id(), wrong))
        })
    }
}

impl fmt::Debug for Oracles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|oracle| oracle.id())).finish()
    }
}

impl OracleId {
    /// Numbers that are missing stood for what the product does not have.
    pub const ALL: [OracleId; 18] = [
        OracleId::O1,
        OracleId::O2,
        OracleId::O3,
        OracleId::O4,
        OracleId::O5,
        OracleId::O6,
        OracleId::O7,
        OracleId::O9,
        OracleId::O11,
        OracleId::O12,
        OracleId::O13,
        OracleId::O14,
        OracleId::O15,
        OracleId::O16,
        OracleId::O17,
        OracleId::O18,
        OracleId::O20,
        OracleId::O21,
    ];

    /// What it holds a run against, in a line.
    pub fn meaning(self) -> &'static str {
        match self {
            OracleId::O1 => {
                "no acknowledged write is lost, and no copy given up for a loss that there was not"
            }
            OracleId::O2 => {
                "an operation takes effect at most once, at the offset that was acknowledged"
            }
            OracleId::O3 => "what \"did not happen\" never takes effect",
            OracleId::O4 => "a copy is the fold of the committed log below its position",
            OracleId::O5 => "whatever a crash leaves is consistent: rows and positions agree",
            OracleId::O6 => {
                "what readers see never goes back, and the copy in use is never deleted"
            }
            OracleId::O7 => "reads include their token, ages are true, a session never goes back",
            OracleId::O9 => "nothing of an aborted or undecided transaction is visible",
            OracleId::O11 => {
                "READY is honest: everything is there that the log had when the restore began"
            }
            OracleId::O12 => {
                "once all is healed every node recovers, and whatever holds one up has its name"
            }
            OracleId::O13 => "a deleted key does not come back",
            OracleId::O14 => "data of another topic, cluster or store is refused and left as it is",
            OracleId::O15 => "queues, memory, retries and notices are bounded",
            OracleId::O16 => "core does not panic",
            OracleId::O17 => "the models keep their own rules",
            OracleId::O18 => "the same plan gives the same bytes",
            OracleId::O20 => "what a run should come across it does come across",
            OracleId::O21 => "no record is skipped silently",
        }
    }

    pub fn class(self) -> Class {
        match self {
            OracleId::O1
            | OracleId::O2
            | OracleId::O3
            | OracleId::O4
            | OracleId::O5
            | OracleId::O6
            | OracleId::O7
            | OracleId::O9
            | OracleId::O11
            | OracleId::O13
            | OracleId::O14
            | OracleId::O21 => Class::Safety,
            OracleId::O12 => Class::Liveness,
            OracleId::O15 => Class::Bound,
            OracleId::O16 => Class::Panic,
            OracleId::O17 => Class::ModelSelfCheck,
            OracleId::O18 | OracleId::O20 => Class::NonDeterminism,
        }
    }
}

impl Class {
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Safety => 10,
            Class::Liveness => 11,
            Class::Panic => 12,
            Class::Bound => 13,
            Class::NonDeterminism => 14,
            Class::ModelSelfCheck => 15,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Class::Safety => "safety",
            Class::Liveness => "liveness",
            Class::Panic => "panic",
            Class::Bound => "bound",
            Class::NonDeterminism => "non-determinism",
            Class::ModelSelfCheck => "model self-check",
        }
    }
}

impl fmt::Display for OracleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
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
