//! The files of a copy over a socket and onto a disk, and nothing else: what a restore from a peer cannot beat.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The sidecar's chunks have as many.
const BUFFER_BYTES: usize = 1 << 20;

/// The tables of a generation, which do not change while they are there. What a checkpoint has beside them is small.
pub(super) fn tables(generation: &Path) -> Result<BTreeSet<PathBuf>> {
    let paths = fs::read_dir(generation)?.map(|entry| Ok(entry?.path()));
    let table = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "sst");
    paths.filter(|path| path.as_ref().map_or(true, table)).collect()
}

/// Makes links to the tables. Returns how many bytes they have.
pub(super) fn link_tables(generation: &Path, directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for path in tables(generation)? {
        let link = directory.join(path.file_name().context("a file has a name")?);
        fs::hard_link(&path, &link)?;
        bytes += fs::metadata(&link)?.len();
    }
    Ok(bytes)
}

/// Gives the files of a directory to the first who connects. `listening` is told the port.
pub(super) fn give(directory: &Path, listening: impl FnOnce(u16)) -> Result<()> {
    let files = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let files: Vec<_> = files.collect::<Result<_>>()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listening(listener.local_addr()?.port());
    let (mut socket, _taker) = listener.accept()?;
    let mut buffer = vec![0; BUFFER_BYTES];
    writeln!(socket, "{}", files.len())?;
    for path in files {
        let bytes = fs::metadata(&path)?.len();
        let name = path.file_name().context("a file has a name")?;
        writeln!(socket, "{bytes} {}", name.to_string_lossy())?;
        let mut file = File::open(&path)?.take(bytes);
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            socket.write_all(&buffer[..count])?;
        }
    }
    Ok(())
}

/// Takes the files. Returns the time from connecting until every file is on disk, with its name.
pub(super) fn take(port: u16, directory: &Path) -> Result<Duration> {
    let began = Instant::now();
    let mut socket =
        BufReader::with_capacity(BUFFER_BYTES, TcpStream::connect(("127.0.0.1", port))?);
    let mut count = String::new();
    socket.read_line(&mut count)?;
    let count: usize = count.trim_end().parse()?;
    for _ in 0..count {
        let mut line = String::new();
        socket.read_line(&mut line)?;
        let (bytes, name) = line.trim_end().split_once(' ').context("bytes and a name")?;
        let bytes: u64 = bytes.parse()?;
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, File::create(directory.join(name))?);
        let copied = std::io::copy(&mut (&mut socket).take(bytes), &mut file)?;
        ensure!(copied == bytes, "{copied} of {bytes} bytes of {name} came");
        file.into_inner()?.sync_all()?;
    }
    File::open(directory)?.sync_all()?;
    Ok(began.elapsed())
}
