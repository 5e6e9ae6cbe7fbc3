//! The command line: what a person or CI asks of the simulator.

mod args;
mod failures;
mod meta;
mod plans;
mod report;
mod shrink;
mod swarm;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Canaries, Command};

use crate::{canaries, mutants};

/// Wrong arguments, or a file that cannot be read.
const USAGE: u8 = 2;

pub fn main() -> ExitCode {
    let Args { command } = Args::parse();
    let done = match command {
        Command::Run(run) => swarm::run(&run),
        Command::Plan { seed } => plans::print(seed),
        Command::Replay(replay) => plans::replay(&replay),
        Command::Shrink(args) => shrink::run(&args),
        Command::Explain { plan } => shrink::explain(&plan),
        Command::Plans { dir } => plans::regress(&dir),
        Command::Canaries(args) => canaries(args),
        Command::Mutants { arguments } => mutants::run(&arguments).map(code),
        Command::Oracles => report::oracles(),
        Command::Meta { seeds } => meta::run(seeds),
    };
    done.unwrap_or_else(|error| {
        eprintln!("outrigger-sim: {error:#}");
        ExitCode::from(USAGE)
    })
}

fn canaries(args: Canaries) -> anyhow::Result<ExitCode> {
    let Canaries { shell, only, keep, jobs, dir } = args;
    let caught = if shell {
        canaries::shell::run(&canaries::shell::Options { only, dir })?
    } else {
        canaries::run(&canaries::Options { only, keep, jobs, dir })?
    };
    Ok(code(caught))
}

fn code(all_are_caught: bool) -> ExitCode {
    if all_are_caught { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
