//! `outrigger-sim`: plays, replays, shrinks and explains simulated runs.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    outrigger_sim::cli::main()
}
