//! A directory made for one run of a command, and removed with it.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub(crate) struct Scratch {
    path: PathBuf,
    keep: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("no directory can be made below {}", below.display())]
pub struct ScratchError {
    below: PathBuf,
    source: io::Error,
}

impl Scratch {
    /// Makes the directory for the command `what`, below the system's place for temporary files, for this user alone.
    pub(crate) fn make(what: &str) -> Result<Scratch, ScratchError> {
        let below = env::temp_dir();
        let id = std::process::id();
        // A killed process of the same id may have left its own.
        let names = (0..).map(|number: u32| below.join(format!("outrigger-{what}-{id}-{number}")));
        for path in names {
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Scratch { path, keep: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(ScratchError { below, source }),
            }
        }
        unreachable!("there are more names than directories")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn keep(&mut self) -> &Path {
        self.keep = true;
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("outrigger: {} could not be removed: {error}", self.path.display());
        }
    }
}
