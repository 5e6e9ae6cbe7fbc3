//! Cursors as they travel.

use outrigger_client::proto::v1::watch_request::From;
use outrigger_client::{ErrorKind, Reason, Watch, WatchEvent, WatchPoint};

use crate::fake::FakeNode;
use crate::told::{again, at, broken, progress, started, state_end};

fn point(position: u64) -> WatchPoint {
    WatchPoint::try_from(at(position).expect("it is one")).expect("a point")
}

#[tokio::test]
async fn a_cursor_is_committed_told_listed_and_deleted() {
    let node = FakeNode::of_topic(1);
    let store = node.client().await.store("s");
    let cursor = store.cursor("mailer");
    let unknown = cursor.get().await.expect_err("nobody has committed it");
    assert_eq!(unknown.kind(), ErrorKind::Compacted);
    cursor.commit(&point(4)).await.expect("committed");
    let got = cursor.get().await.expect("it is there");
    assert_eq!((got.name.as_str(), got.point, got.lost), ("mailer", Some(point(4)), None));
    assert_eq!(got.behind_records, Some(3));
    let (listed, more) = store.cursors().await.expect("a list");
    let lost: Vec<_> = listed.iter().map(|cursor| cursor.lost.as_deref()).collect();
    assert_eq!((&lost[..], more), (&[None, Some("not known")][..], true));
    cursor.delete().await.expect("deleted");
    assert!(cursor.get().await.is_err());
    let back = store.cursor("back").commit(&point(4)).await.expect_err("it goes back");
    assert_eq!((back.kind(), back.reason()), (ErrorKind::Invalid, Some(Reason::CursorGoesBack)));
    assert!(!back.may_have_happened());
}

/// A watch that begins again asks for its own last point, and before it has one for the cursor.
#[tokio::test]
async fn a_watch_from_a_cursor_goes_on_from_its_own_points() {
    let node = FakeNode::of_topic(1);
    node.state().watches.extend([
        vec![started(None), broken()],
        vec![started(None), again(), state_end(3), broken()],
        vec![started(None), progress(8)],
    ]);
    let store = node.client().await.store("s");
    let mut events = store.watch(Watch::all().from_cursor("mailer")).await.expect("it begins");
    while !matches!(events.next().await, Some(Ok(WatchEvent::Point(_)))) {}
    let asked: Vec<_> = node.state().watched.iter().map(|asked| asked.from.clone()).collect();
    let by_cursor = Some(From::Cursor("mailer".to_owned()));
    assert_eq!(asked[..2], [by_cursor.clone(), by_cursor]);
    assert!(matches!(asked[2], Some(From::Point(_))), "{asked:?}");
}
