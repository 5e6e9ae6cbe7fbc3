//! Builds and runs the tests of a patched checkout.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};

use super::super::scratch::Scratch;
use super::canary::Suite;

/// Tests have deadlines of their own, which a bug may take away.
const TESTS_MAX: Duration = Duration::from_secs(600);

/// RocksDB is there in a release build only. Our own crates are built to be built often: what waits for Kafka and disks
/// is not slower for it.
const PROFILE: [&str; 8] = [
    "--release",
    "--offline",
    "--config",
    "profile.release.package.outrigger.opt-level=0",
    "--config",
    "profile.release.package.outrigger-client.opt-level=0",
    "--config",
    "profile.release.package.outrigger-tests.opt-level=0",
];

/// How a run of tests ended, and what they said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Said {
    pub(super) fn passed(&self, test: &str) -> bool {
        self.has_line(test, "ok")
    }

    pub(super) fn failed(&self, test: &str) -> bool {
        self.has_line(test, "FAILED") && self.ended.is_some_and(|status| !status.success())
    }

    pub(super) fn ended(&self) -> bool {
        self.ended.is_some()
    }

    fn has_line(&self, test: &str, how: &str) -> bool {
        let line = format!("test {test} ... {how}");
        self.text.lines().any(|each| each == line)
    }
}

pub(super) fn build(scratch: &Scratch, suite: Suite) -> Result<()> {
    if suite == Suite::It {
        // Its processes run the binary that lies beside it.
        scratch.build(&[&["build", "--package", "outrigger"][..], &PROFILE].concat())?;
    }
    scratch.build(&[&["test", "--no-run"], &PROFILE[..], suite.target()].concat())
}

/// Runs these tests of a suite that is built. What they say is kept in `log`.
pub(super) fn run(scratch: &Scratch, suite: Suite, tests: &[&str], log: PathBuf) -> Result<Said> {
    let output = File::create(&log)?;
    let mut command = scratch.cargo();
    command.arg("test").args(PROFILE).args(suite.target()).args(["--", "--exact"]).args(tests);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let ended = end_of(command.process_group(0).spawn().context("cargo cannot be started")?)?;
    let text = fs::read(&log)?;
    Ok(Said { text: String::from_utf8_lossy(&text).into_owned(), log, ended })
}

fn end_of(mut run: Child) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + TESTS_MAX;
    while Instant::now() < end {
        if let Some(status) = run.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(20));
    }
    // It ends with all processes that the tests have started.
    let group = format!("-{}", run.id());
    let killed = Command::new("kill").args(["-KILL", "--", &group]).status()?;
    ensure!(killed.success(), "process group {group} cannot be ended");
    run.wait()?;
    Ok(None)
}

/// The last lines of what a run said.
pub(super) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
