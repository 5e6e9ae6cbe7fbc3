use std::time::Duration;

use outrigger_client::{ErrorKind, Reason, Scan, Store};

use crate::fake::{FakeNode, ScanEnd};

async fn keys(store: &Store, scan: Scan) -> Vec<String> {
    let mut rows = store.scan(scan).await.expect("the scan begins");
    let mut keys = Vec::new();
    while let Some(row) = rows.next().await {
        let key = row.expect("a row").key;
        keys.push(String::from_utf8(key.into()).expect("text"));
    }
    keys
}

async fn with_rows(node: &FakeNode, names: &[&str]) -> Store {
    let store = node.client().await.store("s");
    for name in names {
        store.put(name, format!("value of {name}")).await.expect("write");
    }
    store
}

#[tokio::test]
async fn an_empty_value_is_not_an_absent_one_and_an_empty_key_is_a_key() {
    let store = FakeNode::of_topic(1).client().await.store("s");
    assert_eq!(store.get(b"").await.expect("read"), None);
    let revision = store.put([], []).await.expect("write");
    let entry = store.get(b"").await.expect("read").expect("it is there");
    assert_eq!((&entry.value[..], entry.revision), (&b""[..], revision));
    store.delete("").await.expect("delete");
    assert_eq!(store.get("").await.expect("read"), None);
}

#[tokio::test]
async fn an_answer_says_how_old_its_copy_is() {
    let store = FakeNode::of_topic(1).client().await.store("s");
    let read = store.read("k").await.expect("read");
    assert_eq!(read.copy.age, Duration::from_millis(12));
    assert!(read.copy.exact);
    let strict = store.with_max_staleness(Duration::from_secs(3));
    strict.read("k").await.expect("read");
}

#[tokio::test]
async fn a_scan_gives_the_rows_asked_for_across_its_messages() {
    let node = FakeNode::of_topic(1);
    let store = with_rows(&node, &["a", "b1", "b2", "b3", "b4", "c"]).await;
    assert_eq!(keys(&store, Scan::all()).await, ["a", "b1", "b2", "b3", "b4", "c"]);
    assert_eq!(keys(&store, Scan::prefix("b")).await, ["b1", "b2", "b3", "b4"]);
    assert_eq!(keys(&store, Scan::range("b2", "b4")).await, ["b2", "b3"]);
    assert_eq!(keys(&store, Scan::starting_at("b4")).await, ["b4", "c"]);
    assert_eq!(keys(&store, Scan::prefix("b").reverse().limit(3)).await, ["b4", "b3", "b2"]);
    assert_eq!(keys(&store, Scan::prefix("nothing")).await, [""; 0]);

    let mut rows = store.scan(Scan::prefix("a").keys_only()).await.expect("the scan begins");
    assert_eq!(rows.copy().token.position(0), 6);
    assert!(rows.next().await.expect("one").expect("a row").value.is_empty());
}

#[tokio::test]
async fn a_scan_that_breaks_says_so_and_ends() {
    let node = FakeNode::of_topic(1);
    let store = with_rows(&node, &["a", "b", "c"]).await;
    node.state().scan_end = Some(ScanEnd::Fail);
    let mut rows = store.scan(Scan::all()).await.expect("the scan begins");
    for _ in 0..3 {
        rows.next().await.expect("not the end").expect("a row");
    }
    let error = rows.next().await.expect("not the end").expect_err("torn");
    assert_eq!(error.kind(), ErrorKind::Broken);
    assert!(rows.next().await.is_none());
}

#[tokio::test]
async fn a_scan_that_stops_ends_with_the_deadline() {
    let node = FakeNode::of_topic(1);
    let store = with_rows(&node, &["a"]).await.with_read_deadline(Duration::from_millis(50));
    node.state().scan_end = Some(ScanEnd::Hang);
    let mut rows = store.scan(Scan::all()).await.expect("the scan begins");
    rows.next().await.expect("not the end").expect("a row");
    let error = rows.next().await.expect("not the end").expect_err("nothing comes");
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(rows.next().await.is_none());
}

#[tokio::test]
async fn a_record_larger_than_any_request_is_read() {
    let node = FakeNode::of_topic(1);
    let store = with_rows(&node, &["big"]).await;
    let value = vec![7; 20 << 20];
    node.state().rows.get_mut(&b"big"[..]).expect("put above").value = value.clone().into();
    let entry = store.get("big").await.expect("read").expect("it is there");
    assert!(entry.value == value);
}

#[tokio::test]
async fn what_no_request_can_carry_is_refused_by_name_before_it_is_sent() {
    let node = FakeNode::of_topic(1);
    let store = node.client().await.store("s");
    let huge = vec![0; 5 << 20];
    let writer = store.writer();
    for (error, reason) in [
        (store.put("k", &huge).await.expect_err("put"), Reason::ValueTooLarge),
        (store.put(&huge, "v").await.expect_err("put"), Reason::KeyTooLarge),
        (store.get(&huge).await.expect_err("get"), Reason::KeyTooLarge),
        (store.delete(&huge).await.expect_err("delete"), Reason::KeyTooLarge),
        (store.scan(Scan::prefix(huge.clone())).await.expect_err("scan"), Reason::KeyTooLarge),
        (writer.put("k", &huge).await.expect_err("put"), Reason::ValueTooLarge),
    ] {
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Invalid, Some(reason)));
        assert!(!error.may_have_happened());
    }
    store.put("k", &huge[..4 << 20 >> 1]).await.expect("the node has no limits of its own");
    writer.finish().await.expect("nothing was sent");
}
