//! `run`: many seeds, a summary, failing plans in a folder.

use std::fs;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result};

use super::args::{Run, Seeds};
use super::{failures, report};
use crate::swarm::{Extent, swarm};

pub(super) fn run(run: &Run) -> Result<ExitCode> {
    let extent = match (&run.seeds, run.time, run.fresh) {
        (Some(Seeds(seeds)), _, _) => Extent::Seeds(seeds.clone()),
        (None, Some(time), _) => Extent::Until { from: fresh()?, end: Instant::now() + time },
        (None, None, count) => {
            let from = fresh()?;
            Extent::Seeds(from..=from + count.unwrap_or(1_000).max(1) - 1)
        }
    };
    let swarmed = swarm(extent, run.jobs.max(1), run.first);
    report::print(&swarmed, run.marks);
    if let Some(path) = &run.summary {
        fs::write(path, report::json(&swarmed)).with_context(|| path.display().to_string())?;
    }
    failures::report(&swarmed, &run.failures, run.shrink)?;
    let worst = swarmed.failures.iter().map(|(_, violation)| violation.oracle.class()).min();
    Ok(worst.map_or(ExitCode::SUCCESS, |class| ExitCode::from(class.exit_code())))
}

/// Seeds that nobody has played: by the clock, printed, so that a failure can be played again.
fn fresh() -> Result<u64> {
    let since =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("a clock after 1970")?;
    Ok(since.as_secs() * 1_000_000)
}
