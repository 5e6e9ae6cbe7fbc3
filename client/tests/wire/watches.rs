use std::iter;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outrigger_client::proto::v1::watch_request::From;
use outrigger_client::proto::v1::{ErrorDetail, OnLost, Reason, WatchRequest};
use outrigger_client::{ErrorKind, Store, Watch, WatchEvent, WatchPoint, WatchStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::fake::FakeNode;
use crate::told::{
    Told, again, at, broken, changes, large_row, progress, row, started, state_end, unauthenticated,
};

async fn watch_of(
    scripts: impl IntoIterator<Item = Vec<Told>>,
    watch: Watch,
) -> (FakeNode, Store, WatchStream) {
    let node = FakeNode::of_topic(1);
    node.state().watches.extend(scripts);
    let store = node.client().await.store("s");
    let stream = store.watch(watch).await.expect("it begins");
    (node, store, stream)
}

/// The next events, each in a word or two.
async fn told(stream: &mut WatchStream, events: usize) -> Vec<String> {
    let position = |point: &WatchPoint| point.token().position(0);
    let mut told = Vec::new();
    for _ in 0..events {
        let event = stream.next().await.expect("it goes on").expect("an event");
        told.push(match event {
            WatchEvent::Row(row) => String::from_utf8_lossy(&row.key).into_owned(),
            WatchEvent::StateEnd(point) => format!("end {}", position(&point)),
            WatchEvent::Change(change) => {
                let what = if change.value.is_some() { "put" } else { "delete" };
                format!("{what} {}", change.revision.offset)
            }
            WatchEvent::Point(point) => format!("point {}", position(&point)),
            WatchEvent::StateAgain(_) => "again".to_owned(),
            WatchEvent::Interrupted(_) => "interrupted".to_owned(),
            other => panic!("{other:?}"),
        });
    }
    told
}

fn asked(node: &FakeNode) -> Vec<Option<u64>> {
    let position = |request: &WatchRequest| match &request.from {
        Some(From::Point(point)) => {
            Some(point.token.as_ref().expect("a point has one").positions[0].position)
        }
        Some(From::Now(_) | From::Cursor(_)) | None => None,
    };
    node.state().watched.iter().map(position).collect()
}

#[tokio::test]
async fn a_watch_tells_the_state_then_changes_and_points_and_reads_see_them() {
    let script = vec![
        started(None),
        row("a"),
        row("b"),
        state_end(3),
        changes(3..5, None),
        changes(5..6, at(6)),
        progress(8),
    ];
    let (node, store, mut stream) = watch_of([script], Watch::prefix("k")).await;
    let expected = ["a", "b", "end 3", "delete 3", "put 4", "delete 5", "point 6", "point 8"];
    assert_eq!(told(&mut stream, 8).await, expected);
    assert_eq!(store.token().expect("it has seen something").position(0), 8);
    assert_eq!(node.state().watched[0].on_lost(), OnLost::State);
}

#[tokio::test]
async fn an_interrupted_watch_goes_on_from_its_point_and_tells_nothing_twice() {
    let scripts = [
        vec![started(None), state_end(2), changes(2..4, at(4)), changes(4..6, None), broken()],
        vec![started(at(4)), changes(4..8, at(8))],
    ];
    let (node, _store, mut stream) = watch_of(scripts, Watch::all()).await;
    let expected = [
        "end 2",
        "put 2",
        "delete 3",
        "point 4",
        "put 4",
        "delete 5",
        "interrupted",
        "put 6",
        "delete 7",
        "point 8",
    ];
    assert_eq!(told(&mut stream, 10).await, expected);
    assert_eq!(asked(&node), [None, Some(4)]);
}

#[tokio::test]
async fn a_state_that_was_broken_off_is_to_be_forgotten() {
    let scripts =
        [vec![started(None), row("a"), broken()], vec![started(None), row("b"), state_end(2)]];
    let (_node, _store, mut stream) = watch_of(scripts, Watch::all()).await;
    let expected = ["a", "interrupted", "again", "b", "end 2"];
    assert_eq!(told(&mut stream, 5).await, expected);
}

#[tokio::test]
async fn a_lost_point_is_followed_by_the_state_also_after_an_interruption() {
    let scripts = [
        vec![started(None), again(), row("a"), broken()],
        vec![started(None), row("a"), state_end(9)],
    ];
    let point = WatchPoint::try_from(at(1).expect("made above")).expect("a point");
    let watch = Watch::all().from_point(point);
    let (node, _store, mut stream) = watch_of(scripts, watch).await;
    let expected = ["again", "a", "interrupted", "again", "a", "end 9"];
    assert_eq!(told(&mut stream, 6).await, expected);
    assert_eq!(asked(&node), [Some(1), None]);
}

#[tokio::test]
async fn a_watch_from_now_begins_with_its_point() {
    let (node, _store, mut stream) =
        watch_of([vec![started(at(5)), broken()]], Watch::all().from_now()).await;
    assert_eq!(told(&mut stream, 2).await, ["point 5", "interrupted"]);
    assert!(matches!(node.state().watched[0].from, Some(From::Now(_))));
}

#[tokio::test]
async fn what_trying_again_does_not_mend_ends_the_watch() {
    let lost = ErrorDetail::new(Reason::Compacted, "the point is too old");
    let script = vec![started(at(5)), Err(lost.into())];
    let watch = Watch::all().from_now().fail_when_lost();
    let (node, _store, mut stream) = watch_of([script], watch).await;
    assert_eq!(told(&mut stream, 1).await, ["point 5"]);
    let error = stream.next().await.expect("an error").expect_err("it is lost");
    assert_eq!(error.kind(), ErrorKind::Compacted);
    assert!(stream.next().await.is_none());
    assert_eq!(node.state().watched[0].on_lost(), OnLost::Fail);
}

#[tokio::test]
async fn a_token_that_was_taken_away_ends_no_watch_whose_client_has_another() {
    let scripts =
        [vec![started(at(5)), unauthenticated()], vec![started(at(5)), changes(5..6, at(6))]];
    let (_node, _store, mut stream) = watch_of(scripts, Watch::all().from_now()).await;
    assert_eq!(told(&mut stream, 4).await, ["point 5", "interrupted", "delete 5", "point 6"]);
}

#[tokio::test]
async fn a_watch_whose_client_has_no_token_that_is_good_ends_when_it_is_opened_again() {
    let scripts = [vec![started(at(5)), unauthenticated()], vec![unauthenticated()]];
    let (node, _store, mut stream) = watch_of(scripts, Watch::all().from_now()).await;
    assert_eq!(told(&mut stream, 2).await, ["point 5", "interrupted"]);
    let error = stream.next().await.expect("an error").expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(stream.next().await.is_none());
    assert_eq!(node.state().watched.len(), 2);
}

#[tokio::test]
async fn a_state_that_was_broken_off_ends_a_watch_that_fails_when_lost() {
    let scripts =
        [vec![started(None), row("a"), broken()], vec![started(None), row("a"), state_end(2)]];
    let (_node, _store, mut stream) = watch_of(scripts, Watch::all().fail_when_lost()).await;
    assert_eq!(told(&mut stream, 2).await, ["a", "interrupted"]);
    let error = stream.next().await.expect("an error").expect_err("it has told a row");
    assert_eq!(error.kind(), ErrorKind::Compacted);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_node_that_tells_the_state_again_ends_a_watch_that_fails_when_lost() {
    let script = vec![started(None), row("a"), again(), row("a"), state_end(2)];
    let (_node, _store, mut stream) = watch_of([script], Watch::all().fail_when_lost()).await;
    assert_eq!(told(&mut stream, 1).await, ["a"]);
    let error = stream.next().await.expect("an error").expect_err("it has told a row");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Compacted, "the point is too old")
    );
    assert!(stream.next().await.is_none());
}

/// As in a loop that has something else to do every few milliseconds.
#[tokio::test]
async fn a_watch_is_opened_again_once_however_often_nobody_waits_for_it() {
    const A_MOMENT: Duration = Duration::from_millis(5);
    let scripts = [vec![started(at(5)), broken()], vec![started(at(5)), changes(5..6, at(6))]];
    let (node, _store, mut stream) = watch_of(scripts, Watch::all().from_now()).await;
    assert_eq!(told(&mut stream, 2).await, ["point 5", "interrupted"]);
    let held = Arc::new(Semaphore::new(0));
    node.state().held = Some(Arc::clone(&held));
    let asked = |node: &FakeNode| node.state().watched.len();
    while asked(&node) == 1 {
        timeout(A_MOMENT, stream.next()).await.expect_err("nothing is told");
    }
    for _ in 0..10 {
        timeout(A_MOMENT, stream.next()).await.expect_err("nothing is told");
    }
    held.close();
    assert_eq!(told(&mut stream, 2).await, ["delete 5", "point 6"]);
    assert_eq!(asked(&node), 2);
}

/// Each has more to tell than a node may send of one call before it is taken.
#[tokio::test]
async fn watches_that_nobody_reads_keep_no_other_call_of_their_client_from_its_answer() {
    const UNREAD: usize = 120;
    let value = Bytes::from(vec![b'v'; 512 << 10]);
    let script = || iter::once(started(None)).chain((0..8).map(|_| large_row(&value))).collect();
    let node = FakeNode::of_topic(1);
    node.state().watches.extend((0..UNREAD).map(|_| script()));
    let store = node.client().await.store("s");
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        unread.push(store.watch(Watch::all()).await.expect("it begins"));
    }
    for _ in 0..10 {
        store.put("key", &value).await.expect("it is written");
        let read = store.get("key").await.expect("it is read");
        assert_eq!(read.expect("it was written").value, value);
    }
    for stream in &mut unread {
        assert_eq!(told(stream, 8).await, ["large"; 8], "the watches go on when they are read");
    }
}

#[tokio::test]
async fn a_store_that_refuses_until_its_operator_helps_interrupts_the_watch() {
    let refused = ErrorDetail::new(Reason::RefusedCancelled, "the restore was cancelled");
    let scripts =
        [vec![started(at(5)), Err(refused.into())], vec![started(at(5)), changes(5..6, at(6))]];
    let (_node, _store, mut stream) = watch_of(scripts, Watch::all().from_now()).await;
    assert_eq!(told(&mut stream, 4).await, ["point 5", "interrupted", "delete 5", "point 6"]);
}

#[test]
fn a_point_travels_as_bytes() {
    let point = WatchPoint::try_from(at(5).expect("made above")).expect("a point");
    assert_eq!(WatchPoint::from_bytes(&point.to_bytes()), Ok(point));
    for wrong in [&b"\xff"[..], b""] {
        assert!(WatchPoint::from_bytes(wrong).is_err());
    }
}
