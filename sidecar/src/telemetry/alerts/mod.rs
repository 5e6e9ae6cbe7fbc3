//! The alerts: one table, from which the rules for Prometheus are made. What to do is what Status says.

mod rules;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use self::rules::rules;

/// When somebody has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    /// Now: callers notice it, or will soon.
    Critical,
    /// Soon: nobody notices it yet.
    Warning,
}

#[derive(Clone, Debug)]
struct Alert {
    name: String,
    /// An expression of Prometheus that gives a sample for each thing that is wrong.
    expression: String,
    /// How many minutes it has to give one without a pause.
    minutes: u32,
    severity: Severity,
    /// What is the matter, as a template of Prometheus.
    summary: String,
    what_to_do: String,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
        }
    }
}
