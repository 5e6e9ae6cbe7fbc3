//! What a run prints: a line per plan, then what took place in all and what was left out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::play::Played;

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Played { name, nodes, partitions, answers, cleaned, took, .. } = self;
        let verdict = if self.failure.is_some() { "FAILED" } else { "ok    " };
        write!(
            f,
            "{verdict} {name:>6}  {:4.1} s  {nodes} nodes, {partitions} partitions; ",
            took.as_secs_f64()
        )?;
        write!(
            f,
            "{} calls done, {} refused, {} unknown, {} unasked; {cleaned} records cleaned; ",
            answers.done, answers.refused, answers.unknown, answers.unasked
        )?;
        if self.lost_sessions > 0 {
            write!(f, "{} sessions lost; ", self.lost_sessions)?;
        }
        f.write_str(&counted(self.done.iter()))?;
        write!(f, " ({} left out)", self.left_out.values().sum::<usize>())?;
        match &self.failure {
            Some(failure) => write!(f, "\n{failure}"),
            None => Ok(()),
        }
    }
}

/// All plans of a run.
#[derive(Debug, Default)]
pub struct Report {
    plans: usize,
    failed: Vec<String>,
    calls: usize,
    cleaned: usize,
    done: BTreeMap<&'static str, usize>,
    left_out: BTreeMap<String, usize>,
}

impl Report {
    pub fn add(&mut self, played: &Played) {
        self.plans += 1;
        if played.failure.is_some() {
            self.failed.push(played.name.clone());
        }
        self.calls += played.answers.done + played.answers.refused + played.answers.unknown;
        self.cleaned += played.cleaned;
        for (name, count) in &played.done {
            *self.done.entry(name).or_default() += count;
        }
        for (name, count) in &played.left_out {
            *self.left_out.entry(name.clone()).or_default() += count;
        }
    }

    pub fn passed(&self) -> bool {
        self.plans > 0 && self.failed.is_empty()
    }

    /// How often a fault took place.
    pub fn done(&self, name: &str) -> usize {
        self.done.get(name).copied().unwrap_or_default()
    }

    pub fn print(&self, took: Duration) {
        let passed = self.plans - self.failed.len();
        println!(
            "{passed} of {} plans passed in {:.0} s: {} calls, {} records cleaned",
            self.plans,
            took.as_secs_f64(),
            self.calls,
            self.cleaned
        );
        println!("faults: {}", counted(self.done.iter()));
        println!("left out: {}", counted(self.left_out.iter()));
        if !self.failed.is_empty() {
            println!("failed: {}", self.failed.join(", "));
        }
    }
}

fn counted<'a, N: fmt::Display + 'a>(counts: impl Iterator<Item = (N, &'a usize)>) -> String {
    let each: Vec<String> = counts.map(|(name, count)| format!("{name} {count}")).collect();
    if each.is_empty() { "nothing".to_owned() } else { each.join(", ") }
}
