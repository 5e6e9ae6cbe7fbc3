//! A copy of the crates that a canary may change, outside of the checkout, with a target folder of its own.
//!
//! Copies are brought up to date file by file, so that a build is incremental, and an interrupted run leaves
//! nothing that the next one does not repair. Nothing here writes to the checkout.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::patch::Patch;

/// What of the workspace is copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Folders and files.
    pub(super) paths: &'static [&'static str],
    /// The crates among them, as a workspace's manifest lists its members.
    pub(super) members: &'static str,
}

#[derive(Debug)]
pub(super) struct Scratch {
    /// The patched workspace.
    checkout: PathBuf,
    target: PathBuf,
    /// Where runs are started: what they write stays here.
    runs: PathBuf,
}

impl Scratch {
    /// A copy of this part of `workspace` in `dir`, brought up to date.
    pub(super) fn of(workspace: &Path, dir: &Path, part: Part) -> Result<Scratch> {
        let scratch = Scratch {
            checkout: dir.join("checkout"),
            target: dir.join("target"),
            runs: dir.join("runs"),
        };
        fs::create_dir_all(&scratch.checkout)?;
        scratch.write_manifest(workspace, part.members)?;
        scratch.write_lockfile(workspace)?;
        for path in part.paths {
            copy_changed(&workspace.join(path), &scratch.checkout.join(path))?;
        }
        Ok(scratch)
    }

    /// Writes the workspace's manifest without the members that are not there.
    fn write_manifest(&self, workspace: &Path, members: &str) -> Result<()> {
        let manifest = fs::read_to_string(workspace.join("Cargo.toml"))?;
        let reduced: Vec<String> = manifest
            .lines()
            .filter(|line| !line.starts_with("default-members"))
            .map(|line| {
                if line.starts_with("members = ") {
                    format!("members = {members}")
                } else {
                    line.to_owned()
                }
            })
            .collect();
        ensure!(
            reduced.iter().any(|line| line.ends_with(members)),
            "the workspace's manifest has no line that begins with `members = `"
        );
        write_changed(&self.checkout.join("Cargo.toml"), (reduced.join("\n") + "\n").as_bytes())
    }

    /// Cargo takes out of the copy what the missing members needed: only a new original replaces it.
    fn write_lockfile(&self, workspace: &Path) -> Result<()> {
        let original = fs::read(workspace.join("Cargo.lock"))?;
        let (copied, lockfile) =
            (self.checkout.join("Cargo.lock.original"), self.checkout.join("Cargo.lock"));
        if fs::read(&copied).ok().as_ref() != Some(&original) || !lockfile.exists() {
            fs::write(lockfile, &original)?;
            fs::write(copied, &original)?;
        }
        Ok(())
    }

    /// Puts the bug in. An error names the file and the hunk that does not fit any more.
    pub(super) fn apply(&self, patch: &Patch) -> Result<Applied> {
        let before = patch.files.iter().map(|file| {
            let path = self.checkout.join(file);
            let text = fs::read(&path);
            text.map(|text| (path, text)).with_context(|| format!("no {}", file.display()))
        });
        let applied = Applied { before: before.collect::<Result<_>>()? };
        let patch = fs::canonicalize(&patch.path)?;
        let output = Command::new("git")
            .args(["apply", "--whitespace=nowarn"])
            .arg(patch)
            .current_dir(&self.checkout)
            // Inside somebody's repository git would skip, without a word, what lies outside of its tree.
            .env("GIT_CEILING_DIRECTORIES", self.checkout.parent().unwrap_or(&self.checkout))
            .output()
            .context("git cannot be started")?;
        if !output.status.success() {
            bail!("does not apply any more:\n{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        for (path, before) in &applied.before {
            ensure!(fs::read(path)? != *before, "{} was not changed by it", path.display());
        }
        Ok(applied)
    }

    /// Calls Cargo on the checkout as it is now, with a target folder that nobody else uses.
    pub(super) fn cargo(&self) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.checkout).env("CARGO_TARGET_DIR", &self.target);
        // A canary changes a line or two.
        cargo.env("CARGO_INCREMENTAL", "1");
        cargo
    }

    /// Builds the checkout. An error has what the compiler says.
    pub(super) fn build(&self, args: &[&str]) -> Result<()> {
        let output = self.cargo().args(args).output().context("cargo cannot be started")?;
        if !output.status.success() {
            bail!("does not build:\n{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    pub(super) fn program(&self) -> PathBuf {
        self.target.join("debug/outrigger-sim")
    }

    /// An empty folder for one run.
    pub(super) fn run_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.runs.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// The bug is in the copy as long as this lives.
#[derive(Debug)]
pub(super) struct Applied {
    before: Vec<(PathBuf, Vec<u8>)>,
}

impl Drop for Applied {
    fn drop(&mut self) {
        for (path, text) in &self.before {
            if let Err(error) = fs::write(path, text) {
                // The next run's copying repairs it.
                eprintln!("{} was not restored: {error}", path.display());
            }
        }
    }
}

/// Makes `to` equal to `from`, a folder or a file, writing only what differs: an unchanged file keeps its time.
fn copy_changed(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        let text = fs::read(from).with_context(|| format!("no {}", from.display()))?;
        return write_changed(to, &text);
    }
    fs::create_dir_all(to)?;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        copy_changed(&entry.path(), &to.join(&name))?;
        names.insert(name);
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !names.contains(&entry.file_name()) {
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?
            } else {
                fs::remove_file(entry.path())?
            }
        }
    }
    Ok(())
}

fn write_changed(path: &Path, text: &[u8]) -> Result<()> {
    if fs::read(path).ok().as_deref() != Some(text) {
        fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}
