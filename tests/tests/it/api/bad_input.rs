//! Every input that can be wrong is refused by name, and nothing is changed by it.

use outrigger_proto::limits::{KEY_BYTES_MAX, REQUEST_BYTES_MAX, VALUE_BYTES_MAX};
use outrigger_proto::v1::scan_request::Keys;
use outrigger_proto::v1::{
    DeleteRequest, GetRequest, KeyRange, Level, PartitionPosition, PutRequest, ReadOptions, Reason,
    ScanRequest, StatusRequest, Token, WatchStatusRequest,
};

use super::{Node, One, at, get, policy, put, reason, topic};

fn of(store: &str) -> String {
    store.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_store_is_refused_by_every_call() {
    let one = One::ready().await;
    let (mut rows, mut admin) = (one.node.rows().await, one.node.admin().await);
    let delete = DeleteRequest { store: of("other"), ..DeleteRequest::default() };
    let read = GetRequest { store: of("other"), ..GetRequest::default() };
    let scan = ScanRequest { store: of("other"), ..ScanRequest::default() };
    let status = StatusRequest { store: of("other"), with_digest: true };
    let watch = WatchStatusRequest { store: of("other"), interval_ms: 0 };
    let answers = [
        reason(rows.put(put("other", "k", "v")).await),
        reason(rows.delete(delete).await),
        reason(rows.get(read).await),
        reason(rows.scan(scan).await),
        reason(admin.status(status).await),
        reason(admin.watch_status(watch).await),
    ];
    assert_eq!(answers, [Reason::UnknownStore; 6]);
    let refused = rows.put(put("other", "k", "v")).await.expect_err("unknown");
    assert!(super::detail(&refused).what_to_do.contains("notes"), "the known ones are named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_must_be_named_where_there_are_several_and_need_not_where_there_is_one() {
    let one = One::ready().await;
    let only = one.node.rows().await.put(put("", "k", "v")).await;
    assert!(only.is_ok(), "{only:?}");

    let users = topic(&one.dir.path().join("users"), policy());
    let notes = topic(&one.dir.path().join("notes"), policy());
    let stores = [("users", &users), ("notes", &notes)];
    let two = Node::start(&one.dir.path().join("two"), &stores).await;
    two.ready().await;
    let mut rows = two.rows().await;
    assert_eq!(reason(rows.put(put("", "k", "v")).await), Reason::StoreNotNamed);
    assert_eq!(reason(rows.get(GetRequest::default()).await), Reason::StoreNotNamed);
    for store in ["notes", "users"] {
        rows.put(put(store, store, "v")).await.expect("a named store");
    }
    let client = two.client().await;
    assert!(client.store("notes").get("users").await.expect("a read").is_none());
    let names: Vec<_> =
        client.status().await.expect("a status").stores.into_iter().map(|s| s.store).collect();
    assert_eq!(names, ["notes", "users"], "ordered by name");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_and_what_just_fits_is_taken() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let sized = |key_bytes: usize, value_bytes: usize| PutRequest {
        store: of("notes"),
        key: vec![b'k'; key_bytes].into(),
        value: vec![b'v'; value_bytes].into(),
        ..PutRequest::default()
    };
    let key = vec![0; KEY_BYTES_MAX + 1].into();
    let delete = DeleteRequest { store: of("notes"), key, ..DeleteRequest::default() };
    assert_eq!(reason(rows.put(sized(KEY_BYTES_MAX + 1, 0)).await), Reason::KeyTooLarge);
    assert_eq!(reason(rows.put(sized(1, VALUE_BYTES_MAX + 1)).await), Reason::ValueTooLarge);
    assert_eq!(reason(rows.delete(delete).await), Reason::KeyTooLarge);
    assert_eq!(log_end(&one).await, 0, "nothing reached the log");
    let written = rows.put(sized(KEY_BYTES_MAX, VALUE_BYTES_MAX)).await;
    assert_eq!(written.expect("it fits").into_inner().revision.expect("a revision").offset, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_above_4_mib_fails_alone() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await.max_encoding_message_size(usize::MAX);
    let value = vec![0; REQUEST_BYTES_MAX].into();
    let huge = PutRequest { store: of("notes"), value, ..PutRequest::default() };
    assert_eq!(reason(rows.put(huge).await), Reason::RequestTooLarge);
    rows.put(put("notes", "k", "v")).await.expect("the connection goes on");
    assert_eq!(log_end(&one).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backward_range_is_refused_and_an_empty_one_is_not() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let range = |start: &'static str, end: &'static str| ScanRequest {
        store: of("notes"),
        keys: Some(Keys::Range(KeyRange { start: start.into(), end: Some(end.into()) })),
        ..ScanRequest::default()
    };
    assert_eq!(reason(rows.scan(range("b", "a")).await), Reason::InvalidRange);
    let mut answers = rows.scan(range("a", "a")).await.expect("legal").into_inner();
    let first = answers.message().await.expect("an answer").expect("at least one");
    assert!(first.copy.is_some() && first.rows.is_empty());
    assert_eq!(answers.message().await.expect("the end"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_or_level_is_refused_by_name() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let good = rows.put(put("notes", "k", "v")).await.expect("a write").into_inner().token;
    let good = good.expect("a token");
    let at_partition = |partition, position| {
        let position = PartitionPosition { partition, position, leader_epoch: None };
        Token { positions: vec![position], ..good.clone() }
    };
    let twice = Token { positions: vec![good.positions[0]; 2], ..good.clone() };
    let another_topic = Token { topic_id: vec![9; 16].into(), ..good.clone() };
    let short = Token { topic_id: vec![9; 15].into(), ..good.clone() };
    let table = [
        (at(Level::AtLeast, None), Reason::InvalidRequest),
        (at(Level::Local, Some(good.clone())), Reason::InvalidRequest),
        (at(Level::Stale, Some(good.clone())), Reason::InvalidRequest),
        (at(Level::Unspecified, Some(good.clone())), Reason::InvalidRequest),
        (ReadOptions { level: 77, ..ReadOptions::default() }, Reason::InvalidRequest),
        (at(Level::AtLeast, Some(short)), Reason::TokenInvalid),
        (at(Level::AtLeast, Some(twice)), Reason::TokenInvalid),
        (at(Level::AtLeast, Some(at_partition(1, 0))), Reason::TokenInvalid),
        (at(Level::Latest, Some(at_partition(0, u64::MAX))), Reason::TokenInvalid),
        (at(Level::AtLeast, Some(another_topic)), Reason::TokenOfAnotherTopic),
    ];
    for (options, expected) in table {
        assert_eq!(reason(rows.get(get("k", options.clone())).await), expected, "{options:?}");
        let scan =
            ScanRequest { store: of("notes"), read: Some(options.clone()), ..Default::default() };
        assert_eq!(reason(rows.scan(scan).await), expected, "{options:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_an_unsafe_policy_is_refused_by_every_call_and_nothing_is_written() {
    use outrigger_proto::v1::cause::Why;
    use outrigger_proto::v1::{Phase, StoreStatus};

    let mut unsafe_policy = policy();
    unsafe_policy.cleanup = "delete".to_owned();
    let one = One::of(unsafe_policy).await;
    let client = one.node.client().await;
    let mut states =
        client.watch_status(std::time::Duration::ZERO).await.expect("a stream of states");
    let refused: StoreStatus = super::in_time(async {
        loop {
            let mut node = states.next().await.expect("no end").expect("no error");
            if node.stores[0].phase() == Phase::Refused {
                return node.stores.remove(0);
            }
        }
    })
    .await;
    let cause = refused.cause.expect("a cause");
    assert_eq!(cause.why, Some(Why::Refusal(Reason::RefusedTopicPolicy.into())));
    assert!(cause.detail.contains("delete") && !cause.what_to_do.is_empty(), "{cause:?}");

    let mut rows = one.node.rows().await;
    assert_eq!(reason(rows.put(put("", "k", "v")).await), Reason::RefusedTopicPolicy);
    let local = rows.get(get("k", at(Level::Local, None))).await;
    assert_eq!(reason(local), Reason::RefusedTopicPolicy);
    let stale = rows.get(get("k", at(Level::Stale, None))).await;
    assert_eq!(reason(stale), Reason::RefusedTopicPolicy, "there is no copy, and none to wait for");
}

async fn log_end(one: &One) -> u64 {
    let latest = get("k", at(Level::Latest, None));
    let copy = one.node.rows().await.get(latest).await.expect("a read").into_inner().copy;
    copy.expect("a copy").token.expect("a token").positions[0].position
}
