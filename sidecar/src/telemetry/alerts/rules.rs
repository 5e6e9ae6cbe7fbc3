//! The rules as a file for Prometheus.

use std::fmt::Write as _;

use super::table;

const INFALLIBLE: &str = "a String takes every text";

/// Returns the rules as YAML. Texts are written as JSON, which YAML includes.
pub(crate) fn rules() -> String {
    let mut text = String::from(
        "# Made by `outrigger alerts`: change sidecar/src/telemetry/alerts/table.rs instead.\n\
         groups:\n  - name: outrigger\n    rules:\n",
    );
    for alert in table::alerts() {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        writeln!(
            text,
            "      - alert: {}\n        expr: {}\n        for: {}m\n        labels:\n          severity: {}\n        \
             annotations:\n          summary: {}\n          description: {}",
            alert.name,
            quoted(&alert.expression),
            alert.minutes,
            alert.severity.name(),
            quoted(&alert.summary),
            quoted(&alert.what_to_do),
        )
        .expect(INFALLIBLE);
    }
    text
}
