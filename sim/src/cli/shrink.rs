//! `shrink` and `explain`: a failing plan, made small and told.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::args::Shrink;
use super::plans::read;
use crate::failures;
use crate::oracle::Violation;
use crate::plan::Plan;
use crate::shrink::{Bounds, Shrunk, shrink};

pub(super) fn run(args: &Shrink) -> Result<ExitCode> {
    let plan = read(&args.plan)?;
    let bounds = Bounds { time: args.time, threads: args.jobs.max(1), ..Bounds::USUAL };
    let Some(shrunk) = shrink(&plan, bounds) else {
        bail!("{} does not fail", args.plan.display());
    };
    eprintln!("{}\n{}", shrunk.violation, line(&plan, &shrunk));
    match &args.output {
        None => print!("{}", shrunk.plan.to_json()),
        Some(path) => {
            fs::write(path, shrunk.plan.to_json()).with_context(|| path.display().to_string())?;
        }
    }
    Ok(code(&shrunk.violation))
}

/// A line with the sizes before and after, the tries and the seconds.
pub(super) fn line(plan: &Plan, shrunk: &Shrunk) -> String {
    let size = |plan: &Plan| {
        let counted = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let operations = counted(plan.operations.len(), "operation");
        let faults = counted(plan.faults.len(), "fault");
        let time = Duration::from_millis(plan.heal_ms).as_secs_f64();
        format!("{operations}, {faults}, {time:.1} s")
    };
    let (was, is, tries) = (size(plan), size(&shrunk.plan), shrunk.tries);
    let took = shrunk.took.as_secs_f64();
    let more = if shrunk.minimal { "" } else { ", stopped at its bound" };
    format!("{was} -> {is} ({tries} tries, {took:.1} s{more})")
}

pub(super) fn explain(path: &Path) -> Result<ExitCode> {
    let plan = read(path)?;
    let Some(text) = failures::explain(&plan) else {
        println!("{} does not fail", path.display());
        return Ok(ExitCode::SUCCESS);
    };
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

fn code(violation: &Violation) -> ExitCode {
    ExitCode::from(violation.oracle.class().exit_code())
}
