//! What a reseed would do, for people.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration};
use outrigger_core::limits::Limits;
use outrigger_core::node::PolicyWarning;
use outrigger_core::offset::Partition;

use super::Prepared;
use crate::runtime::clock;
use crate::words::counted;

/// The age from which a confirmation is old: a running node confirms its copy every few minutes at the latest.
const CONFIRMED_OLD: Duration = Duration::from_secs(5 * 60);

pub(super) fn prepared(prepared: &Prepared) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        writeln!(out, "{text}").expect("a String takes every text");
    };
    let Prepared { request, source, contents, progress, .. } = prepared;
    let (rows, bytes) = (counted(contents.rows, "row"), HumanBytes(contents.bytes));
    line(format!("{rows}, {bytes}, of {}: the copy of {}", source.generation, source.identity));
    for (partition, lineage) in (0..).map(Partition).zip(&source.lineages) {
        line(format!("  partition {partition}: everything below {}", lineage.position));
    }
    for text in age(prepared) {
        line(text);
    }
    let topic = &request.topic;
    let Some(facts) = &prepared.facts else {
        let partitions = prepared.partitions_to_create();
        let partitions = counted(u64::from(partitions), "partition");
        line(format!("into topic {topic}, which is to be created, {partitions}"));
        return out;
    };
    let partitions = u64::try_from(facts.partitions.len()).expect("a length fits 64 bits");
    let (partitions, cluster) = (counted(partitions, "partition"), &facts.cluster);
    line(format!("into topic {topic} (id {}, cluster {cluster}), {partitions}", facts.topic));
    for warning in PolicyWarning::of(&facts.policy, &Limits::PRODUCTION) {
        line(format!("  attention: {warning}"));
    }
    if let Some(progress) = progress {
        line(format!("  {} already there: it goes on behind them", counted(progress.rows, "row")));
    }
    out
}

fn age(prepared: &Prepared) -> Vec<String> {
    let lineages = prepared.source.lineages.iter();
    let confirmed = lineages.map(|lineage| lineage.confirmed_at_ms).min().unwrap_or(0);
    let Some(age_ms) = clock::now().wall_ms.checked_sub(confirmed) else {
        return vec![
            "  attention: this machine's clock is behind what the copy has seen".to_owned(),
        ];
    };
    let age = Duration::from_millis(age_ms);
    // What its node has read since, and whether anything came, is on disk up to some minutes later.
    let mut lines =
        vec![format!("  it was all of its log {} ago, and perhaps later", HumanDuration(age))];
    if age > CONFIRMED_OLD {
        lines.push(
            "  attention: another node may have a newer copy, whose newer rows would be lost; compare the positions of \
             all nodes first (`outrigger status`, or `outrigger plan` where they are stopped) and take the furthest"
                .to_owned(),
        );
    }
    lines
}
