//! Small files and directories that survive a power cut, or were never there.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Gives a file these contents. After a crash it has them, or those it had before: a reader never sees half of them.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let dir = path.parent().expect("every file of ours is in a directory");
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    sync_dir(dir)
}

pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_dir(to.parent().expect("every entry of ours is in a directory"))
}

/// Makes the names in a directory durable: a file's name is durable only with its directory.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes a directory of files durable, each of them and their names.
pub(super) fn sync_all(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        File::open(entry?.path())?.sync_all()?;
    }
    sync_dir(dir)
}

/// The whole file; none when there is no such file.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bytes of all files below a directory; one with several names counts once. What is removed meanwhile has none.
pub(crate) fn size(dir: &Path) -> io::Result<u64> {
    size_beside(dir, &mut BTreeSet::new())
}

/// `seen`: files with several names that were counted, all of one file system.
fn size_beside(dir: &Path, seen: &mut BTreeSet<u64>) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let size = entry.metadata().and_then(|metadata| {
            if metadata.is_dir() {
                size_beside(&entry.path(), seen)
            } else if metadata.nlink() > 1 && !seen.insert(metadata.ino()) {
                Ok(0)
            } else {
                Ok(metadata.len())
            }
        });
        bytes += match size {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            size => size?,
        };
    }
    Ok(bytes)
}

/// How many files there are below a directory, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    files: u64,
    bytes: u64,
}

/// Counts the files below a directory, each as often as it has names there. What is removed meanwhile is none.
pub(super) fn tally(dir: &Path) -> io::Result<Tally> {
    let mut all = Tally::default();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let tallied = entry.metadata().and_then(|metadata| match metadata.is_dir() {
            true => tally(&entry.path()),
            false => Ok(Tally { files: 1, bytes: metadata.len() }),
        });
        let Tally { files, bytes } = match tallied {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Tally::default(),
            tallied => tallied?,
        };
        all = Tally { files: all.files + files, bytes: all.bytes + bytes };
    }
    Ok(all)
}

/// The room of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What an unprivileged user may still write.
    pub free: u64,
    pub size: u64,
}

/// Bytes that an unprivileged user may still write.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    Ok(room(path)?.free)
}

/// The room of the file system that this is in.
pub fn room(path: &Path) -> io::Result<Room> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statvfs is plain numbers, for which zero is a value.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a C string and the struct is writable; both outlive the call.
    match unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) } {
        0 => Ok(Room {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            size: stat.f_blocks.saturating_mul(stat.f_frsize),
        }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_takes_its_bytes_once() {
        let dir = tempfile::tempdir().unwrap();
        let [below, file] = ["given", "file"].map(|name| dir.path().join(name));
        fs::create_dir(&below).unwrap();
        fs::write(&file, [0; 100]).unwrap();
        fs::write(below.join("own"), [0; 7]).unwrap();
        fs::hard_link(&file, below.join("file")).unwrap();
        assert_eq!(size(dir.path()).unwrap(), 107);
        assert_eq!(size(&below).unwrap(), 107, "elsewhere it is not counted");
    }

    #[test]
    fn a_file_system_tells_its_free_space() {
        let dir = tempfile::tempdir().unwrap();
        let room = room(dir.path()).unwrap();
        assert!(room.free > 0 && room.free <= room.size, "{room:?}");
        assert!(free_bytes(&dir.path().join("missing")).is_err());
    }
}
