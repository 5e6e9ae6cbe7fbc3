//! What callers were told, against each other and against what copies and the log hold.
//!
//! Judges only what callers saw: the simulator and tests on real processes use the same code. Each oracle has a file of
//! its own, which says in its first line what must hold. Nothing here knows a world, a node or a model.

mod aborted;
mod deleted;
mod durable;
mod evidence;
mod nowhere;
mod once;
mod operation;
mod order;
mod sighting;
mod stranger;
#[cfg(test)]
mod testing;
mod timeline;

use std::fmt;

pub use evidence::{Evidence, Fate, Licence, Loss, Record, StaleLeader};
pub use operation::{Call, Level, Operation, Positions, Row, Rows, Told};

/// Operations, named by their index in the order in which they were invoked or recorded.
#[derive(Clone, Debug, Default)]
pub struct History {
    operations: Vec<Operation>,
}

/// One contradiction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub oracle: Oracle,
    /// Empty where it is about no key.
    pub key: Vec<u8>,
    /// Indexes of the operations that contradict each other, ascending.
    pub operations: Vec<usize>,
    pub detail: String,
}

/// The file of each says what it judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oracle {
    O1,
    O2,
    O3,
    O4,
    O7,
    O9,
    O13,
}

impl History {
    /// A call begins; until it is completed nobody knows what became of it.
    pub fn invoke(&mut self, session: u32, node: u32, call: Call, now: u64) -> usize {
        let operation =
            Operation { session, node, call, invoked: now, completed: None, told: Told::Unknown };
        self.record(operation)
    }

    pub fn complete(&mut self, operation: usize, now: u64, told: Told) {
        let operation = &mut self.operations[operation];
        assert_eq!(operation.completed, None, "a call is answered once");
        assert!(operation.invoked <= now, "a call is answered after it began");
        (operation.completed, operation.told) = (Some(now), told);
    }

    pub fn record(&mut self, operation: Operation) -> usize {
        self.operations.push(operation);
        self.operations.len() - 1
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Other callers' operations, by the same clock.
    pub fn merge(&mut self, other: History) {
        self.operations.extend(other.operations);
    }

    /// Every contradiction, by oracle and key.
    pub fn judge(&self, evidence: &Evidence) -> Vec<Violation> {
        let licence = &evidence.licence;
        let log = evidence.committed();
        let timelines = timeline::timelines(self, evidence, log.as_ref());
        let sightings = sighting::sightings(self, evidence, &timelines);
        let mut violations = Vec::new();
        for sighting in &sightings {
            violations.extend(durable::judge(sighting));
            violations.extend(once::judge(sighting));
            violations.extend(nowhere::judge(sighting));
            violations.extend(stranger::judge(sighting));
            violations.extend(order::judge(sighting, licence));
            violations.extend(aborted::judge(sighting));
            violations.extend(deleted::judge(sighting));
        }
        violations.extend(durable::judge_log(self, evidence, log.as_ref()));
        violations.extend(once::judge_log(self, evidence));
        violations.extend(once::judge_all(&sightings, evidence));
        violations.extend(nowhere::judge_log(self, evidence));
        violations.extend(order::judge_sessions(self, licence));
        violations.sort_by(|one, other| (one.oracle, &one.key).cmp(&(other.oracle, &other.key)));
        violations
    }
}

impl Violation {
    fn new(oracle: Oracle, key: &[u8], operations: Vec<usize>, detail: String) -> Violation {
        Violation { oracle, key: key.to_vec(), operations, detail }
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { oracle, key, operations, detail } = self;
        let key = String::from_utf8_lossy(key);
        write!(f, "{oracle}: key {key:?}: {detail} (operations {operations:?})")
    }
}
