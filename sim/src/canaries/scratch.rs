//! A copy of the crates that a canary may change, outside of the checkout, with a target folder of its own.
//!
//! Copies are brought up to date file by file, so that a build is incremental, and an interrupted run leaves
//! nothing that the next one does not repair. Nothing here writes to the checkout.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::canary::Canary;

/// Folders of the workspace that the simulator is built from.
const CRATES: [&str; 2] = ["sidecar/core", "sim"];
const MEMBERS: &str = r#"["sidecar/core", "sim/model", "sim"]"#;

#[derive(Debug)]
pub(super) struct Scratch {
    /// The patched workspace.
    checkout: PathBuf,
    target: PathBuf,
    /// Where runs are started: what they write stays here.
    runs: PathBuf,
}

impl Scratch {
    /// A copy of `workspace` in `dir`, brought up to date.
    pub(super) fn of(workspace: &Path, dir: &Path) -> Result<Scratch> {
        let scratch = Scratch {
            checkout: dir.join("checkout"),
            target: dir.join("target"),
            runs: dir.join("runs"),
        };
        fs::create_dir_all(&scratch.checkout)?;
        scratch.write_manifest(workspace)?;
        scratch.write_lockfile(workspace)?;
        for folder in CRATES {
            copy_changed(&workspace.join(folder), &scratch.checkout.join(folder))?;
        }
        Ok(scratch)
    }

    /// The workspace's manifest without the members that are not there.
    fn write_manifest(&self, workspace: &Path) -> Result<()> {
        let manifest = fs::read_to_string(workspace.join("Cargo.toml"))?;
        let reduced: Vec<String> = manifest
            .lines()
            .filter(|line| !line.starts_with("default-members"))
            .map(|line| match line.starts_with("members = ") {
                true => format!("members = {MEMBERS}"),
                false => line.to_owned(),
            })
            .collect();
        ensure!(
            reduced.iter().any(|line| line.ends_with(MEMBERS)),
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
    pub(super) fn apply(&self, canary: &Canary) -> Result<Applied> {
        let before = canary.files.iter().map(|file| {
            let path = self.checkout.join(file);
            let text = fs::read(&path);
            text.map(|text| (path, text)).with_context(|| format!("no {}", file.display()))
        });
        let applied = Applied { before: before.collect::<Result<_>>()? };
        let patch = fs::canonicalize(&canary.path)?;
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

    /// Builds the simulator as the checkout is now.
    pub(super) fn build(&self) -> Result<()> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--offline", "--quiet", "--package", "outrigger-sim", "--bins"])
            .current_dir(&self.checkout)
            .env("CARGO_TARGET_DIR", &self.target)
            .output()
            .context("cargo cannot be started")?;
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

/// Makes `to` equal to `from`, writing only what differs: an unchanged file keeps its time.
fn copy_changed(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(from).with_context(|| format!("no {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let (source, copy) = (entry.path(), to.join(&name));
        match entry.file_type()?.is_dir() {
            true => copy_changed(&source, &copy)?,
            false => write_changed(&copy, &fs::read(&source)?)?,
        }
        names.insert(name);
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !names.contains(&entry.file_name()) {
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
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
