//! What a swarm run says in the end.

use serde_json::json;

use crate::swarm::Swarmed;
use crate::world::ALL_MARKS;

/// Failing seeds that are named one by one.
const NAMED_MAX: usize = 20;

pub(super) fn print(swarmed: &Swarmed) {
    for (seed, violation) in swarmed.failures.iter().take(NAMED_MAX) {
        println!("seed {seed}: {violation}");
    }
    if swarmed.failures.len() > NAMED_MAX {
        println!("... and {} more", swarmed.failures.len() - NAMED_MAX);
    }
    let took = swarmed.took.as_secs_f64();
    let simulated = swarmed.simulated.as_secs_f64();
    let per_core = count(swarmed.seeds) / took / count_of(swarmed.threads);
    println!("faults injected");
    for (id, hits) in swarmed.faults_by_id() {
        println!("  {id:4} {hits}");
    }
    println!("marks hit");
    for (mark, hits) in swarmed.marks.all() {
        println!("  {hits:12} {mark}");
    }
    let never: Vec<_> = never_hit(swarmed).collect();
    match never.is_empty() {
        true => println!("marks never hit: none"),
        false => println!("marks never hit: {}", never.join(", ")),
    }
    println!(
        "{} seeds from {}, {} operations, {:.1} simulated hours in {took:.1} s: {per_core:.0} seeds per second and core, \
         simulated time {:.0} times real time",
        swarmed.seeds,
        swarmed.first_seed,
        swarmed.operations,
        simulated / 3_600.0,
        simulated / took,
    );
    println!("{} seeds failed", swarmed.failures.len());
}

fn never_hit(swarmed: &Swarmed) -> impl Iterator<Item = &'static str> {
    ALL_MARKS.iter().copied().filter(|mark| swarmed.marks.of(mark) == 0)
}

pub(super) fn json(swarmed: &Swarmed) -> String {
    let failures = swarmed.failures.iter().map(|(seed, violation)| {
        json!({
            "seed": seed,
            "oracle": violation.oracle.to_string(),
            "class": violation.oracle.class().name(),
            "what": violation.what,
        })
    });
    let summary = json!({
        "first_seed": swarmed.first_seed,
        "seeds": swarmed.seeds,
        "operations": swarmed.operations,
        "seconds": swarmed.took.as_secs_f64(),
        "simulated_seconds": swarmed.simulated.as_secs_f64(),
        "faults": swarmed.faults_by_id(),
        "never_hit": never_hit(swarmed).collect::<Vec<_>>(),
        "failures": failures.collect::<Vec<_>>(),
    });
    format!("{summary}\n")
}

fn count(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

fn count_of(number: usize) -> f64 {
    count(u64::try_from(number).expect("lengths fit 64 bits"))
}
