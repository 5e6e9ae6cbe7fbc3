//! One plan at a time: printing, replaying, the regression plans.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::args::Replay;
use crate::plan::{self, Plan};
use crate::run::{explained, run};
use crate::timeline;
use crate::trace::Trace;

pub(super) fn print(seed: u64) -> Result<ExitCode> {
    print!("{}", plan::draw(seed).to_json());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn read(path: &Path) -> Result<Plan> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let plan = Plan::parse(&text).with_context(|| path.display().to_string())?;
    if plan.lockfile != plan::lockfile() {
        eprintln!(
            "note: {} was made with another lockfile: this build may play it differently",
            path.display()
        );
    }
    Ok(plan)
}

pub(super) fn replay(replay: &Replay) -> Result<ExitCode> {
    let plan = read(&replay.plan)?;
    let trace = if replay.trace.is_some() || replay.timeline.is_some() {
        Trace::kept()
    } else {
        Trace::default()
    };
    let (outcome, text) = explained(&plan, &trace);
    match &replay.trace {
        Some(path) if path.as_os_str() == "-" => print!("{}", trace.text()),
        Some(path) => fs::write(path, trace.text()).with_context(|| path.display().to_string())?,
        None => {}
    }
    if let Some(path) = &replay.timeline {
        let title = replay.plan.display().to_string();
        let page = timeline::page(&title, &plan.to_json(), &trace.text());
        fs::write(path, page).with_context(|| path.display().to_string())?;
    }
    match outcome.violation {
        None => {
            eprintln!("nothing found in {:.1} simulated seconds", outcome.elapsed.as_secs_f64());
            Ok(ExitCode::SUCCESS)
        }
        Some(violation) => {
            eprintln!("{text}");
            Ok(ExitCode::from(violation.oracle.class().exit_code()))
        }
    }
}

/// Every plan of the folder, in order of its name.
pub(super) fn regress(dir: &Path) -> Result<ExitCode> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    if paths.is_empty() {
        bail!("no plans in {}", dir.display());
    }
    let mut code = ExitCode::SUCCESS;
    for path in &paths {
        let plan = read(path)?;
        match run(&plan, &Trace::default()).violation {
            None => println!("passes  {}: {}", path.display(), plan.caught),
            Some(violation) => {
                println!(
                    "FAILS   {}: {violation}\n        it once caught: {}",
                    path.display(),
                    plan.caught
                );
                code = ExitCode::from(violation.oracle.class().exit_code());
            }
        }
    }
    println!("{} regression plans played", paths.len());
    Ok(code)
}
