//! `outrigger-sim`: plays, replays, shrinks and explains simulated runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    outrigger_sim::cli::main()
}
