//! One canary: a patch file that brings a known bug back, with a header that says who must find it.
//!
//! The header is `# key: value` lines before the diff. The first line is the bug's title; `oracle` names one
//! oracle or alternatives ("O4 or O13"); `seeds` is the bound: seeds 1..=bound must include one that fails.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Canary {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) title: String,
    pub(super) oracles: Vec<String>,
    pub(super) seeds: u64,
    /// What the diff changes, relative to the workspace.
    pub(super) files: Vec<PathBuf>,
}

impl Canary {
    pub(super) fn expects(&self, oracle: &str) -> bool {
        self.oracles.iter().any(|expected| expected == oracle)
    }
}

/// The canaries of a folder by name; `only` (all when empty) picks by name or by what the name starts with.
pub(super) fn load(dir: &Path, only: &[String]) -> Result<Vec<Canary>> {
    let picked = |name: &str| only.is_empty() || only.iter().any(|start| name.starts_with(start));
    let mut canaries = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("no canaries in {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.extension().is_some_and(|extension| extension == "patch") && picked(&name) {
            let text = fs::read_to_string(&path)?;
            let canary = parse(name, path.clone(), &text);
            canaries.push(canary.with_context(|| format!("{}", path.display()))?);
        }
    }
    canaries.sort_by(|a, b| a.name.cmp(&b.name));
    ensure!(!canaries.is_empty(), "no canary in {} is meant by {only:?}", dir.display());
    Ok(canaries)
}

fn parse(name: String, path: PathBuf, text: &str) -> Result<Canary> {
    let mut header = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim);
    let title =
        header.next().context("the first line does not say what it brings back")?.to_owned();
    let (mut oracles, mut seeds) = (Vec::new(), None);
    for line in header {
        let (key, value) = line.split_once(':').context("a header line is `# key: value`")?;
        let value = value.trim();
        match key {
            "oracle" => oracles = value.split(" or ").map(|id| id.trim().to_owned()).collect(),
            "seeds" => seeds = Some(value.parse().context("`seeds` is a number")?),
            "faults" => {}
            other => bail!("`{other}` is no header of a canary"),
        }
    }
    ensure!(!oracles.is_empty(), "no `# oracle:` line");
    let seeds = seeds.context("no `# seeds:` line")?;
    ensure!(seeds > 0, "a canary is given at least one seed");
    let files: Vec<PathBuf> =
        text.lines().filter_map(|line| line.strip_prefix("+++ b/")).map(PathBuf::from).collect();
    ensure!(!files.is_empty(), "no file is changed (`+++ b/...`)");
    Ok(Canary { name, path, title, oracles, seeds, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "--- a/sim/x.rs\n+++ b/sim/x.rs\n@@ -1 +1 @@\n-a\n+b\n";

    fn parsed(header: &str) -> Result<Canary> {
        parse("x".to_owned(), PathBuf::new(), &format!("{header}{DIFF}"))
    }

    #[test]
    fn a_header_names_bug_oracles_and_bound() {
        let canary = parsed("# a bug\n# oracle: O4 or O13\n# seeds: 70\n# faults: K12\n").unwrap();
        assert_eq!(canary.title, "a bug");
        assert_eq!(canary.oracles, ["O4", "O13"]);
        assert_eq!(canary.seeds, 70);
        assert_eq!(canary.files, [Path::new("sim/x.rs")]);
    }

    #[test]
    fn an_incomplete_header_is_refused() {
        for header in [
            "",
            "# a bug\n# seeds: 3\n",
            "# a bug\n# oracle: O4\n",
            "# a bug\n# oracle: O4\n# seeds: 0\n",
            "# a bug\n# oracle: O4\n# seeds: 3\n# sedes: 4\n",
        ] {
            assert!(parsed(header).is_err(), "{header:?}");
        }
    }

    #[test]
    fn every_canary_in_the_tree_is_well_formed() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("canaries");
        for canary in load(&dir, &[]).unwrap() {
            for file in &canary.files {
                let file = dir.join("../..").join(file);
                assert!(file.is_file(), "{}: {} is not there", canary.name, file.display());
            }
        }
    }
}
