//! A patch file that brings a known bug back: `# key: value` lines before the diff, of which the first is the bug's title.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patch {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) title: String,
    /// What the header says below the title.
    header: Vec<(String, String)>,
    /// What the diff changes, relative to the workspace.
    pub(super) files: Vec<PathBuf>,
}

impl Patch {
    /// The header's values, which are for each of `keys`, and for no other.
    pub(super) fn header<const N: usize>(&self, keys: [&str; N]) -> Result<[String; N]> {
        for (key, _) in &self.header {
            ensure!(keys.contains(&key.as_str()), "`{key}` is no header of a canary");
        }
        let value = |key| {
            let found = self.header.iter().find(|(each, value)| each == key && !value.is_empty());
            found.map(|(_, value)| value.clone()).with_context(|| format!("no `# {key}:` line"))
        };
        let values = keys.into_iter().map(value).collect::<Result<Vec<String>>>()?;
        Ok(values.try_into().expect("there is a value for each key"))
    }
}

/// The patches of a folder by name; `only` (all when empty) picks by name or by what the name starts with.
pub(super) fn load<C>(
    dir: &Path,
    only: &[String],
    canary: impl Fn(Patch) -> Result<C>,
) -> Result<Vec<C>> {
    let picked = |name: &str| only.is_empty() || only.iter().any(|start| name.starts_with(start));
    let mut patches = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("no canaries in {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.extension().is_some_and(|extension| extension == "patch") && picked(&name) {
            let text = fs::read_to_string(&path)?;
            let patch = parse(name, path.clone(), &text);
            patches.push(patch.with_context(|| format!("{}", path.display()))?);
        }
    }
    patches.sort_by(|a, b| a.name.cmp(&b.name));
    ensure!(!patches.is_empty(), "no canary in {} is meant by {only:?}", dir.display());
    let canaries = patches.into_iter().map(|patch| {
        let path = patch.path.display().to_string();
        canary(patch).with_context(|| path)
    });
    canaries.collect()
}

pub(super) fn parse(name: String, path: PathBuf, text: &str) -> Result<Patch> {
    let mut lines = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim);
    let title = lines.next().context("the first line does not say what it brings back")?.to_owned();
    let mut header: Vec<(String, String)> = Vec::new();
    for line in lines {
        let (key, value) = line.split_once(':').context("a header line is `# key: value`")?;
        if header.iter().any(|(known, _)| known == key) {
            bail!("`{key}` is said twice");
        }
        header.push((key.to_owned(), value.trim().to_owned()));
    }
    let files: Vec<PathBuf> =
        text.lines().filter_map(|line| line.strip_prefix("+++ b/")).map(PathBuf::from).collect();
    ensure!(!files.is_empty(), "no file is changed (`+++ b/...`)");
    Ok(Patch { name, path, title, header, files })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A whole run takes hours: that a change leaves a patch behind must be seen before.
    #[test]
    fn every_canary_in_the_tree_applies() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for dir in ["sim/canaries", "tests/canaries"] {
            for patch in load(&workspace.join(dir), &[], Ok).unwrap() {
                let path = fs::canonicalize(&patch.path).unwrap();
                let check = Command::new("git")
                    .args(["apply", "--check"])
                    .arg(path)
                    .current_dir(&workspace)
                    .output()
                    .unwrap();
                let why = String::from_utf8_lossy(&check.stderr);
                assert!(check.status.success(), "{dir}/{}.patch: {why}", patch.name);
                for file in &patch.files {
                    let file = workspace.join(file);
                    assert!(file.is_file(), "{}: {} is not there", patch.name, file.display());
                }
            }
        }
    }
}
