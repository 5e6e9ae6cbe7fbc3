//! Whether a process takes ever more. The rule: the median of the last quarter of its life is at most that of the
//! second quarter and a tenth of it, and a little that a single event may leave. The first quarter fills caches.

use anyhow::{Result, ensure};

use crate::usage::Usage;

/// What a single event may leave: in MiB, descriptors and threads.
const LITTLE: [f64; 3] = [8.0, 12.0, 4.0];
const NAMES: [&str; 3] = ["MiB resident", "descriptors", "threads"];

/// Fewer samples tell nothing.
const SAMPLES_MIN: usize = 16;

/// The samples of one process.
#[derive(Debug, Default)]
pub(super) struct Series {
    samples: Vec<[f64; 3]>,
}

impl Series {
    pub(super) fn add(&mut self, usage: &Usage) {
        let descriptors = f64::from(usage.descriptors);
        self.samples.push([usage.resident_mib, descriptors, f64::from(usage.threads)]);
    }

    /// Returns a line for each; an error with those that grew.
    pub(super) fn judge(&self) -> Result<Vec<String>> {
        let quarter = self.samples.len() / 4;
        ensure!(self.samples.len() >= SAMPLES_MIN, "{} samples are too few", self.samples.len());
        let (mut lines, mut grew) = (Vec::new(), Vec::new());
        for (place, name) in NAMES.iter().enumerate() {
            let of = |part: usize| {
                let from = part * quarter;
                let values = self.samples[from..from + quarter].iter();
                median(values.map(|sample| sample[place]).collect())
            };
            let (second, last) = (of(1), of(3));
            let line = format!("{name}: {second:.0} in the second quarter, {last:.0} in the last");
            if last > second * 1.1 + LITTLE[place] {
                grew.push(line.clone());
            }
            lines.push(line);
        }
        ensure!(grew.is_empty(), "it takes ever more: {}", grew.join("; "));
        Ok(lines)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::Series;

    fn series(descriptors: impl Fn(u32) -> f64) -> Series {
        Series { samples: (0..100).map(|at| [100.0, descriptors(at), 40.0]).collect() }
    }

    #[test]
    fn what_was_warm_in_the_second_quarter_is_flat() {
        let warms_up = series(|at| f64::from(at.min(25)) * 2.0 + 30.0);
        assert_eq!(warms_up.judge().unwrap().len(), 3);
        let one_event = series(|at| if at == 80 { 900.0 } else { 80.0 });
        assert!(one_event.judge().is_ok());
    }

    #[test]
    fn what_leaks_is_named() {
        let error = series(|at| f64::from(at) + 30.0).judge().unwrap_err().to_string();
        assert!(error.contains("descriptors") && !error.contains("threads"), "{error}");
    }
}
