//! Writers, restarts and changing weather on a real Kafka for a long time. `./x soak` runs it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::{Context, Result};
use outrigger_tests::soak::{self, Asked, USAGE};

/// The sidecar has the same one: librdkafka allocates through it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| ["help", "-h", "--help"].contains(&arg.as_str())) {
        println!("{USAGE}");
        return Ok(());
    }
    let asked = Asked::parse(args)?;
    tokio::runtime::Runtime::new()?
        .block_on(async { tokio::spawn(soak::run(asked)).await.context("the soak panicked")? })
}
