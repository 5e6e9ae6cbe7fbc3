//! `lost-g<N>.jsonl`: what the log lost of what the generation N has. It is written once the copy after that is in use.
//!
//! It has a line for each key for which `outrigger_core::lost` finds a loss, in key order:
//! ```json
//! {"loss":"certain","partition":0,"key":"user/17","old":{"offset":120,"value":"blue"},"new":{"offset":7}}
//! ```
//! `loss` is `certain` or `possible`; `old` is null where the generation set aside has no such key (a lost delete),
//! `new` is null where the copy in use has none. Keys and values are in the form of `outrigger scan`
//! (`crate::escape`). The file appears complete, by a rename; an interrupted one is begun again.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrigger_core::lost::{Loss, Parting, Record};
use outrigger_core::offset::Generation;
use outrigger_core::store::{StoreError, View};
use serde::Serialize;

use super::directory::StoreDirectory;
use super::error::{corrupt, io as failed};
use super::files;
use super::generation::{self, Opening};
use super::options::Shared;
use super::view::{Head, RocksView, Rows};
use crate::escape::escape;

/// Keys that are compared between two looks at whether somebody wants it to end.
const KEYS_PER_LOOK: usize = 1_024;

/// A file that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostFile {
    pub generation: Generation,
    pub path: PathBuf,
}

/// Keys of which the log lost something, certainly or possibly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostRows {
    pub certain: u64,
    pub possible: u64,
}

impl LostFile {
    /// How many lines it has: one for each key of which the log lost something.
    pub fn rows(&self) -> io::Result<u64> {
        let mut file = BufReader::new(File::open(&self.path)?);
        let mut rows = 0;
        while file.skip_until(b'\n')? > 0 {
            rows += 1;
        }
        Ok(rows)
    }
}

/// Where the file of a generation is, or will be.
pub fn lost_file(data: &Path, store: &str, generation: Generation) -> PathBuf {
    StoreDirectory::new(data, store).lost(generation)
}

/// All complete files, also those of generations that were dropped. A node may use the directory meanwhile.
pub fn lost_files(data: &Path, store: &str) -> Result<Vec<LostFile>, StoreError> {
    let directory = StoreDirectory::new(data, store);
    if !directory.exists()? {
        return Ok(Vec::new());
    }
    let file = |generation| LostFile { generation, path: directory.lost(generation) };
    Ok(directory.list()?.lost.into_iter().map(file).collect())
}

/// Generations that were set aside because the log lost what they have, and of which there is no file yet.
pub fn unreported(data: &Path, store: &str) -> Result<Vec<Generation>, StoreError> {
    let directory = StoreDirectory::new(data, store);
    if !directory.exists()? {
        return Ok(Vec::new());
    }
    let reported = directory.list()?.lost;
    let aside = directory.set_aside()?.into_iter();
    let lacks = aside.filter(|aside| aside.has_lost && !reported.contains(&aside.generation));
    Ok(lacks.map(|aside| aside.generation).collect())
}

/// Compares a generation that was set aside with `current`, a copy that is READY, and writes the file. None when `ended`
/// said so: then there is no file. In memory are only the rows of one key of each.
pub fn write_lost(
    data: &Path,
    store: &str,
    generation: Generation,
    current: &RocksView,
    shared: &Shared,
    ended: &dyn Fn() -> bool,
) -> Result<Option<LostRows>, StoreError> {
    let directory = StoreDirectory::new(data, store);
    let aside = directory.quarantined(generation);
    check_space(&directory, &aside)?;
    let old = match generation::open_read_only(&aside, current.partitions(), shared)? {
        Opening::Open(open, _, _) => RocksView::new(Arc::new(open)),
        Opening::Unusable(state) => {
            return Err(corrupt(format!("{} cannot be compared: {state:?}", aside.display())));
        }
    };
    let path = directory.lost(generation);
    let written = written(&path, &old, current, ended);
    if !matches!(written, Ok(Some(_))) {
        // What is left of it would be begun again in any case.
        fs::remove_file(temporary(&path)).ok();
    }
    written
}

/// The file is text and not compressed; it may become as large as what it is about.
fn check_space(directory: &StoreDirectory, aside: &Path) -> Result<(), StoreError> {
    let bytes = files::size(aside).map_err(|error| failed("look at", aside, &error))?;
    directory.check_free(bytes, "a file of what the log lost")
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn written(
    path: &Path,
    old: &RocksView,
    new: &RocksView,
    ended: &dyn Fn() -> bool,
) -> Result<Option<LostRows>, StoreError> {
    let temporary = temporary(path);
    let failed = |error: io::Error| failed("write", &temporary, &error);
    let mut file = BufWriter::new(File::create(&temporary).map_err(failed)?);
    let Some(rows) = compare(old, new, ended, |line| write_line(&mut file, line).map_err(failed))?
    else {
        return Ok(None);
    };
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().and_then(|()| files::rename(&temporary, path)).map_err(failed)?;
    Ok(Some(rows))
}

fn write_line(file: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    loss: &'static str,
    partition: u32,
    key: String,
    old: Option<Old>,
    new: Option<New>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Old {
    offset: u64,
    value: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct New {
    offset: u64,
}

/// Merges the rows of both, which have the same partitions.
fn compare(
    old: &RocksView,
    new: &RocksView,
    ended: &dyn Fn() -> bool,
    mut tell: impl FnMut(&Line) -> Result<(), StoreError>,
) -> Result<Option<LostRows>, StoreError> {
    let (before, after) = (old.lineages()?, new.lineages()?);
    let partings: Vec<Parting> =
        before.iter().zip(&after).map(|(old, new)| Parting::of(old, new)).collect();
    let (mut olds, mut news) = (old.rows()?, new.rows()?);
    let mut lost = LostRows::default();
    for keys in 0_usize.. {
        if keys.is_multiple_of(KEYS_PER_LOOK) && ended() {
            return Ok(None);
        }
        let (old, new) = heads(&olds, &news)?;
        let Some((_, revision, _)) = old.or(new) else { break };
        if let Some(loss) = partings[revision.partition.index()].judge(record(old), record(new)) {
            match loss {
                Loss::Certain => lost.certain += 1,
                Loss::Possible => lost.possible += 1,
            }
            tell(&line(loss, old, new))?;
        }
        let (was_old, was_new) = (old.is_some(), new.is_some());
        if was_old {
            olds.advance()?;
        }
        if was_new {
            news.advance()?;
        }
    }
    Ok(Some(lost))
}

/// The rows of the lowest key that is left; none at the end of both.
fn heads<'a>(
    olds: &'a Rows<'_>,
    news: &'a Rows<'_>,
) -> Result<(Option<Head<'a>>, Option<Head<'a>>), StoreError> {
    let (old, new) = (olds.head()?, news.head()?);
    let order = match (&old, &new) {
        (None, None) => Ordering::Equal,
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some((old, ..)), Some((new, ..))) => old.cmp(new),
    };
    Ok((old.filter(|_| order.is_le()), new.filter(|_| order.is_ge())))
}

fn record(head: Option<Head<'_>>) -> Option<Record<'_>> {
    head.map(|(_, revision, value)| Record { offset: revision.offset, value })
}

fn line(loss: Loss, old: Option<Head<'_>>, new: Option<Head<'_>>) -> Line {
    let (key, revision, _) = old.or(new).expect("a loss is of a key that one of them has");
    Line {
        loss: match loss {
            Loss::Certain => "certain",
            Loss::Possible => "possible",
        },
        partition: revision.partition.0,
        key: escape(key),
        old: old
            .map(|(_, revision, value)| Old { offset: revision.offset.0, value: escape(value) }),
        new: new.map(|(_, revision, _)| New { offset: revision.offset.0 }),
    }
}

#[cfg(test)]
mod tests;
