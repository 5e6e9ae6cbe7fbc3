//! How fresh an answer is, on whatever node it is asked.

use std::time::{Duration, Instant};

use outrigger_client::{Level as ClientLevel, Token as ClientToken};
use outrigger_proto::v1::{Level, PartitionPosition, ReadOptions, Reason, Token};

use super::{Node, One, SOON, at, get, in_time, policy, put, reason, topic};

async fn written(node: &Node, key: &str, value: &str) -> Token {
    let answer = node.rows().await.put(put("notes", key, value)).await.expect("a write");
    answer.into_inner().token.expect("a token")
}

async fn read(node: &Node, key: &str, options: ReadOptions) -> Option<String> {
    let answer = node.rows().await.get(get(key, options)).await.expect("a read").into_inner();
    assert!(answer.copy.expect("a copy").exact);
    answer.found.map(|found| String::from_utf8(found.value.to_vec()).expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_honoured_on_every_node() {
    let one = One::ready().await;
    let other = Node::start(&one.dir.path().join("other"), &[("notes", &one.log)]).await;
    other.ready().await;
    for number in 0..200 {
        let value = number.to_string();
        let token = written(&one.node, "k", &value).await;
        let seen = read(&other, "k", at(Level::AtLeast, Some(token.clone()))).await;
        assert_eq!(seen, Some(value.clone()));
        assert_eq!(read(&one.node, "k", at(Level::AtLeast, Some(token))).await, Some(value));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_sees_what_was_committed_before_it_was_asked() {
    let one = One::ready().await;
    let other = Node::start(&one.dir.path().join("other"), &[("notes", &one.log)]).await;
    other.ready().await;
    for number in 0..20 {
        let value = number.to_string();
        let token = written(&one.node, "k", &value).await;
        let both = at(Level::Latest, Some(token));
        assert_eq!(read(&other, "k", at(Level::Latest, None)).await, Some(value.clone()));
        assert_eq!(read(&other, "k", both).await, Some(value));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_moves_to_another_node_and_never_goes_back() {
    let one = One::ready().await;
    let other = Node::start(&one.dir.path().join("other"), &[("notes", &one.log)]).await;
    other.ready().await;
    let (here, there) = (one.node.client().await, other.client().await);
    let (here, there) = (here.store("notes"), there.store("notes"));
    for number in 0..100 {
        here.put("k", number.to_string()).await.expect("a write");
        there.resume(here.token().expect("it wrote")).expect("the same topic");
        let seen = there.get("k").await.expect("a read").expect("it was written");
        assert_eq!(seen.value, number.to_string());
    }
    here.delete("k").await.expect("a delete");
    let bytes = here.token().expect("it wrote").to_bytes();
    there.resume(ClientToken::from_bytes(&bytes).expect("a token")).expect("the same topic");
    assert!(there.get("k").await.expect("a read").is_none());
    let stale = there.clone().with_level(ClientLevel::Stale).read("k").await.expect("a read");
    assert!(stale.entry.is_none() && stale.copy.exact);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_does_not_come_ends_the_wait_in_time() {
    let one = One::ready().await;
    let token = written(&one.node, "k", "v").await;
    let position = PartitionPosition { position: 1_000_000, ..token.positions[0] };
    let ahead = Token { positions: vec![position], ..token };
    let mut options = at(Level::AtLeast, Some(ahead));
    options.wait_ms_max = Some(100);
    let begun = Instant::now();
    let mut rows = one.node.rows().await;
    assert_eq!(reason(rows.get(get("k", options.clone())).await), Reason::DeadlineExceeded);
    assert!(begun.elapsed() >= Duration::from_millis(100));

    options.wait_ms_max = None;
    let mut request = tonic::Request::new(get("k", options));
    request.set_timeout(Duration::from_millis(500));
    // The node's answer comes before the call's own deadline, for it names the reason.
    assert_eq!(reason(rows.get(request).await), Reason::DeadlineExceeded);
    assert!(begun.elapsed() < SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_log_has_lost_is_an_error_and_not_a_wait() {
    let one = One::ready().await;
    written(&one.node, "k", "v").await;
    let mut rows = one.node.rows().await;
    let copy = rows.get(get("k", at(Level::Latest, None))).await.expect("a read").into_inner();
    let token = copy.copy.expect("a copy").token.expect("a token");
    assert!(token.positions[0].leader_epoch.is_some(), "{token:?}");
    let position = PartitionPosition { position: 1_000_000, ..token.positions[0] };
    let beyond = at(Level::AtLeast, Some(Token { positions: vec![position], ..token }));
    assert_eq!(reason(in_time(rows.get(get("k", beyond))).await), Reason::TokenBeyondLog);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_history_is_an_error() {
    let One { node, log, dir } = One::ready().await;
    written(&node, "k", "v").await;
    let mut rows = node.rows().await;
    let copy = rows.get(get("k", at(Level::Latest, None))).await.expect("a read").into_inner();
    let before = copy.copy.expect("a copy").token.expect("a token");
    node.sidecar.drain().await;
    drop(log);

    // Opened again, the log is in a later leader's term.
    let log = topic(&dir.path().join("log"), policy());
    let node = Node::start(&dir.path().join("node"), &[("notes", &log)]).await;
    node.ready().await;
    let now = written(&node, "k", "w").await;
    assert_eq!(read(&node, "k", at(Level::AtLeast, Some(now.clone()))).await.as_deref(), Some("w"));
    let position = PartitionPosition {
        position: now.positions[0].position,
        leader_epoch: before.positions[0].leader_epoch,
        partition: 0,
    };
    let other = at(Level::AtLeast, Some(Token { positions: vec![position], ..now }));
    let refused = node.rows().await.get(get("k", other)).await;
    assert_eq!(reason(refused), Reason::TokenOfAnotherHistory);
    let honoured = read(&node, "k", at(Level::AtLeast, Some(before))).await;
    assert_eq!(honoured.as_deref(), Some("w"), "what it saw is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_older_than_asked_for_is_refused_and_its_age_is_told() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let mut strict = at(Level::Local, None);
    strict.max_staleness_ms = Some(0);
    let refused = in_time(async {
        loop {
            if let Err(refused) = rows.get(get("k", strict.clone())).await {
                return refused;
            }
        }
    })
    .await;
    assert_eq!(super::detail(&refused).reason(), Reason::TooStale);
    strict.max_staleness_ms = Some(60_000);
    let answer = rows.get(get("k", strict)).await.expect("young enough").into_inner();
    assert!(answer.copy.expect("a copy").age_ms < 60_000);
}
