//! A folder per failure: plan, smallest plan, its trace, its page, why it fails, and how to play it again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Failure, explain, show_seeds};
use crate::run::run;
use crate::timeline;
use crate::trace::Trace;

/// Writes the folder, over one of the same name, and says where it is.
pub fn write(dir: &Path, failure: &Failure) -> io::Result<PathBuf> {
    let folder = dir.join(failure.key.name());
    fs::create_dir_all(&folder)?;
    let min = &failure.shrunk.plan;
    let trace = Trace::kept();
    run(min, &trace);
    let trace = trace.text();
    let explained = explain(min).unwrap_or_default();
    let title = folder.join("min.json").display().to_string();
    fs::write(folder.join("plan.json"), failure.found.to_json())?;
    fs::write(folder.join("min.json"), min.to_json())?;
    fs::write(folder.join("timeline.html"), timeline::page(&title, &min.to_json(), &trace))?;
    fs::write(folder.join("trace.jsonl"), trace)?;
    fs::write(folder.join("README.md"), readme(failure, &title, &explained))?;
    fs::write(folder.join("explain.txt"), explained)?;
    Ok(folder)
}

fn readme(failure: &Failure, min: &str, explained: &str) -> String {
    let Failure { key, seeds, found, shrunk } = failure;
    let name = key.name();
    let (was, is) = (found, &shrunk.plan);
    let minimal = if shrunk.minimal {
        "nothing that was tried makes it smaller"
    } else {
        "shrinking stopped at its bound: `shrink` may make it smaller"
    };
    format!(
        "# {name}\n\n\
         {violation}\n\n    ./x sim replay {min}\n\n\
         - Found by {seeds}.\n\
         - `min.json` has {operations} of {all_operations} operations and {faults} of {all_faults} faults of \
         seed {seed} (`plan.json`), needs {kinds}; {minimal} ({tries} tries, {took:.1} s).\n\
         - `timeline.html` is the run to look at, `trace.jsonl` the same as lines.\n\
         - Once the bug is fixed, the plan is kept: copy `min.json` to `sim/plans`, say in `caught` what it \
         caught.\n\n\
         ```text\n{explained}```\n",
        violation = shrunk.violation,
        seeds = show_seeds(seeds),
        operations = is.operations.len(),
        all_operations = was.operations.len(),
        faults = is.faults.len(),
        all_faults = was.faults.len(),
        seed = was.seed,
        kinds = key.show_kinds(),
        tries = shrunk.tries,
        took = shrunk.took.as_secs_f64(),
    )
}
