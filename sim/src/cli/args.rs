//! Arguments.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "outrigger-sim",
    about = "Plays production nodes over models of Kafka and of disks, and breaks everything",
    after_help = "Exit codes: 0 nothing found, 10 safety, 11 liveness, 12 panic, 13 bound, 14 non-determinism, \
                  15 model self-check, 2 wrong usage. `outrigger-sim oracles` lists the oracles."
)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Plays many seeds.
    Run(Run),
    /// Plays one plan from a file.
    Replay(Replay),
    /// Makes a failing plan small.
    Shrink(Shrink),
    /// Says why a plan fails: expected against actual rows, and which faults matter.
    Explain { plan: PathBuf },
    /// Plays every plan of a folder; each must pass.
    Plans {
        #[arg(default_value = "sim/plans")]
        dir: PathBuf,
    },
    /// Prints the plan that a seed expands to.
    Plan { seed: u64 },
    /// Brings known bugs back one by one: each must be caught.
    Canaries(Canaries),
    /// Has cargo-mutants break the deciding code in one place at a time: some test must notice each.
    ///
    /// What is caught in a file stays caught while that file stays the same: a run that was interrupted goes on, and after
    /// a change only that file's mutants and survivors are judged again.
    Mutants {
        /// For cargo-mutants: `--re PATTERN` picks some.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Lists the oracles: what each holds a run against, and the exit code when it does not.
    Oracles,
    /// Plays the same plans in two processes and compares their traces byte for byte.
    Meta {
        #[arg(long, default_value = "1..10", value_parser = seeds)]
        seeds: Seeds,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Canaries {
    /// Those of what stands around core, which tests must catch.
    #[arg(long, conflicts_with_all = ["keep", "jobs"])]
    pub(super) shell: bool,
    /// Plays only those whose name begins with one of these.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(super) only: Vec<String>,
    /// Keeps each canary's program and summary.
    #[arg(long)]
    pub(super) keep: bool,
    /// Canaries at the same time, each in a copy of its own.
    #[arg(short, long, default_value_t = 1)]
    pub(super) jobs: usize,
    /// Another folder of patch files.
    #[arg(long)]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// Both ends included.
    #[arg(long, value_parser = seeds, conflicts_with = "time")]
    pub(super) seeds: Option<Seeds>,
    /// Plays fresh seeds for this long, such as 90s, 10m or 8h.
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    pub(super) time: Option<Duration>,
    /// Plays this many fresh seeds.
    #[arg(long, conflicts_with_all = ["seeds", "time"])]
    pub(super) fresh: Option<u64>,
    /// Threads.
    #[arg(short, long, default_value_t = 1)]
    pub(super) jobs: usize,
    /// Stops at the first failure.
    #[arg(long)]
    pub(super) first: bool,
    /// Lists each kind of fault and each mark with how often it came.
    #[arg(long)]
    pub(super) marks: bool,
    /// Writes the outcome as JSON.
    #[arg(long, value_name = "FILE")]
    pub(super) summary: Option<PathBuf>,
    /// Where failing plans go.
    #[arg(long, default_value = "failures", value_name = "DIR")]
    pub(super) failures: PathBuf,
    /// Shrinks this many of the failing seeds, a minute each at most; 0: writes no failing plans.
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    pub(super) shrink: usize,
}

#[derive(Debug, clap::Args)]
pub(super) struct Shrink {
    pub(super) plan: PathBuf,
    /// Writes the small plan; without it, it is printed.
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Stops after this long.
    #[arg(long, default_value = "1m", value_parser = duration, value_name = "TIME")]
    pub(super) time: Duration,
    /// Threads.
    #[arg(short, long, default_value_t = 1)]
    pub(super) jobs: usize,
}

#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    pub(super) plan: PathBuf,
    /// Writes the trace; `-` prints it.
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,
    /// Writes the run as a page to look at.
    #[arg(long, value_name = "FILE")]
    pub(super) timeline: Option<PathBuf>,
}

/// Seeds with both ends.
#[derive(Clone, Debug)]
pub(super) struct Seeds(pub(super) RangeInclusive<u64>);

fn seeds(text: &str) -> Result<Seeds, String> {
    let wrong = || format!("`{text}` is no range of seeds: write 1..1000, or one number");
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..=number(to.trim_start_matches('='))?,
        None => number(text)?..=number(text)?,
    };
    if range.is_empty() { Err(wrong()) } else { Ok(Seeds(range)) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: write 90s, 10m or 8h");
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(number * seconds))
}
