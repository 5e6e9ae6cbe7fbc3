//! `outrigger top` in a terminal, and where there is none.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{binary, free_port};

use crate::e2e::{MINUTE, Place, run};

/// A running command, and what it says.
struct Running {
    child: Child,
    said: Receiver<Vec<u8>>,
    text: String,
}

impl Running {
    fn start(mut command: Command) -> Result<Running> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let mut stdout = child.stdout.take().context("it has one")?;
        let (says, said) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(length @ 1..) = stdout.read(&mut bytes) {
                if says.send(bytes[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Running { child, said, text: String::new() })
    }

    fn hear(&mut self, wanted: &str) -> Result<()> {
        let deadline = Instant::now() + MINUTE;
        while !self.text.contains(wanted) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.said.recv_timeout(left);
            let bytes = bytes.with_context(|| format!("{wanted:?} in {:?}", self.text))?;
            self.text.push_str(&String::from_utf8_lossy(&bytes));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_terminal_shows_all_nodes_until_it_is_interrupted_and_is_left_as_it_was() -> Result<()> {
    run(async {
        let place = Place::new("top", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        let away = format!("http://127.0.0.1:{}", free_port()?);
        let top = format!(
            "stty cols 120 rows 30; exec '{}' top --server {} --server {away}",
            binary().display(),
            node.url()
        );
        // `script` gives it a terminal.
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &top, "/dev/null"]);
        let mut shown = Running::start(script)?;
        shown.hear("\x1b[?1049h")?;
        shown.hear("100 %")?;
        shown.hear("AWAY")?;
        for text in ["NODE", "HORIZON", "state", "READY", "waiting for it"] {
            shown.hear(text)?;
        }
        shown.child.stdin.as_mut().context("a stdin")?.write_all(b"\x03")?;
        shown.hear("\x1b[?1049l")?;
        ensure!(shown.child.wait()?.success(), "an interrupt is its end");
        Ok(())
    })
}

#[test]
fn without_a_terminal_each_change_is_a_line() -> Result<()> {
    run(async {
        let place = Place::new("top-lines", TopicSpec::store())?;
        let mut node = place.ready_node("one").await?;
        let mut top = Command::new(binary());
        top.args(["top", "--server", &node.url()]);
        let mut shown = Running::start(top)?;
        shown.hear(&format!("{}  state  READY", node.url()))?;
        node.kill()?;
        shown.hear(&format!("{}  the node does not answer", node.url()))?;
        node.start().await?;
        let before = shown.text.matches("state  READY").count();
        while shown.text.matches("state  READY").count() == before {
            let text = std::mem::take(&mut shown.text);
            shown.hear("\n")?;
            shown.text.insert_str(0, &text);
        }
        ensure!(!shown.text.contains('\x1b'), "{:?}", shown.text);
        Ok(())
    })
}
