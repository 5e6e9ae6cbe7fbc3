//! Several ways to the same state, a line each.

use super::contender::Turn;
use super::records::RECORD_BYTES;
use super::{float, median, per_second};

const MB: f64 = 1e6;

/// One way, with its turns so far.
pub(super) struct Line {
    name: &'static str,
    records: u64,
    turns: Vec<Turn>,
}

impl Line {
    /// Each of its turns restores this many records.
    pub(super) fn new(name: &'static str, records: u64) -> Line {
        Line { name, records, turns: Vec::new() }
    }

    pub(super) fn add(&mut self, turn: Turn) {
        self.turns.push(turn);
    }

    /// How many times as fast as `other` this is: the median of the rounds.
    pub(super) fn to(&self, other: &Line) -> f64 {
        median(self.rates().zip(other.rates()).map(|(own, other)| own / other).collect())
    }

    fn rates(&self) -> impl Iterator<Item = f64> {
        self.turns.iter().map(|turn| per_second(self.records, turn.took))
    }

    fn median(&self, of: impl Fn(&Turn) -> f64) -> f64 {
        median(self.turns.iter().map(of).collect())
    }
}

/// Prints the lines, with ratios of the turns of one round each.
pub(super) fn print(lines: &[Line], ours: &Line) {
    println!(
        "{:<44} {:>11} {:>8} {:>9} {:>7} {:>8}",
        "", "records/s", "MB/s", "peak MiB", "CPU s", "to ours"
    );
    for line in lines.iter().chain([ours]) {
        let rate = median(line.rates().collect());
        println!(
            "{:<44} {:>11.0} {:>8.1} {:>9.0} {:>7.2} {:>8.3}",
            line.name,
            rate,
            rate * float(RECORD_BYTES) / MB,
            line.median(|turn| turn.peak_mib),
            line.median(|turn| turn.cpu.as_secs_f64()),
            line.to(ours),
        );
    }
}
