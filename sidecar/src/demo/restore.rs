//! Waiting for a node, and showing how its restore goes.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::HumanCount;
use outrigger_client::{Store, StoreStatus};
use outrigger_core::node::Status;
use outrigger_core::phase::Phase;
use tokio::time::timeout;

use super::DemoError;
use super::report::Report;
use crate::dev::cluster::NodeNumber;
use crate::dev::node::Node;

/// How long a node may take, far above what it takes: a demo that hangs must say so.
const READY_WITHIN: Duration = Duration::from_secs(120);

const INFALLIBLE: &str = "a String takes every text";

/// The interval of shown states, the shortest that a node grants.
const SHOW_INTERVAL: Duration = Duration::from_millis(100);

/// Returns the state in which the node became READY, told by the node itself: to the millisecond.
pub(super) async fn until_ready(number: NodeNumber, node: &Node) -> Result<Status, DemoError> {
    until(number, node, |status| status.phase == Phase::Ready).await
}

pub(super) async fn until_position(
    number: NodeNumber,
    node: &Node,
    position: u64,
) -> Result<Status, DemoError> {
    let there = |status: &Status| status.partitions.iter().all(|each| each.applied.0 >= position);
    until(number, node, move |status| status.phase == Phase::Ready && there(status)).await
}

async fn until(
    number: NodeNumber,
    node: &Node,
    reached: impl Fn(&Status) -> bool,
) -> Result<Status, DemoError> {
    let store = node.handle().expect("only running nodes are waited for");
    let mut changes = store.status_changes();
    let waited = timeout(READY_WITHIN, changes.wait_for(|status| reached(status))).await;
    match waited {
        Ok(Ok(status)) => Ok(Status::clone(&status)),
        Ok(Err(_)) | Err(_) => Err(DemoError::NotReady {
            node: number,
            within: READY_WITHIN,
            state: store.status().phase.to_string(),
        }),
    }
}

pub(super) fn position(status: &Status) -> u64 {
    status.partitions.iter().map(|partition| partition.applied.0).sum()
}

/// Shows the restore as any client sees it, over gRPC. Ends only when that fails.
pub(super) async fn show(node: NodeNumber, store: &Store, report: &Report) -> DemoError {
    let failed = |error| DemoError::Call { node, error };
    let mut changes = match store.watch_status(SHOW_INTERVAL).await {
        Ok(changes) => changes,
        Err(error) => return failed(error),
    };
    let meter = report.meter();
    loop {
        match changes.next().await {
            Some(Ok(status)) => meter.show(read(&status), goal(&status), &text(&status)),
            Some(Err(error)) => return failed(error),
            // The node has ended in order, which whoever waits for it notices.
            None => std::future::pending().await,
        }
    }
}

fn read(status: &StoreStatus) -> u64 {
    status.partitions.iter().map(|partition| partition.position).sum()
}

fn goal(status: &StoreStatus) -> u64 {
    status.partitions.iter().map(|partition| partition.target).sum()
}

fn text(status: &StoreStatus) -> String {
    let mut text = status.phase().as_str_name().trim_start_matches("PHASE_").to_owned();
    if let Some(progress) = &status.restore {
        let (records, rate) =
            (HumanCount(progress.records_read), HumanCount(progress.records_per_second));
        write!(text, "  {records} records, {rate} a second").expect(INFALLIBLE);
        if let Some(seconds) = progress.eta_seconds {
            write!(text, ", {seconds} s to go").expect(INFALLIBLE);
        }
    }
    text
}
