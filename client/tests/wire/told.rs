//! What a node tells a watch.

use bytes::Bytes;
use outrigger_client::proto::v1::change::What;
use outrigger_client::proto::v1::watch_response::Part;
use outrigger_client::proto::v1::{
    self, Changes, CopyState, ErrorDetail, PartitionPosition, Reason, Revision, Row, StateAgain,
    StateEnd, StateRows, Token, Tombstone, WatchProgress, WatchResponse, WatchStarted,
};
use tonic::Status;

pub(crate) type Told = Result<WatchResponse, Status>;

fn part(part: Part) -> Told {
    Ok(WatchResponse { part: Some(part) })
}

pub(crate) fn token(position: u64) -> Token {
    let positions = vec![PartitionPosition { partition: 0, position, leader_epoch: None }];
    Token { topic_id: vec![1; 16].into(), positions }
}

pub(crate) fn at(position: u64) -> Option<v1::WatchPoint> {
    Some(v1::WatchPoint { token: Some(token(position)), confirmed_at_ms: 7 })
}

pub(crate) fn started(point: Option<v1::WatchPoint>) -> Told {
    let copy = CopyState { token: Some(token(0)), ..CopyState::default() };
    part(Part::Started(WatchStarted { copy: Some(copy), point }))
}

pub(crate) fn row(key: &'static str) -> Told {
    rows([(key, "")])
}

pub(crate) fn rows(rows: impl IntoIterator<Item = (&'static str, &'static str)>) -> Told {
    let revision = Some(Revision { partition: 0, offset: 0 });
    let row = |(key, value): (&'static str, &'static str)| Row {
        key: key.into(),
        value: value.into(),
        revision,
        ..Row::default()
    };
    part(Part::Rows(StateRows { rows: rows.into_iter().map(row).collect() }))
}

pub(crate) fn large_row(value: &Bytes) -> Told {
    let revision = Some(Revision { partition: 0, offset: 0 });
    let row = Row { key: "large".into(), value: value.clone(), revision, ..Row::default() };
    part(Part::Rows(StateRows { rows: vec![row] }))
}

pub(crate) fn state_end(position: u64) -> Told {
    part(Part::StateEnd(StateEnd { point: at(position) }))
}

pub(crate) fn progress(position: u64) -> Told {
    part(Part::Progress(WatchProgress { point: at(position) }))
}

pub(crate) fn again() -> Told {
    let why = ErrorDetail::new(Reason::Compacted, "the point is too old");
    part(Part::Again(StateAgain { why: Some(why) }))
}

pub(crate) fn changes(
    offsets: impl IntoIterator<Item = u64>,
    point: Option<v1::WatchPoint>,
) -> Told {
    changes_of(|offset| format!("key {offset}"), offsets, point)
}

pub(crate) fn changes_of(
    key: impl Fn(u64) -> String,
    offsets: impl IntoIterator<Item = u64>,
    point: Option<v1::WatchPoint>,
) -> Told {
    let change = |offset: u64| v1::Change {
        key: key(offset).into(),
        what: Some(match offset % 2 {
            0 => What::Put("value".into()),
            _ => What::Delete(Tombstone {}),
        }),
        revision: Some(Revision { partition: 0, offset }),
        ..v1::Change::default()
    };
    let changes = offsets.into_iter().map(change).collect();
    part(Part::Changes(Changes { changes, point }))
}

/// One change, at an offset. Without a point it is a part of what belongs together.
pub(crate) fn change(
    key: &'static str,
    value: Option<&'static str>,
    offset: u64,
    point: Option<v1::WatchPoint>,
) -> Told {
    let what = match value {
        Some(value) => What::Put(value.into()),
        None => What::Delete(Tombstone {}),
    };
    let revision = Some(Revision { partition: 0, offset });
    let change =
        v1::Change { key: key.into(), what: Some(what), revision, ..v1::Change::default() };
    part(Part::Changes(Changes { changes: vec![change], point }))
}

pub(crate) fn broken() -> Told {
    Err(ErrorDetail::new(Reason::Draining, "the node stops").into())
}

/// The token that the caller came with was taken away, or is none.
pub(crate) fn unauthenticated() -> Told {
    Err(ErrorDetail::new(Reason::Unauthenticated, "not a token of this node").into())
}
