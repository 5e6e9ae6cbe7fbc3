//! What a swarm run says in the end.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde_json::json;

use crate::oracle::OracleId;
use crate::swarm::Swarmed;
use crate::world::ALL_MARKS;

/// Failing seeds that are named one by one.
const NAMED_MAX: usize = 20;

/// The verdict first; what a run came across is listed when it is asked for.
pub(super) fn print(swarmed: &Swarmed, marks: bool) {
    println!("{}", verdict(swarmed));
    for (seed, violation) in swarmed.failures.iter().take(NAMED_MAX) {
        println!("seed {seed}: {violation}");
    }
    if swarmed.failures.len() > NAMED_MAX {
        println!("... and {} more", swarmed.failures.len() - NAMED_MAX);
    }
    let oracles = swarmed.failures.iter().map(|(_, violation)| violation.oracle);
    for oracle in oracles.collect::<BTreeSet<_>>() {
        println!("{oracle}: {}", oracle.meaning());
    }
    println!("{}", figures(swarmed));
    println!("{}", coverage(swarmed));
    if marks {
        list(swarmed);
    }
}

fn verdict(swarmed: &Swarmed) -> String {
    let Swarmed { seeds, first_seed, failures, .. } = swarmed;
    match failures.len() {
        0 => format!("PASSED: {seeds} seeds from {first_seed}"),
        failed => format!("FAILED: {failed} of {seeds} seeds from {first_seed}"),
    }
}

fn figures(swarmed: &Swarmed) -> String {
    let took = swarmed.took.as_secs_f64();
    let simulated = swarmed.simulated.as_secs_f64();
    // Threads that wait for a core on a busy machine would count as slow.
    let cpu = cpu_seconds().unwrap_or(took * count_of(swarmed.threads)).max(0.01);
    format!(
        "{} operations, {:.1} simulated hours in {took:.1} s: {:.0} seeds and {:.0} simulated seconds per CPU second",
        swarmed.operations,
        simulated / 3_600.0,
        count(swarmed.seeds) / cpu,
        simulated / cpu,
    )
}

/// The CPU time that this process has taken so far; none where the system does not tell it in this way.
fn cpu_seconds() -> Option<f64> {
    /// Linux tells this many on every machine.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name may have spaces in it; user and system time are the 12th and 13th field behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

fn coverage(swarmed: &Swarmed) -> String {
    let never: Vec<_> = never_hit(swarmed).collect();
    let hit = ALL_MARKS.len() - never.len();
    let mut text = format!(
        "{} kinds of faults, {hit} of {} marks hit (--marks lists them)",
        swarmed.faults_by_id().len(),
        ALL_MARKS.len()
    );
    if !never.is_empty() {
        text.push_str("; never: ");
        text.push_str(&never.join(", "));
    }
    text
}

fn list(swarmed: &Swarmed) {
    println!("faults");
    for (id, hits) in swarmed.faults_by_id() {
        println!("  {hits:12} {id}");
    }
    println!("marks");
    for (mark, hits) in swarmed.marks.all() {
        println!("  {hits:12} {mark}");
    }
}

/// What all the numbers stand for.
pub(super) fn oracles() -> anyhow::Result<ExitCode> {
    for oracle in OracleId::ALL {
        let class = oracle.class();
        println!("{oracle:4} {:2}  {:16}  {}", class.exit_code(), class.name(), oracle.meaning());
    }
    println!(
        "O8, O10 and O19 stood for an owner of keys, a watch in one oracle, and two versions."
    );
    Ok(ExitCode::SUCCESS)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::oracle::Violation;

    fn swarmed(failures: Vec<(u64, Violation)>) -> Swarmed {
        let took = Duration::from_secs(2);
        Swarmed { first_seed: 7, seeds: 100, threads: 1, took, failures, ..Swarmed::default() }
    }

    #[test]
    fn the_verdict_is_one_line_whatever_else_there_is_to_say() {
        assert_eq!(verdict(&swarmed(vec![])), "PASSED: 100 seeds from 7");
        let violation = Violation {
            oracle: OracleId::O13,
            at: Duration::ZERO,
            node: None,
            keys: vec![],
            what: "it is back".to_owned(),
        };
        assert_eq!(verdict(&swarmed(vec![(9, violation)])), "FAILED: 1 of 100 seeds from 7");
        assert!(figures(&swarmed(vec![])).contains(" per CPU second"));
    }
}
