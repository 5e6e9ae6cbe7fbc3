//! `outrigger top` in a terminal, and where there is none.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, STORE, binary, free_port};

use crate::e2e::{MINUTE, Place, run};

/// A running command, and what it says.
pub(super) struct Running {
    child: Child,
    said: Receiver<Vec<u8>>,
    text: String,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Result<Running> {
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

    /// Waits until it has said this since it began.
    pub(super) fn hear(&mut self, wanted: &str) -> Result<()> {
        self.hear_after(0, wanted)
    }

    /// Waits until it has said this behind the first bytes of what it says.
    pub(super) fn hear_after(&mut self, bytes: usize, wanted: &str) -> Result<()> {
        let deadline = Instant::now() + MINUTE;
        while !self.text[bytes..].contains(wanted) {
            let left = deadline.saturating_duration_since(Instant::now());
            let more = self.said.recv_timeout(left);
            let more = more.with_context(|| format!("{wanted:?} in {:?}", self.text))?;
            self.text.push_str(&String::from_utf8_lossy(&more));
        }
        Ok(())
    }

    /// How much it has said so far.
    pub(super) fn said_bytes(&self) -> usize {
        self.text.len()
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
        let before = shown.said_bytes();
        node.start().await?;
        shown.hear_after(before, "state  READY")?;
        ensure!(!shown.text.contains('\x1b'), "{:?}", shown.text);
        Ok(())
    })
}

#[test]
fn a_node_that_refuses_says_why_and_the_others_go_on() -> Result<()> {
    run(async {
        let place = Place::new("top-refused", TopicSpec::store())?;
        let mut node = place.ready_node("one").await?;
        let settings = place.dir.path().join("rules.toml");
        let rules = format!(
            "socket = '{}'\n[[store]]\nname = '{STORE}'\ntopic = '{}'\n\
             [[access]]\nwho = ['uid:65534']\nmay = ['read']\n",
            place.dir.path().join("s").display(),
            place.topic.name()
        );
        std::fs::write(&settings, rules)?;
        let settings = settings.to_str().context("a path of text")?;
        let args = ["--bootstrap", &place.bootstrap, "--config", settings];
        let mut closed = Node::with_settings(place.dir.path(), "closed", &args)?;
        closed.start().await?;
        let mut top = Command::new(binary());
        top.args(["top", "--server", &closed.url(), "--server", &node.url()]);
        let mut shown = Running::start(top)?;
        shown.hear(&format!("{}  the node does not tell how it is: ", closed.url()))?;
        shown.hear(&format!("{}  state  READY", node.url()))?;
        let before = shown.said_bytes();
        node.kill()?;
        shown.hear_after(before, &format!("{}  the node does not answer", node.url()))?;
        closed.kill()?;
        shown.hear_after(before, &format!("{}  the node does not answer", closed.url()))?;
        ensure!(shown.child.try_wait()?.is_none(), "it goes on");
        Ok(())
    })
}
