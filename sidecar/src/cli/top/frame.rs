//! What `top` shows: a row for each store of each node, and below the table what holds them up.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount};
use outrigger_client::proto::v1::Phase;
use outrigger_client::{NodeStatus, StoreStatus};

use super::screen::Size;
use crate::cli::status::text::RESTART;
use crate::shown::{self, STOPPING, phase_name, stall_name};

/// A node reports every 5 s at least; after this silence it counts as gone quiet.
const QUIET_MAX: Duration = Duration::from_secs(12);

/// What stands where the phase would stand of a node that answers and knows nothing.
const NO_NEWS: &str = "NO NEWS";

/// Cells of a bar.
const BAR: usize = 10;

/// The columns up to the phase: how a store is comes before all else.
const UP_TO_PHASE: usize = 3;

/// A node's name is cut down to this much, so that the phase has room.
const NODE_MIN: usize = 8;

/// A node, and how it is.
pub(super) struct Node {
    server: String,
    heard: Heard,
}

enum Heard {
    Said {
        node: NodeStatus,
        at: Instant,
    },
    /// Nothing, since then.
    Silence {
        silence: Silence,
        since: Instant,
    },
}

/// Why a node tells nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nobody answers there.
    Away(String),
    /// It does not tell this caller.
    Refused(String),
}

/// How much a note matters: a terminal that is too small shows the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Wrong,
    Waits,
    Goes,
    Warns,
}

/// What is said of a node.
enum Row {
    Cells(Vec<String>),
    /// Node and phase, and words in the place of all other cells.
    Words([String; 3]),
}

/// A column: its head, how wide it may become, whether numbers stand in it.
struct Column(&'static str, usize, bool);

/// The first matter most: on a narrow terminal the last ones are left out, but never the phase.
const COLUMNS: [Column; 10] = [
    Column("NODE", 24, false),
    Column("STORE", 14, false),
    Column("PHASE", 11, false),
    Column("DONE", BAR + 6, false),
    Column("LAG", 11, true),
    Column("TO GO", 8, true),
    Column("AGE", 8, true),
    Column("HORIZON", 8, true),
    Column("WRITES", 7, true),
    Column("WAITING", 7, true),
];

impl Node {
    pub(super) fn new(server: &str) -> Node {
        let silence = Silence::Away("it was not reached yet".to_owned());
        let heard = Heard::Silence { silence, since: Instant::now() };
        Node { server: server.to_owned(), heard }
    }

    pub(super) fn hear(&mut self, said: Result<NodeStatus, Silence>) {
        let now = Instant::now();
        self.heard = match said {
            Ok(node) => Heard::Said { node, at: now },
            Err(silence) => {
                let since = match self.heard {
                    Heard::Silence { since, .. } => since,
                    Heard::Said { .. } => now,
                };
                Heard::Silence { silence, since }
            }
        };
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Returns what it says, or why it says nothing.
    pub(super) fn state(&self) -> Result<&NodeStatus, &Silence> {
        match &self.heard {
            Heard::Said { node, .. } => Ok(node),
            Heard::Silence { silence, .. } => Err(silence),
        }
    }

    /// Returns how long nothing has been known of it, although it answers; none: what it says is news.
    pub(super) fn no_news(&self) -> Option<Duration> {
        let Heard::Said { node, at } = &self.heard else { return None };
        let quiet = at.elapsed();
        match shown::no_news(node) {
            Some(old) => Some(old + quiet),
            // An older version says nothing where nothing changes.
            None => (quiet >= QUIET_MAX && node.state_age_ms.is_some()).then_some(quiet),
        }
    }

    fn rows(&self) -> Vec<Row> {
        let address = self.server.split_once("://").map_or(&*self.server, |(_, rest)| rest);
        let node = match &self.heard {
            Heard::Said { node, .. } => node,
            Heard::Silence { silence, .. } => {
                return vec![Row::Words(
                    [address, silence.head(), silence.why()].map(str::to_owned),
                )];
            }
        };
        match self.no_news() {
            Some(age) => {
                let words = |store: &StoreStatus| {
                    let [store, phase] = [store.store.clone(), phase_name(store)];
                    format!(
                        "{store} was {phase} {} ago, and nothing is known since",
                        span(age.as_secs())
                    )
                };
                let row = |store| [address.to_owned(), NO_NEWS.to_owned(), words(store)];
                node.stores.iter().map(|store| Row::Words(row(store))).collect()
            }
            None => node.stores.iter().map(|store| Row::Cells(row(address, store))).collect(),
        }
    }

    /// Returns what is said below the table, each with its grade: the lowest matter most.
    fn notes(&self) -> Vec<(Grade, String)> {
        match &self.heard {
            Heard::Silence { silence, since } => {
                let seconds = since.elapsed().as_secs();
                vec![(Grade::Wrong, format!("{}  {silence} ({seconds} s)", self.server))]
            }
            Heard::Said { node, .. } => {
                let hung = shown::hung(node);
                let hung = hung.map(|hung| format!("{}  {hung}: {RESTART}", self.server));
                let hung = hung.map(|hung| (Grade::Wrong, hung));
                let stores = node.stores.iter().flat_map(|store| notes(&self.server, store));
                let stopping = node.stopping.then(|| format!("{}  {STOPPING}", self.server));
                let stopping = stopping.map(|stopping| (Grade::Waits, stopping));
                hung.into_iter().chain(stopping).chain(stores).collect()
            }
        }
    }
}

impl Silence {
    /// Returns what stands where the phase of a store would stand.
    pub(super) fn head(&self) -> &'static str {
        match self {
            Silence::Away(_) => "AWAY",
            Silence::Refused(_) => "NOT TOLD",
        }
    }

    fn why(&self) -> &str {
        match self {
            Silence::Away(why) | Silence::Refused(why) => why,
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Silence::Away(why) => write!(f, "the node does not answer: waiting for it: {why}"),
            Silence::Refused(why) => write!(f, "the node does not tell how it is: {why}"),
        }
    }
}

fn row(address: &str, store: &StoreStatus) -> Vec<String> {
    let restore = store.restore.as_ref();
    let done = match restore {
        Some(restore) => restore.fraction.map_or_else(String::new, bar),
        None if store.phase() == Phase::Ready => {
            // A bar that is full beside what waits would say that all is well.
            store.stalls.first().map_or_else(|| bar(1.0), stall_name)
        }
        None => String::new(),
    };
    let to_go = restore.and_then(|restore| restore.eta_seconds);
    vec![
        address.to_owned(),
        store.store.clone(),
        phase_name(store),
        done,
        store.lag_records.map_or_else(unknown, |lag| HumanCount(lag).to_string()),
        to_go.map_or_else(String::new, span),
        store.confirmed_age_ms.map_or_else(unknown, |age| span(age / 1_000)),
        store.horizon_ms.map_or_else(unknown, |left| span(left / 1_000)),
        store.writes_in_flight.to_string(),
        store.reads_waiting.to_string(),
    ]
}

fn notes(server: &str, store: &StoreStatus) -> Vec<(Grade, String)> {
    let about = |text: &str| format!("{server}  {}  {text}", store.store);
    let cause = store.cause.iter().filter(|_| store.phase() == Phase::Refused);
    let cause = cause.flat_map(|cause| [cause.detail.clone(), cause.what_to_do.clone()]);
    let stalls = store.stalls.iter().flat_map(|stall| {
        [format!("{}: {}", stall_name(stall), stall.detail), stall.what_to_do.clone()]
    });
    let peer = store.restore.iter().flat_map(|restore| &restore.from_peer).map(|from| {
        let (bytes, of) = (HumanBytes(from.bytes), HumanBytes(from.bytes_total));
        format!("{bytes} of {of} from {}", from.peer)
    });
    let warnings = store.warnings.iter().map(|warning| {
        let grade = if shown::is_bad(warning) { Grade::Wrong } else { Grade::Warns };
        (grade, shown::warning(warning))
    });
    let graded = |grade| move |line| (grade, line);
    let lines = cause.map(graded(Grade::Wrong)).chain(stalls.map(graded(Grade::Waits)));
    let lines = lines.chain(peer.map(graded(Grade::Goes))).chain(warnings);
    lines.filter(|(_, line)| !line.is_empty()).map(|(grade, line)| (grade, about(&line))).collect()
}

/// Returns the lines of a terminal of this size, none of them longer than it is wide.
pub(super) fn frame(nodes: &[Node], size: Size) -> Vec<String> {
    let head = Row::Cells(COLUMNS.iter().map(|Column(head, ..)| (*head).to_owned()).collect());
    let rows: Vec<Row> = [head].into_iter().chain(nodes.iter().flat_map(Node::rows)).collect();
    let columns = columns(&rows, size.columns);
    let table = rows.iter().map(|row| match row {
        Row::Cells(cells) => line(&columns, cells),
        Row::Words([node, phase, words]) => {
            let cells = line(&columns, &[node.clone(), String::new(), phase.clone()]);
            fitting(&format!("{cells}  {words}"), size.columns)
        }
    });
    let mut notes: Vec<_> = nodes.iter().flat_map(Node::notes).collect();
    notes.sort_by_key(|(grade, _)| *grade);
    let notes = notes.iter().flat_map(|(_, note)| wrapped(note, size.columns));
    let mut lines: Vec<String> = table.chain([String::new()]).chain(notes).collect();
    if lines.len() > size.lines {
        let more = lines.len() - size.lines.saturating_sub(1);
        lines.truncate(size.lines.saturating_sub(1));
        lines.push(fitting(&format!("… {more} more lines"), size.columns));
    }
    lines
}

/// Returns the columns that fit, each as wide as what stands in it.
fn columns(rows: &[Row], width: usize) -> Vec<Column> {
    let longest = |at: usize| {
        let cell = |row: &Row| match row {
            Row::Cells(cells) => cells.get(at).map_or(0, |cell| cell.chars().count()),
            Row::Words([node, phase, _]) => match at {
                0 => node.chars().count(),
                2 => phase.chars().count(),
                _ => 0,
            },
        };
        rows.iter().map(cell).max().unwrap_or(0)
    };
    let wide = |(at, Column(head, most, number)): (usize, &Column)| {
        Column(head, longest(at).min(*most), *number)
    };
    let mut columns: Vec<Column> = COLUMNS.iter().enumerate().map(wide).collect();
    let wanted = |columns: &[Column]| columns.iter().map(|Column(_, width, _)| width + 2).sum();
    let first: usize = wanted(&columns[..UP_TO_PHASE]);
    let Column(_, node, _) = &mut columns[0];
    let cut = node.saturating_sub(first.saturating_sub(width + 2));
    *node = NODE_MIN.max(cut).min(*node).min(width);
    while columns.len() > 1 && wanted(&columns) > width + 2 {
        columns.pop();
    }
    columns
}

fn line(columns: &[Column], row: &[String]) -> String {
    let cell = |(Column(_, width, number), text): (&Column, &String)| {
        let text = fitting(text, *width);
        if *number { format!("{text:>width$}") } else { format!("{text:<width$}") }
    };
    columns.iter().zip(row).map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// Returns the text without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn fitting(text: &str, width: usize) -> String {
    let text = plain(text);
    match text.chars().count() {
        length if length <= width => text,
        _ => text.chars().take(width.saturating_sub(1)).chain(['…']).take(width).collect(),
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let letters: Vec<char> = plain(text).chars().collect();
    letters.chunks(width.max(1)).map(|line| line.iter().collect()).collect()
}

fn bar(fraction: f64) -> String {
    // What is no number is nothing done.
    let known = if fraction > 0.0 { fraction.min(1.0) } else { 0.0 };
    let percent: usize = format!("{:.0}", (known * 100.0).floor()).parse().unwrap_or(0);
    let full = percent * BAR / 100;
    format!("{}{} {percent:>3} %", "█".repeat(full), "░".repeat(BAR - full))
}

fn span(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds / 60),
        6_000..=359_999 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", HumanCount(seconds / 86_400)),
    }
}

fn unknown() -> String {
    "?".to_owned()
}

#[cfg(test)]
mod tests {
    use outrigger_client::proto::v1::{RestoreProgress, Stall, StallKind};
    use proptest::prelude::*;

    use super::*;

    fn node(stores: Vec<StoreStatus>) -> Node {
        let mut node = Node::new("http://127.0.0.1:7400");
        node.hear(Ok(NodeStatus { version: "1".to_owned(), stores, ..NodeStatus::default() }));
        node
    }

    fn restoring() -> StoreStatus {
        let restore = RestoreProgress {
            fraction: Some(0.389),
            eta_seconds: Some(41),
            ..RestoreProgress::default()
        };
        StoreStatus {
            store: "notes".to_owned(),
            phase: Phase::Restoring.into(),
            restore: Some(restore),
            lag_records: Some(1_234),
            horizon_ms: Some(600_000_000),
            ..StoreStatus::default()
        }
    }

    const WIDE: Size = Size { columns: 140, lines: 40 };

    #[test]
    fn a_row_says_how_far_a_restore_is_and_how_long_it_may_take() {
        let lines = frame(&[node(vec![restoring()])], WIDE);
        let words: Vec<_> = lines[1].split("  ").filter(|cell| !cell.is_empty()).collect();
        let words: Vec<_> = words.iter().map(|cell| cell.trim()).collect();
        let expected = [
            "127.0.0.1:7400",
            "notes",
            "RESTORING",
            "███░░░░░░░  38 %",
            "1,234",
            "41 s",
            "?",
            "6 d",
            "0",
            "0",
        ];
        assert_eq!(words.join("|").replace("░|38", "░  38"), expected.join("|"));
    }

    #[test]
    fn a_node_that_is_gone_is_said_to_be() {
        let mut gone = node(vec![restoring()]);
        gone.hear(Err(Silence::Away("connection refused".to_owned())));
        let lines = frame(&[gone], WIDE);
        assert!(lines[1].contains("AWAY") && !lines[1].contains("RESTORING"), "{lines:?}");
        assert!(lines[1].contains("connection refused"), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("waiting for it")), "{lines:?}");
    }

    #[test]
    fn a_node_that_refuses_says_why_in_its_row_beside_the_others() {
        let mut refuses = Node::new("http://127.0.0.1:7410");
        refuses.hear(Err(Silence::Refused("no rule allows it".to_owned())));
        let lines = frame(&[refuses, node(vec![restoring()])], WIDE);
        assert!(lines[1].contains("NOT TOLD") && lines[1].contains("no rule allows"), "{lines:?}");
        assert!(lines[2].contains("RESTORING"), "{lines:?}");
    }

    #[test]
    fn a_state_that_is_old_is_not_shown_as_what_is() {
        let mut silent = Node::new("http://127.0.0.1:7400");
        let ready = StoreStatus { phase: Phase::Ready.into(), ..restoring() };
        silent.hear(Ok(NodeStatus {
            stores: vec![ready],
            state_age_ms: Some(14_000),
            hung: vec!["core".to_owned()],
            stopping: true,
            ..NodeStatus::default()
        }));
        let lines = frame(&[silent], WIDE);
        let row = "NO NEWS  notes was READY 14 s ago, and nothing is known since";
        assert!(lines[1].ends_with(row), "{lines:?}");
        for note in ["core does not go on", STOPPING] {
            assert!(lines.iter().any(|line| line.contains(note)), "{lines:?}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_passed_on() {
        let detail = "\x1b[2Jgone\r\n\x07".to_owned();
        let kind = StallKind::TopicGone.into();
        let stall = Stall { kind, detail, what_to_do: "create it".to_owned(), ..Stall::default() };
        let store = StoreStatus { stalls: vec![stall], ..restoring() };
        let lines = frame(&[node(vec![store])], WIDE);
        assert!(lines.iter().all(|line| !line.chars().any(char::is_control)), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("TOPIC_GONE")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("create it")), "{lines:?}");
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_the_terminal_is_wide(
            columns in 1..200_usize, lines in 1..50_usize, fraction: f64, detail in ".{0,300}",
        ) {
            let restore = RestoreProgress { fraction: Some(fraction), ..RestoreProgress::default() };
            let stall = Stall { detail, ..Stall::default() };
            let store = StoreStatus { restore: Some(restore), stalls: vec![stall], ..restoring() };
            let size = Size { columns, lines };
            let shown = frame(&[node(vec![store]), Node::new("unix:///s")], size);
            prop_assert!(shown.len() <= lines, "{shown:?}");
            for line in shown {
                prop_assert!(line.chars().count() <= columns, "{line}");
            }
        }
    }
}
