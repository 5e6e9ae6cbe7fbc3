//! What a real site does to a node: other users, other tools, signals, small limits. Real processes, and a real Kafka
//! where it matters.

mod descriptors;
mod ending;
mod forms;
mod limits;
mod neighbours;
mod partitioner;
mod retention;
mod socket;
mod streams;
mod transactions;
mod unfolded;
mod unreached;

use std::process::Output;
use std::time::Duration;

use anyhow::{Result, ensure};
use outrigger_tests::node::Node;

use crate::e2e::{MINUTE, Place, run};

pub(crate) const POLL: Duration = Duration::from_millis(50);

/// Waits until it is so.
async fn until(what: &str, so: impl Fn() -> bool) -> Result<()> {
    let deadline = std::time::Instant::now() + MINUTE;
    while !so() {
        ensure!(std::time::Instant::now() < deadline, "{what}: not in time");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

pub(crate) async fn until_logged(node: &Node, line: &str) -> Result<()> {
    until(line, || node.log().contains(line)).await
}

/// Ends with SIGTERM what a test has started and not waited for.
fn terminate(process: u32) -> Result<()> {
    let id = i32::try_from(process)?;
    // SAFETY: kill takes two integers; the process is a child, or a child's, that was not waited for yet.
    let result = unsafe { libc::kill(id, libc::SIGTERM) };
    ensure!(result == 0, "kill: {}", std::io::Error::last_os_error());
    Ok(())
}

pub(crate) fn is_root() -> bool {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// What it said, on standard output and on standard error.
pub(crate) fn text(output: &Output) -> String {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    said(&output.stdout) + &said(&output.stderr)
}
