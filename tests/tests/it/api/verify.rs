//! Pins over gRPC: sums and rows of one moment, for as long as the caller is there.

use std::collections::BTreeMap;

use bytes::Bytes;
use outrigger_client::{Client, Error, Pinned, Token};
use outrigger_core::digest::{BUCKETS, bucket_of};
use outrigger_core::limits::Limits;
use outrigger_proto::v1::verify_request::Ask;
use outrigger_proto::v1::{PinRequest, PinnedRowsRequest, Reason, VerifyRequest};
use tokio_stream::iter;

use super::{Node, One, SOON, in_time, reason};

const KEYS: usize = 3_000;

/// A node with rows, and its position.
async fn written(one: &One) -> (Client, Token) {
    let client = one.node.client().await;
    let store = client.store("notes");
    let writer = store.writer();
    for number in 0..KEYS {
        drop(writer.put(format!("key {number}"), "value").await.expect("room"));
    }
    writer.finish().await.expect("all answered");
    store.get("key 0").await.expect("a session reads its own writes");
    let token = store.token().expect("it has read");
    (client, token)
}

async fn pin(client: &Client, at: &Token) -> Result<Pinned, Error> {
    in_time(client.pin("notes", at, SOON / 4)).await
}

fn rows(pinned: &Pinned) -> u64 {
    pinned.buckets().iter().map(|sum| sum.rows).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_is_one_moment_and_its_rows_come_in_pages() {
    let one = One::ready().await;
    let (client, at) = written(&one).await;
    let mut pinned = pin(&client, &at).await.expect("the copy is there");
    let store = client.store("notes");
    store.put("key 0", "another value").await.expect("written");
    store.delete("key 1").await.expect("written");
    store.get("key 0").await.expect("read");
    let after = pin(&client, &store.token().expect("it has read")).await.expect("it is there");
    assert_eq!(rows(&after), 2_999);

    assert_eq!(pinned.buckets().len(), BUCKETS);
    assert_eq!(rows(&pinned), 3_000);
    let different: Vec<usize> = (0..BUCKETS)
        .filter(|bucket| pinned.buckets()[*bucket] != after.buckets()[*bucket])
        .collect();
    let mut touched = [bucket_of(b"key 0"), bucket_of(b"key 1")];
    touched.sort_unstable();
    assert_eq!(different, touched);

    let mut found = BTreeMap::new();
    for buckets in (0..4_096).collect::<Vec<u32>>().chunks(64) {
        let mut last = None;
        loop {
            let (rows, more) = in_time(pinned.rows(buckets, last)).await.expect("rows");
            last = rows.last().map(|row| row.key.clone());
            for row in rows {
                assert!(buckets.contains(&u32::try_from(bucket_of(&row.key)).expect("small")));
                assert!(found.insert(row.key, row.hash).is_none(), "every row comes once");
            }
            if !more {
                break;
            }
        }
    }
    assert_eq!(found.len(), KEYS);
    assert!(found.contains_key(&Bytes::from("key 1")), "as it was then");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_releases_the_pin() {
    let one = One::ready().await;
    let (client, at) = written(&one).await;
    let mut pins = Vec::new();
    for _ in 0..Limits::PRODUCTION.pins_max {
        pins.push(pin(&client, &at).await.expect("there is room"));
    }
    let refused = pin(&client, &at).await.expect_err("one too many");
    assert_eq!(refused.reason(), Some(Reason::Overloaded));
    drop(pins.pop());
    let again = async { while pin(&client, &at).await.is_err() {} };
    in_time(again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_pinned_is_refused_by_name() {
    let one = One::ready().await;
    let (client, at) = written(&one).await;
    client.store("notes").put("one", "more").await.expect("written");
    let more = client.store("notes");
    more.put("two", "more").await.expect("written");
    more.get("two").await.expect("read");
    let refused = pin(&client, &at).await.expect_err("the copy is beyond it");
    assert_eq!(refused.reason(), Some(Reason::PositionPassed));

    let mut admin = one.node.admin().await;
    let pin = |at: Option<&Token>, store: &str| {
        let (store, at) = (store.to_owned(), at.map(Into::into));
        VerifyRequest { ask: Some(Ask::Pin(PinRequest { store, at, wait_ms_max: None })) }
    };
    let rows = |buckets: &[u32]| {
        let rows = PinnedRowsRequest { buckets: buckets.to_vec(), after: None };
        VerifyRequest { ask: Some(Ask::Rows(rows)) }
    };
    let now = more.token().expect("it has read");
    let table = [
        (vec![VerifyRequest { ask: None }], Reason::InvalidRequest),
        (vec![rows(&[1])], Reason::InvalidRequest),
        (vec![pin(None, "notes")], Reason::InvalidRequest),
        (vec![pin(Some(&now), "unknown")], Reason::UnknownStore),
        (vec![pin(Some(&now), ""), pin(Some(&now), "")], Reason::InvalidRequest),
        (vec![pin(Some(&now), ""), rows(&[])], Reason::InvalidRequest),
        (vec![pin(Some(&now), ""), rows(&[4_096])], Reason::InvalidRequest),
    ];
    for (requests, expected) in table {
        let mut answers =
            in_time(admin.verify(iter(requests.clone()))).await.expect("a stream").into_inner();
        let ended = in_time(async {
            loop {
                match answers.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(()),
                    Err(status) => return Err(status),
                }
            }
        });
        assert_eq!(reason(ended.await), expected, "{requests:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_waits_for_its_position_while_others_write() {
    let one = One::ready().await;
    let other = Node::start(&one.dir.path().join("other"), &[("notes", &one.log)]).await;
    other.ready().await;
    let (client, at) = written(&one).await;
    let mut later = outrigger_proto::v1::Token::from(&at);
    later.positions[0].position += 2;
    later.positions[0].leader_epoch = None;
    let later = Token::try_from(later).expect("a token");
    let there = other.client().await;
    let pins = async { tokio::join!(pin(&client, &later), pin(&there, &later)) };
    let writes = async {
        for number in 0..20 {
            client.store("notes").put(format!("later {number}"), "value").await.expect("written");
        }
    };
    let ((here, there), ()) = in_time(async { tokio::join!(pins, writes) }).await;
    let (here, there) = (here.expect("pinned"), there.expect("pinned"));
    assert_eq!(rows(&here), 3_002);
    assert_eq!(here.buckets(), there.buckets());
}
