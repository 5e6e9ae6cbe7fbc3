//! One run of a dev cluster: orders from the prompt, news from the nodes, until one of the ends.

use std::io::{self, IsTerminal, Write};

use indicatif::HumanCount;

use super::cluster::{Cluster, ClusterConfig, ClusterError, NodeNumber};
use super::news::News;
use super::prompt::{self, Order};
use super::{DevConfig, DevError, home, topic_policy, welcome};
use crate::embedded::EmbeddedConfig;
use crate::exit::Exit;
use crate::runtime::Drained;
use crate::serve::Signals;

/// A minute, as for a topic that `serve --create` makes.
const MIN_COMPACTION_LAG_MS: u64 = 60_000;

/// Runs until standard input ends, a signal comes, or somebody says so.
pub async fn run(config: DevConfig) -> Result<Exit, DevError> {
    let data = match config.data {
        Some(data) => data,
        None => home::default(|name| std::env::var_os(name))?,
    };
    home::prepare(&data)?;
    let mut signals = Signals::new().map_err(DevError::Signals)?;
    let cluster = ClusterConfig {
        nodes: config.nodes,
        store: "dev",
        // It has one partition: revisions are then a total order, which is easy to look at.
        log: EmbeddedConfig::new(1, topic_policy(MIN_COMPACTION_LAG_MS)),
        port: Some(config.port),
    };
    let cluster = Cluster::start(&data, cluster).await?;
    let mut session = Session { cluster, news: News::new(), screen: Screen::new() };
    session.screen.say(&welcome::text(&data, &session.cluster));
    session.follow_all();
    session.converse(&mut signals).await;
    session.end(&mut signals).await;
    Ok(Exit::Success)
}

struct Session {
    cluster: Cluster,
    news: News,
    screen: Screen,
}

impl Session {
    fn follow_all(&mut self) {
        for number in self.cluster.numbers() {
            self.follow(number);
        }
    }

    async fn converse(&mut self, signals: &mut Signals) {
        let mut lines = prompt::lines();
        loop {
            self.screen.prompt();
            tokio::select! {
                biased;
                _name = signals.next() => return self.screen.say(""),
                news = self.news.next() => self.screen.interject(&news),
                line = lines.recv() => match line.map(|line| Order::parse(&line, self.cluster.size())) {
                    None | Some(Ok(Some(Order::Quit))) => return,
                    Some(Ok(None)) => {}
                    Some(Ok(Some(order))) => self.carry_out(order).await,
                    Some(Err(error)) => self.screen.say(&error.to_string()),
                },
            }
        }
    }

    async fn carry_out(&mut self, order: Order) {
        let done = match order {
            Order::Kill(number) => self.kill(number).await,
            Order::Wipe(number) => self.wipe(number).await,
            Order::Start(number) => self.start(number).await,
            Order::Status => Ok(self.status()),
            Order::Help | Order::Quit => Ok(prompt::HELP.to_owned()),
        };
        self.screen.say(&done.unwrap_or_else(|error| with_causes(&error)));
    }

    async fn kill(&mut self, number: NodeNumber) -> Result<String, ClusterError> {
        self.cluster.kill(number).await?;
        self.news.forget(number);
        Ok(format!("node {number}  killed; `start {number}` brings it back"))
    }

    async fn wipe(&mut self, number: NodeNumber) -> Result<String, ClusterError> {
        let killed = self.cluster.node(number).is_running();
        if killed {
            self.cluster.kill(number).await?;
            self.news.forget(number);
        }
        self.cluster.wipe(number)?;
        let killed = if killed { "killed and wiped" } else { "wiped" };
        let data = self.cluster.node(number).data().display();
        Ok(format!("node {number}  {killed}: {data} is gone; `start {number}` restores it"))
    }

    async fn start(&mut self, number: NodeNumber) -> Result<String, ClusterError> {
        self.cluster.start_node(number).await?;
        self.follow(number);
        Ok(format!("node {number}  started, {}", self.cluster.node(number).url()))
    }

    fn follow(&mut self, number: NodeNumber) {
        let store = self.cluster.node(number).handle().expect("it was just started");
        self.news.follow(number, store);
    }

    fn status(&self) -> String {
        let lines = self.cluster.numbers().map(|number| {
            let node = self.cluster.node(number);
            let state = node.handle().map_or_else(
                || "stopped".to_owned(),
                |store| {
                    let status = store.status();
                    let partition = status.partitions.first();
                    let position = partition.map_or_else(String::new, |partition| {
                        let (applied, end) = (partition.applied.0, partition.high_watermark.0);
                        format!(", position {} of {}", HumanCount(applied), HumanCount(end))
                    });
                    format!("{}{position}", status.phase)
                },
            );
            format!("node {number}  {}  {state}", node.url())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Ends the cluster in order. A second signal ends it at once, which is as safe as a crash.
    async fn end(self, signals: &mut Signals) {
        let Session { cluster, screen, .. } = self;
        screen.say("ending all nodes; the data is kept");
        tokio::select! {
            biased;
            _name = signals.next() => screen.say("ended at once: what was not flushed is read again"),
            drained = cluster.drain() => match drained {
                Drained::Flushed => {}
                Drained::TimeUp => screen.say("a node took too long: what it had not flushed is read again"),
            },
        }
    }
}

fn with_causes(error: &ClusterError) -> String {
    let mut text = error.to_string();
    let causes = std::iter::successors(std::error::Error::source(error), |&cause| cause.source());
    for cause in causes {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text
}

/// The standard output: a prompt where somebody sits, plain lines elsewhere.
struct Screen {
    interactive: bool,
}

const PROMPT: &str = "dev> ";

impl Screen {
    fn new() -> Screen {
        Screen { interactive: io::stdin().is_terminal() && io::stdout().is_terminal() }
    }

    /// Prints a line. A reader who left does not end the cluster: others may be using it.
    fn say(&self, text: &str) {
        let _left = writeln!(io::stdout(), "{text}");
    }

    fn prompt(&self) {
        if self.interactive {
            let mut out = io::stdout();
            let _left = write!(out, "{PROMPT}").and_then(|()| out.flush());
        }
    }

    /// Prints over the prompt's line, which is written again after it.
    fn interject(&self, text: &str) {
        if self.interactive { self.say(&format!("\r\x1b[K{text}")) } else { self.say(text) }
    }
}
