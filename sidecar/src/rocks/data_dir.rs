//! The data directory: used by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Copies are as secret as what the application writes: nobody but this user reads them.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Holds the directory until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// `flock`ed: the kernel lets go of it with the process, so a crash leaves no stale lock.
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error(
        "data directory {} is in use by process {holder}: stop that process, or choose another directory",
        path.display()
    )]
    InUse { path: PathBuf, holder: String },
    #[error("{} is not a directory: move it away, or choose another data directory", path.display())]
    NotADirectory { path: PathBuf },
    #[error(
        "{} does not exist, and is not made, for it may be a typing error: create it, or give another data directory",
        parent.display()
    )]
    NoParent { parent: PathBuf },
    #[error("this user may not write to data directory {}: change its owner, or choose another", path.display())]
    Forbidden { path: PathBuf },
    #[error("cannot use {} as the data directory", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl DataDir {
    /// Locks the directory, and makes it when it is missing, but nothing above it. An error while another process uses
    /// it.
    pub fn lock(path: &Path) -> Result<DataDir, DataDirError> {
        make(path)?;
        let failed = |source| failed(path, source);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let mut lock = options.open(path.join("LOCK")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        lock.set_len(0).map_err(failed)?;
        writeln!(lock, "{}", std::process::id()).map_err(failed)?;
        Ok(DataDir { path: path.to_owned(), _lock: lock })
    }

    /// Locks the directory, and makes or writes nothing: none when it is missing. An error while another process uses
    /// it.
    pub fn look(path: &Path) -> Result<Option<DataDir>, DataDirError> {
        let failed = |source| failed(path, source);
        if !path.try_exists().map_err(failed)? {
            return Ok(None);
        }
        let mut lock = match File::open(path.join("LOCK")) {
            Ok(lock) => lock,
            // Nobody has used it yet; a handle of the directory itself is as good to hold.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                File::open(path).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(Some(DataDir { path: path.to_owned(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn make(path: &Path) -> Result<(), DataDirError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent
        && let Ok(false) = parent.try_exists()
    {
        return Err(DataDirError::NoParent { parent: parent.to_owned() });
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        // Another process was quicker: the lock decides between the two.
        Err(_) if path.is_dir() => Ok(()),
        made => made.map_err(|source| failed(path, source)),
    }
}

fn in_use(path: &Path, lock: &mut File) -> DataDirError {
    let mut holder = String::new();
    let read = lock.read_to_string(&mut holder);
    let holder = if read.is_ok() && !holder.trim().is_empty() {
        holder.trim().to_owned()
    } else {
        "unknown".to_owned()
    };
    DataDirError::InUse { path: path.to_owned(), holder }
}

fn failed(path: &Path, source: io::Error) -> DataDirError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            DataDirError::NotADirectory { path }
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            DataDirError::Forbidden { path }
        }
        _ => DataDirError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_this_user_reads_what_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let _held = DataDir::lock(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("LOCK"))), (0o700, 0o600));
    }

    #[test]
    fn a_typing_error_in_the_path_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let refused = DataDir::lock(&dir.path().join("typo").join("data")).unwrap_err();
        let missing = dir.path().join("typo");
        assert!(matches!(&refused, DataDirError::NoParent { parent } if *parent == missing));
        assert!(!missing.exists(), "{refused}");
    }

    #[test]
    fn a_directory_in_use_is_refused_and_names_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let held = DataDir::lock(&path).unwrap();
        let refused = DataDir::lock(&path).unwrap_err();
        assert!(
            refused.to_string().contains(&format!("process {}", std::process::id())),
            "{refused}"
        );
        drop(held);
        assert_eq!(DataDir::lock(&path).unwrap().path(), path);
    }

    #[test]
    fn a_look_makes_nothing_and_meets_whoever_uses_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        assert!(DataDir::look(&path).unwrap().is_none() && !path.exists());
        let held = DataDir::lock(&path).unwrap();
        let refused = DataDir::look(&path).unwrap_err();
        assert!(matches!(refused, DataDirError::InUse { .. }), "{refused}");
        drop(held);
        let looking = DataDir::look(&path).unwrap();
        assert!(looking.is_some() && DataDir::look(&path).unwrap().is_some());
        assert!(DataDir::lock(&path).is_err(), "what is looked at does not change");
    }

    #[test]
    fn a_file_where_the_directory_should_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("data");
        fs::write(&file, "mine").unwrap();
        let at_it = DataDir::lock(&file).unwrap_err();
        assert!(matches!(at_it, DataDirError::NotADirectory { .. }), "{at_it}");
        let below_it = DataDir::lock(&file.join("deeper")).unwrap_err();
        assert!(matches!(below_it, DataDirError::NotADirectory { .. }), "{below_it}");
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }
}
