//! cargo-mutants and cargo: how they are started, and what they leave.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context, Result, bail, ensure};

use super::judge::{Judge, Verdict};

const CONFIG: &str = ".cargo/mutants.toml";

/// The list of mutants that are proven to change nothing.
const PROVEN: &str = "exclude_re";

/// Seeds of a mutant may never end; on their own all tests take three seconds.
const TIMEOUT_S: &str = "40";

/// Some mutants allocate without end. Where the system knows no such limit there is none.
const LIMITED: &str = "ulimit -v 8388608 2>/dev/null; exec \"$0\" \"$@\"";

#[derive(Debug)]
pub(super) struct Tool<'a> {
    workspace: &'a Path,
    /// What each judge's runs write, and what is built for all of them.
    home: &'a Path,
}

impl<'a> Tool<'a> {
    pub(super) fn new(workspace: &'a Path, home: &'a Path) -> Tool<'a> {
        Tool { workspace, home }
    }

    /// The lines of what cargo-mutants lists.
    pub(super) fn list(&self, what: &[&str], arguments: &[String]) -> Result<Vec<String>> {
        let mut mutants = self.cargo();
        mutants.arg("mutants").args(what).args(arguments);
        let output = mutants.output().context("cargo cannot be started")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "cargo-mutants lists nothing; `./x mutants` installs it:\n{}",
            said.trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// How many mutants there are with those that are proven to change nothing.
    pub(super) fn count_with_proven(&self) -> Result<usize> {
        let config = fs::read_to_string(self.workspace.join(CONFIG)).context(CONFIG)?;
        let all = self.home.join("all.toml");
        fs::write(&all, without_proven(&config).context(CONFIG)?)?;
        let all = all.to_str().context("the target folder's path is text")?;
        Ok(self.list(&["--list", "--config", all], &[])?.len())
    }

    /// cargo-mutants would play its baseline in core, whoever judges.
    pub(super) fn pass_without_mutants(&self, judge: Judge) -> Result<()> {
        let mut tests = self.cargo();
        tests.args(["test", "--quiet", "--locked", "--package", judge.package(), judge.tests()]);
        let passed = tests.status().context("cargo cannot be started")?.success();
        ensure!(passed, "tests of {} fail without any mutant", judge.package());
        Ok(())
    }

    /// The next run of this judge leaves out what is known, and finds nothing of the last one.
    pub(super) fn prepare(&self, judge: Judge, known: &[&str]) -> Result<()> {
        let out = self.out(judge);
        fs::create_dir_all(&out)?;
        for verdict in Verdict::ALL {
            match fs::remove_file(out.join(verdict.file())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        let known: String = known.iter().map(|mutant| format!("{mutant}\n")).collect();
        fs::write(out.join("previously_caught.txt"), known).context("writing what is known")
    }

    pub(super) fn judge(&self, judge: Judge, arguments: &[String]) -> Result<()> {
        let mut mutants = self.cargo();
        mutants.args(["mutants", "--iterate", "--baseline", "skip", "--timeout", TIMEOUT_S]);
        mutants.arg("--output").arg(self.home.join(judge.name()));
        mutants.args(["--test-package", judge.package()]);
        mutants.args(["--cargo-arg=--locked", &format!("--cargo-arg={}", judge.tests())]);
        // One folder for both judges and all runs: dependencies are built once.
        mutants.args(arguments).env("CARGO_TARGET_DIR", self.home.join("target"));
        let status = mutants.status().context("cargo cannot be started")?;
        match status.code() {
            // All are caught; some survive; some do not end.
            Some(0 | 2 | 3) => Ok(()),
            Some(_) | None => bail!("cargo-mutants ended with {status}"),
        }
    }

    /// What the judge's last run found, also when it was interrupted.
    pub(super) fn verdicts(&self, judge: Judge) -> Result<Vec<(Verdict, String)>> {
        let mut verdicts = Vec::new();
        for verdict in Verdict::ALL {
            let path = self.out(judge).join(verdict.file());
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            };
            verdicts.extend(text.lines().map(|mutant| (verdict, mutant.to_owned())));
        }
        Ok(verdicts)
    }

    fn out(&self, judge: Judge) -> PathBuf {
        self.home.join(judge.name()).join("mutants.out")
    }

    fn cargo(&self) -> Command {
        let mut limited = Command::new("sh");
        limited.args(["-c", LIMITED]);
        limited.arg(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        limited.current_dir(self.workspace);
        limited
    }
}

fn without_proven(config: &str) -> Result<String> {
    let mut config: toml::Table = config.parse()?;
    config.remove(PROVEN).with_context(|| format!("it has no {PROVEN}"))?;
    Ok(toml::to_string(&config)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache;

    #[test]
    fn nothing_but_the_proofs_is_taken_out_of_the_settings() {
        let config = fs::read_to_string(cache::workspace().unwrap().join(CONFIG)).unwrap();
        let all: toml::Table = without_proven(&config).unwrap().parse().unwrap();
        let mut with_proven: toml::Table = config.parse().unwrap();
        assert!(!all.contains_key(PROVEN) && all.contains_key("examine_globs"));
        with_proven.remove(PROVEN);
        assert_eq!(all, with_proven);
        assert!(without_proven("examine_globs = []").is_err());
    }

    #[test]
    fn a_prepared_run_has_what_is_known_and_nothing_of_the_last_one() {
        let dir = tempfile::TempDir::new().unwrap();
        let tool = Tool::new(dir.path(), dir.path());
        assert_eq!(tool.verdicts(Judge::Sim).unwrap(), []);
        tool.prepare(Judge::Sim, &[]).unwrap();
        let out = dir.path().join("sim/mutants.out");
        fs::write(out.join("caught.txt"), "a.rs:1:1: one\na.rs:2:1: two\n").unwrap();
        fs::write(out.join("timeout.txt"), "a.rs:3:1: three\n").unwrap();
        let found =
            [(Verdict::Caught, "one"), (Verdict::Caught, "two"), (Verdict::Endless, "three")];
        let found: Vec<_> = (1..)
            .zip(found)
            .map(|(line, (verdict, what))| (verdict, format!("a.rs:{line}:1: {what}")))
            .collect();
        assert_eq!(tool.verdicts(Judge::Sim).unwrap(), found);
        tool.prepare(Judge::Sim, &["a.rs:1:1: one", "a.rs:3:1: three"]).unwrap();
        assert_eq!(tool.verdicts(Judge::Sim).unwrap(), []);
        let known = fs::read_to_string(out.join("previously_caught.txt")).unwrap();
        assert_eq!(known, "a.rs:1:1: one\na.rs:3:1: three\n");
    }
}
