//! What the demo prints: numbered steps, lines below them, and a bar for what takes time.
//!
//! Steps and results go to standard output. Bars go to standard error where that is a terminal; elsewhere a
//! plain line now and then stands for them.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::dev::alias;

pub(super) struct Report {
    steps: Cell<u32>,
    bold: bool,
}

/// A meter of how far something is, until it is dropped.
pub(super) struct Meter {
    bar: ProgressBar,
    /// When the last plain line was printed; only where there is no bar.
    told: Option<Cell<Instant>>,
}

const INDENT: &str = "            ";
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(2);

impl Report {
    pub(super) fn new() -> Report {
        Report { steps: Cell::new(0), bold: io::stdout().is_terminal() }
    }

    pub(super) fn title(&self, text: &str) {
        say(&self.strong(text));
    }

    pub(super) fn step(&self, name: &str, text: &str) {
        let number = self.steps.get() + 1;
        self.steps.set(number);
        say(&format!("\n{number}  {}{text}", self.strong(&format!("{name:<9}"))));
    }

    pub(super) fn line(&self, text: &str) {
        say(&format!("{INDENT}{text}"));
    }

    pub(super) fn meter(&self) -> Meter {
        let style = ProgressStyle::with_template("            {bar:24} {wide_msg}")
            .expect("the template is a constant");
        let bar = ProgressBar::new(0).with_style(style);
        let told = bar.is_hidden().then(|| Cell::new(Instant::now()));
        Meter { bar, told }
    }

    pub(super) fn end(&self, took: Duration) {
        let verdict = format!("All three are equal. That took {}.", seconds(took));
        say(&format!("\n{}\n\nNext:", self.strong(&verdict)));
        if let Some(alias) = alias() {
            say(&format!("  {alias}"));
        }
        say(
            "  outrigger dev               such a cluster, kept on disk, with a prompt to break it",
        );
        say("  outrigger demo --keep       the same, and leaves its files to look at");
        say(
            "  outrigger serve --help      a node on a real Kafka; `./x kafka` in the sources starts one",
        );
    }

    fn strong(&self, text: &str) -> String {
        if self.bold { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Meter {
    pub(super) fn show(&self, done: u64, of: u64, text: &str) {
        self.bar.set_length(of);
        self.bar.set_position(done.min(of));
        self.bar.set_message(text.to_owned());
        if let Some(told) = &self.told
            && told.get().elapsed() >= PLAIN_LINE_EVERY
        {
            told.set(Instant::now());
            say(&format!("{INDENT}... {text}"));
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Prints a line. A reader who left, as `head` does, is no reason to stop in the middle: the verdict is the exit code.
fn say(text: &str) {
    let _left = writeln!(io::stdout(), "{text}");
}

pub(super) fn seconds(duration: Duration) -> String {
    let millis = duration.as_millis();
    format!("{}.{:02} s", millis / 1_000, millis % 1_000 / 10)
}

/// Returns how many there were a second.
pub(super) fn rate(count: u64, duration: Duration) -> HumanCount {
    let rate = u128::from(count) * 1_000 / duration.as_millis().max(1);
    HumanCount(u64::try_from(rate).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_rates_are_told_without_rounding_up() {
        assert_eq!(seconds(Duration::from_millis(1_239)), "1.23 s");
        assert_eq!(rate(1_500, Duration::from_millis(500)).0, 3_000);
        assert_eq!(rate(7, Duration::ZERO).0, 7_000);
    }
}
