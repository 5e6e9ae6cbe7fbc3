//! Would the simulator find the bug? Each patch file brings one known bug back; seeds must catch it.
//!
//! A canary is applied to a copy of core, models and simulator, built there, and run like any build: the
//! first violation must be the named oracle's, within the seeds that the header allows. The unpatched copy
//! passes the same seeds first, or nothing that follows would mean anything. The checkout is only read.

mod canary;
mod patch;
mod play;
mod scratch;
pub mod shell;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use canary::Canary;
use play::Outcome;
use scratch::{Part, Scratch};

use crate::cache;

/// What the simulator is built from.
const PART: Part =
    Part { paths: &["sidecar/core", "sim"], members: r#"["sidecar/core", "sim/model", "sim"]"# };
const BUILD: [&str; 6] = ["build", "--offline", "--quiet", "--package", "outrigger-sim", "--bins"];

/// Copies and builds outlive a run, so that the next one is incremental.
const CACHE: &str = "canaries";

/// A canary that expects this oracle is seen by marks that are never hit any more.
const COVERAGE: &str = "O20";
/// One that expects this is seen by playing the same plan in two processes.
const TWICE: &str = "O18";

#[derive(Clone, Debug)]
pub struct Options {
    /// Names, or what names begin with; none: all.
    pub only: Vec<String>,
    /// Keeps each canary's program and what its run wrote.
    pub keep: bool,
    /// Canaries at the same time, each in a copy of its own.
    pub jobs: usize,
    /// The folder of patch files; none: the one beside this crate.
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
    Caught {
        oracle: String,
        seed: u64,
    },
    /// Something else was found first.
    Mistaken {
        oracle: String,
        seed: u64,
    },
    Survived,
    /// It does not apply, does not build, or its run did not end as a run ends.
    Broken(String),
}

/// True when every canary was caught by the oracle that its header names.
pub fn run(options: &Options) -> Result<bool> {
    let workspace = cache::workspace()?;
    let dir = options.dir.clone().unwrap_or_else(|| workspace.join("sim/canaries"));
    let canaries = patch::load(&dir, &options.only, Canary::of)?;
    let cache = cache::folder(workspace, CACHE);
    let _lock = cache::lock(&cache)?;
    let jobs = options.jobs.clamp(1, canaries.len());
    let scratches: Vec<Scratch> = (0..jobs)
        .map(|job| Scratch::of(workspace, &cache.join(job.to_string()), PART))
        .collect::<Result<_>>()?;
    let bench = Bench {
        covered: control(&scratches[0], &canaries)?,
        keep: options.keep.then(|| cache.join("kept")),
    };
    let tried = bench.try_all(&scratches, canaries);
    table::print(&tried);
    Ok(tried.iter().all(|tried| matches!(tried.verdict, Verdict::Caught { .. })))
}

/// Fails if anything is found without a bug in the largest number of seeds that any canary is given. Returns the marks
/// that are never hit without a bug either, for canaries that are known by what they never reach.
fn control(scratch: &Scratch, canaries: &[Canary]) -> Result<Covered> {
    scratch.build(&BUILD).context("the control")?;
    let most = canaries.iter().map(|canary| canary.seeds).max().unwrap_or(1);
    let covering = canaries.iter().filter(|canary| canary.expects(COVERAGE));
    let bounds: BTreeSet<u64> = covering.map(|canary| canary.seeds).chain([most]).collect();
    let mut covered = Covered::new();
    for seeds in bounds {
        let began = Instant::now();
        let outcome = play::play(&scratch.program(), seeds, &scratch.run_folder("control")?);
        match outcome.context("the control")? {
            Outcome::Passed { never_hit } => covered.insert(seeds, never_hit),
            Outcome::Failed { oracle, seed } => {
                bail!("the control, without any bug, fails by {oracle} at seed {seed}")
            }
        };
        println!("control: {seeds} seeds pass, {} s", began.elapsed().as_secs());
    }
    Ok(covered)
}

/// The marks that the control never hit, by the number of seeds.
type Covered = BTreeMap<u64, BTreeSet<String>>;

struct Bench {
    covered: Covered,
    keep: Option<PathBuf>,
}

impl Bench {
    fn try_all(&self, scratches: &[Scratch], canaries: Vec<Canary>) -> Vec<Tried> {
        let waiting = Mutex::new(canaries.into_iter());
        let next = || waiting.lock().expect("no thread panics with it").next();
        let work = |scratch| -> Vec<Tried> {
            std::iter::from_fn(next).map(|canary| self.attempt(scratch, canary)).collect()
        };
        let work = &work;
        let mut tried: Vec<Tried> = std::thread::scope(|scope| {
            let workers: Vec<_> =
                scratches.iter().map(|scratch| scope.spawn(move || work(scratch))).collect();
            let done = workers.into_iter();
            done.flat_map(|worker| worker.join().expect("a worker's panic ends all")).collect()
        });
        tried.sort_by(|a, b| a.canary.name.cmp(&b.canary.name));
        tried
    }

    fn attempt(&self, scratch: &Scratch, canary: Canary) -> Tried {
        let began = Instant::now();
        let verdict = self
            .judge(scratch, &canary)
            .unwrap_or_else(|error| Verdict::Broken(format!("{error:#}")));
        let tried = Tried { canary, verdict, took: began.elapsed() };
        println!("{}", table::line(&tried));
        tried
    }

    fn judge(&self, scratch: &Scratch, canary: &Canary) -> Result<Verdict> {
        let _applied = scratch.apply(canary)?;
        scratch.build(&BUILD)?;
        let (program, folder) = (scratch.program(), scratch.run_folder(&canary.name)?);
        let outcome = if canary.expects(TWICE) {
            play::play_twice(&program, canary.seeds, &folder)?
        } else {
            play::play(&program, canary.seeds, &folder)?
        };
        match &self.keep {
            Some(kept) => keep_all(&program, &folder, &kept.join(&canary.name))?,
            None => fs::remove_dir_all(&folder)?,
        }
        Ok(self.verdict(canary, outcome))
    }

    fn verdict(&self, canary: &Canary, outcome: Outcome) -> Verdict {
        match outcome {
            Outcome::Passed { never_hit } => {
                let reached = self.covered.get(&canary.seeds).filter(|_| canary.expects(COVERAGE));
                let dead = reached.and_then(|usual| never_hit.difference(usual).next());
                match dead {
                    Some(_) => Verdict::Caught { oracle: COVERAGE.to_owned(), seed: canary.seeds },
                    None => Verdict::Survived,
                }
            }
            Outcome::Failed { oracle, seed } if canary.expects(&oracle) => {
                Verdict::Caught { oracle, seed }
            }
            Outcome::Failed { oracle, seed } => Verdict::Mistaken { oracle, seed },
        }
    }
}

fn keep_all(program: &Path, run: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to.parent().context("kept things have a folder")?)?;
    fs::rename(run, to)?;
    let size = fs::copy(program, to.join("outrigger-sim"))?;
    ensure!(size > 0, "{} is empty", program.display());
    Ok(())
}
