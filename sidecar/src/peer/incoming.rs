//! The files of a checkpoint on their way to this disk: after a crash at any moment they are resumed where they were.
//!
//! ```text
//! fetching-g<N>/OWNER      whose copy it is                     (rocks::begin_fetch)
//! fetching-g<N>/TRANSFER   which checkpoint of which peer it is (JSON)
//! fetching-g<N>/POSITION   how many bytes, over all files in order, are on disk, and their XXH3
//! fetching-g<N>/...        the files
//! ```
//! All three stay beside the whole copy: after a crash before it is adopted it is found whole, and TRANSFER says from
//! whom it is. No file of a peer has their names (`manifest`). What is resumed is read again and summed: a bit that
//! fell over meanwhile makes it begin anew instead of being believed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use outrigger_proto::limits::CHUNK_BYTES;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::manifest::Manifest;
use super::syncer::{Due, Offered, Syncer};
use crate::rocks::{CheckpointFile, OWNER, files};

const TRANSFER: &str = "TRANSFER";
const POSITION: &str = "POSITION";

const FORMAT: u32 = 1;

/// Bytes that a crash may cost: each save syncs a file, and a directory.
const UNSAVED_BYTES_MAX: u64 = 32 << 20;
const UNSAVED_MAX: Duration = Duration::from_secs(1);
/// Files that are not saved yet: they are open meanwhile.
const UNSAVED_FILES_MAX: usize = 64;

pub(super) struct Incoming {
    directory: PathBuf,
    manifest: Manifest,
    bytes_total: u64,
    /// File and offset of the next byte; all before it are written.
    file: usize,
    offset: u64,
    /// How many bytes come before it, in all files.
    bytes: u64,
    sum: Xxh3,
    /// The file that is written, while it is not complete.
    open: Option<File>,
    /// Files that are complete, and not given to the syncer yet.
    written: Vec<File>,
    syncer: Option<Syncer>,
    /// The syncer failed: nothing more may be called saved.
    failed: bool,
    /// How many bytes were given to the syncer.
    saved_bytes: u64,
    saved_at: Instant,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum IncomingError {
    #[error("cannot {doing} {}: {error}", path.display())]
    Disk { doing: &'static str, path: PathBuf, error: io::Error },
    #[error("the copy needs {needed} bytes on the disk, {free} are free")]
    Full { needed: u64, free: u64 },
    #[error("what came for file {file} at {offset} is damaged: its checksum is another")]
    Damaged { file: usize, offset: u64 },
    #[error(
        "{length} bytes for file {file} at {offset} came where those of file {expected_file} at {expected_offset} are due"
    )]
    OutOfPlace {
        file: usize,
        offset: u64,
        length: usize,
        expected_file: usize,
        expected_offset: u64,
    },
    #[error("it ended after {bytes} of {bytes_total} bytes")]
    Incomplete { bytes: u64, bytes_total: u64 },
}

impl IncomingError {
    /// Whether the fault is this node's: another peer's copy would suffer the same.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            IncomingError::Disk { .. } => true,
            // The next peer's copy may be smaller, or tell the truth.
            IncomingError::Full { .. }
            | IncomingError::Damaged { .. }
            | IncomingError::OutOfPlace { .. }
            | IncomingError::Incomplete { .. } => false,
        }
    }
}

fn disk(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IncomingError {
    move |error| IncomingError::Disk { doing, path: path.to_owned(), error }
}

#[derive(Serialize, Deserialize)]
struct Transfer {
    format: u32,
    peer: String,
    checkpoint: String,
    files: Vec<(String, u64)>,
    delete_retention_ms_min: u64,
}

impl Incoming {
    /// Begins a checkpoint. Nothing of an earlier one stays.
    pub(super) fn begin(directory: &Path, manifest: Manifest) -> Result<Incoming, IncomingError> {
        empty(directory).map_err(disk("empty", directory))?;
        let needed = manifest.bytes();
        let free = files::free_bytes(directory).map_err(disk("look at", directory))?;
        if free < needed {
            return Err(IncomingError::Full { needed, free });
        }
        record(directory, &manifest)?;
        Incoming::at_start(directory, manifest).settled()
    }

    /// The giver told another retention, in milliseconds: the smallest counts, and is written down for the next
    /// process.
    pub(super) fn hear_retention(&mut self, delete_retention_ms: u64) -> Result<(), IncomingError> {
        if delete_retention_ms < self.manifest.delete_retention_ms_min {
            self.manifest.delete_retention_ms_min = delete_retention_ms;
            record(&self.directory, &self.manifest)?;
        }
        Ok(())
    }

    fn at_start(directory: &Path, manifest: Manifest) -> Incoming {
        Incoming {
            directory: directory.to_owned(),
            bytes_total: manifest.bytes(),
            manifest,
            file: 0,
            offset: 0,
            bytes: 0,
            sum: Xxh3::new(),
            open: None,
            written: Vec::new(),
            syncer: None,
            failed: false,
            saved_bytes: 0,
            saved_at: Instant::now(),
        }
    }

    /// What an earlier fetch left; none where it cannot be resumed.
    pub(super) fn resume(directory: &Path, cancel: &CancellationToken) -> Option<Incoming> {
        let manifest = recorded(directory)?;
        let (saved_bytes, saved_sum) = position(directory)?;
        let mut incoming = Incoming::at_start(directory, manifest);
        match incoming.read_again(saved_bytes, cancel) {
            Ok(()) if incoming.sum.digest() == saved_sum => incoming.settled().ok(),
            Ok(()) => {
                tracing::warn!(path = %directory.display(), "damaged since it was fetched: fetched anew");
                None
            }
            Err(_) if cancel.is_cancelled() => None,
            Err(error) => {
                tracing::warn!(path = %directory.display(), %error, "what an earlier fetch left cannot be resumed: fetched anew");
                None
            }
        }
    }

    /// Sums the first `bytes` of what is there, and cuts off what was not saved.
    fn read_again(&mut self, bytes: u64, cancel: &CancellationToken) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        while self.bytes < bytes {
            let Some(file) = self.manifest.files.get(self.file) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let here = file.bytes.min(bytes - self.bytes);
            let mut source = File::open(self.directory.join(&file.name))?.take(here);
            let mut read = 0;
            loop {
                if cancel.is_cancelled() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let length = source.read(&mut buffer)?;
                if length == 0 {
                    break;
                }
                self.sum.update(&buffer[..length]);
                read += u64::try_from(length).expect("lengths fit 64 bits");
            }
            if read < here {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.bytes += here;
            if here < file.bytes {
                let path = self.directory.join(&file.name);
                let open = OpenOptions::new().append(true).open(path)?;
                open.set_len(here)?;
                (self.offset, self.open) = (here, Some(open));
                break;
            }
            self.file += 1;
        }
        (self.saved_bytes, self.saved_at) = (bytes, Instant::now());
        Ok(())
    }

    /// Makes the empty files that are next: no chunk comes for them.
    fn settled(mut self) -> Result<Incoming, IncomingError> {
        self.make_empty_files()?;
        Ok(self)
    }

    fn make_empty_files(&mut self) -> Result<(), IncomingError> {
        while let Some(file) = self.manifest.files.get(self.file).filter(|file| file.bytes == 0) {
            let path = self.directory.join(&file.name);
            File::create(&path).and_then(|file| file.sync_all()).map_err(disk("write", &path))?;
            self.file += 1;
        }
        Ok(())
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// File and offset of the next byte.
    pub(super) fn place(&self) -> (usize, u64) {
        (self.file, self.offset)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Writes a chunk, which must be exactly the next bytes, with their checksum.
    pub(super) fn write(
        &mut self,
        file: usize,
        offset: u64,
        data: &Bytes,
        checksum: u64,
    ) -> Result<(), IncomingError> {
        let due = self.manifest.files.get(self.file).map(|file| file.bytes - self.offset);
        let due = due.unwrap_or(0).min(u64::try_from(CHUNK_BYTES).expect("a MiB fits 64 bits"));
        let length = u64::try_from(data.len()).expect("lengths fit 64 bits");
        if (file, offset) != self.place() || length != due || due == 0 {
            let (expected_file, expected_offset) = self.place();
            let length = data.len();
            return Err(IncomingError::OutOfPlace {
                file,
                offset,
                length,
                expected_file,
                expected_offset,
            });
        }
        if xxh3_64(data) != checksum {
            return Err(IncomingError::Damaged { file, offset });
        }
        self.append(data, length)?;
        let due = self.bytes - self.saved_bytes >= UNSAVED_BYTES_MAX
            || self.saved_at.elapsed() >= UNSAVED_MAX;
        let many = self.written.len() >= UNSAVED_FILES_MAX;
        if due || many { self.save_soon(many) } else { Ok(()) }
    }

    fn append(&mut self, data: &Bytes, length: u64) -> Result<(), IncomingError> {
        let CheckpointFile { name, bytes } = &self.manifest.files[self.file];
        let path = self.directory.join(name);
        let mut open = match self.open.take() {
            Some(open) => open,
            None => File::create(&path).map_err(disk("create", &path))?,
        };
        open.write_all(data).map_err(disk("write", &path))?;
        self.sum.update(data);
        self.bytes += length;
        self.offset += length;
        if self.offset < *bytes {
            self.open = Some(open);
            return Ok(());
        }
        self.written.push(open);
        (self.file, self.offset) = (self.file + 1, 0);
        self.make_empty_files()
    }

    /// Puts everything that came on disk: a crash from now on costs nothing of it.
    pub(super) fn save(&mut self) -> Result<(), IncomingError> {
        self.save_soon(true)?;
        self.end_keeper()
    }

    /// Saves on the syncer's thread. Without `wait` it does not while that has enough to do.
    fn save_soon(&mut self, wait: bool) -> Result<(), IncomingError> {
        let failed = || disk("write", &self.directory);
        if self.failed {
            return Err(failed()(io::Error::other("what came before could not be written")));
        }
        let complete = self.written.len();
        let open = self.open.as_ref().map(File::try_clone).transpose().map_err(failed())?;
        if self.syncer.is_none() {
            let syncer = Syncer::start(&self.directory.join(POSITION)).map_err(failed())?;
            self.syncer = Some(syncer);
        }
        let mut files = mem::take(&mut self.written);
        files.extend(open);
        let due = Due { files, bytes: self.bytes, sum: self.sum.digest() };
        let syncer = self.syncer.as_ref().expect("it was started");
        match syncer.offer(due, wait) {
            Offered::Taken => {
                (self.saved_bytes, self.saved_at) = (self.bytes, Instant::now());
                Ok(())
            }
            Offered::Busy(due) => {
                self.written = due.files;
                self.written.truncate(complete);
                Ok(())
            }
            Offered::Ended => self.end_keeper(),
        }
    }

    fn end_keeper(&mut self) -> Result<(), IncomingError> {
        let ended = self.syncer.take().map_or(Ok(()), Syncer::end);
        self.failed |= ended.is_err();
        ended.map_err(disk("write", &self.directory))
    }

    pub(super) fn is_whole(&self) -> bool {
        self.file == self.manifest.files.len()
    }

    /// An error unless everything is here. It is on disk when this returns.
    pub(super) fn finish(mut self) -> Result<(), IncomingError> {
        if !self.is_whole() {
            let (bytes, bytes_total) = (self.bytes, self.bytes_total);
            return Err(IncomingError::Incomplete { bytes, bytes_total });
        }
        self.save()
    }
}

/// Removes everything but OWNER.
fn empty(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() != OWNER {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn record(directory: &Path, manifest: &Manifest) -> Result<(), IncomingError> {
    let transfer = Transfer {
        format: FORMAT,
        peer: manifest.peer.clone(),
        checkpoint: manifest.checkpoint.clone(),
        files: manifest.files.iter().map(|file| (file.name.clone(), file.bytes)).collect(),
        delete_retention_ms_min: manifest.delete_retention_ms_min,
    };
    let path = directory.join(TRANSFER);
    let text = serde_json::to_vec(&transfer).expect("text and numbers are JSON");
    files::replace(&path, &text).map_err(disk("write", &path))
}

fn recorded(directory: &Path) -> Option<Manifest> {
    let text = files::read(&directory.join(TRANSFER)).ok()??;
    let Transfer { format, peer, checkpoint, files, delete_retention_ms_min } =
        serde_json::from_slice(&text).ok()?;
    (format == FORMAT).then(|| Manifest::kept(peer, checkpoint, files, delete_retention_ms_min))?
}

fn position(directory: &Path) -> Option<(u64, u64)> {
    let text = String::from_utf8(files::read(&directory.join(POSITION)).ok()??).ok()?;
    let (bytes, sum) = text.strip_suffix('\n')?.split_once(' ')?;
    Some((bytes.parse().ok()?, u64::from_str_radix(sum, 16).ok()?))
}

#[cfg(test)]
#[path = "incoming_tests.rs"]
mod tests;
