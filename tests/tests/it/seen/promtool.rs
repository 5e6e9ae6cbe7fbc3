//! Prometheus' own judge of metrics, expressions and rules.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::scrape::Samples;

/// Samples of a real run stand this many seconds apart when they are played: a run of seconds is one of minutes then.
const APART_SECONDS: usize = 15;

/// How often the last sample is repeated: a quarter of an hour.
const HELD: usize = 60;

pub(super) fn deployed(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}

fn run(arguments: &[&str], input: Option<&Path>) -> Result<()> {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).stdin(Stdio::null());
    if let Some(input) = input {
        promtool.stdin(File::open(input)?);
    }
    let output = promtool.output().context(
        "starting promtool, of Debian's package prometheus: ./x test unpacks it, or put one on PATH",
    )?;
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    ensure!(output.status.success(), "promtool {arguments:?}: {}", said.join("\n"));
    Ok(())
}

/// Whether a scrape is as Prometheus wants it.
pub(super) fn check_metrics(scrape: &str) -> Result<()> {
    let dir = tempfile::TempDir::new()?;
    let path = dir.path().join("scrape");
    fs::write(&path, scrape)?;
    run(&["check", "metrics"], Some(&path))
}

/// Whether Prometheus can read these expressions.
pub(super) fn check_expressions(expressions: &BTreeSet<String>) -> Result<()> {
    let mut rules = String::from("groups:\n  - name: read\n    rules:\n");
    for (number, expression) in expressions.iter().enumerate() {
        let quoted = serde_json::Value::from(expression.as_str());
        writeln!(rules, "      - record: read_{number}\n        expr: {quoted}")?;
    }
    let dir = tempfile::TempDir::new()?;
    let path = dir.path().join("rules.yml");
    fs::write(&path, rules)?;
    run(&["check", "rules", path.to_str().context("UTF-8")?], None)
}

/// What a run came to.
pub(super) struct Judged<'a> {
    /// How many samples there were before anything was wrong: no alert has fired then.
    pub(super) quiet: usize,
    /// The alerts that fire in the end, and those that may.
    pub(super) fire: &'a [&'a str],
    pub(super) may_fire: &'a [&'a str],
}

/// Plays the scrapes of a real run to the rules.
pub(super) fn play(scrapes: &[Samples], judged: &Judged<'_>) -> Result<()> {
    let rules = deployed("prometheus/alerts.yml");
    let named = fs::read_to_string(&rules)?;
    let mut text = format!(
        "rule_files: [{}]\nevaluation_interval: {APART_SECONDS}s\ntests:\n  - interval: {APART_SECONDS}s\n    input_series:\n",
        serde_json::Value::from(rules.to_str().context("UTF-8")?)
    );
    let all: BTreeSet<&String> = scrapes.iter().flat_map(Samples::keys).collect();
    for series in all {
        let name = series.split('{').next().unwrap_or_default();
        if named.contains(name) {
            let values = values(scrapes, series);
            let series = serde_json::Value::from(series.as_str());
            writeln!(text, "      - series: {series}\n        values: \"{values}\"")?;
        }
    }
    text.push_str("    promql_expr_test:\n");
    let firing = |which: &str| format!("count(ALERTS{{alertstate=\"firing\",alertname{which}}})");
    let end = (scrapes.len() + HELD) * APART_SECONDS;
    for name in judged.fire {
        expect(&mut text, &firing(&format!("=\"{name}\"")), end, "[{labels: '{}', value: 1}]")?;
    }
    let known = [judged.fire, judged.may_fire].concat().join("|");
    expect(&mut text, &firing(&format!("!~\"{known}\"")), end, "[]")?;
    if let Some(last) = judged.quiet.checked_sub(1) {
        expect(&mut text, &firing("!=\"\""), last * APART_SECONDS, "[]")?;
    }
    let dir = tempfile::TempDir::new()?;
    let path = dir.path().join("run.yml");
    fs::write(&path, &text)?;
    run(&["test", "rules", path.to_str().context("UTF-8")?], None).with_context(|| text)
}

fn expect(text: &mut String, expression: &str, seconds: usize, samples: &str) -> Result<()> {
    let expression = serde_json::Value::from(expression);
    writeln!(
        text,
        "      - expr: {expression}\n        eval_time: {seconds}s\n        exp_samples: {samples}"
    )?;
    Ok(())
}

/// What nobody knew is no sample.
fn values(scrapes: &[Samples], series: &str) -> String {
    let value = |samples: &Samples| samples.get(series).copied().filter(|value| !value.is_nan());
    let shown =
        |value: Option<f64>| value.map_or_else(|| "_".to_owned(), |value| value.to_string());
    let mut values: Vec<_> = scrapes.iter().map(|samples| shown(value(samples))).collect();
    if let Some(last) = scrapes.last().and_then(value) {
        values.push(format!("{last}x{HELD}"));
    }
    values.join(" ")
}
