//! The metrics, and the values of their labels, are those of `docs/operating.md`.

use outrigger_core::offset::{Offset, Partition};
use outrigger_core::phase::PolicyFault;
use outrigger_core::topic::{Identity, TopicId};

use super::*;
use crate::documented::{assert_rows, page};

#[test]
fn every_metric_has_a_row_with_its_kind() {
    assert_rows("Metrics", ALL.iter().map(|metric| metric.name));
    let page = page();
    for Metric { name, kind, .. } in ALL {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let row = format!("| `{name}` | {kind} | ");
        assert!(page.contains(&row), "docs/operating.md has no row that begins so: {row}");
    }
}

#[test]
fn every_phase_has_a_row() {
    assert_rows("Phases", PHASES);
}

#[test]
fn every_restore_cause_has_a_row() {
    let causes = std::iter::successors(Some(Cause::Resume), |cause| next_cause(*cause));
    assert_eq!(causes.clone().collect::<Vec<_>>(), CAUSES);
    assert_rows("Restore causes", causes.map(cause_label));
}

#[test]
fn every_refusal_has_a_row() {
    let first = Refusal::Identity { found: String::new(), expected: identity() };
    let refusals = std::iter::successors(Some(first), next_refusal);
    let names: Vec<_> = refusals.map(|refusal| refusal_label(&refusal)).collect();
    assert_eq!(names, REFUSALS_MADE);
    assert_rows("Refusals", names);
}

#[test]
fn every_reason_for_a_state_is_in_its_row() {
    let page = page();
    let row = page.lines().find(|line| line.starts_with("| `outrigger_watch_states_total`"));
    let row = row.expect("the metric has a row");
    for why in watches::whys() {
        assert!(row.contains(&format!("`{why}`")), "{why} is not in: {row}");
    }
}

/// Returns all of them, one after another: a new one does not compile until it has its place.
fn next_cause(cause: Cause) -> Option<Cause> {
    match cause {
        Cause::Resume => Some(Cause::Unfinished),
        Cause::Unfinished => Some(Cause::Empty),
        Cause::Empty => Some(Cause::PastHorizon),
        Cause::PastHorizon => Some(Cause::Truncated),
        Cause::Truncated => Some(Cause::Diverged),
        Cause::Diverged => Some(Cause::Corrupt),
        Cause::Corrupt => Some(Cause::UnknownFormat),
        Cause::UnknownFormat => None,
    }
}

fn next_refusal(refusal: &Refusal) -> Option<Refusal> {
    match refusal {
        Refusal::Identity { .. } => {
            Some(Refusal::Policy(PolicyFault::Cleanup("delete".to_owned())))
        }
        Refusal::Policy(_) => Some(Refusal::LogIncomplete {
            partition: Partition(0),
            log_start: Offset(1),
            position: None,
        }),
        Refusal::LogIncomplete { .. } => Some(Refusal::Cancelled),
        Refusal::Cancelled => None,
    }
}

fn identity() -> Identity {
    let [store, cluster] = ["notes", "cluster"].map(str::to_owned);
    Identity { store, cluster, topic: TopicId([7; 16]), partitions: 1 }
}
