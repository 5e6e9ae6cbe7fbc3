//! Why a plan fails: what was expected, what was there, and what it takes.

use super::show;
use crate::columns::{columns, row};
use crate::oracle::OracleId;
use crate::plan::Plan;
use crate::run::{Outcome, explained, run};
use crate::trace::Trace;

/// The operations of a larger plan are not listed: nobody reads them.
const LISTED_MAX: usize = 40;

/// How much later a fault is tried.
const LATER_MS: u64 = 10;

/// Text for a person. None: the plan does not fail.
pub fn explain(plan: &Plan) -> Option<String> {
    let (Outcome { violation, .. }, text) = explained(plan, &Trace::default());
    let oracle = violation?.oracle;
    Some(format!("{}\n\n{}\n{}", text.trim_end(), operations(plan), faults(plan, oracle)))
}

pub(super) fn operations(plan: &Plan) -> String {
    if plan.operations.len() > LISTED_MAX {
        return format!(
            "{} operations: shrink the plan to see those that matter\n",
            plan.operations.len()
        );
    }
    let mut rows = vec![row(["at", "client", "what"])];
    rows.extend(plan.operations.iter().map(|operation| {
        let client = operation.client.to_string();
        vec![show::seconds(operation.at_ms), client, show::operation(operation)]
    }));
    format!("what clients do\n{}", columns(&rows))
}

/// The faults, and which of them matter.
pub(super) fn faults(plan: &Plan, oracle: OracleId) -> String {
    let healed = format!("everything is healed at {}\n", show::seconds(plan.heal_ms));
    if plan.faults.is_empty() {
        return format!("it takes no fault; {healed}");
    }
    let mut rows = vec![row(["at", "for", "what", "without it", "10 ms later"])];
    for (index, fault) in plan.faults.iter().enumerate() {
        let mut without = plan.clone();
        without.faults.remove(index);
        rows.push(vec![
            show::seconds(fault.at_ms),
            show::lasts(fault),
            show::fault(&fault.what),
            becomes(&without, oracle),
            becomes(&later(plan, index), oracle),
        ]);
    }
    format!("what goes wrong\n{}{healed}", columns(&rows))
}

fn later(plan: &Plan, index: usize) -> Plan {
    let mut plan = plan.clone();
    plan.faults[index].at_ms += LATER_MS;
    plan.faults.sort_by_key(|fault| fault.at_ms);
    plan
}

fn becomes(plan: &Plan, oracle: OracleId) -> String {
    match run(plan, &Trace::default()).violation {
        None => "passes".to_owned(),
        Some(violation) if violation.oracle == oracle => "fails alike".to_owned(),
        Some(violation) => format!("fails by {}", violation.oracle),
    }
}
