//! The demo's writes: through several nodes at once, each answer folded into the reference.

use indicatif::HumanCount;
use outrigger_client::{Error as CallError, Pending, Store, Writer};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::DemoError;
use super::reference::Reference;
use super::report::Report;
use crate::dev::cluster::NodeNumber;
use crate::workload::{Change, Mix, Workload};

/// Writes under way, in tasks of their own. Every one must be acknowledged: nothing here may fail.
pub(super) struct Writes {
    writes: u64,
    /// How many writes may be sent so far; more are allowed once what they must not overtake has happened.
    allowed: watch::Sender<u64>,
    acknowledged: watch::Receiver<u64>,
    task: JoinHandle<Result<Reference, DemoError>>,
}

struct Sent {
    node: NodeNumber,
    change: Change,
    answer: Pending,
}

/// Writes that are sent and not yet folded, at most: as many as two writers keep on their way.
const SENT_MAX: usize = 1 << 15;
/// Acknowledgements between two tellings.
const TELL_EVERY: u64 = 64;
/// One seed for all: equal demos write equal things.
const SEED: u64 = 1;

impl Writes {
    pub(super) fn start(stores: Vec<(NodeNumber, Store)>, mix: Mix) -> Writes {
        let (allowed, allowance) = watch::channel(0);
        let (teller, acknowledged) = watch::channel(0);
        let task = tokio::spawn(async move {
            let (sender, sent) = mpsc::channel(SENT_MAX);
            let sending = send(stores, Workload::new(mix, SEED), allowance, sender);
            let (sending, folded) = tokio::join!(sending, fold(sent, teller));
            let reference = folded?;
            sending.map(|()| reference)
        });
        Writes { writes: mix.writes(), allowed, acknowledged, task }
    }

    /// Lets this many writes be sent, in all.
    pub(super) fn allow(&self, writes: u64) {
        self.allowed.send_replace(writes);
    }

    pub(super) fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Shows how far it is until this many writes are acknowledged; fails when one of them does.
    pub(super) async fn reached(&mut self, writes: u64, report: &Report) -> Result<(), DemoError> {
        let meter = report.meter();
        while self.acknowledged() < writes {
            let (done, of) = (self.acknowledged(), self.writes);
            let text = format!("{} of {} writes acknowledged", HumanCount(done), HumanCount(of));
            meter.show(done, of, &text);
            if self.acknowledged.changed().await.is_err() {
                // They have ended: all are acknowledged, or one failed.
                return if self.acknowledged() < writes {
                    Err(failure(&mut self.task).await)
                } else {
                    Ok(())
                };
            }
        }
        Ok(())
    }

    /// Waits for the rest of the answers.
    pub(super) async fn finish(mut self, report: &Report) -> Result<Reference, DemoError> {
        self.allow(self.writes);
        self.reached(self.writes, report).await?;
        self.task.await.expect("the writes do not panic")
    }
}

async fn failure(task: &mut JoinHandle<Result<Reference, DemoError>>) -> DemoError {
    let outcome = task.await.expect("the writes do not panic");
    outcome.expect_err("writes that stop early have failed")
}

/// Sends the writes through each of the stores in turn.
async fn send(
    stores: Vec<(NodeNumber, Store)>,
    workload: Workload,
    mut allowance: watch::Receiver<u64>,
    sender: mpsc::Sender<Sent>,
) -> Result<(), DemoError> {
    let writers: Vec<(NodeNumber, Writer)> =
        stores.iter().map(|(node, store)| (*node, store.writer())).collect();
    for ((number, change), (node, writer)) in (0..).zip(workload).zip(writers.iter().cycle()) {
        let node = *node;
        if *allowance.borrow() <= number
            && allowance.wait_for(|allowed| *allowed > number).await.is_err()
        {
            // The demo has ended early, which its end explains.
            return Ok(());
        }
        let answer =
            write(writer, &change).await.map_err(|error| DemoError::Call { node, error })?;
        if sender.send(Sent { node, change, answer }).await.is_err() {
            // A write failed, which is told where it was noticed.
            return Ok(());
        }
    }
    Ok(())
}

async fn write(writer: &Writer, change: &Change) -> Result<Pending, CallError> {
    match &change.value {
        Some(value) => writer.put(&change.key, value).await,
        None => writer.delete(&change.key).await,
    }
}

async fn fold(
    mut sent: mpsc::Receiver<Sent>,
    teller: watch::Sender<u64>,
) -> Result<Reference, DemoError> {
    let mut reference = Reference::default();
    while let Some(Sent { node, change, answer }) = sent.recv().await {
        let revision = answer.await.map_err(|error| DemoError::Call { node, error })?;
        reference.acknowledge(change, revision);
        // When nothing follows, nobody would tell the last ones.
        if reference.writes() % TELL_EVERY == 0 || sent.is_empty() {
            teller.send_replace(reference.writes());
        }
    }
    Ok(reference)
}
