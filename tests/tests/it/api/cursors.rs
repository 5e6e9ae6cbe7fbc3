//! Cursors as a bare stub meets them, on the embedded log; and that they are kept alive.

use std::sync::Arc;
use std::time::Duration;

use outrigger::index::StoreIndex;
use outrigger::log::{Log as _, LogSink};
use outrigger::watchdog::Patience;
use outrigger_core::log::LogEvent;
use outrigger_core::watch::cursor::KEPT_FOR_MS;
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::watch_request::From;
use outrigger_proto::v1::watch_response::Part;
use outrigger_proto::v1::{
    Ack, CommitCursorRequest, Cursor, DeleteCursorRequest, GetCursorRequest, ListCursorsRequest,
    OnLost, Phase, PutRequest, Reason, StatusRequest, WatchNow, WatchPoint, WatchRequest,
};
use tonic::Request;
use tonic::transport::Channel;

use super::{Node, One, in_time, put, reason};

fn commit(name: &str, point: WatchPoint) -> CommitCursorRequest {
    CommitCursorRequest { store: String::new(), name: name.to_owned(), point: Some(point) }
}

/// One that points after it are behind.
fn write() -> PutRequest {
    PutRequest { ack: Ack::Applied.into(), ..put("notes", "k", "v") }
}

async fn get(rows: &mut StoreClient<Channel>, name: &str) -> Cursor {
    let request = GetCursorRequest { store: String::new(), name: name.to_owned() };
    let answer = rows.get_cursor(request).await.expect("it is there").into_inner();
    answer.cursor.expect("always present")
}

/// A point of now.
async fn point(rows: &mut StoreClient<Channel>) -> WatchPoint {
    let from = Some(From::Now(WatchNow {}));
    let request = WatchRequest { from, ..WatchRequest::default() };
    let mut watch = rows.watch(request).await.expect("a watch").into_inner();
    let first = in_time(watch.message()).await.expect("it begins").expect("it goes on");
    let Some(Part::Started(started)) = first.part else { panic!("{first:?}") };
    started.point.expect("it begins somewhere")
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_are_listed_by_name_and_outlive_node_and_log() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let first = point(&mut rows).await;
    for name in ["b", "a", "a.b"] {
        rows.commit_cursor(commit(name, first.clone())).await.expect("committed");
    }
    rows.put(write()).await.expect("a write");
    let listed = |rows: &StoreClient<Channel>| {
        let mut rows = rows.clone();
        async move {
            let request = ListCursorsRequest { store: "notes".to_owned() };
            rows.list_cursors(request).await.expect("a list").into_inner().cursors
        }
    };
    let names = |cursors: &[Cursor]| -> Vec<String> {
        cursors.iter().map(|cursor| cursor.name.clone()).collect()
    };
    assert_eq!(names(&listed(&rows).await), ["a", "a.b", "b"]);
    let second = point(&mut rows).await;
    rows.commit_cursor(commit("b", second.clone())).await.expect("committed");
    let delete = DeleteCursorRequest { store: String::new(), name: "a".to_owned() };
    for _ in 0..2 {
        rows.delete_cursor(delete.clone()).await.expect("deleted");
    }

    let One { node, log, dir } = one;
    in_time(node.sidecar.drain()).await;
    drop(log);
    let log = super::topic(&dir.path().join("log"), super::policy());
    let node = Node::start(&dir.path().join("node"), &[("notes", &log)]).await;
    node.ready().await;
    let mut rows = node.rows().await;
    assert_eq!(names(&listed(&rows).await), ["a.b", "b"]);
    assert_eq!(get(&mut rows, "b").await.point, Some(second));
    let other = get(&mut rows, "a.b").await;
    assert_eq!((other.point, other.behind_records > Some(0)), (Some(first), true));
}

/// How long a caller waits for a node that has nothing.
const PATIENT: Duration = Duration::from_secs(2);

const WHILE_RESTORING: [Reason; 3] =
    [Reason::Restoring, Reason::NotReady, Reason::DeadlineExceeded];

/// It would be ahead of an empty copy, and good for all that this one knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_no_copy_yet_says_nothing_of_a_cursor() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    rows.put(write()).await.expect("a write");
    let point = point(&mut rows).await;
    rows.commit_cursor(commit("c", point.clone())).await.expect("committed");
    let nothing_to_read = |sink: LogSink| -> LogSink {
        Arc::new(move |store, event| match event {
            LogEvent::Fetched(_) => {}
            event => sink(store, event),
        })
    };
    let (dir, patience) = (one.dir.path().join("other"), Patience::PRODUCTION);
    let stores = [("notes", &one.log)];
    let other =
        Node::start_between(&dir, &stores, patience, |logs| Box::new(logs), nothing_to_read);
    let other = other.await;
    let mut admin = other.admin().await;
    in_time(async {
        loop {
            let status = admin.status(StatusRequest::default()).await.expect("a status");
            let phases = status
                .into_inner()
                .node
                .expect("always present")
                .stores
                .into_iter()
                .map(|store| store.phase());
            if phases.eq([Phase::Restoring]) {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut beside = other.rows().await;
    let mut asked = Request::new(GetCursorRequest { store: String::new(), name: "c".to_owned() });
    asked.set_timeout(PATIENT);
    let got = beside.get_cursor(asked).await;
    assert!(got.is_err(), "an empty copy tells {got:?}");
    let mut asked = Request::new(commit("c", point.clone()));
    asked.set_timeout(PATIENT);
    let committed = beside.commit_cursor(asked).await;
    assert!(committed.is_err(), "an empty copy tells {committed:?}");
    assert!([reason(got), reason(committed)].iter().all(|why| WHILE_RESTORING.contains(why)));
    assert_eq!(get(&mut rows, "c").await.point, Some(point));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_cursor_is_refused_by_name() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let first = point(&mut rows).await;
    rows.put(write()).await.expect("a write");
    let second = point(&mut rows).await;
    rows.commit_cursor(commit("c", second.clone())).await.expect("committed");
    let mut elsewhere = first.clone();
    elsewhere.token.as_mut().expect("it has one").topic_id = vec![9; 16].into();
    let mut fewer = second.clone();
    fewer.token.as_mut().expect("it has one").positions.pop();
    let old = WatchPoint { confirmed_at_ms: 0, ..second };
    let none = CommitCursorRequest { point: None, ..commit("c", first.clone()) };
    let store = CommitCursorRequest { store: "other".to_owned(), ..commit("c", first.clone()) };
    for (request, refusal) in [
        (commit("", first.clone()), Reason::InvalidRequest),
        (commit("a/b", first.clone()), Reason::InvalidRequest),
        (none, Reason::TokenInvalid),
        (commit("c", WatchPoint::default()), Reason::TokenInvalid),
        (store, Reason::UnknownStore),
        (commit("c", first), Reason::CursorGoesBack),
        (commit("c", elsewhere), Reason::Compacted),
        (commit("c", fewer), Reason::Compacted),
        (commit("c", old), Reason::Compacted),
    ] {
        assert_eq!(reason(rows.commit_cursor(request.clone()).await), refusal, "{request:?}");
    }
    let request = GetCursorRequest { store: String::new(), name: "unknown".to_owned() };
    assert_eq!(reason(rows.get_cursor(request).await), Reason::Compacted);

    let from = |name: &str, on_lost: OnLost| {
        let from = Some(From::Cursor(name.to_owned()));
        WatchRequest { from, on_lost: on_lost.into(), ..WatchRequest::default() }
    };
    assert_eq!(reason(rows.watch(from("a b", OnLost::State)).await), Reason::InvalidRequest);
    let fails = rows.watch(from("unknown", OnLost::Fail)).await.expect("a watch");
    let ended = in_time(fails.into_inner().message()).await;
    assert_eq!(reason(ended), Reason::Compacted);
    let again = rows.watch(from("unknown", OnLost::State)).await.expect("a watch");
    let mut again = again.into_inner();
    let mut parts = Vec::new();
    for _ in 0..4 {
        let message = in_time(again.message()).await.expect("it goes on").expect("no end");
        parts.push(message.part.expect("one that we know"));
    }
    let told = &parts[..];
    assert!(
        matches!(told, [Part::Started(_), Part::Again(_), Part::Rows(_), Part::StateEnd(_)]),
        "{told:?}"
    );
}

/// Unchanged but for the time, and only what nobody has committed for a day, and a watch could continue from.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_rests_is_committed_anew_before_it_is_forgotten() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let at = point(&mut rows).await;
    rows.commit_cursor(commit("rests", at.clone())).await.expect("committed");
    let store = one.node.sidecar.handles().remove(0);
    let before = get(&mut rows, "rests").await;
    let committed_at_ms = before.committed_at_ms.expect("it was committed");
    let later = committed_at_ms + KEPT_FOR_MS;
    assert_eq!(store.keep_cursors(later - 1).await, Ok(0));
    assert_eq!(get(&mut rows, "rests").await, before);
    assert_eq!(store.keep_cursors(later).await, Ok(1));
    let after = get(&mut rows, "rests").await;
    assert_eq!(after, Cursor { committed_at_ms: Some(later), ..before });
    assert_eq!(store.keep_cursors(later).await, Ok(0), "it is fresh");

    // One that no watch could go on from is left to be forgotten.
    let client = one.log.client(StoreIndex(0), std::sync::Arc::new(|_, _| {}));
    let cursors = client.cursors().expect("they are in its file");
    let group = "outrigger.notes.rests";
    let mut kept = cursors.committed(StoreIndex(0), group).await.expect("a file");
    for each in &mut kept {
        let confirmed = format!("confirmed_at_ms={}", at.confirmed_at_ms);
        each.metadata = each.metadata.replace(&confirmed, "confirmed_at_ms=0");
    }
    cursors.commit(StoreIndex(0), group, kept.clone()).await.expect("a file");
    assert_eq!(store.keep_cursors(later + KEPT_FOR_MS).await, Ok(0));
    assert_eq!(cursors.committed(StoreIndex(0), group).await, Ok(kept));
}
