//! `watch --exec`: one command for the whole watch, which reads the lines from its standard input.
//!
//! The command is the watch's equal: it ends the watch by ending, and holds it up by not reading, down to the node. A signal
//! ends its input behind a whole line, and then it is waited for.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use outrigger_client::{Error as CallError, WatchStream};
use tokio::io::{self, AsyncWriteExt, BufWriter};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Lines;
use crate::cli::failure::Failure;
use crate::exit::Exit;
use crate::serve::Signals;

/// Why the command is given no more lines.
enum NoMore {
    /// It was asked for by a signal.
    Stopped,
    /// The command has closed its input, which is the only way in which writing to it fails.
    NotTaken,
    Ended(CallError),
}

pub(super) async fn run(
    command: &OsStr,
    events: WatchStream,
    lines: Lines,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new().map_err(Failure::Start)?;
    let mut child = start(command)?;
    let input = child.stdin.take().expect("it is piped");
    let stop = CancellationToken::new();
    let mut feeding = pin!(feed(events, lines, input, &stop));
    let mut no_more = None;
    let status = loop {
        tokio::select! {
            biased;
            name = signals.next() => {
                if stop.is_cancelled() {
                    kill(&child);
                } else {
                    eprintln!("outrigger: {name}: waiting for the command to end; another signal kills it");
                    stop.cancel();
                }
            }
            why = &mut feeding, if no_more.is_none() => no_more = Some(why),
            status = child.wait() => break status.map_err(unknown_end)?,
        }
    };
    match no_more {
        Some(NoMore::Ended(error)) => {
            if !status.success() {
                eprintln!("outrigger: {}", Failure::Command(status));
            }
            Err(Failure::Read(error))
        }
        // Like whoever reads a pipe, it may have seen enough.
        Some(NoMore::Stopped | NoMore::NotTaken) | None if status.success() => Ok(Exit::Success),
        Some(NoMore::Stopped | NoMore::NotTaken) | None => Err(Failure::Command(status)),
    }
}

/// Starts it in a process group of its own: ctrl-c is for the watch, which ends the command in order.
fn start(command: &OsStr) -> Result<Child, Failure> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stdin(Stdio::piped()).process_group(0);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("sh: {error}"));
    shell.spawn().map_err(|error| Failure::Start(named(error)))
}

fn unknown_end(error: io::Error) -> Failure {
    Failure::Input { what: "how the command has ended".to_owned(), error }
}

/// Kills the command and what it has started.
fn kill(child: &Child) {
    // Without an id it has ended, and it may end now.
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let killed = id.map(|id| killpg(Pid::from_raw(id), Signal::SIGKILL));
    if let Some(Err(error)) = killed {
        eprintln!("outrigger: cannot kill the command: {error}");
    }
}

/// Gives the command whole lines, for as long as it takes them.
async fn feed(
    mut events: WatchStream,
    mut lines: Lines,
    input: ChildStdin,
    stop: &CancellationToken,
) -> NoMore {
    let mut input = BufWriter::new(input);
    while !stop.is_cancelled() {
        let event = match timeout(Duration::ZERO, events.next()).await {
            Ok(event) => event,
            // What is there is given before anything is waited for.
            Err(_nothing_yet) => {
                if input.flush().await.is_err() {
                    return NoMore::NotTaken;
                }
                let Some(event) = stop.run_until_cancelled(events.next()).await else { break };
                event
            }
        };
        let line = match event.expect("a watch ends with an error") {
            Ok(event) => lines.told(event).map(|line| line + "\n").unwrap_or_default(),
            Err(error) => {
                let flushed = input.flush().await;
                return flushed.map_or(NoMore::NotTaken, |()| NoMore::Ended(error));
            }
        };
        if input.write_all(line.as_bytes()).await.is_err() {
            return NoMore::NotTaken;
        }
    }
    input.flush().await.map_or(NoMore::NotTaken, |()| NoMore::Stopped)
}

/// The code that a shell would say: 128 and more for a signal.
pub(in crate::cli) fn exit_of(status: ExitStatus) -> Exit {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Exit::Command(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}
