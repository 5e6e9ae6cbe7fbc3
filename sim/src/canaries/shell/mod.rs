//! Would a test of the shell find the bug? Each patch file brings one known bug back; the named test must fail by it.
//!
//! What stands around core is on no simulator: it is tested on real processes, disks and brokers, and by tests of its own. A
//! canary is applied to a copy of the workspace, built there, and its test must fail with the words that the header has.
//! Before that all named tests pass on the copy as it is. To this runner the crates are folders, and tests are names.

mod canary;
mod suite;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::patch;
use super::scratch::{Part, Scratch};
use canary::{Canary, Suite, Test};

use crate::cache;

/// The whole workspace, with what its tests read of the rest.
const PART: Part = Part {
    paths: &[".cargo", "README.md", "docs", "proto", "client", "sidecar", "sim", "tests"],
    members: r#"["proto", "client", "sidecar", "sidecar/core", "sim", "sim/model", "tests"]"#,
};

#[derive(Clone, Debug)]
pub struct Options {
    /// Names, or what names begin with; none: all.
    pub only: Vec<String>,
    /// The folder of patch files; none: that of the crate of tests.
    pub dir: Option<PathBuf>,
}

/// What became of one canary.
#[derive(Debug)]
struct Tried {
    canary: Canary,
    verdict: Verdict,
    took: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Caught,
    /// The test failed, and said something else.
    Mistaken,
    Survived,
    /// It does not apply, does not build, or its test did not end.
    Broken(String),
}

/// True when every canary was caught by the test that its header names, with the words that it names.
pub fn run(options: &Options) -> Result<bool> {
    let workspace = cache::workspace()?;
    let dir = options.dir.clone().unwrap_or_else(|| workspace.join("tests/canaries"));
    let canaries = patch::load(&dir, &options.only, Canary::of)?;
    let cache = cache::folder(workspace, super::CACHE).join("shell");
    let _lock = cache::lock(&cache)?;
    let scratch = Scratch::of(workspace, &cache, PART)?;
    let logs = cache.join("logs");
    fs::create_dir_all(&logs)?;
    control(&scratch, &canaries, &logs)?;
    let tried: Vec<Tried> =
        canaries.into_iter().map(|canary| attempt(&scratch, canary, &logs)).collect();
    table::print(&tried);
    Ok(tried.iter().all(|tried| tried.verdict == Verdict::Caught))
}

/// Fails unless all tests that are named are there and pass without any bug: otherwise no failure would mean anything.
fn control(scratch: &Scratch, canaries: &[Canary], logs: &Path) -> Result<()> {
    let tests: BTreeSet<&Test> = canaries.iter().map(|canary| &canary.test).collect();
    for suite in Suite::ALL {
        let of_it = tests.iter().filter(|test| test.suite == suite);
        let names: Vec<&str> = of_it.map(|test| test.name.as_str()).collect();
        if names.is_empty() {
            continue;
        }
        let began = Instant::now();
        suite::build(scratch, suite).context("the control")?;
        let said = suite::run(scratch, suite, &names, logs.join(format!("control-{suite}")))?;
        for name in &names {
            let log = suite::tail(&said.log);
            ensure!(
                said.passed(name),
                "without any bug `{name}` does not pass, or is not there:\n{log}"
            );
        }
        let (count, seconds) = (names.len(), began.elapsed().as_secs());
        println!("control: {count} tests of {suite} pass, {seconds} s");
    }
    Ok(())
}

fn attempt(scratch: &Scratch, canary: Canary, logs: &Path) -> Tried {
    let began = Instant::now();
    let verdict =
        judge(scratch, &canary, logs).unwrap_or_else(|error| Verdict::Broken(format!("{error:#}")));
    let tried = Tried { canary, verdict, took: began.elapsed() };
    println!("{}", table::line(&tried));
    tried
}

fn judge(scratch: &Scratch, canary: &Canary, logs: &Path) -> Result<Verdict> {
    let _applied = scratch.apply(canary)?;
    let Test { suite, name } = &canary.test;
    suite::build(scratch, *suite)?;
    let said = suite::run(scratch, *suite, &[name], logs.join(&canary.name))?;
    ensure!(said.ended(), "its test did not end:\n{}", suite::tail(&said.log));
    if said.passed(name) {
        return Ok(Verdict::Survived);
    }
    ensure!(said.failed(name), "its test did not run:\n{}", suite::tail(&said.log));
    Ok(if said.text.contains(&canary.message) { Verdict::Caught } else { Verdict::Mistaken })
}
