//! What callers are told by a node that stops.

use std::time::Instant;

use outrigger_client::Scan;
use outrigger_proto::v1::{ErrorDetail, Reason, ScanRequest, WatchStatusRequest};

use super::write_stream::{Stream, item};
use super::{One, SOON, detail, in_time};

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_told_by_name_and_the_end_is_bounded() {
    let One { node, log: _log, dir: _dir } = One::ready().await;
    let mut stream = Stream::open(node.rows().await).await;
    stream.send("notes", vec![item("a", "1")]).await;
    stream.replies(1).await.expect("an answer");
    let watch = WatchStatusRequest::default();
    let answers = node.admin().await.watch_status(watch).await.expect("a stream");
    let mut answers = answers.into_inner();

    let begun = Instant::now();
    in_time(node.sidecar.drain()).await;
    assert!(begun.elapsed() < SOON);
    let ended = detail(&stream.end().await.expect_err("the node stops"));
    assert_eq!((ended.reason(), ended.may_have_happened), (Reason::Draining, false));
    let last = in_time(async {
        loop {
            match answers.message().await {
                Ok(state) => assert!(state.is_some(), "only an error ends a watch"),
                Err(status) => return status,
            }
        }
    });
    assert_eq!(detail(&last.await).reason(), Reason::Draining);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_is_cut_short_does_not_look_complete() {
    let One { node, log: _log, dir: _dir } = One::ready().await;
    let client = node.client().await;
    let store = client.store("notes");
    let writer = store.writer();
    let value = "v".repeat(4_000);
    for number in 0..5_000 {
        drop(writer.put(format!("{number:06}"), &value).await.expect("room"));
    }
    writer.finish().await.expect("all answered");
    let mut complete = store.scan(Scan::all()).await.expect("a scan");
    let mut count = 0;
    while let Some(row) = complete.next().await {
        row.expect("a row");
        count += 1;
    }
    assert_eq!(count, 5_000);

    let scan = ScanRequest::default();
    let mut answers = node.rows().await.scan(scan).await.expect("a scan").into_inner();
    answers.message().await.expect("an answer").expect("rows");
    let stopping = tokio::spawn(node.sidecar.drain());
    // Meanwhile nobody reads the rows: most of them are still on the node when it stops.
    in_time(async { while client.status().await.is_ok() {} }).await;
    let ended = in_time(async {
        loop {
            match answers.message().await {
                Ok(answer) => assert!(answer.is_some(), "a scan that was cut looks complete"),
                Err(status) => return status,
            }
        }
    });
    // Where its last words were still under way when the node went, the connection's end is the error.
    let told = ErrorDetail::from_status(&ended.await);
    assert!(told.is_none_or(|detail| detail.reason() == Reason::Draining));
    in_time(stopping).await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_cuts_every_connection() {
    let One { node, log: _log, dir: _dir } = One::ready().await;
    let stream = Stream::open(node.rows().await).await;
    let client = node.client().await;
    in_time(node.sidecar.crash()).await;
    let ended = stream.end().await.expect_err("the connection is gone");
    assert_eq!(outrigger_proto::v1::ErrorDetail::from_status(&ended), None, "nobody said goodbye");
    in_time(async { while client.status().await.is_ok() {} }).await;
}
