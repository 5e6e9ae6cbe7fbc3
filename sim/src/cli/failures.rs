//! The failure folder of a run.

use std::path::Path;

use anyhow::{Context, Result};

use super::shrink::line;
use crate::failures::{self, Gathered, show_seeds};
use crate::plan::draw;
use crate::shrink::Bounds;
use crate::swarm::Swarmed;

/// Shrinks a few failing seeds, writes a folder for each bug and says what they are.
pub(super) fn report(swarmed: &Swarmed, dir: &Path, shrinks_max: usize) -> Result<()> {
    if swarmed.failures.is_empty() || shrinks_max == 0 {
        return Ok(());
    }
    let bounds = Bounds { threads: swarmed.threads, ..Bounds::USUAL };
    let shrunk = |seed: u64, shrunk: &_| println!("seed {seed}: {}", line(&draw(seed), shrunk));
    let Gathered { failures, others } =
        failures::gather(&swarmed.failures, shrinks_max, bounds, shrunk);
    for failure in &failures {
        let folder = failures::write(dir, failure)
            .with_context(|| format!("cannot write to {}", dir.display()))?;
        println!(
            "{}, needs {}, {}\n  {}",
            folder.display(),
            failure.key.show_kinds(),
            show_seeds(&failure.seeds),
            failure.shrunk.violation
        );
    }
    for ((oracle, headline), seeds) in &others {
        println!("not shrunk: {oracle}: {headline}, {}", show_seeds(seeds));
    }
    Ok(())
}
