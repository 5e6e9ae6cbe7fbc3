//! Watch as a bare stub meets it: what comes in which order, what is refused by name, and how it ends.

use std::collections::BTreeSet;

use outrigger_proto::v1::change::What;
use outrigger_proto::v1::key_selector::Keys;
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::watch_request::From;
use outrigger_proto::v1::watch_response::Part;
use outrigger_proto::v1::{
    Changes, DeleteRequest, KeyRange, KeySelector, LargeRows, Level, OnLost, PartitionPosition,
    ReadOptions, Reason, Token, WatchNow, WatchPoint, WatchRequest, WatchResponse,
};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::{One, at, detail, in_time, put, reason};

struct Watch(Streaming<WatchResponse>);

impl Watch {
    async fn open(rows: &mut StoreClient<Channel>, request: WatchRequest) -> Watch {
        let mut watch = Watch(rows.watch(request).await.expect("a watch").into_inner());
        assert!(matches!(watch.next().await, Part::Started(_)), "this comes first");
        watch
    }

    async fn message(&mut self) -> Result<WatchResponse, Status> {
        in_time(self.0.message()).await.map(|message| message.expect("only an error ends a watch"))
    }

    async fn next(&mut self) -> Part {
        self.message().await.expect("it goes on").part.expect("a part that we know")
    }

    /// The rows of the state, and its point.
    async fn state(&mut self) -> (Vec<String>, WatchPoint) {
        let mut rows = Vec::new();
        loop {
            match self.next().await {
                Part::Rows(more) => rows.extend(more.rows.into_iter().map(|row| text(&row.key))),
                Part::StateEnd(end) => return (rows, end.point.expect("it has one")),
                part => panic!("{part:?} in the state"),
            }
        }
    }

    /// The next changes, in a word each, and the point after them.
    async fn changes(&mut self) -> (Vec<String>, WatchPoint) {
        let mut told = Vec::new();
        loop {
            match self.next().await {
                Part::Changes(Changes { changes, point }) => {
                    told.extend(changes.into_iter().map(|change| match change.what {
                        Some(What::Put(value)) => format!("{}={}", text(&change.key), text(&value)),
                        Some(What::Delete(_)) => format!("-{}", text(&change.key)),
                        None => panic!("{change:?}"),
                    }));
                    if let Some(point) = point {
                        return (told, point);
                    }
                }
                Part::Progress(_) => {}
                part => panic!("{part:?} among changes"),
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn selector(keys: Keys) -> KeySelector {
    KeySelector { keys: Some(keys) }
}

fn of(keys: impl IntoIterator<Item = Keys>) -> WatchRequest {
    let keys = keys.into_iter().map(selector).collect();
    WatchRequest { keys, ..WatchRequest::default() }
}

fn now() -> WatchRequest {
    WatchRequest { from: Some(From::Now(WatchNow {})), ..WatchRequest::default() }
}

fn from(point: WatchPoint, on_lost: OnLost) -> WatchRequest {
    let from = Some(From::Point(point));
    WatchRequest { from, on_lost: on_lost.into(), ..WatchRequest::default() }
}

async fn write(rows: &mut StoreClient<Channel>, pairs: &[(&str, Option<&str>)]) {
    for (key, value) in pairs {
        match value {
            Some(value) => drop(rows.put(put("notes", key, value)).await.expect("a write")),
            None => {
                let delete = DeleteRequest { key: key.to_string().into(), ..Default::default() };
                drop(rows.delete(delete).await.expect("a delete"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_and_its_changes_are_of_the_keys_that_were_named_and_each_comes_once() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    write(&mut rows, &[("a/1", Some("1")), ("a/2", Some("2")), ("b", Some("3")), ("c", None)])
        .await;
    let token = rows.put(put("notes", "d", "4")).await.expect("a write").into_inner().token;
    let range = KeyRange { start: "d".into(), end: Some("e".into()) };
    let keys = [Keys::Prefix("a/".into()), Keys::Key("a/1".into()), Keys::Range(range)];
    let request = WatchRequest { read: Some(at(Level::AtLeast, token)), ..of(keys) };
    let mut watch = Watch::open(&mut rows, request).await;
    assert_eq!(watch.state().await.0, ["a/1", "a/2", "d"]);
    write(&mut rows, &[("b", Some("5")), ("a/1", Some("")), ("a/1", None), ("dd", Some("6"))])
        .await;
    let mut told = BTreeSet::new();
    while told.len() < 3 {
        told.extend(watch.changes().await.0);
    }
    assert_eq!(told, ["-a/1", "a/1=", "dd=6"].map(str::to_owned).into());

    let nothing = of([Keys::Key("nobody".into())]);
    let mut empty = Watch::open(&mut rows, nothing).await;
    assert_eq!(empty.state().await.0, [""; 0], "its end comes all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_keys_only_has_no_values_and_a_quiet_one_has_points() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let request = WatchRequest { keys_only: true, progress_ms: 1, ..now() };
    let mut watch = Watch::open(&mut rows, request).await;
    assert!(matches!(watch.next().await, Part::Progress(_)), "nothing happens");
    write(&mut rows, &[("k", Some("value"))]).await;
    assert_eq!(watch.changes().await.0, ["k="]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_is_refused_by_name_or_left_out_where_that_was_asked_for() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let small = |large_rows: LargeRows| {
        let read = Some(ReadOptions { row_bytes_max: Some(10), ..ReadOptions::default() });
        WatchRequest { read, large_rows: large_rows.into(), ..now() }
    };
    let mut refuses = Watch::open(&mut rows, small(LargeRows::Refuse)).await;
    let mut omits = Watch::open(&mut rows, small(LargeRows::OmitValue)).await;
    write(&mut rows, &[("a", Some("1")), ("b", Some("01234567890"))]).await;
    let ended = loop {
        match refuses.message().await {
            Ok(_) => {}
            Err(ended) => break ended,
        }
    };
    assert_eq!(detail(&ended).reason(), Reason::RowTooLarge);
    let mut omitted = Vec::new();
    while omitted.len() < 2 {
        if let Part::Changes(changes) = omits.next().await {
            omitted.extend(changes.changes.into_iter().map(|change| change.omitted_value_bytes));
        }
    }
    assert_eq!(omitted, [None, Some(11)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_goes_on_and_one_that_nothing_can_be_proven_of_is_told_by_name() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let mut watch = Watch::open(&mut rows, now()).await;
    write(&mut rows, &[("a", Some("1"))]).await;
    let (_, point) = watch.changes().await;
    write(&mut rows, &[("b", Some("2"))]).await;
    let mut resumed = Watch::open(&mut rows, from(point.clone(), OnLost::Fail)).await;
    assert_eq!(resumed.changes().await.0, ["b=2"]);

    let mut elsewhere = point.clone();
    elsewhere.token.as_mut().expect("it has one").topic_id = vec![9; 16].into();
    let old = WatchPoint { confirmed_at_ms: 0, ..point.clone() };
    // From before the topic got this partition, and of a topic with more of them.
    let (mut fewer, mut more) = (point.clone(), point);
    fewer.token.as_mut().expect("it has one").positions.pop();
    let beyond = PartitionPosition { partition: 64, ..PartitionPosition::default() };
    more.token.as_mut().expect("it has one").positions.push(beyond);
    for lost in [elsewhere, old, fewer, more] {
        let mut again = Watch::open(&mut rows, from(lost.clone(), OnLost::State)).await;
        let Part::Again(why) = again.next().await else { panic!("the state follows") };
        assert_eq!(why.why.expect("it says why").reason(), Reason::Compacted);
        assert_eq!(again.state().await.0, ["a", "b"]);
        let mut fails = rows.watch(from(lost, OnLost::Fail)).await.expect("a watch").into_inner();
        let ended = in_time(fails.message()).await.expect_err("it was asked for");
        assert_eq!(detail(&ended).reason(), Reason::Compacted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_watched_is_refused_by_name() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let twice = PartitionPosition { position: 1, ..PartitionPosition::default() };
    let twice = Token { topic_id: vec![0; 16].into(), positions: vec![twice, twice] };
    let own = one.node.client().await.status().await.expect("status").stores.remove(0).topic_id;
    let twice = Token { topic_id: own, ..twice };
    let at_twice = WatchPoint { token: Some(twice), confirmed_at_ms: 1 };
    let stale = WatchRequest { read: Some(at(Level::Stale, None)), ..now() };
    let many = of((0..65).map(|_| Keys::Prefix("k".into())));
    for (request, refusal) in [
        (WatchRequest { store: "other".to_owned(), ..now() }, Reason::UnknownStore),
        (stale, Reason::InvalidRequest),
        (many, Reason::InvalidRequest),
        (from(WatchPoint::default(), OnLost::State), Reason::TokenInvalid),
        (from(at_twice, OnLost::State), Reason::TokenInvalid),
    ] {
        assert_eq!(reason(rows.watch(request.clone()).await), refusal, "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_ends_its_watches_by_name() {
    let One { node, log: _log, dir: _dir } = One::ready().await;
    let mut rows = node.rows().await;
    let mut watch = Watch::open(&mut rows, now()).await;
    in_time(node.sidecar.drain()).await;
    let ended = loop {
        match watch.message().await {
            Ok(_) => {}
            Err(ended) => break ended,
        }
    };
    assert_eq!(detail(&ended).reason(), Reason::Draining);
}
