//! One canary of the shell: which test must fail, and with what words.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use super::super::patch::Patch;

/// `test` names the one that must fail, `fails with` a part of what it then says: a test that fails for another
/// reason has not found the bug. `seen` tells people when the bug was real.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Canary {
    pub(super) patch: Patch,
    pub(super) test: Test,
    pub(super) message: String,
}

/// A test as it is written in a header: `it site::socket::...`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Test {
    pub(super) suite: Suite,
    pub(super) name: String,
}

/// A program of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suite {
    /// The sidecar's own.
    Sidecar,
    /// The client's own.
    Client,
    /// The client against a server that is made up.
    Wire,
    /// Real processes.
    It,
}

impl Suite {
    pub(super) const ALL: [Suite; 4] = [Suite::Sidecar, Suite::Client, Suite::Wire, Suite::It];

    fn name(self) -> &'static str {
        match self {
            Suite::Sidecar => "sidecar",
            Suite::Client => "client",
            Suite::Wire => "wire",
            Suite::It => "it",
        }
    }

    /// How Cargo calls it.
    pub(super) fn target(self) -> &'static [&'static str] {
        match self {
            Suite::Sidecar => &["--package", "outrigger", "--lib"],
            Suite::Client => &["--package", "outrigger-client", "--lib"],
            Suite::Wire => &["--package", "outrigger-client", "--test", "wire"],
            Suite::It => &["--package", "outrigger-tests", "--test", "it"],
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.suite, self.name)
    }
}

impl FromStr for Test {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Test> {
        let (suite, name) = text.split_once(' ').context("`test` is a suite and a test's name")?;
        match Suite::ALL.into_iter().find(|each| each.name() == suite) {
            Some(suite) => Ok(Test { suite, name: name.to_owned() }),
            None => bail!("`{suite}` is no suite: {:?}", Suite::ALL.map(Suite::name)),
        }
    }
}

impl Canary {
    pub(super) fn of(patch: Patch) -> Result<Canary> {
        let [test, message, _] = patch.header(["test", "fails with", "seen"])?;
        Ok(Canary { patch, test: test.parse()?, message })
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
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::super::super::patch;
    use super::*;

    const DIFF: &str = "--- a/x.rs\n+++ b/x.rs\n@@ -1 +1 @@\n-a\n+b\n";

    fn parsed(header: &str) -> Result<Canary> {
        Canary::of(patch::parse("x".to_owned(), PathBuf::new(), &format!("{header}{DIFF}"))?)
    }

    #[test]
    fn a_header_names_bug_test_and_words() {
        let canary =
            parsed("# a bug\n# test: it a::b\n# fails with: c: d\n# seen: once\n").unwrap();
        assert_eq!(canary.title, "a bug");
        assert_eq!(canary.test, Test { suite: Suite::It, name: "a::b".to_owned() });
        assert_eq!(canary.test.to_string(), "it a::b");
        assert_eq!(canary.message, "c: d");
    }

    #[test]
    fn an_incomplete_header_is_refused() {
        for header in [
            "# a bug\n# fails with: c\n# seen: once\n",
            "# a bug\n# test: it a::b\n# seen: once\n",
            "# a bug\n# test: it a::b\n# fails with:\n# seen: once\n",
            "# a bug\n# test: it a::b\n# fails with: c\n",
            "# a bug\n# test: a::b\n# fails with: c\n# seen: once\n",
            "# a bug\n# test: unit a::b\n# fails with: c\n# seen: once\n",
        ] {
            assert!(parsed(header).is_err(), "{header:?}");
        }
    }

    /// Whether the tests pass is seen when they run; that they are there, at once.
    #[test]
    fn every_canary_in_the_tree_names_a_test_and_has_a_row() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let dir = workspace.join("tests/canaries");
        let rows = fs::read_to_string(dir.join("README.md")).unwrap();
        for Canary { patch, test, .. } in patch::load(&dir, &[], Canary::of).unwrap() {
            let row = format!(
                "| [{name}]({name}.patch) | {} | `{test}` |",
                patch.title,
                name = patch.name
            );
            assert!(
                rows.contains(&row),
                "tests/canaries/README.md has no row that begins so: {row}"
            );
            let folder = workspace.join(match test.suite {
                Suite::Sidecar => "sidecar/src",
                Suite::Client => "client/src",
                Suite::Wire => "client/tests/wire",
                Suite::It => "tests/tests/it",
            });
            let function = test.name.rsplit("::").next().unwrap();
            assert!(has(&folder, &format!("fn {function}(")), "{}: no test {test}", patch.name);
        }
    }

    fn has(folder: &Path, text: &str) -> bool {
        fs::read_dir(folder).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                has(&path, text)
            } else {
                fs::read_to_string(path).unwrap().contains(text)
            }
        })
    }
}
