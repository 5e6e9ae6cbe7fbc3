//! A child process that one talks to by lines: what `outrigger dev` and `demo` are to whoever runs them, and
//! what a bench measures ours against.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::node::binary;
use crate::usage::Usage;

const POLL: Duration = Duration::from_millis(20);

/// A process that is killed when this is dropped.
pub struct Process {
    child: Child,
    /// `end` closes it.
    input: Option<ChildStdin>,
    /// Lines of standard output and standard error, as they come.
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    /// The built `outrigger` with these arguments.
    pub fn outrigger(args: &[&str]) -> Result<Process> {
        let mut command = Command::new(binary());
        command.args(args).env_remove("OUTRIGGER_SERVER").env_remove("OUTRIGGER_STORE");
        Process::start(command)
    }

    pub fn start(mut command: Command) -> Result<Process> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let (sender, lines) = channel();
        let output = child.stdout.take().expect("it is piped");
        let errors = child.stderr.take().expect("it is piped");
        for stream in [Box::new(output) as Box<dyn Read + Send>, Box::new(errors)] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let input = child.stdin.take();
        Ok(Process { child, input, lines, seen: Vec::new() })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has taken since it was started.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    pub fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("the input was closed")?;
        Ok(writeln!(input, "{line}")?)
    }

    /// The next line that has all of these in it.
    pub fn line_with(&mut self, parts: &[&str], within: Duration) -> Result<String> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no line with {parts:?} within {within:?}:\n{}", self.transcript())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("it ended without a line with {parts:?}:\n{}", self.transcript())
                }
            };
            self.seen.push(line.clone());
            if parts.iter().all(|part| line.contains(part)) {
                return Ok(line);
            }
        }
    }

    /// Sends SIGTERM, and does not wait for anything.
    pub fn terminate(&self) -> Result<()> {
        let id = i32::try_from(self.child.id())?;
        // SAFETY: kill takes two integers; the process is a child that was not waited for yet.
        let result = unsafe { libc::kill(id, libc::SIGTERM) };
        ensure!(result == 0, "kill: {}", std::io::Error::last_os_error());
        Ok(())
    }

    /// Kills the process (SIGKILL).
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Kills the process (SIGKILL), which has started no other. Returns everything that it said.
    pub fn kill_and_hear(mut self) -> Result<String> {
        self.child.kill()?;
        self.child.wait()?;
        self.seen.extend(self.lines.iter());
        Ok(self.transcript())
    }

    /// Closes its input and waits for its end. Returns how it ended, and everything that it said.
    pub fn end(mut self, within: Duration) -> Result<(ExitStatus, String)> {
        drop(self.input.take());
        let deadline = Instant::now() + within;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() >= deadline {
                bail!("it did not end within {within:?}:\n{}", self.transcript());
            }
            std::thread::sleep(POLL);
        };
        self.seen.extend(self.lines.iter());
        Ok((status, self.transcript()))
    }

    fn transcript(&self) -> String {
        self.seen.join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
