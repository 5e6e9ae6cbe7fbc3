//! One build's run over the first seeds, read from what it writes and how it ends.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// A bug may send a run round for ever: it is ended then.
const RUN_MAX: Duration = Duration::from_secs(1_200);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing was found; these are the coverage marks that no seed hit.
    Passed {
        never_hit: BTreeSet<String>,
    },
    Failed {
        oracle: String,
        seed: u64,
    },
}

/// What is read of the summary.
#[derive(Debug, Deserialize)]
struct Summary {
    failures: Vec<Failure>,
    never_hit: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    oracle: String,
    seed: u64,
}

/// Plays seeds 1..=`seeds`, until the first that fails. What the run writes goes to `folder`.
pub(super) fn play(program: &Path, seeds: u64, folder: &Path) -> Result<Outcome> {
    let seeds = format!("1..{seeds}");
    let args = ["run", "--first", "--shrink", "0", "--summary", "summary.json", "--seeds", &seeds];
    let status = end_of(program, &args, folder)?;
    let Ok(summary) = fs::read(folder.join("summary.json")) else {
        bail!("its run ended with {status} and without a summary:\n{}", tail(folder));
    };
    let Summary { failures, never_hit } =
        serde_json::from_slice(&summary).context("its summary cannot be read")?;
    match (failures.into_iter().min_by_key(|failure| failure.seed), status.success()) {
        (None, true) => Ok(Outcome::Passed { never_hit }),
        (Some(Failure { oracle, seed }), false) => Ok(Outcome::Failed { oracle, seed }),
        (None, false) => bail!("its run ended with {status}, but its summary has no failure"),
        (Some(_), true) => bail!("its summary has a failure, but its run ended with success"),
    }
}

/// Runs the meta test over the same seeds: what it finds is O18, whatever the oracles say.
pub(super) fn play_twice(program: &Path, seeds: u64, folder: &Path) -> Result<Outcome> {
    let status = end_of(program, &["meta", "--seeds", &format!("1..{seeds}")], folder)?;
    if status.success() {
        return Ok(Outcome::Passed { never_hit: BTreeSet::new() });
    }
    let log = tail(folder);
    let seed = log.lines().find_map(|line| line.strip_prefix("O18: seed "));
    let seed = seed.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    match seed {
        Some(seed) => Ok(Outcome::Failed { oracle: "O18".to_owned(), seed }),
        None => bail!("the meta test ended with {status}:\n{log}"),
    }
}

fn end_of(program: &Path, args: &[&str], folder: &Path) -> Result<ExitStatus> {
    let output = fs::File::create(folder.join("log"))?;
    let mut run = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let end = Instant::now() + RUN_MAX;
    loop {
        if let Some(status) = run.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= end {
            run.kill()?;
            run.wait()?;
            bail!("its run did not end within {} s", RUN_MAX.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn tail(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
