//! Figures of the main job against raw clients and other systems, side by side in one run. `./x bench` runs it, and
//! docs/figures.md quotes it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use outrigger_tests::bench::{self, Asked, USAGE};
use outrigger_tests::kafka::Cluster;

/// The sidecar has the same one: librdkafka and RocksDB allocate through it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| ["help", "-h", "--help"].contains(&arg.as_str())) {
        println!("{USAGE}");
        return Ok(());
    }
    if bench::contend(&args)? {
        return Ok(());
    }
    let asked = Asked::parse(args)?;
    let cluster = Cluster::start_behind_proxies(1, &[])?;
    let cores = std::thread::available_parallelism()?;
    println!("one broker, its clients and one node on {cores} cores");
    tokio::runtime::Runtime::new()?.block_on(bench::run(&asked, &cluster))
}
