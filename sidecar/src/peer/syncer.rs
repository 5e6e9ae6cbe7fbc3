//! Puts on disk what came of a copy, on a thread of its own while more comes, and writes down how much that is.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SendError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::rocks::files;

/// What was written, and perhaps is not on disk yet.
pub(super) struct Due {
    /// All files that were written to since the last one.
    pub(super) files: Vec<File>,
    /// How many bytes of the copy there are, over all files in order.
    pub(super) bytes: u64,
    /// XXH3 of these bytes.
    pub(super) sum: u64,
}

/// When it is dropped, it ends after what it was given is done.
pub(super) struct Syncer {
    /// None once it is to end.
    due: Option<SyncSender<Due>>,
    /// None once it was waited for.
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// What becomes of something that is offered.
pub(super) enum Offered {
    Taken,
    /// It has enough to do.
    Busy(Due),
    /// It failed: `end` says why.
    Ended,
}

impl Syncer {
    /// Starts the thread, which replaces the file `position` each time.
    pub(super) fn start(position: &Path) -> io::Result<Syncer> {
        let (due, queue) = sync_channel(1);
        let position = position.to_owned();
        let keeping = move || keep(&position, &queue);
        let thread = std::thread::Builder::new().name("peer-syncer".to_owned()).spawn(keeping)?;
        Ok(Syncer { due: Some(due), thread: Some(thread) })
    }

    /// Offers what is due. With `wait` it is never busy: the disk is waited for instead.
    pub(super) fn offer(&self, due: Due, wait: bool) -> Offered {
        let Some(sender) = &self.due else { return Offered::Ended };
        let sent = if wait {
            sender.send(due).map_err(|SendError(due)| TrySendError::Disconnected(due))
        } else {
            sender.try_send(due)
        };
        match sent {
            Ok(()) => Offered::Taken,
            Err(TrySendError::Full(due)) => Offered::Busy(due),
            Err(TrySendError::Disconnected(_)) => Offered::Ended,
        }
    }

    /// Ends it. Everything that it was given is on disk, or this returns why not.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        drop(self.due.take());
        match self.thread.take() {
            Some(thread) => thread.join().expect("writing to the disk does not panic"),
            None => Ok(()),
        }
    }
}

/// Waits for the thread, so that nobody else writes to the directory afterwards.
impl Drop for Syncer {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::warn!(%error, "what came of a copy cannot be put on disk");
        }
    }
}

/// Saves until nothing more is given, or something fails.
fn keep(position: &Path, queue: &Receiver<Due>) -> io::Result<()> {
    for Due { files, bytes, sum } in queue {
        files.iter().try_for_each(File::sync_all)?;
        files::replace(position, format!("{bytes} {sum:016x}\n").as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(bytes: u64) -> Due {
        Due { files: Vec::new(), bytes, sum: 0 }
    }

    #[test]
    fn the_last_position_that_was_given_is_on_disk_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let position = directory.path().join("POSITION");
        let syncer = Syncer::start(&position).unwrap();
        assert!((1..=9).all(|bytes| matches!(syncer.offer(due(bytes), true), Offered::Taken)));
        syncer.end().unwrap();
        assert_eq!(std::fs::read_to_string(&position).unwrap(), "9 0000000000000000\n");
    }

    #[test]
    fn a_disk_that_fails_is_told_and_nothing_is_said_to_be_kept() {
        let directory = tempfile::tempdir().unwrap();
        let syncer = Syncer::start(&directory.path().join("missing/POSITION")).unwrap();
        while let Offered::Taken = syncer.offer(due(1), true) {}
        assert!(matches!(syncer.offer(due(2), false), Offered::Ended));
        assert_eq!(syncer.end().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
