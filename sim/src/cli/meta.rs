//! The meta test (O18): the same plan, played in two processes, gives the same bytes.

use std::fs;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use super::args::Seeds;
use crate::oracle::OracleId;
use crate::plan;

pub(super) fn run(Seeds(seeds): Seeds) -> Result<ExitCode> {
    let dir = std::env::temp_dir().join(format!("outrigger-sim-meta-{}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let (mut plans, mut lines) = (0, 0);
    let mut differs = None;
    for seed in seeds {
        let path = dir.join("plan.json");
        fs::write(&path, plan::draw(seed).to_json()).with_context(|| path.display().to_string())?;
        let traces = [played(&path)?, played(&path)?];
        plans += 1;
        lines += traces[0].lines().count();
        if let Some(difference) = first_difference(&traces[0], &traces[1]) {
            differs = Some((seed, difference));
            break;
        }
    }
    fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    match differs {
        None => {
            println!(
                "deterministic: {plans} plans played in two processes each, {lines} lines of trace equal"
            );
            Ok(ExitCode::SUCCESS)
        }
        Some((seed, difference)) => {
            println!("O18: seed {seed} does not play the same twice\n{difference}");
            Ok(ExitCode::from(OracleId::O18.class().exit_code()))
        }
    }
}

/// The trace of the plan, played in a process of its own.
fn played(plan: &std::path::Path) -> Result<String> {
    let sim = std::env::current_exe().context("where this program is")?;
    let output = Command::new(sim)
        .args(["replay", "--trace", "-"])
        .arg(plan)
        .stdin(Stdio::null())
        .output()
        .context("cannot start a second process")?;
    String::from_utf8(output.stdout).context("a trace is text")
}

fn first_difference(one: &str, other: &str) -> Option<String> {
    if one == other {
        return None;
    }
    let pairs = one
        .lines()
        .chain(std::iter::repeat("nothing"))
        .zip(other.lines().chain(std::iter::repeat("nothing")));
    let (line, (one, other)) = (1..).zip(pairs).find(|(_, (one, other))| one != other)?;
    Some(format!("line {line}\n  once:  {one}\n  then:  {other}"))
}
