//! `watch`: what changes, one event a line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use outrigger_client::{InvalidPoint, Revision, Watch, WatchEvent, WatchPoint};
use serde::Serialize;
use tokio::time::timeout;

use super::failure::Failure;
use super::form::{JsonRow, hex, unhex};
use super::output::Output;
use super::target::Target;
use crate::escape::escape;
use crate::exit::Exit;

/// Prints what changes, as it comes: the state first, as `row KEY VALUE`, then `put KEY VALUE` and `delete KEY`, with tabs
/// between. It goes on by itself when the node was away, until ctrl-c
#[derive(Debug, clap::Args)]
pub(super) struct WatchArgs {
    /// Only keys that begin with this [default: all]
    #[arg(value_name = "PREFIX")]
    prefix: Option<OsString>,
    /// Where to begin: `state`, `now`, or a point as --points prints it
    #[arg(long, value_name = "state|now|POINT", default_value = "state", value_parser = Beginning::from_str)]
    from: Beginning,
    /// Ends where it would print the state again, because the node cannot prove that it has everything since the point
    #[arg(long)]
    fail_when_lost: bool,
    /// Prints points as well: `--from` goes on behind one, on any node of the store
    #[arg(long)]
    points: bool,
    /// Without the values
    #[arg(long)]
    keys_only: bool,
    /// An object a line, {"event":…,"key":…,"value":…}; what is not UTF-8 is key_base64 or value_base64. It has the points
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Debug, PartialEq)]
enum Beginning {
    State,
    Now,
    Point(WatchPoint),
}

#[derive(Debug, thiserror::Error)]
#[error("it is neither `state` nor `now` nor a point in hexadecimal digits, as --points prints it{}",
    .0.map(|why| format!(" ({why})")).unwrap_or_default())]
struct BeginningError(Option<InvalidPoint>);

impl FromStr for Beginning {
    type Err = BeginningError;

    fn from_str(text: &str) -> Result<Beginning, BeginningError> {
        match text {
            "state" => Ok(Beginning::State),
            "now" => Ok(Beginning::Now),
            point => {
                let bytes = unhex(point).ok_or(BeginningError(None))?;
                let point = WatchPoint::from_bytes(&bytes);
                point.map(Beginning::Point).map_err(|why| BeginningError(Some(why)))
            }
        }
    }
}

pub(super) async fn run(args: WatchArgs) -> Result<Exit, Failure> {
    let store = args.target.store().await?;
    let lines = Lines { json: args.json, keys_only: args.keys_only, points: args.points };
    let mut events = store.watch(args.into_watch()).await.map_err(Failure::Read)?;
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
                if let WatchEvent::Interrupted(why) = &event {
                    eprintln!("outrigger: {why}; trying again");
                }
                if let Some(line) = lines.of(event) {
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
}

/// What an event says, whatever it is.
#[derive(Default, Serialize)]
struct Line {
    event: &'static str,
    #[serde(flatten)]
    row: JsonRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    point: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Lines {
    /// None: it is not to be printed.
    fn of(self, event: WatchEvent) -> Option<String> {
        let keys_only = self.keys_only;
        let value = |value: &Bytes| (!keys_only).then(|| value.clone());
        let revised = |event, row, Revision { partition, offset }| Line {
            event,
            row,
            revision: Some(format!("{partition}:{offset}")),
            ..Line::default()
        };
        let at = |event, point: &WatchPoint| Line {
            event,
            point: Some(hex(&point.to_bytes())),
            ..Line::default()
        };
        let text = |word: &str, key: &[u8], value: Option<&[u8]>| {
            let parts = [Some(word.to_owned()), Some(escape(key)), value.map(escape)];
            parts.into_iter().flatten().collect::<Vec<_>>().join("\t")
        };
        let line = match (self.json, event) {
            (false, WatchEvent::Row(row)) => text("row", &row.key, value(&row.value).as_deref()),
            (false, WatchEvent::Change(change)) => match &change.value {
                Some(put) => text("put", &change.key, value(put).as_deref()),
                None => text("delete", &change.key, None),
            },
            (false, WatchEvent::Point(point)) if self.points => {
                format!("point\t{}", hex(&point.to_bytes()))
            }
            (false, WatchEvent::StateEnd(point)) if self.points => {
                format!("state-end\t{}", hex(&point.to_bytes()))
            }
            (false, WatchEvent::StateEnd(_)) => "state-end".to_owned(),
            (false, WatchEvent::StateAgain(why)) => format!("state-again\t{why}"),
            (false, _) => return None,
            (true, event) => {
                let line = match event {
                    WatchEvent::Row(row) => revised(
                        "row",
                        JsonRow::of(&row.key, value(&row.value).as_deref()),
                        row.revision,
                    ),
                    WatchEvent::Change(change) => match &change.value {
                        Some(put) => revised(
                            "put",
                            JsonRow::of(&change.key, value(put).as_deref()),
                            change.revision,
                        ),
                        None => revised("delete", JsonRow::of(&change.key, None), change.revision),
                    },
                    WatchEvent::Point(point) => at("point", &point),
                    WatchEvent::StateEnd(point) => at("state_end", &point),
                    WatchEvent::StateAgain(why) => {
                        Line { event: "state_again", why: Some(why), ..Line::default() }
                    }
                    WatchEvent::Interrupted(error) => Line {
                        event: "interrupted",
                        why: Some(error.to_string()),
                        ..Line::default()
                    },
                    // The client's list may grow.
                    _ => return None,
                };
                serde_json::to_string(&line).expect("texts are always written as JSON")
            }
        };
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use outrigger_client::Change;
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
        let lines = Lines { json: false, keys_only: false, points: true };
        let line = lines.of(WatchEvent::Point(point())).expect("it was asked for");
        let text = line.strip_prefix("point\t").expect("it says what it is");
        assert_eq!(text.parse::<Beginning>().expect("a point"), Beginning::Point(point()));
        assert_eq!(Lines { points: false, ..lines }.of(WatchEvent::Point(point())), None);
        for wrong in ["", "State", "0:1", "abc", "ffff"] {
            let error = wrong.parse::<Beginning>().expect_err(wrong).to_string();
            assert!(error.contains("--points"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_line_says_what_became_of_a_key() {
        let text = Lines { json: false, keys_only: false, points: false };
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
