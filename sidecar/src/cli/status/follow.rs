//! `status --follow`: a bar for each store on a terminal, a line for each change elsewhere.
//!
//! A node that stops is waited for: its restore, once it is back, is what one follows it for.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use outrigger_client::proto::v1::Phase;
use outrigger_client::{Client, Error as CallError, ErrorKind, NodeStatus, StoreStatus};

use super::{FOLLOW_INTERVAL, json, select, text};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::exit::Exit;

/// Steps of a bar: finer than any terminal is wide.
const BAR_STEPS: f64 = 10_000.0;

pub(super) async fn run(client: &Client, name: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let mut node = client.status().await.map_err(Failure::Read)?;
    select(client, &mut node, name).await?;
    let mut view = View::choose(json);
    loop {
        match follow(client, name, &mut view).await {
            Ok(()) => {}
            Err(Failure::Read(error)) if is_gone(&error) => {}
            Err(failure) => return Err(failure),
        }
        view.lose().map_err(Failure::Output)?;
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}

/// Until the node stops.
async fn follow(client: &Client, name: Option<&str>, view: &mut View) -> Result<(), Failure> {
    let mut changes = client.watch_status(FOLLOW_INTERVAL).await.map_err(Failure::Read)?;
    while let Some(change) = changes.next().await {
        let mut node = change.map_err(Failure::Read)?;
        node.stores.retain(|store| name.is_none_or(|name| store.store == name));
        view.show(&node)?;
    }
    Ok(())
}

fn is_gone(error: &CallError) -> bool {
    use ErrorKind::{Broken, Deadline, Unavailable, Unreachable};
    matches!(error.kind(), Unreachable | Broken | Unavailable | Deadline)
}

enum View {
    Bars(Bars),
    Lines { last: BTreeMap<String, String> },
    Json,
}

impl View {
    fn choose(json: bool) -> View {
        match (json, std::io::stderr().is_terminal()) {
            (true, _) => View::Json,
            (false, true) => View::Bars(Bars::default()),
            (false, false) => View::Lines { last: BTreeMap::new() },
        }
    }

    fn show(&mut self, node: &NodeStatus) -> Result<(), Failure> {
        let mut out = Output::open();
        let shown = match self {
            View::Json => out.line(&json::node(node).to_string()),
            View::Lines { last } => node.stores.iter().try_for_each(|store| {
                let state = text::state(store);
                match last.insert(store.store.clone(), state.clone()) {
                    Some(before) if before == state => Ok(()),
                    Some(_) | None => {
                        out.line(&format!("{}  {}", store.store, text::summary(store)))
                    }
                }
            }),
            View::Bars(bars) => {
                node.stores.iter().for_each(|store| bars.show(store));
                Ok(())
            }
        };
        shown.and_then(|()| out.flush()).map_err(Failure::Output)
    }

    /// The node does not answer; said once. A reader of JSON sees that nothing comes.
    fn lose(&mut self) -> io::Result<()> {
        const LOST: &str = "the node does not answer: waiting for it";
        match self {
            View::Json => Ok(()),
            View::Bars(bars) => {
                bars.bars.values().for_each(|bar| bar.set_message(LOST));
                Ok(())
            }
            View::Lines { last } => {
                let mut out = Output::open();
                let mut stores = std::mem::take(last).into_keys();
                stores.try_for_each(|store| out.line(&format!("{store}  {LOST}")))?;
                out.flush()
            }
        }
    }
}

/// One line with a bar for each store, on standard error.
#[derive(Default)]
struct Bars {
    screen: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
}

impl Bars {
    fn show(&mut self, store: &StoreStatus) {
        let screen = &self.screen;
        let bar = self
            .bars
            .entry(store.store.clone())
            .or_insert_with(|| screen.add(new_bar(&store.store)));
        bar.set_position(steps(done(store)));
        bar.set_message(text::summary(store));
    }
}

fn new_bar(store: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:24} {wide_msg}")
        .expect("the template is a constant");
    ProgressBar::new(steps(1.0)).with_style(style).with_prefix(store.to_owned())
}

/// The share of the restore that is done.
fn done(store: &StoreStatus) -> f64 {
    match &store.restore {
        Some(restore) => restore.fraction.unwrap_or(0.0),
        None if store.phase() == Phase::Ready => 1.0,
        None => 0.0,
    }
}

/// Through its digits, for floats have no checked conversion to integers; what is no number is 0.
fn steps(fraction: f64) -> u64 {
    let known = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
    format!("{:.0}", known * BAR_STEPS)
        .parse()
        .expect("a number from 0 to BAR_STEPS without a fraction")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_stays_between_its_ends_whatever_a_node_says() {
        let cases = [
            (0.0, 0),
            (0.5, 5_000),
            (1.0, 10_000),
            (7.0, 10_000),
            (-1.0, 0),
            (f64::NAN, 0),
            (f64::INFINITY, 10_000),
        ];
        for (fraction, expected) in cases {
            assert_eq!(steps(fraction), expected, "{fraction}");
        }
    }

    #[test]
    fn only_a_ready_store_without_a_restore_is_done() {
        let status = |phase: Phase| StoreStatus { phase: phase.into(), ..StoreStatus::default() };
        assert_eq!(steps(done(&status(Phase::Ready))), 10_000);
        assert_eq!(steps(done(&status(Phase::Opening))), 0);
    }
}
