//! What a caller asks to watch, checked before anything is touched.

use std::sync::Arc;
use std::time::Duration;

use outrigger_core::keys::Range;
use outrigger_core::watch::cursor::CursorName;
use outrigger_core::watch::selection::{SELECTED_MAX, Selection};
use outrigger_core::watch::watcher::{Demand, OnLost, Start};
use outrigger_proto::Rpc;
use outrigger_proto::v1::watch_request::From;
use outrigger_proto::v1::{self, ErrorDetail, Level, WatchRequest};

use super::message::Rows;
use crate::access;
use crate::grpc::convert;
use crate::grpc::deadline::CallDeadline;
use crate::grpc::door::Asker;
use crate::grpc::error;
use crate::runtime::StoreHandle;

const PROGRESS_DEFAULT_MS: u32 = 5_000;

/// What is asked for, as far as it does not depend on the store.
pub(super) struct Asked {
    /// As the caller names them. None: all keys.
    named: Vec<Range>,
    selection: Arc<Selection>,
    on_lost: OnLost,
    progress: Duration,
    wait: Duration,
    pub(super) rows: Rows,
    /// Where the watch begins, if it is a cursor.
    pub(super) cursor: Option<CursorName>,
}

impl Asked {
    pub(super) fn of(request: &WatchRequest, deadline: CallDeadline) -> Result<Asked, ErrorDetail> {
        let read = request.read.as_ref();
        if read.is_some_and(|read| read.level() == Level::Stale) {
            return Err(error::invalid_request(
                "a watch does not begin with a copy that may be of any age",
                "watch at LEVEL_LOCAL, or scan at LEVEL_STALE",
            ));
        }
        let named = request.keys.iter().map(convert::selected);
        let named: Vec<Range> = named.collect::<Result<_, _>>()?;
        let selection = Selection::new(named.clone()).map_err(|too_many| {
            let what_to_do = format!("name {SELECTED_MAX} at most, or open several watches");
            error::invalid_request(too_many.to_string(), what_to_do)
        })?;
        let cursor = match &request.from {
            Some(From::Cursor(name)) => Some(convert::cursor_name(name)?),
            Some(From::Now(_) | From::Point(_)) | None => None,
        };
        Ok(Asked {
            named,
            selection: Arc::new(selection),
            on_lost: convert::on_lost(request.on_lost)?,
            progress: progress(request.progress_ms),
            wait: deadline.wait(read.and_then(|read| read.wait_ms_max)),
            rows: Rows {
                keys_only: request.keys_only,
                bytes_max: convert::row_bytes_max(read),
                large: convert::large_rows(request.large_rows)?,
            },
            cursor,
        })
    }

    /// Each of the keys that are named has to be allowed: what may not be seen is refused, never left out.
    pub(super) fn is_allowed(&self, asker: &Asker, store: &str) -> Result<(), ErrorDetail> {
        if self.named.is_empty() {
            return asker.may(Rpc::Watch, store, access::Keys::All);
        }
        self.named.iter().try_for_each(|Range { start, end }| {
            asker.may(Rpc::Watch, store, access::Keys::Range { start, end: end.as_deref() })
        })
    }

    /// What is selected, ascending; no key is in two of them.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range> {
        self.selection.ranges().iter().cloned()
    }

    /// Where the watch begins, in a store that admits reads. The log is asked for a cursor.
    pub(super) async fn start(
        &self,
        request: &WatchRequest,
        store: &StoreHandle,
    ) -> Result<Start, ErrorDetail> {
        if let Some(name) = &self.cursor {
            return match store.cursor(name, self.wait).await {
                Ok(Ok(shown)) => Ok(Start::Point(shown.cursor.point)),
                Ok(Err(lost)) => Ok(Start::Lost(lost)),
                Err(failure) => Err(error::of_cursor(store.circumstances(), &failure)),
            };
        }
        Ok(match &request.from {
            None | Some(From::Cursor(_)) => Start::State,
            Some(From::Now(v1::WatchNow {})) => Start::Now,
            Some(From::Point(point)) => Start::Point(convert::core_point(point)?),
        })
    }

    pub(super) fn demand(&self, start: Start) -> Demand {
        Demand {
            start,
            selection: Arc::clone(&self.selection),
            on_lost: self.on_lost,
            progress: self.progress,
            wait: self.wait,
        }
    }
}

fn progress(asked_ms: u32) -> Duration {
    convert::pause(asked_ms, PROGRESS_DEFAULT_MS)
}

#[cfg(test)]
mod tests {
    use outrigger_proto::v1::key_selector::Keys;
    use outrigger_proto::v1::{KeyRange, KeySelector, ReadOptions, Reason};

    use super::*;

    fn of(request: WatchRequest) -> Result<Asked, Reason> {
        Asked::of(&request, CallDeadline::NONE).map_err(|detail| detail.reason())
    }

    fn with_keys(keys: impl IntoIterator<Item = Keys>) -> WatchRequest {
        let keys = keys.into_iter().map(|keys| KeySelector { keys: Some(keys) }).collect();
        WatchRequest { keys, ..WatchRequest::default() }
    }

    #[test]
    fn the_keys_that_are_named_are_selected_once() {
        let range = KeyRange { start: "b".into(), end: Some("d".into()) };
        let keys = [Keys::Key("k".into()), Keys::Prefix("c".into()), Keys::Range(range)];
        let asked = of(with_keys(keys)).expect("they are keys");
        let ranges: Vec<_> = asked.ranges().map(|range| (range.start, range.end)).collect();
        let selected = |start: &[u8], end: &[u8]| (start.to_vec(), Some(end.to_vec()));
        assert_eq!(ranges, [selected(b"b", b"d"), selected(b"k", b"k\0")]);
        let all = of(WatchRequest::default()).expect("nothing is named");
        assert_eq!(all.ranges().map(|range| range.end).collect::<Vec<_>>(), [None]);
    }

    #[test]
    fn what_cannot_be_watched_is_refused_by_name() {
        let nameless = WatchRequest { keys: vec![KeySelector::default()], ..Default::default() };
        let backward = KeyRange { start: "b".into(), end: Some("a".into()) };
        let stale = ReadOptions { level: Level::Stale.into(), ..ReadOptions::default() };
        for (request, reason) in [
            (nameless, Reason::InvalidRequest),
            (with_keys([Keys::Range(backward)]), Reason::InvalidRange),
            (with_keys((0..=64).map(|_| Keys::Key("k".into()))), Reason::InvalidRequest),
            (WatchRequest { read: Some(stale), ..Default::default() }, Reason::InvalidRequest),
            (WatchRequest { on_lost: 9, ..Default::default() }, Reason::InvalidRequest),
            (WatchRequest { large_rows: 9, ..Default::default() }, Reason::InvalidRequest),
            (
                WatchRequest { from: Some(From::Cursor("a b".into())), ..Default::default() },
                Reason::InvalidRequest,
            ),
        ] {
            assert_eq!(of(request.clone()).err(), Some(reason), "{request:?}");
        }
    }

    #[test]
    fn the_pause_without_a_point_is_bounded_below_and_has_a_default() {
        for (asked_ms, ms) in [(0, 5_000), (1, 100), (100, 100), (60_000, 60_000)] {
            assert_eq!(progress(asked_ms), Duration::from_millis(ms), "{asked_ms}");
        }
    }
}
