//! `watch`: what changes, one event a line.

pub(super) mod exec;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use outrigger_client::{
    Change, InvalidPoint, Reason, Revision, Row, Store, Watch, WatchEvent, WatchPoint, WatchStream,
};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::failure::Failure;
use super::form::{JsonRow, hex, unhex};
use super::output::Output;
use super::target::Target;
use crate::escape::escape;
use crate::exit::Exit;

/// How often a node that restores is asked whether it can be watched.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Prints what changes, as it comes: the state first, as `row KEY VALUE`, then `put KEY VALUE` and `delete KEY`, with tabs
/// between. It goes on by itself when the node was away, until ctrl-c
#[derive(Debug, clap::Args)]
pub(super) struct WatchArgs {
    /// Only keys that begin with this [default: all]
    #[arg(value_name = "PREFIX")]
    prefix: Option<OsString>,
    /// Where to begin: `state`, `now`, `cursor:` and the name of a cursor, or a point as --points prints it
    #[arg(long, value_name = "state|now|cursor:NAME|POINT", default_value = "state", value_parser = Beginning::from_str)]
    from: Beginning,
    /// Ends where it would print the state again, because the node cannot prove that it has everything since the point
    #[arg(long)]
    fail_when_lost: bool,
    /// Prints points as well: `--from` goes on after one, on any node of the store
    #[arg(long)]
    points: bool,
    /// Without the values
    #[arg(long)]
    keys_only: bool,
    /// An object a line, {"event":…,"key":…,"value":…}; what is not UTF-8 is key_base64 or value_base64. It has the points
    #[arg(long)]
    json: bool,
    /// Runs `sh -c CMD` and gives it the lines of --json on its standard input; ends with the command, and with its exit code
    #[arg(long, value_name = "CMD")]
    exec: Option<OsString>,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Debug, PartialEq)]
enum Beginning {
    State,
    Now,
    Cursor(String),
    Point(WatchPoint),
}

#[derive(Debug, thiserror::Error)]
#[error("it is neither `state` nor `now` nor `cursor:NAME` nor a point in hexadecimal digits, as --points prints it{}",
    .0.map(|why| format!(" ({why})")).unwrap_or_default())]
struct BeginningError(Option<InvalidPoint>);

impl FromStr for Beginning {
    type Err = BeginningError;

    fn from_str(text: &str) -> Result<Beginning, BeginningError> {
        match text {
            "state" => Ok(Beginning::State),
            "now" => Ok(Beginning::Now),
            other => match other.strip_prefix("cursor:") {
                Some(name) => Ok(Beginning::Cursor(name.to_owned())),
                None => point(other).map(Beginning::Point).map_err(BeginningError),
            },
        }
    }
}

/// Reads a point as it is printed. What is wrong with it may be known no further than that it is none.
pub(super) fn point(text: &str) -> Result<WatchPoint, Option<InvalidPoint>> {
    WatchPoint::from_bytes(&unhex(text).ok_or(None)?).map_err(Some)
}

pub(super) async fn run(mut args: WatchArgs) -> Result<Exit, Failure> {
    let store = args.target.store().await?;
    let command = args.exec.take();
    let json = args.json || command.is_some();
    let lines = Lines { json, keys_only: args.keys_only, points: args.points, away: false };
    let from_now = args.from == Beginning::Now;
    let events = begin(&store, args.into_watch()).await?;
    if from_now {
        eprintln!("outrigger: watching; the next change comes first");
    }
    match command {
        Some(command) => exec::run(&command, events, lines).await,
        None => print(events, lines).await,
    }
}

/// A node that restores is waited for, as it is once a watch has begun.
async fn begin(store: &Store, watch: Watch) -> Result<WatchStream, Failure> {
    let mut waits = false;
    loop {
        let error = match store.watch(watch.clone()).await {
            Ok(events) => return Ok(events),
            Err(error) => error,
        };
        if !matches!(error.reason(), Some(Reason::Restoring | Reason::NotReady)) {
            return Err(Failure::Read(error));
        }
        if !waits {
            eprintln!("outrigger: {error}; waiting");
            waits = true;
        }
        sleep(AGAIN_AFTER).await;
    }
}

async fn print(mut events: WatchStream, mut lines: Lines) -> Result<Exit, Failure> {
    let mut out = Output::open();
    loop {
        // What is there is printed before anything is waited for.
        let event = match timeout(Duration::ZERO, events.next()).await {
            Ok(event) => event,
            Err(_nothing_yet) => {
                out.flush().map_err(Failure::Output)?;
                events.next().await
            }
        };
        match event {
            Some(Ok(event)) => {
                if let Some(line) = lines.told(event) {
                    out.line(&line).map_err(Failure::Output)?;
                }
            }
            Some(Err(error)) => {
                out.flush().map_err(Failure::Output)?;
                return Err(Failure::Read(error));
            }
            None => unreachable!("a watch ends with an error"),
        }
    }
}

impl WatchArgs {
    fn into_watch(self) -> Watch {
        let watch = match self.prefix {
            Some(prefix) => Watch::prefix(prefix.into_vec()),
            None => Watch::all(),
        };
        let watch = match self.from {
            Beginning::State => watch,
            Beginning::Now => watch.from_now(),
            Beginning::Cursor(name) => watch.from_cursor(name),
            Beginning::Point(point) => watch.from_point(point),
        };
        let watch = if self.fail_when_lost { watch.fail_when_lost() } else { watch };
        if self.keys_only { watch.keys_only() } else { watch }
    }
}

/// How events are printed.
#[derive(Clone, Copy)]
struct Lines {
    json: bool,
    keys_only: bool,
    points: bool,
    /// The watch was interrupted.
    away: bool,
}

/// What an event says, whatever it is.
#[derive(Default)]
struct Said {
    event: &'static str,
    key: Option<Bytes>,
    value: Option<Bytes>,
    revision: Option<Revision>,
    point: Option<WatchPoint>,
    why: Option<String>,
}

#[derive(Serialize)]
struct JsonEvent {
    event: &'static str,
    #[serde(flatten)]
    row: Option<JsonRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    point: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Lines {
    /// The line of an event, which may have to be told on standard error as well.
    fn told(&mut self, event: WatchEvent) -> Option<String> {
        match &event {
            WatchEvent::Interrupted(why) => {
                eprintln!("outrigger: {why}; trying again");
                self.away = true;
            }
            _ if self.away => {
                eprintln!("outrigger: connected again");
                self.away = false;
            }
            _ => {}
        }
        self.of(event)
    }

    /// None: it is not to be printed.
    fn of(self, event: WatchEvent) -> Option<String> {
        let said = Said::of(event)?;
        if self.json { Some(self.json(said)) } else { self.text(said) }
    }

    fn json(self, said: Said) -> String {
        let value = said.value.filter(|_| !self.keys_only);
        let event = JsonEvent {
            event: said.event,
            row: said.key.map(|key| JsonRow::of(&key, value.as_deref())),
            revision: said.revision.map(|at| format!("{}:{}", at.partition, at.offset)),
            point: said.point.map(|point| hex(&point.to_bytes())),
            why: said.why,
        };
        serde_json::to_string(&event).expect("texts are always written as JSON")
    }

    fn text(self, said: Said) -> Option<String> {
        let event = match said.event {
            // It is told on standard error.
            "interrupted" => return None,
            "point" if !self.points => return None,
            event => event.replace('_', "-"),
        };
        let parts = [
            Some(event),
            said.key.map(|key| escape(&key)),
            said.value.filter(|_| !self.keys_only).map(|value| escape(&value)),
            said.point.filter(|_| self.points).map(|point| hex(&point.to_bytes())),
            said.why,
        ];
        Some(parts.into_iter().flatten().collect::<Vec<_>>().join("\t"))
    }
}

impl Said {
    /// None: the client's list has grown.
    fn of(event: WatchEvent) -> Option<Said> {
        Some(match event {
            WatchEvent::Row(Row { key, value, revision }) => Said {
                event: "row",
                key: Some(key),
                value: Some(value),
                revision: Some(revision),
                ..Said::default()
            },
            WatchEvent::Change(Change { key, value, revision }) => Said {
                event: if value.is_some() { "put" } else { "delete" },
                key: Some(key),
                value,
                revision: Some(revision),
                ..Said::default()
            },
            WatchEvent::Point(point) => {
                Said { event: "point", point: Some(point), ..Said::default() }
            }
            WatchEvent::StateEnd(point) => {
                Said { event: "state_end", point: Some(point), ..Said::default() }
            }
            WatchEvent::StateAgain(why) => {
                Said { event: "state_again", why: Some(why), ..Said::default() }
            }
            WatchEvent::Interrupted(error) => {
                let why = Some(error.to_string());
                Said { event: "interrupted", why, ..Said::default() }
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use outrigger_client::proto::v1;

    use super::*;

    fn point() -> WatchPoint {
        let token = v1::Token { topic_id: vec![7; 16].into(), positions: vec![] };
        let point = v1::WatchPoint { token: Some(token), confirmed_at_ms: 1 };
        WatchPoint::try_from(point).expect("a point")
    }

    fn change(value: Option<&'static str>) -> WatchEvent {
        let revision = Revision { partition: 1, offset: 9 };
        WatchEvent::Change(Change { key: "a\tb".into(), value: value.map(Into::into), revision })
    }

    #[test]
    fn a_point_is_taken_as_it_is_printed() {
        let lines = Lines { json: false, keys_only: false, points: true, away: false };
        let line = lines.of(WatchEvent::Point(point())).expect("it was asked for");
        let text = line.strip_prefix("point\t").expect("it says what it is");
        assert_eq!(text.parse::<Beginning>().expect("a point"), Beginning::Point(point()));
        assert_eq!(Lines { points: false, ..lines }.of(WatchEvent::Point(point())), None);
        let cursor = Beginning::Cursor("a.b".to_owned());
        assert_eq!("cursor:a.b".parse::<Beginning>().expect("a cursor"), cursor);
        for wrong in ["", "State", "0:1", "abc", "ffff"] {
            let error = wrong.parse::<Beginning>().expect_err(wrong).to_string();
            assert!(error.contains("--points"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_line_says_what_became_of_a_key() {
        let text = Lines { json: false, keys_only: false, points: false, away: false };
        assert_eq!(text.of(change(Some(""))).as_deref(), Some("put\ta\\tb\t"));
        assert_eq!(text.of(change(None)).as_deref(), Some("delete\ta\\tb"));
        let keys = Lines { keys_only: true, ..text };
        assert_eq!(keys.of(change(Some("v"))).as_deref(), Some("put\ta\\tb"));
        let json = Lines { json: true, ..text };
        let put = r#"{"event":"put","key":"a\tb","value":"v","revision":"1:9"}"#;
        assert_eq!(json.of(change(Some("v"))).as_deref(), Some(put));
        let deleted = r#"{"event":"delete","key":"a\tb","revision":"1:9"}"#;
        assert_eq!(json.of(change(None)).as_deref(), Some(deleted));
    }
}
