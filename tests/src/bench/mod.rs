//! Each figure is a ratio of things measured in turns, in the same run, on the same broker.

mod calls;
mod catch_up;
mod contender;
mod copy;
mod eta;
mod figure;
mod growth;
mod idle;
mod ingest;
mod peer;
mod probes;
mod propagation;
mod raw;
mod records;
mod restart;
mod restore;
mod round_trip;
mod stores;
mod table;
mod tls;
mod watch;
mod writes;

pub use contender::contend;
pub use figure::{Asked, USAGE, run};

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use outrigger_client::proto::v1::Phase;

use crate::node::Node;

/// How often everything that is compared has its turn.
const ROUNDS: usize = 3;

/// It ends a run that hangs, however large the state, and is no bound on a figure.
const READY_MAX: Duration = Duration::from_secs(1_800);

/// This is finer than what is measured, and little work for the node.
const READY_POLL: Duration = Duration::from_millis(10);

/// The median: a noisy neighbour spoils one turn, not the figure.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

fn per_second(count: u64, took: Duration) -> f64 {
    float(count) / took.as_secs_f64()
}

fn float(count: u64) -> f64 {
    // Counts of a bench are far below 2^53.
    f64::from(u32::try_from(count).expect("a bench's counts fit 32 bits"))
}

fn report(name: &str, ours: f64, raw_name: &str, raw: f64, unit: &str, ratio: f64) {
    println!(
        "{name:<34} {ours:>12.1} {unit:<10} {raw_name:<28} {raw:>12.1} {unit:<10} ratio {ratio:.2}"
    );
}

/// Starts the node. Returns the time from the start of its process to READY, with everything below
/// `end`.
async fn start_to_ready(node: &mut Node, end: u64) -> Result<Duration> {
    let began = Instant::now();
    node.start().await?;
    let store = node.store().await?;
    loop {
        let status = store.status().await?;
        if status.phase() == Phase::Ready {
            let took = began.elapsed();
            ensure!(
                status.partitions[0].position >= end,
                "{end} records were not read: {status:?}"
            );
            return Ok(took);
        }
        ensure!(began.elapsed() < READY_MAX, "not READY: {status:#?}\n{}", node.log());
        tokio::time::sleep(READY_POLL).await;
    }
}
