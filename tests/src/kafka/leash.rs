//! Ends brokers whose test process is gone: a small shell holds the other end of a pipe, and when that
//! closes, by whatever death, it kills the processes last named and removes the directory, unless it is kept.
//!
//! A static cluster is never dropped and a killed test runs no destructor; this works for both.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// ctrl-c reaches the whole process group: the shell must survive it to do its work.
const SCRIPT: &str = "trap '' INT TERM HUP
pids=
while read -r line; do pids=$line; done
[ -z \"$pids\" ] || kill -9 $pids
[ -z \"$1\" ] || rm -rf \"$1\"";

pub(super) struct Leash {
    shell: Child,
}

impl Leash {
    pub(super) fn hold(directory: Option<&Path>) -> Result<Leash> {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "leash"])
            .arg(directory.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting sh")?;
        Ok(Leash { shell })
    }

    /// The processes that must not outlive this one, from now on.
    pub(super) fn name(&mut self, pids: impl Iterator<Item = u32>) -> Result<()> {
        let line = pids.map(|pid| pid.to_string()).collect::<Vec<_>>().join(" ");
        let pipe = self.shell.stdin.as_mut().expect("stdin is piped and only taken on drop");
        writeln!(pipe, "{line}").context("telling the leash about the brokers")
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        if let Err(error) = self.shell.wait() {
            eprintln!("the leash was not waited for: {error}");
        }
    }
}
