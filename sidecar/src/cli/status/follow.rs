//! `status --follow`: a line for each store on a terminal, with a bar where it restores; elsewhere a line for each change.
//!
//! A node that is not there yet, or stops, is waited for: its restore is what one follows it for.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use outrigger_client::proto::v1::Phase;
use outrigger_client::{Client, Error as CallError, ErrorKind, NodeStatus, StoreStatus};
use terminal_size::{Width, terminal_size_of};

use super::{FOLLOW_INTERVAL, look, text};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::target::Target;
use crate::exit::Exit;
use crate::shown::{self, json};

/// Steps of a bar: finer than any terminal is wide.
const BAR_STEPS: f64 = 10_000.0;

/// On a narrower terminal the words have the whole line.
const BAR_WIDTH_MIN: u16 = 60;

/// Columns of a terminal that does not say how wide it is.
const WIDTH_DEFAULT: u16 = 80;

/// A longer name of a store is cut: what it does comes behind it.
const NAME_CHARACTERS_MAX: usize = 20;

/// What is said of a node instead of its state.
const LOST: &str = "the node does not answer: waiting for it";

pub(super) async fn run(target: &Target, json: bool) -> Result<Exit, Failure> {
    let mut view = View::choose(json);
    let client = first(target, &mut view).await?;
    loop {
        match follow(&client, target.name(), &mut view).await {
            Ok(()) => {}
            Err(Failure::Read(error)) if is_gone(&error) => {}
            Err(failure) => return Err(failure),
        }
        view.lose().map_err(Failure::Output)?;
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}

/// Returns the client that got the first answer. What answers and is no node is not waited for.
async fn first(target: &Target, view: &mut View) -> Result<Client, Failure> {
    loop {
        match answer(target).await {
            Ok(client) => return Ok(client),
            Err(Failure::Read(error)) if is_gone(&error) && error.kind() != ErrorKind::Broken => {}
            Err(failure) => return Err(failure),
        }
        view.miss(target.server()).map_err(Failure::Output)?;
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}

async fn answer(target: &Target) -> Result<Client, Failure> {
    let client = target.client().await?;
    look(&client, target.name()).await?;
    Ok(client)
}

/// Shows every change until the node stops.
async fn follow(client: &Client, name: Option<&str>, view: &mut View) -> Result<(), Failure> {
    let changes = match name {
        Some(name) => client.watch_status_of(name, FOLLOW_INTERVAL).await,
        None => client.watch_status(FOLLOW_INTERVAL).await,
    };
    let mut changes = changes.map_err(Failure::Read)?;
    while let Some(change) = changes.next().await {
        view.show(&change.map_err(Failure::Read)?)?;
    }
    Ok(())
}

pub(in crate::cli) fn is_gone(error: &CallError) -> bool {
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
            View::Lines { last } => {
                last.retain(|name, _| node.stores.iter().any(|store| store.store == *name));
                node.stores.iter().try_for_each(|store| {
                    let (state, line) = match shown::no_news(node) {
                        None => (text::state(store), text::summary(store)),
                        Some(age) => text::no_news(node, age, store),
                    };
                    match last.insert(store.store.clone(), state.clone()) {
                        Some(before) if before == state => Ok(()),
                        Some(_) | None => out.line(&format!("{}  {line}", store.store)),
                    }
                })
            }
            View::Bars(bars) => {
                bars.keep(&node.stores);
                for store in &node.stores {
                    let line = match shown::no_news(node) {
                        None => Line::of(store),
                        Some(age) => Line { share: None, words: text::no_news(node, age, store).1 },
                    };
                    bars.draw(&store.store, &line);
                }
                Ok(())
            }
        };
        shown.and_then(|()| out.flush()).map_err(Failure::Output)
    }

    /// Tells once that nobody has answered yet.
    fn miss(&mut self, server: &str) -> io::Result<()> {
        match self {
            View::Json => Ok(()),
            View::Bars(bars) => {
                bars.draw(server, &Line::lost());
                Ok(())
            }
            View::Lines { last } => match last.insert(server.to_owned(), LOST.to_owned()) {
                Some(_) => Ok(()),
                None => {
                    let mut out = Output::open();
                    out.line(&format!("{server}  {LOST}"))?;
                    out.flush()
                }
            },
        }
    }

    /// Tells once that the node does not answer any more. A reader of JSON sees that nothing comes.
    fn lose(&mut self) -> io::Result<()> {
        match self {
            View::Json => Ok(()),
            View::Bars(bars) => {
                let stores: Vec<_> = bars.bars.keys().cloned().collect();
                for store in &stores {
                    bars.draw(store, &Line::lost());
                }
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

/// One line for each store, on standard error.
#[derive(Default)]
struct Bars {
    screen: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
}

/// What is shown of a store behind its name.
#[derive(Debug, PartialEq)]
struct Line {
    /// How much of the restore is done, where that is known.
    share: Option<f64>,
    /// What matters most comes first: a terminal cuts the rest off.
    words: String,
}

impl Bars {
    fn draw(&mut self, name: &str, line: &Line) {
        let screen = &self.screen;
        let bar = self.bars.entry(name.to_owned()).or_insert_with(|| screen.add(new_bar(name)));
        let width = terminal_size_of(io::stderr()).map_or(WIDTH_DEFAULT, |(Width(width), _)| width);
        bar.set_style(style(line.share.is_some() && width >= BAR_WIDTH_MIN));
        bar.set_position(steps(line.share.unwrap_or_default()));
        bar.set_message(line.words.clone());
    }

    /// Keeps only these stores: the line about a node that had not answered yet is over.
    fn keep(&mut self, stores: &[StoreStatus]) {
        let gone = |name: &String| stores.iter().all(|store| store.store != *name);
        let gone: Vec<_> = self.bars.keys().filter(|name| gone(name)).cloned().collect();
        for bar in gone.iter().filter_map(|name| self.bars.remove(name)) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
    }
}

impl Line {
    fn of(store: &StoreStatus) -> Line {
        let mut parts: Vec<_> = text::to_go(store).into_iter().collect();
        parts.push(text::phase(store));
        parts.extend(text::rest(store));
        Line { share: done(store), words: parts.join("  ") }
    }

    fn lost() -> Line {
        Line { share: None, words: LOST.to_owned() }
    }
}

fn new_bar(name: &str) -> ProgressBar {
    let name = match name.chars().count() {
        ..=NAME_CHARACTERS_MAX => name.to_owned(),
        _ => name.chars().take(NAME_CHARACTERS_MAX - 1).chain(['…']).collect(),
    };
    ProgressBar::new(steps(1.0)).with_prefix(name)
}

fn style(with_bar: bool) -> ProgressStyle {
    let template = if with_bar { "{prefix} {bar:16} {wide_msg}" } else { "{prefix} {wide_msg}" };
    ProgressStyle::with_template(template).expect("the template is a constant")
}

/// Returns the share of the restore that is done; none: nobody knows, or there is none.
fn done(store: &StoreStatus) -> Option<f64> {
    match &store.restore {
        Some(restore) => restore.fraction,
        None => (store.phase() == Phase::Ready).then_some(1.0),
    }
}

/// Returns the bar's steps. It goes through the digits, for floats have no checked conversion to integers; what is no
/// number is 0.
fn steps(fraction: f64) -> u64 {
    // The zero that has a sign becomes the other one, for the sign is among the digits.
    let known = if fraction > 0.0 { fraction.min(1.0) } else { 0.0 };
    format!("{:.0}", known * BAR_STEPS)
        .parse()
        .expect("a number from 0 to BAR_STEPS without a fraction")
}

#[cfg(test)]
mod tests {
    use outrigger_client::proto::v1::cause::Why;
    use outrigger_client::proto::v1::{
        Cause, Digest, PartitionStatus, PeerTransfer, RestoreProgress, Stall, StallKind,
    };
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::mutation::{mutated, mutations};

    /// Makes a status with numbers that no node says.
    fn far(phase: i32, number: u64, share: f64) -> NodeStatus {
        let small = u32::try_from(number % (1 << 32)).unwrap();
        let restore = RestoreProgress {
            records_read: number,
            bytes_read: number,
            records_per_second: number,
            fraction: Some(share),
            eta_seconds: Some(number),
            bytes_per_second_max: Some(number),
            from_peer: Some(PeerTransfer { bytes: number, ..PeerTransfer::default() }),
            ..RestoreProgress::default()
        };
        let partition = PartitionStatus {
            partition: small,
            position: number,
            exact_from: u64::MAX,
            log_start: number,
            ..PartitionStatus::default()
        };
        let cause = Cause { why: Some(Why::Refusal(phase)), ..Cause::default() };
        let store = StoreStatus {
            phase,
            store: "notes".to_owned(),
            cause: Some(cause),
            stalls: vec![Stall { kind: phase, ..Stall::default() }],
            restore: Some(restore),
            partitions: vec![partition],
            lag_records: Some(number),
            confirmed_age_ms: Some(number),
            writes_in_flight: number,
            digest: Some(Digest { rows: number, ..Digest::default() }),
            ..StoreStatus::default()
        };
        NodeStatus {
            version: "1".to_owned(),
            stores: vec![store],
            state_age_ms: Some(number),
            hung: vec!["core".to_owned()],
            stopping: false,
        }
    }

    proptest! {
        #[test]
        fn whatever_a_node_says_of_itself_is_told(
            phase: i32, number in prop_oneof![any::<u64>(), Just(u64::MAX)], share: f64,
            mutations in mutations(),
        ) {
            let said = far(phase, number, share);
            let other = NodeStatus::decode(&mutated(&said.encode_to_vec(), &mutations)[..]);
            for node in [Some(said), other.ok()].into_iter().flatten() {
                prop_assert!(text::node(&node).starts_with("outrigger "));
                prop_assert!(json::node(&node).is_object());
                for store in &node.stores {
                    prop_assert!(!text::summary(store).is_empty() && !text::refusal(store).is_empty());
                    prop_assert!(steps(Line::of(store).share.unwrap_or_default()) <= 10_000);
                }
            }
        }
    }

    #[test]
    fn a_bar_stays_between_its_ends_whatever_a_node_says() {
        let cases = [
            (0.0, 0),
            (0.5, 5_000),
            (1.0, 10_000),
            (7.0, 10_000),
            (-1.0, 0),
            (-0.0, 0),
            (f64::NAN, 0),
            (f64::INFINITY, 10_000),
        ];
        for (fraction, expected) in cases {
            assert_eq!(steps(fraction), expected, "{fraction}");
        }
    }

    fn status(phase: Phase) -> StoreStatus {
        StoreStatus { phase: phase.into(), store: "notes".to_owned(), ..StoreStatus::default() }
    }

    #[test]
    fn there_is_a_bar_only_where_a_share_is_known() {
        assert_eq!(done(&status(Phase::Ready)), Some(1.0));
        assert_eq!(done(&status(Phase::Opening)), None);
        let young = Some(RestoreProgress::default());
        assert_eq!(done(&StoreStatus { restore: young, ..status(Phase::Restoring) }), None);
        assert_eq!(Line::lost().share, None, "not beside a node that does not answer");
    }

    #[test]
    fn percent_time_to_go_and_what_holds_it_up_are_in_what_a_narrow_terminal_shows() {
        let restore = RestoreProgress {
            records_read: 1_234_567,
            fraction: Some(0.389),
            eta_seconds: Some(41),
            ..RestoreProgress::default()
        };
        let stall = Stall { kind: StallKind::PeerSilent.into(), ..Stall::default() };
        let store = StoreStatus {
            restore: Some(restore),
            stalls: vec![stall],
            lag_records: Some(7),
            ..status(Phase::Restoring)
        };
        let line = Line::of(&store);
        let expected = "38 %, 41 s to go  RESTORING  STALLED: PEER_SILENT ()  1,234,567 records";
        assert!(line.words.starts_with(expected), "{line:?}");
        assert_eq!(line.share, Some(0.389));
    }
}
