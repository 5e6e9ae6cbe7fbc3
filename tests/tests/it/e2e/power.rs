//! A power cut takes whatever was written and not put on disk. A node that takes a peer's copy tells all that it
//! writes, syncs and renames: at every rename, what then has its name is on disk, and so is what it says of other
//! files.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::synced::{Deed, Event, Told};

use super::peers::SLOW;
use super::{Place, run};

#[test]
fn what_has_its_name_is_on_disk_first_and_so_is_the_name() -> Result<()> {
    run(async {
        let place = Place::new("power", TopicSpec::store())?;
        place.fill()?;
        let giver = place.giver(&SLOW).await?;
        let node = place.taker(&giver)?;
        let told = Told::build(place.dir.path(), node.data().parent().context("it has one")?)?;
        let with = |node: outrigger_tests::node::Node, (name, value): (&str, _)| {
            node.with_env(name, OsStr::new(&value))
        };
        let mut node = told.environment().into_iter().fold(node, with);
        node.start().await?;
        node.until_ready().await?;
        ensure!(node.stop()?.success(), "{}", node.log());

        let mut disk = Disk::default();
        for event in told.events()? {
            disk.see(&event).with_context(|| format!("{event:?}"))?;
        }
        // Everything that names others was met, or this proves nothing.
        for name in ["IDENTITY", "OWNER", "TRANSFER", "POSITION", "CURRENT", "g1"] {
            ensure!(disk.renamed.contains(OsStr::new(name)), "{name}: {:?}", disk.renamed);
        }
        Ok(())
    })
}

/// What is written, and what of it a power cut would leave.
#[derive(Default)]
struct Disk {
    files: BTreeMap<PathBuf, File>,
    /// For each thread the directory of what it renamed last, until that is synced.
    unsynced: BTreeMap<u32, PathBuf>,
    /// Names that something of ours was given.
    renamed: BTreeSet<std::ffi::OsString>,
}

#[derive(Clone, Default)]
struct File {
    bytes: u64,
    on_disk: u64,
    text: String,
}

impl Disk {
    fn see(&mut self, event: &Event) -> Result<()> {
        let Event { thread, path, deed } = event;
        match deed {
            Deed::Wrote { bytes, text } => {
                let file = self.files.entry(path.clone()).or_default();
                // What was on disk may have been overwritten.
                (file.bytes, file.on_disk) = (*bytes, file.on_disk.min(bytes.saturating_sub(1)));
                file.text.clone_from(text);
            }
            Deed::Synced { bytes } => {
                if let Some(file) = self.files.get_mut(path) {
                    file.on_disk = *bytes;
                }
                if self.unsynced.get(thread) == Some(path) {
                    self.unsynced.remove(thread);
                }
            }
            Deed::Renames { to } => {
                self.names_are_on_disk(*thread)?;
                self.renames(*thread, path, to)?;
            }
            Deed::Removes => {
                self.names_are_on_disk(*thread)?;
                self.files.remove(path);
            }
        }
        Ok(())
    }

    fn names_are_on_disk(&self, thread: u32) -> Result<()> {
        let directory = self.unsynced.get(&thread);
        ensure!(directory.is_none(), "{directory:?} has a new name that is not on disk");
        Ok(())
    }

    fn renames(&mut self, thread: u32, from: &Path, to: &Path) -> Result<()> {
        let given_up = to.file_name().is_some_and(|name| is(name, "removing-"));
        let moved: Vec<PathBuf> =
            self.files.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in moved {
            let file = self.files.remove(&path).context("it was there")?;
            let rest = path.strip_prefix(from)?;
            let whole = file.on_disk == file.bytes || given_up || is_log(&path);
            ensure!(whole, "{} is not on disk, of which a name is given", path.display());
            let into = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            self.files.insert(into, file);
        }
        let name = to.file_name().context("a name")?;
        if name == "POSITION" {
            self.position_is_true(to)?;
        }
        // RocksDB keeps its own rules in its own directories.
        let ours = from.extension() == Some(OsStr::new("new")) || from.extension().is_none();
        if ours && !is_log(from) {
            self.renamed.insert(name.to_owned());
            let directory = to.parent().context("a directory")?;
            self.unsynced.insert(thread, directory.to_owned());
        }
        Ok(())
    }

    /// Checks POSITION, which says how many bytes of the files beside it a crash leaves.
    fn position_is_true(&self, position: &Path) -> Result<()> {
        let said = &self.files.get(position).context("it was written")?.text;
        let said: u64 = said.split(' ').next().context("a number")?.parse()?;
        let beside = self.files.iter().filter(|(path, _)| {
            let ours = ["OWNER", "TRANSFER", "POSITION"].map(OsStr::new);
            path.parent() == position.parent()
                && !ours.contains(&path.file_name().unwrap_or_default())
        });
        let on_disk: u64 = beside.map(|(_, file)| file.on_disk).sum();
        ensure!(said <= on_disk, "POSITION says {said} bytes, and {on_disk} are on disk");
        Ok(())
    }
}

/// Whether it is RocksDB's own log, for people.
fn is_log(path: &Path) -> bool {
    path.file_name().is_some_and(|name| is(name, "LOG"))
}

fn is(name: &OsStr, begins: &str) -> bool {
    name.to_string_lossy().starts_with(begins)
}
