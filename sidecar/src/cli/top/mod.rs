//! `top`: several nodes and their stores, live: a table on a terminal, elsewhere a line for each change.

mod frame;
mod screen;

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_client::{Error as CallError, NodeStatus, StoreStatus};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::frame::{Node, Silence};
use self::screen::Screen;
use super::connect::Connect;
use super::failure::{Failure, full};
use super::output::Output;
use super::status::{self, text};
use super::target::Targets;
use crate::exit::Exit;
use crate::serve::Signals;

/// The interval between two changes of one node.
const INTERVAL: Duration = Duration::from_millis(500);

/// The interval between two questions to a node that refuses to tell its state: the answer seldom changes soon.
const REFUSED_INTERVAL: Duration = Duration::from_secs(2);

/// How often the table is drawn although nothing changes: what a node that is gone last said becomes older.
const REDRAW: Duration = Duration::from_secs(1);

/// Shows nodes and their stores, live, until interrupted: a table on a terminal, else a line for each change
#[derive(Debug, clap::Args)]
pub(super) struct TopArgs {
    #[command(flatten)]
    targets: Targets,
}

/// What was heard of a node, by its place on the command line.
type Heard = (usize, Result<NodeStatus, Silence>);

pub(super) async fn run(args: TopArgs) -> Result<Exit, Failure> {
    let Targets { servers, connect, store } = args.targets.checked()?;
    let mut signals = Signals::new().map_err(Failure::Start)?;
    let mut nodes: Vec<_> = servers.iter().map(|server| Node::new(server)).collect();
    let (heard, mut hears) = mpsc::channel(servers.len());
    let mut following = JoinSet::new();
    for (index, server) in servers.into_iter().enumerate() {
        let (connect, store) = (connect.clone(), store.clone());
        following.spawn(follow(index, server, connect, store, heard.clone()));
    }
    let mut view = View::choose().map_err(Failure::Output)?;
    let mut redraws = tokio::time::interval(REDRAW);
    loop {
        tokio::select! {
            biased;
            _ = signals.next() => return Ok(Exit::Success),
            Some((index, said)) = hears.recv() => {
                nodes[index].hear(said);
                view.changed(&nodes[index]).map_err(Failure::Output)?;
            }
            _ = redraws.tick() => view.draw(&nodes).map_err(Failure::Output)?,
        }
    }
}

/// Tells how a node is, or why it tells nothing, for as long as somebody hears it: one that refuses may be set right.
async fn follow(
    index: usize,
    server: String,
    connect: Connect,
    store: Option<String>,
    heard: mpsc::Sender<Heard>,
) {
    loop {
        let silence = match watch(index, &server, &connect, store.as_deref(), &heard).await {
            Ok(()) => Silence::Away("it has ended the call".to_owned()),
            Err(error) if status::is_gone(&error) => Silence::Away(full(&error)),
            Err(error) => Silence::Refused(full(&error)),
        };
        let pause = match silence {
            Silence::Away(_) => INTERVAL,
            Silence::Refused(_) => REFUSED_INTERVAL,
        };
        if heard.send((index, Err(silence))).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

async fn watch(
    index: usize,
    server: &str,
    connect: &Connect,
    store: Option<&str>,
    heard: &mpsc::Sender<Heard>,
) -> Result<(), CallError> {
    let client = connect.client(server).await?;
    let changes = match store {
        Some(store) => client.watch_status_of(store, INTERVAL).await,
        None => client.watch_status(INTERVAL).await,
    };
    let mut changes = changes?;
    while let Some(change) = changes.next().await {
        if heard.send((index, Ok(change?))).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

enum View {
    Table(Screen),
    /// By node and store: what was said last.
    Lines(BTreeMap<(String, String), String>),
}

impl View {
    fn choose() -> std::io::Result<View> {
        Ok(Screen::open()?.map_or_else(|| View::Lines(BTreeMap::new()), View::Table))
    }

    fn draw(&mut self, nodes: &[Node]) -> std::io::Result<()> {
        match self {
            View::Table(screen) => screen.draw(|size| frame::frame(nodes, size)),
            View::Lines(_) => Ok(()),
        }
    }

    fn changed(&mut self, node: &Node) -> std::io::Result<()> {
        let View::Lines(last) = self else { return Ok(()) };
        let lines = lines(node);
        // What is said again after a pause is news.
        last.retain(|(server, name), _| {
            server != node.server() || lines.iter().any(|(store, ..)| store == name)
        });
        let mut out = Output::open();
        for (store, state, summary) in lines {
            let key = (node.server().to_owned(), store.clone());
            if last.get(&key) != Some(&state) {
                out.line(&format!("{}  {}", node.server(), summary))?;
                last.insert(key, state);
            }
        }
        out.flush()
    }
}

/// Returns each store's name, its state, and a line about it; of a node that tells nothing, one without a store.
fn lines(node: &Node) -> Vec<(String, String, String)> {
    let said = match node.state() {
        Ok(said) => said,
        Err(silence) => {
            let words = frame::plain(&silence.to_string());
            // Each try to reach it may fail in another way.
            let state = match silence {
                Silence::Away(_) => silence.head().to_owned(),
                Silence::Refused(_) => words.clone(),
            };
            return vec![(String::new(), state, words)];
        }
    };
    let line = |store: &StoreStatus| {
        let (state, summary) = match node.no_news() {
            None => (text::state(store), text::summary(store)),
            Some(age) => text::no_news(said, age, store),
        };
        let summary = format!("{}  {summary}", store.store);
        (store.store.clone(), frame::plain(&state), frame::plain(&summary))
    };
    said.stores.iter().map(line).collect()
}
