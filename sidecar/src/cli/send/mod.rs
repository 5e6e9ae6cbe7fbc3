//! Many writes through one Write stream, wherever they come from.

mod answers;
mod pace;

use std::time::Instant;

use outrigger_client::{Error as CallError, Pending, Store, Writer};
use tokio::sync::mpsc;

use self::answers::Answers;
use self::pace::Pace;
use super::failure::Failure;
use super::output::Output;
use crate::exit::Exit;
use crate::workload::Change;

/// Writes that are announced and not answered: as many as a writer lets wait, so that its bound is the one that slows
/// the source down.
const ANNOUNCED_MAX: usize = 1 << 15;

/// Where writes come from.
pub(super) trait Source {
    /// How many there are in all, where that is known.
    fn writes(&self) -> Option<u64>;

    /// Returns the next one; none after the last.
    async fn next(&mut self) -> Result<Option<Change>, Failure>;
}

/// Sends all writes of `source`, at most `rate` a second, and tells what became of them.
pub(super) async fn all(
    store: &Store,
    source: &mut impl Source,
    rate: Option<u64>,
) -> Result<Exit, Failure> {
    let (bar, began) = (answers::bar(source.writes()), Instant::now());
    let (announce, announced) = mpsc::channel(ANNOUNCED_MAX);
    let sending = until_end(store, source, Pace::new(rate), announce);
    let (sent, mut answers) = tokio::join!(sending, Answers::collect(announced, bar));
    print_summary(answers.written(), began)?;
    if let Ok(Some(refused)) = &sent {
        answers.take(Err(refused.clone()));
    }
    // A source that fails in the middle does not undo the writes before it: their failure comes first.
    answers.verdict()?;
    sent.map(|_no_refused| Exit::Success)
}

/// Sends until the source ends, or the stream does: then the write that it did not take is returned.
async fn until_end(
    store: &Store,
    source: &mut impl Source,
    mut pace: Pace,
    announce: mpsc::Sender<Pending>,
) -> Result<Option<CallError>, Failure> {
    let writer = store.writer();
    let mut refused = None;
    while let Some(change) = source.next().await? {
        pace.wait().await;
        match send(&writer, change).await {
            Ok(pending) => {
                announce.send(pending).await.expect("answers are taken until all are announced")
            }
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    drop(announce);
    // Each write has an answer of its own; how the stream ended adds nothing to them.
    let _ended = writer.finish().await;
    Ok(refused)
}

async fn send(writer: &Writer, change: Change) -> Result<Pending, CallError> {
    match change.value {
        Some(value) => writer.put(change.key, value).await,
        None => writer.delete(change.key).await,
    }
}

fn print_summary(written: u64, began: Instant) -> Result<(), Failure> {
    let millis =
        u64::try_from(began.elapsed().as_millis()).expect("a run is shorter than 2^64 ms").max(1);
    let rate = written.saturating_mul(1_000) / millis;
    let (seconds, tenths) = (millis / 1_000, millis % 1_000 / 100);
    let mut out = Output::open();
    let line = format!("{written} writes acknowledged in {seconds}.{tenths} s, {rate} a second");
    out.line(&line).and_then(|()| out.flush()).map_err(Failure::Output)
}
