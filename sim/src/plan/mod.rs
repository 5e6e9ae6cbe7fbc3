//! A plan: everything that a run depends on, as a file.
//!
//! The same plan gives the same run, byte for byte, with the same build. `draw` expands one from a seed; the
//! shrinker takes operations and faults out of it; regression plans are kept in the tree. Times are
//! milliseconds of simulated time since the run's start.

mod bounds;
mod draw;
mod faults;
mod kinds;
mod operations;
mod pins;
mod scenes;
mod setting;
mod watches;

use outrigger_core::limits::Limits;
use serde::{Deserialize, Serialize};

pub use draw::draw;
pub use faults::{Ambiguity, Disk, Fault, FaultKind, PeerFault, Reach, Rot};
pub use operations::{Act, ForeignKey, Level, Operation};
pub use pins::Pins;
pub use setting::{Kafka, Latencies, NodeLimits, Peers, Policy, Setting};
pub use watches::{KEPT_MAX, Selected, Turn, Turning, Watch, Watches, selects};

/// The version of a plan's form; a plan of another form is refused.
pub const FORMAT: u32 = 1;

/// Hash of the lockfile that this build was made with: another one may play a plan differently.
pub fn lockfile() -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(include_bytes!("../../../Cargo.lock")))
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub format: u32,
    /// What the plan once caught, if it is one that is kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub caught: String,
    /// The lockfile of the build that made it.
    pub lockfile: String,
    /// The seed of every draw that the plan leaves open: latencies and the cleaner's pace.
    pub seed: u64,
    pub license: License,
    pub setting: Setting,
    /// Ascending by time.
    pub operations: Vec<Operation>,
    /// Ascending by time.
    pub faults: Vec<Fault>,
    /// Ascending by time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pins>,
    /// None: nobody watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watches: Option<Watches>,
    /// Everything is healed at this time; then every node must come back.
    pub heal_ms: u64,
}

/// What the run's faults may cost. Where nothing is licensed, a loss is a violation; where it is, the loss
/// must be found and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum License {
    NoLoss,
    /// The log may lose what it acknowledged: unclean elections, power loss of all replicas, truncation.
    MayLose,
    /// Replicas may differ below the high watermark by more than one tombstone horizon of cleaning (KAFKA
    /// cleaners are not coordinated): a copy built across a leader change may hold a deleted key.
    MayDiverge,
}

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("not a plan: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the plan has format {0}, this build plays format {FORMAT}: draw or record it again")]
    Format(u32),
    #[error("the plan is wrong: {0}")]
    Wrong(String),
}

impl Plan {
    pub fn parse(json: &str) -> Result<Plan, PlanError> {
        let format: OnlyFormat = serde_json::from_str(json)?;
        if format.format != FORMAT {
            return Err(PlanError::Format(format.format));
        }
        let plan: Plan = serde_json::from_str(json)?;
        plan.check()?;
        Ok(plan)
    }

    pub fn limits(&self) -> Limits {
        let limits = self.setting.limits();
        match &self.watches {
            Some(Watches { ring_bytes, .. }) => Limits { ring_bytes_max: *ring_bytes, ..limits },
            None => limits,
        }
    }

    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a plan has string keys only");
        format!("{json}\n")
    }

    pub(crate) fn check(&self) -> Result<(), PlanError> {
        let wrong = |what: String| Err(PlanError::Wrong(what));
        self.setting.check().map_err(PlanError::Wrong)?;
        bounds::check(self).map_err(PlanError::Wrong)?;
        if !self.operations.is_sorted_by_key(|operation| operation.at_ms) {
            return wrong("operations do not ascend by at_ms".to_owned());
        }
        if !self.faults.is_sorted_by_key(|fault| fault.at_ms) {
            return wrong("faults do not ascend by at_ms".to_owned());
        }
        if !self.pins.is_sorted_by_key(|pins| pins.at_ms) {
            return wrong("pins do not ascend by at_ms".to_owned());
        }
        if let Some(watches) = &self.watches {
            watches.check(&self.setting).map_err(PlanError::Wrong)?;
        }
        for operation in &self.operations {
            if let Some(node) = operation.act.node().filter(|node| *node >= self.setting.nodes) {
                return wrong(format!("operation {}: there is no node {node}", operation.id));
            }
        }
        for (number, fault) in self.faults.iter().enumerate() {
            fault.check(&self.setting).map_err(|what| {
                PlanError::Wrong(format!("fault {number} ({}): {what}", fault.what.id()))
            })?;
            if fault.what.license() > self.license && self.license == License::NoLoss {
                return wrong(format!("fault {number} ({}) is not licensed", fault.what.id()));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct OnlyFormat {
    format: u32,
}
