//! Simulated plans on real processes and three real brokers. `./x test-real` runs it.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use outrigger_sim::plan::{self, Plan};
use outrigger_tests::real::script::Script;
use outrigger_tests::real::suite::{self, Named};

const USAGE: &str = "Usage: ./x test-real [-j N] [SEEDS | PLAN.json ...]
  SEEDS   as 7 or 1..36, both ends included; else the first 36 of which reality can do a fault
  -j N    plans that break no broker, side by side (default 3)";

const PLANS: usize = 36;
const SIDE_BY_SIDE: usize = 3;

/// The sidecar has the same one: librdkafka allocates through it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("test-real: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let mut plans = Vec::new();
    let mut side_by_side = SIDE_BY_SIDE;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(true);
            }
            "-j" => {
                let number = args.next().context(USAGE)?;
                side_by_side = number.parse().context(USAGE)?;
                ensure!((1..=16).contains(&side_by_side), "-j is 1 to 16");
            }
            path if path.ends_with(".json") => plans.push(file(Path::new(path))?),
            range => plans.extend(seeds(range)?),
        }
    }
    if plans.is_empty() {
        plans = (1..).map(seed).filter(|(_, plan)| breaks(plan)).take(PLANS).collect();
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(async {
        let played = suite::play_all(plans, side_by_side, Path::new("failures"));
        tokio::spawn(played).await.context("the suite panicked")?
    })?;
    Ok(report.passed())
}

fn seeds(range: &str) -> Result<Vec<Named>> {
    let number = |text: &str| text.parse::<u64>().with_context(|| format!("`{range}`\n{USAGE}"));
    let (first, last) = match range.split_once("..") {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(range)?, number(range)?),
    };
    if first > last {
        bail!("`{range}` is empty\n{USAGE}");
    }
    Ok((first..=last).map(seed).collect())
}

fn seed(seed: u64) -> Named {
    (seed.to_string(), Arc::new(plan::draw(seed)))
}

fn breaks(plan: &Plan) -> bool {
    !Script::of(plan, true).troubles.is_empty()
}

/// A plan from a file. It is called by its seed, as what is kept of its failure is.
fn file(path: &Path) -> Result<Named> {
    let json = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let plan = Plan::parse(&json).with_context(|| path.display().to_string())?;
    Ok((plan.seed.to_string(), Arc::new(plan)))
}
