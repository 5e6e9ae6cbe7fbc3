//! Expected and actual, and the records behind them: a violation as a person wants it told.

use std::time::Duration;

use outrigger_core::node::{PartitionStatus, Status};
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::store::View;

use super::Run;
use crate::columns::{columns, row};
use crate::history::{Call, Level, Operation, Told};
use crate::oracle::Violation;
use crate::reference::{Fate, Record};

/// Rows of a scan that are shown of one answer.
const ROWS_SHOWN: usize = 5;

impl Run<'_> {
    pub(super) fn explain(&self, violation: &Violation) -> String {
        let mut text = format!("{violation}\n");
        if !self.accused.is_empty() {
            text += &format!("\nwhat callers were told\n{}", told(&self.accused));
        }
        for name in &violation.keys {
            text += &format!("\n{name} in the log\n{}", self.records(name.as_bytes()));
            text += &format!("\n{name} in the copies\n{}", self.copies(name.as_bytes()));
        }
        text += &format!("\nthe log\n{}\nthe nodes\n{}", self.ends(), self.nodes());
        text
    }

    fn records(&self, key: &[u8]) -> String {
        let all = self.world.reference.everything();
        let mut of: Vec<_> =
            all.filter(|(_, _, record, _)| record.key.as_deref() == Some(key)).collect();
        of.sort_by_key(|(partition, offset, _, lost)| (*partition, *offset, !*lost));
        if of.is_empty() {
            return "  no record\n".to_owned();
        }
        let cells = |(partition, offset, record, lost): (Partition, Offset, &Record, bool)| {
            let value = record.value.as_deref().map_or("deleted".to_owned(), text);
            vec![place(partition.0, offset.0), value, fate(record.fate, lost).to_owned()]
        };
        let rows: Vec<_> = of.into_iter().map(cells).collect();
        columns(&[vec![row(["record", "value", "fate"])], rows].concat())
    }

    fn copies(&self, key: &[u8]) -> String {
        let mut rows = vec![row(["node", "positions", "holds", "should hold"])];
        for node in 0..self.world.count() {
            let mut cells = vec![node.to_string()];
            cells.extend(self.copy(node, key));
            rows.push(cells);
        }
        columns(&rows)
    }

    fn copy(&self, node: usize, key: &[u8]) -> Vec<String> {
        if !self.world.is_running(node) {
            return row(["-", "it is down"]);
        }
        let Some(generation) = self.world.node(node).gate().generation else {
            return row(["-", "it serves nothing"]);
        };
        let view = self.world.view_of(node, generation);
        let positions: Vec<_> =
            view.lineages().unwrap_or_default().iter().map(|lineage| lineage.position).collect();
        let shown: Vec<_> = positions.iter().map(Offset::to_string).collect();
        let at = |offset: Offset, value: &[u8]| format!("{} at {offset}", text(value));
        let holds = match view.get(key) {
            Ok(Some(row)) => at(row.revision.offset, &row.value),
            Ok(None) => "nothing".to_owned(),
            Err(error) => error.to_string(),
        };
        let should = self.world.reference.row_at(key, &positions);
        let should = should.map(|(revision, value)| at(revision.offset, &value));
        vec![shown.join(" "), holds, should.unwrap_or_else(|| "nothing".to_owned())]
    }

    fn ends(&self) -> String {
        let header = ["partition", "start", "stable", "watermark", "end", "epoch", "leader"];
        let mut rows = vec![row(header)];
        rows.extend(Partition::all(self.plan.setting.partitions).map(|partition| {
            let state = self.world.log.state(partition);
            let epoch = state.epochs.last().map_or("-".to_owned(), |(epoch, _)| epoch.to_string());
            let leader = self.world.log.leader(partition);
            vec![
                partition.to_string(),
                state.log_start.to_string(),
                self.world.log.last_stable(partition).to_string(),
                self.world.log.high_watermark(partition).to_string(),
                state.log_end.to_string(),
                epoch,
                leader.map_or("none".to_owned(), |broker| broker.0.to_string()),
            ]
        }));
        columns(&rows)
    }

    fn nodes(&self) -> String {
        let header = ["node", "phase", "serves", "applies to", "part", "applied", "durable"];
        let mut rows = vec![[row(header), row(["target", "exact from", "stalls"])].concat()];
        for node in 0..self.world.count() {
            if self.world.is_running(node) {
                rows.extend(node_rows(node, &self.world.node(node).status()))
            } else {
                rows.push(vec![node.to_string(), "down".to_owned()])
            }
        }
        columns(&rows)
    }
}

/// A line per partition; what is the node's stands in the first.
fn node_rows(node: usize, status: &Status) -> Vec<Vec<String>> {
    let generation = |of: Option<outrigger_core::offset::Generation>| {
        of.map_or("-".to_owned(), |of| of.to_string())
    };
    let stalls: Vec<_> = status
        .stalls
        .iter()
        .map(|stall| format!("{}: {}", stall.kind.name(), stall.detail))
        .collect();
    let own = [
        node.to_string(),
        status.phase.to_string(),
        generation(status.served),
        generation(status.fed),
    ];
    let Some((first, others)) = status.partitions.split_first() else {
        let dashes = std::iter::repeat_n("-".to_owned(), 5);
        return vec![own.into_iter().chain(dashes).chain([stalls.join("; ")]).collect()];
    };
    let mut rows = vec![[own.to_vec(), positions(0, first), vec![stalls.join("; ")]].concat()];
    for (number, partition) in (1..).zip(others) {
        rows.push([row([""; 4]), positions(number, partition)].concat());
    }
    rows
}

fn positions(number: u32, status: &PartitionStatus) -> Vec<String> {
    let PartitionStatus { applied, durable, target, exact_from, .. } = status;
    let offsets = [applied, durable, target, exact_from].map(Offset::to_string);
    [vec![format!("p{number}")], offsets.to_vec()].concat()
}

/// Phase and stalls in one line, without what differs from run to run.
pub(super) fn summary(status: &Status) -> String {
    let stalls: Vec<_> = status.stalls.iter().map(|stall| stall.kind.name()).collect();
    if stalls.is_empty() {
        status.phase.name().to_owned()
    } else {
        format!("{}, stalled by {}", status.phase.name(), stalls.join(" and "))
    }
}

fn told(operations: &[Operation]) -> String {
    let mut rows = vec![row(["session", "node", "asked", "was told", "from .. to"])];
    rows.extend(operations.iter().map(|operation| {
        let until = operation.completed.map_or("never".to_owned(), |at| at.to_string());
        vec![
            operation.session.to_string(),
            operation.node.to_string(),
            call(&operation.call),
            answer(&operation.told),
            format!("{} .. {until}", operation.invoked),
        ]
    }));
    columns(&rows)
}

fn call(call: &Call) -> String {
    match call {
        Call::Put { key, value } => format!("put {}={}", text(key), text(value)),
        Call::Delete { key } => format!("delete {}", text(key)),
        Call::Get { key, level } => format!("get {}, {}", text(key), demanded(level)),
        Call::Scan { level, .. } => format!("scan, {}", demanded(level)),
    }
}

fn demanded(level: &Level) -> String {
    match level {
        Level::Stale => "STALE".to_owned(),
        Level::Local => "LOCAL".to_owned(),
        Level::AtLeast(positions) => format!("AT_LEAST {positions:?}"),
        Level::Latest => "LATEST".to_owned(),
    }
}

fn answer(told: &Told) -> String {
    match told {
        Told::Appended { partition, offset } => format!("appended {}", place(*partition, *offset)),
        Told::Unknown => "unknown".to_owned(),
        Told::DidNotHappen => "did not happen".to_owned(),
        Told::Aborted => "aborted".to_owned(),
        Told::Row { row: None, positions } => format!("nothing, at {positions:?}"),
        Told::Row { row: Some(row), positions } => {
            format!("{} at {}, at {positions:?}", text(&row.value), row.offset)
        }
        Told::Rows { rows, positions } => {
            let shown = rows.iter().take(ROWS_SHOWN);
            let shown = shown.map(|(key, row)| format!("{}={}", text(key), text(&row.value)));
            let shown = shown.collect::<Vec<_>>().join(" ");
            format!("{} rows {shown} ..., at {positions:?}", rows.len())
        }
    }
}

fn fate(fate: Fate, lost: bool) -> &'static str {
    match (fate, lost) {
        (_, true) => "lost",
        (Fate::Committed, false) => "committed",
        (Fate::Open, false) => "of an open transaction",
        (Fate::Aborted, false) => "aborted",
        (Fate::Misplaced, false) => "in a wrong partition",
        (Fate::Keyless, false) => "without a key",
    }
}

fn place(partition: u32, offset: u64) -> String {
    format!("p{partition} {offset}")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whole seconds, as people say them.
pub(super) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}
