//! Turns the disk's and RocksDB's errors into the seam's, which nothing else does.

use std::io;
use std::path::Path;

use outrigger_core::store::{GenerationState, StoreError, StoreErrorKind};

/// How `strerror` and RocksDB spell "full": RocksDB passes errors on as text.
const FULL: [&str; 4] = [
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
    "Max allowed space was reached",
];

/// How both spell that this process, or this machine, may open no more files.
const OPEN_FILES: &str = "Too many open files";

/// How RocksDB spells that this process has the database open already, for the readers of a store that is gone.
const OPEN_HERE: &str = "lock hold by current process";

const MORE_FILES: &str = ": raise the limit (LimitNOFILE= of systemd, ulimit -Hn; of the machine: fs.file-max): every \
                          file of a copy is open, one for each 64 MiB, and at least one for each partition";

/// `doing` completes "cannot …".
pub(super) fn io(doing: &str, path: &Path, error: &io::Error) -> StoreError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreErrorKind::Full
        }
        _ => StoreErrorKind::Io,
    };
    let advice = match error.kind() {
        _ if of_open_files(&error.to_string()) => MORE_FILES,
        io::ErrorKind::PermissionDenied => ": give this user the right to read and write there",
        io::ErrorKind::ReadOnlyFilesystem => ": mount the file system for writing",
        io::ErrorKind::NotADirectory => {
            ": a file is where a directory should be: move it away, or choose another data directory"
        }
        _ => "",
    };
    StoreError { kind, detail: format!("cannot {doing} {}: {error}{advice}", path.display()) }
}

pub(super) fn rocks(error: &rocksdb::Error) -> StoreError {
    let mut detail = error.to_string();
    if of_open_files(&detail) {
        detail.push_str(MORE_FILES);
    }
    let kind = match error.kind() {
        _ if of_open_files(&detail) => StoreErrorKind::Io,
        _ if detail.contains(OPEN_HERE) => StoreErrorKind::Held,
        _ if FULL.iter().any(|full| detail.contains(full)) => StoreErrorKind::Full,
        rocksdb::ErrorKind::Corruption => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Io,
    };
    StoreError { kind, detail }
}

fn of_open_files(detail: &str) -> bool {
    detail.contains(OPEN_FILES)
}

pub(super) fn refused(detail: String) -> StoreError {
    StoreError { kind: StoreErrorKind::Io, detail }
}

pub(super) fn held(detail: String) -> StoreError {
    StoreError { kind: StoreErrorKind::Held, detail }
}

pub(super) fn full(detail: String) -> StoreError {
    StoreError { kind: StoreErrorKind::Full, detail }
}

pub(super) fn corrupt(detail: String) -> StoreError {
    StoreError { kind: StoreErrorKind::Corrupt, detail }
}

/// What an error while opening a database says of the database. `Err`: it says something of the disk only.
pub(super) fn of_open(error: &rocksdb::Error) -> Result<GenerationState, StoreError> {
    let store_error = rocks(error);
    match error.kind() {
        _ if store_error.kind == StoreErrorKind::Full => Err(store_error),
        // What RocksDB could not do because no more files may be opened says nothing of what is on disk.
        _ if of_open_files(&store_error.detail) => Err(store_error),
        // The files are of a RocksDB newer than ours.
        rocksdb::ErrorKind::NotSupported => Ok(GenerationState::UnknownFormat(store_error.detail)),
        // Its own files name column families or files that are not there.
        rocksdb::ErrorKind::Corruption
        | rocksdb::ErrorKind::InvalidArgument
        | rocksdb::ErrorKind::NotFound => Ok(GenerationState::Corrupt(store_error.detail)),
        rocksdb::ErrorKind::IOError if store_error.detail.contains("No such file or directory") => {
            Ok(GenerationState::Corrupt(store_error.detail))
        }
        _ => Err(store_error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_full_disk_is_full() {
        for number in [libc::ENOSPC, libc::EDQUOT, libc::EFBIG] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(io("write", Path::new("/d"), &error).kind, StoreErrorKind::Full, "{error}");
            let spelled = error.to_string();
            assert!(FULL.iter().any(|full| spelled.contains(full)), "{spelled}");
        }
        let other = io::Error::from_raw_os_error(libc::EIO);
        assert_eq!(io("write", Path::new("/d"), &other).kind, StoreErrorKind::Io);
    }

    #[test]
    fn a_limit_of_open_files_is_named_with_what_raises_it() {
        for number in [libc::EMFILE, libc::ENFILE] {
            let error = io::Error::from_raw_os_error(number);
            let StoreError { kind, detail } = io("open", Path::new("/d"), &error);
            assert!(detail.contains("ulimit -Hn"), "{detail}");
            assert_eq!(kind, StoreErrorKind::Io);
        }
    }

    #[test]
    fn an_error_says_what_to_do() {
        let error = io::Error::from_raw_os_error(libc::EACCES);
        let StoreError { detail, .. } = io("list", Path::new("/d"), &error);
        assert!(
            detail.contains("cannot list /d") && detail.contains("give this user the right"),
            "{detail}"
        );
    }
}
