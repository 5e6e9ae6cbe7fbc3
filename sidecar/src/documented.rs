//! `docs/operating.md` names every stall, reason, exit code, metric and setting, and none that does not exist.
//!
//! Names that are not public are held against the page by tests where they are; those that are public are held here.

use std::collections::BTreeSet;

use outrigger_core::stall::StallKind;
use outrigger_proto::v1::Reason;

use crate::exit::Exit;

/// Reads the page when a test runs: one that was changed needs no build.
pub(crate) fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md");
    std::fs::read_to_string(path).expect("the page is there")
}

/// Asserts that a file of `deploy/` is what the code makes of its tables; with `OUTRIGGER_ACCEPT` set it is made anew.
pub(crate) fn deployed(file: &str, made: &str) {
    let path = format!("{}/../deploy/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("OUTRIGGER_ACCEPT").is_some() {
        std::fs::write(&path, made).expect("it can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == made,
        "deploy/{file} is not what the code says: run this with OUTRIGGER_ACCEPT=1"
    );
}

/// Asserts that the table below this heading has a row for each of these names, and no other.
pub(crate) fn assert_rows<S: Into<String>>(heading: &str, names: impl IntoIterator<Item = S>) {
    let names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
    let rows = rows(heading);
    let (missing, invented) = (names.difference(&rows), rows.difference(&names));
    let (missing, invented) = (missing.collect::<Vec<_>>(), invented.collect::<Vec<_>>());
    assert!(missing.is_empty(), "docs/operating.md, {heading}: no row for {missing:?}");
    assert!(invented.is_empty(), "docs/operating.md, {heading}: {invented:?} do not exist");
}

/// Returns the first cells of the table below a heading, without the heading of its columns.
fn rows(heading: &str) -> BTreeSet<String> {
    let page = page();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = lines.filter_map(|line| line.split(" | ").next()).skip(1);
    let names: Vec<_> = cells.map(|cell| cell.trim_matches('`').to_owned()).collect();
    let rows: BTreeSet<_> = names.iter().cloned().collect();
    assert_eq!(rows.len(), names.len(), "docs/operating.md, {heading}: a name has two rows");
    rows
}

#[test]
fn every_stall_has_a_row() {
    assert_rows("Stalls", StallKind::ALL.map(StallKind::name));
}

#[test]
fn every_error_reason_has_a_row() {
    // The first one is never sent.
    let reasons = (1..1_000).filter_map(|number| Reason::try_from(number).ok());
    assert_rows("Error reasons", reasons.map(|reason| reason.as_str_name()));
}

#[test]
fn every_exit_code_has_a_row() {
    assert_rows("Exit codes", Exit::ALL.map(|exit| exit.code().to_string()));
}
