//! Get, Put, Delete and Scan on the bytes that applications and other tools bring.

use std::path::Path;

use bytes::Bytes;
use outrigger::embedded::EmbeddedLog;
use outrigger::index::StoreIndex;
use outrigger::log::Log;
use outrigger_client::{Level, Scan, Store};
use outrigger_core::log::{LogCall, LogEvent, Write};
use outrigger_core::offset::{Partition, RequestId};
use outrigger_proto::limits::ROW_BYTES_DEFAULT;
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::{LargeRows, ReadOptions, Reason, ScanRequest};
use tonic::Status;
use tonic::transport::Channel;

use super::{One, SOON, in_time};

async fn keys(store: &Store, scan: Scan) -> Vec<String> {
    let mut rows = store.scan(scan).await.expect("a scan");
    let mut keys = vec![];
    while let Some(row) = rows.next().await {
        keys.push(String::from_utf8(row.expect("a row").key.to_vec()).expect("text"));
    }
    keys
}

/// Appends as another tool would, past every limit of ours.
fn append(log: &EmbeddedLog, key: Bytes, value: Bytes) {
    let (told, events) = std::sync::mpsc::channel();
    let sink = std::sync::Arc::new(move |_, event| {
        if let LogEvent::Appended { results, .. } = event {
            told.send(results).expect("the test waits");
        }
    });
    let client = log.client(StoreIndex(0), sink);
    let writes = [Write { partition: Partition(0), key, value: Some(value) }];
    client.call(StoreIndex(0), LogCall::Append { id: RequestId(1), writes: writes.into() });
    let results = events.recv_timeout(SOON).expect("an answer");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_bytes_are_a_key_and_a_value_and_none_is_not_empty() {
    let one = One::ready().await;
    let client = one.node.client().await;
    let store = client.store("notes");
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    let keys: [&[u8]; 5] = [b"", b"\0", b"\xff\xff", "snöwman ☃".as_bytes(), &all_bytes];
    for key in keys {
        assert!(store.get(key).await.expect("a read").is_none(), "{key:?}");
        for value in [&b""[..], b"\0", &all_bytes] {
            let revision = store.put(key, value).await.expect("a write");
            let found = store.get(key).await.expect("a read").expect("it was written");
            assert_eq!((&found.value[..], found.revision), (value, revision), "{key:?}");
        }
    }
    for key in keys {
        store.delete(key).await.expect("a delete");
        assert!(store.get(key).await.expect("a read").is_none(), "{key:?}");
        store.delete(key).await.expect("a delete of what is not there");
    }
    assert_eq!(self::keys(&store, Scan::all()).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_of_a_scan_does_what_it_says() {
    let one = One::ready().await;
    let client = one.node.client().await;
    let store = client.store("notes");
    for key in ["", "a", "a1", "a2", "b", "b\u{7f}", "c"] {
        store.put(key, format!("value of {key}")).await.expect("a write");
    }
    let table: [(Scan, &[&str]); 11] = [
        (Scan::all(), &["", "a", "a1", "a2", "b", "b\u{7f}", "c"]),
        (Scan::all().reverse(), &["c", "b\u{7f}", "b", "a2", "a1", "a", ""]),
        (Scan::prefix("a"), &["a", "a1", "a2"]),
        (Scan::prefix("a").reverse().limit(2), &["a2", "a1"]),
        (Scan::prefix(""), &["", "a", "a1", "a2", "b", "b\u{7f}", "c"]),
        (Scan::prefix("z"), &[]),
        (Scan::range("a1", "b"), &["a1", "a2"]),
        (Scan::range("a1", "b").reverse(), &["a2", "a1"]),
        (Scan::starting_at("b"), &["b", "b\u{7f}", "c"]),
        (Scan::range("a", "a"), &[]),
        (Scan::all().limit(3), &["", "a", "a1"]),
    ];
    for (scan, expected) in table {
        assert_eq!(keys(&store, scan.clone()).await, expected, "{scan:?}");
        let mut rows = store.scan(scan.clone().keys_only()).await.expect("a scan");
        let mut count = 0;
        while let Some(row) = rows.next().await {
            assert!(row.expect("a row").value.is_empty());
            count += 1;
        }
        assert_eq!(count, expected.len(), "{scan:?}");
    }
    let mut rows = store.scan(Scan::prefix("b").limit(1)).await.expect("a scan");
    let row = rows.next().await.expect("a row").expect("a row");
    let alone = store.get("b").await.expect("a read").expect("it was written");
    assert_eq!((row.value, row.revision), (alone.value, alone.revision));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_is_one_snapshot_however_long_it_takes() {
    const ROWS: usize = 6_000;
    let one = One::ready().await;
    let client = one.node.client().await;
    let store = client.store("notes");
    fill(&store, ROWS, "before").await;
    let mut rows = store.scan(Scan::all()).await.expect("a scan");
    let first = rows.next().await.expect("a row").expect("a row");
    fill(&store, ROWS, "after").await;
    let last = format!("{:06}", ROWS - 1);
    let after = store.get(&last).await.expect("a read").expect("it was written");
    assert!(after.value.starts_with(b"after"));
    assert!(first.value.starts_with(b"before"));
    let mut count = 1;
    while let Some(row) = rows.next().await {
        let row = row.expect("a row");
        assert!(row.value.starts_with(b"before"), "{row:?}");
        count += 1;
    }
    assert_eq!(count, ROWS);
}

/// Writes more than the windows of a connection hold, so that a scan is still under way.
async fn fill(store: &Store, rows: usize, value: &str) {
    let writer = store.writer();
    let value = value.repeat(600);
    for number in 0..rows {
        drop(writer.put(format!("{number:06}"), &value).await.expect("room"));
    }
    writer.finish().await.expect("all answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_other_tools_beyond_our_limits_are_served() {
    let one = One::ready().await;
    let (key, value) = (Bytes::from(vec![b'k'; 100_000]), Bytes::from(vec![b'v'; 6_000_000]));
    append(&one.log, key.clone(), value.clone());
    append(&one.log, Bytes::from_static(b"small"), Bytes::from_static(b"one"));
    let client = one.node.client().await;
    let store = client.store("notes").with_level(Level::Latest);
    let found = in_time(store.get(&key)).await.expect("a read").expect("it was appended");
    assert_eq!(found.value, value);
    let mut rows = store.scan(Scan::all()).await.expect("a scan");
    let row = rows.next().await.expect("a row").expect("a row");
    assert_eq!((row.key, row.value), (key, value));
    assert_eq!(rows.next().await.expect("a row").expect("a row").value, "one");
    assert!(rows.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_stub_is_told_which_row_it_cannot_receive() {
    let one = One::ready().await;
    let large = Bytes::from(vec![b'v'; ROW_BYTES_DEFAULT]);
    for (key, value) in [("a", "1".into()), ("large", large), ("z", "2".into())] {
        append(&one.log, key.into(), value);
    }
    // A generated client without any setting receives 4 MiB.
    let mut stub = StoreClient::connect(one.node.http.clone()).await.expect("the node listens");
    let latest = |row_bytes_max| ReadOptions {
        row_bytes_max,
        ..super::at(outrigger_proto::v1::Level::Latest, None)
    };
    let refused = stub.get(super::get("large", latest(None))).await.expect_err("too large");
    assert_eq!(super::detail(&refused).reason(), Reason::RowTooLarge);
    let fits = stub.get(super::get("a", latest(None))).await.expect("small enough");
    assert_eq!(fits.into_inner().found.expect("it is there").value, "1");

    let scan = |large_rows: LargeRows| ScanRequest {
        read: Some(latest(None)),
        large_rows: large_rows.into(),
        ..ScanRequest::default()
    };
    let (rows, end) = scanned(&mut stub, scan(LargeRows::Unspecified)).await;
    assert_eq!(rows, [("a".to_owned(), 1, None)], "all rows before it");
    let detail = super::detail(&end.expect("an error"));
    assert_eq!(detail.reason(), Reason::RowTooLarge);
    let size = ROW_BYTES_DEFAULT.to_string();
    assert!(detail.message.contains("large") && detail.message.contains(&size), "{detail:?}");
    assert!(detail.what_to_do.contains("row_bytes_max"), "{detail:?}");

    let (rows, end) = scanned(&mut stub, scan(LargeRows::OmitValue)).await;
    let omitted = u64::try_from(ROW_BYTES_DEFAULT).expect("a size fits 64 bits");
    let expected = [("a", 1, None), ("large", 0, Some(omitted)), ("z", 1, None)];
    assert_eq!(rows, expected.map(|(key, bytes, omitted)| (key.to_owned(), bytes, omitted)));
    assert!(end.is_none(), "{end:?}");

    let mut able = stub.max_decoding_message_size(8 << 20);
    let whole = able.get(super::get("large", latest(Some(7 << 20)))).await.expect("a read");
    let found = whole.into_inner().found.expect("it is there");
    assert_eq!(found.value.len(), ROW_BYTES_DEFAULT);
}

/// Keys, lengths of values and what was left out; and what ended the scan.
async fn scanned(
    stub: &mut StoreClient<Channel>,
    scan: ScanRequest,
) -> (Vec<(String, usize, Option<u64>)>, Option<Status>) {
    let mut answers = stub.scan(scan).await.expect("a scan").into_inner();
    let mut rows = vec![];
    loop {
        match in_time(answers.message()).await {
            Ok(Some(answer)) => rows.extend(answer.rows.into_iter().map(|row| {
                let key = String::from_utf8(row.key.to_vec()).expect("text");
                (key, row.value.len(), row.omitted_value_bytes)
            })),
            Ok(None) => return (rows, None),
            Err(status) => return (rows, Some(status)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_scan_are_bounded() {
    let one = One::ready().await;
    let client = one.node.client().await;
    let store = client.store("notes");
    let writer = store.writer();
    for number in 0..2_500 {
        drop(writer.put(format!("{number:06}"), "v").await.expect("room"));
    }
    writer.finish().await.expect("all answered");
    let latest = outrigger_proto::v1::Level::Latest;
    let scan = ScanRequest { read: Some(super::at(latest, None)), ..ScanRequest::default() };
    let mut answers = one.node.rows().await.scan(scan).await.expect("a scan").into_inner();
    let mut lengths = vec![];
    while let Some(answer) = answers.message().await.expect("an answer") {
        assert_eq!(answer.copy.is_some(), lengths.is_empty(), "only in the first message");
        lengths.push(answer.rows.len());
    }
    assert_eq!(lengths, [1_000, 1_000, 500]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unix_socket_serves_this_user_only() {
    use std::os::unix::fs::PermissionsExt;

    let one = One::ready().await;
    let socket: &Path = &one.node.socket;
    let mode = std::fs::metadata(socket).expect("the socket's file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let address = format!("unix://{}", socket.display());
    let client = outrigger_client::Client::connect(&address).await.expect("it listens");
    let store = client.store("notes");
    store.put("over", "unix").await.expect("a write");
    let found = store.get("over").await.expect("a read").expect("it was written");
    assert_eq!(found.value, "unix");
}
