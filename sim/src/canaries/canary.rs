//! One canary of core, a model or the simulator: who must find it, and within how many seeds.
//!
//! `oracle` names one oracle or alternatives ("O4 or O13"); `seeds` is the bound: seeds 1..=bound must include one
//! that fails; `faults` tells people what it needs.

use std::ops::Deref;

use anyhow::{Context, Result, ensure};

use super::patch::Patch;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Canary {
    pub(super) patch: Patch,
    pub(super) oracles: Vec<String>,
    pub(super) seeds: u64,
}

impl Canary {
    pub(super) fn of(patch: Patch) -> Result<Canary> {
        let [oracles, seeds, _] = patch.header(["oracle", "seeds", "faults"])?;
        let oracles = oracles.split(" or ").map(|id| id.trim().to_owned()).collect();
        let seeds = seeds.parse().context("`seeds` is a number")?;
        ensure!(seeds > 0, "a canary is given at least one seed");
        Ok(Canary { patch, oracles, seeds })
    }

    pub(super) fn expects(&self, oracle: &str) -> bool {
        self.oracles.iter().any(|expected| expected == oracle)
    }
}

impl Deref for Canary {
    type Target = Patch;

    fn deref(&self) -> &Patch {
        &self.patch
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::super::patch;
    use super::*;

    const DIFF: &str = "--- a/sim/x.rs\n+++ b/sim/x.rs\n@@ -1 +1 @@\n-a\n+b\n";

    fn parsed(header: &str) -> Result<Canary> {
        Canary::of(patch::parse("x".to_owned(), PathBuf::new(), &format!("{header}{DIFF}"))?)
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
            "# a bug\n# seeds: 3\n# faults: K12\n",
            "# a bug\n# oracle: O4\n# faults: K12\n",
            "# a bug\n# oracle: O4\n# seeds: 0\n# faults: K12\n",
            "# a bug\n# oracle: O4\n# seeds: 3\n# seeds: 4\n# faults: K12\n",
            "# a bug\n# oracle: O4\n# seeds: 3\n# faults: K12\n# sedes: 4\n",
        ] {
            assert!(parsed(header).is_err(), "{header:?}");
        }
    }

    #[test]
    fn every_canary_in_the_tree_is_well_formed() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("canaries");
        patch::load(&dir, &[], Canary::of).unwrap();
    }
}
