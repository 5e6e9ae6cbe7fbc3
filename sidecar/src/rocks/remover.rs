//! Deletes what is out of sight already, so that no call waits for it: a copy has as many files as it has 64 MiB.
//!
//! It has one thread, from the first removal on. That is left behind when its owner ends, in the middle if need be:
//! what it did not delete has a name that the next start knows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use outrigger_core::store::StoreError;

use super::error::refused;

#[derive(Default)]
pub(super) struct Remover {
    tasks: Option<Sender<Task>>,
}

enum Task {
    Delete(PathBuf),
    /// It is answered when everything before it is deleted.
    Tell(Sender<()>),
}

/// Others may delete the same: another process with the same directory, or a remover before this one.
const TRIES: u32 = 3;

impl Remover {
    pub(super) fn delete(&mut self, path: PathBuf) -> Result<(), StoreError> {
        self.send(Task::Delete(path))
    }

    /// Waits until everything is deleted that was to be: its space is free then.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        if self.tasks.is_some() {
            let (told, answer) = channel();
            self.send(Task::Tell(told))?;
            // No answer comes only when the thread panicked, which was told where it happened.
            let _panicked = answer.recv();
        }
        Ok(())
    }

    fn send(&mut self, task: Task) -> Result<(), StoreError> {
        let tasks = match &self.tasks {
            Some(tasks) => tasks,
            None => {
                let (tasks, queue) = channel();
                let thread = thread::Builder::new().name("remove".to_owned());
                let spawned = thread.spawn(move || run(&queue));
                spawned.map_err(|error| refused(format!("no thread to delete files: {error}")))?;
                self.tasks.insert(tasks)
            }
        };
        // The thread ends only with this value, or by a panic, after which the next start deletes the rest.
        let _panicked = tasks.send(task);
        Ok(())
    }
}

fn run(tasks: &Receiver<Task>) {
    while let Ok(task) = tasks.recv() {
        match task {
            Task::Delete(path) => {
                if let Err(error) = delete(&path) {
                    let path = path.display();
                    tracing::warn!(%path, %error, "its files remain until the next start");
                }
            }
            // It fails only when nobody waits any more.
            Task::Tell(told) => drop(told.send(())),
        }
    }
}

fn delete(path: &Path) -> io::Result<()> {
    let mut last = Ok(());
    for _ in 0..TRIES {
        last = fs::remove_dir_all(path);
        match &last {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !path.exists() {
                    return Ok(());
                }
            }
            Ok(()) | Err(_) => return last,
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_to_be_deleted_is_gone_when_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let mut remover = Remover::default();
        remover.settle().unwrap();
        for name in ["removing-g1", "removing-g2"] {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("file"), "x").unwrap();
            remover.delete(path).unwrap();
        }
        remover.delete(dir.path().join("removing-g3")).unwrap();
        remover.settle().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
