//! What is kept of a plan that failed: plan, history, what was wrong, the nodes' logs.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use outrigger_sim::history::History;
use outrigger_sim::plan::Plan;

const PLAN: &str = "plan.json";

/// Keeps all of it below `kept`. `directory` holds a folder per node with its logs.
pub(super) fn keep(
    kept: &Path,
    plan: &Plan,
    (history, numbers): (&History, &[u32]),
    directory: &Path,
    what: &str,
) -> Result<()> {
    fs::create_dir_all(kept).with_context(|| format!("making {}", kept.display()))?;
    fs::write(kept.join(PLAN), plan.to_json())?;
    fs::write(kept.join("failure.txt"), format!("{what}\n"))?;
    let mut lines = String::new();
    for (index, (operation, number)) in history.operations().iter().zip(numbers).enumerate() {
        writeln!(lines, "{index}: operation {number} of the plan: {operation:?}")
            .expect("a string takes all that memory holds");
    }
    fs::write(kept.join("history.txt"), lines)?;
    for node in fs::read_dir(directory)? {
        let node = node?;
        for file in fs::read_dir(node.path())? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            if name.starts_with("log-") {
                let name = format!("{}-{name}", node.file_name().to_string_lossy());
                fs::copy(file.path(), kept.join(name))?;
            }
        }
    }
    Ok(())
}

/// The command that runs it again.
pub(super) fn again(kept: &Path) -> String {
    format!("to run it again: ./x test-real {}", kept.join(PLAN).display())
}
