//! Each figure is a ratio of two things measured in turns, in the same run, on the same broker.

pub mod calls;
mod raw;
pub mod restore;
pub mod writes;

use std::time::Duration;

/// What is compared, in the order of the turns.
const ROUNDS: usize = 3;

/// The middle one: a noisy neighbour spoils one turn, not the figure.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn per_second(count: u64, took: Duration) -> f64 {
    // Counts of a bench are far below 2^53.
    f64::from(u32::try_from(count).expect("a bench's counts fit 32 bits")) / took.as_secs_f64()
}

fn report(name: &str, ours: f64, raw_name: &str, raw: f64, unit: &str, ratio: f64) {
    println!(
        "{name:<34} {ours:>12.1} {unit:<10} {raw_name:<28} {raw:>12.1} {unit:<10} ratio {ratio:.2}"
    );
}
