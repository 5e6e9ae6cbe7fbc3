use std::time::Duration;

use outrigger_client::{Client, Error, ErrorKind, Reason, Revision};
use tokio::net::TcpListener;

use crate::fake::FakeNode;

fn failure(outcome: Result<Revision, Error>) -> (ErrorKind, bool) {
    let error = outcome.expect_err("it fails");
    (error.kind(), error.may_have_happened())
}

#[tokio::test]
async fn every_write_has_its_own_answer_in_order_and_a_failed_one_stops_nothing() {
    let node = FakeNode::of_topic(1);
    let store = node.client().await.store("s");
    let writer = store.writer();
    let mut answers = Vec::new();
    for key in ["a", "!refused", "b", "!doubt", "c"] {
        answers.push(writer.put(key, "v").await.expect("room"));
    }
    answers.push(writer.delete("a").await.expect("room"));
    writer.finish().await.expect("the stream ends well");

    let mut outcomes = Vec::new();
    for answer in answers {
        outcomes.push(
            answer
                .await
                .map(|revision| revision.offset)
                .map_err(|error| (error.reason().expect("named"), error.may_have_happened())),
        );
    }
    assert_eq!(
        outcomes,
        [
            Ok(0),
            Err((Reason::WriteDidNotHappen, false)),
            Ok(1),
            Err((Reason::WriteUnknown, true)),
            Ok(2),
            Ok(3),
        ]
    );
    assert_eq!(store.token().expect("the session has written").position(0), 4);
    assert!(!node.state().rows.contains_key(&b"a"[..]));
}

#[tokio::test]
async fn writes_that_wait_together_travel_together() {
    let node = FakeNode::of_topic(1);
    let store = node.client().await.store("s");
    let writer = store.writer();
    let mut answers = Vec::new();
    for number in 0..20_000u32 {
        answers.push(writer.put(number.to_be_bytes(), [7; 100]).await.expect("room"));
    }
    for (answer, offset) in answers.into_iter().zip(0..) {
        assert_eq!(answer.await.expect("written").offset, offset);
    }
    writer.finish().await.expect("the stream ends well");

    let messages = std::mem::take(&mut node.state().messages);
    assert_eq!(messages.iter().map(|(_, items)| items).sum::<usize>(), 20_000);
    assert!(messages.iter().all(|(_, items)| (1..=1_000).contains(items)));
    assert!(messages.len() < 2_000, "{} messages", messages.len());
    assert_eq!(messages[0].0, "s", "the first message names the store");
}

#[tokio::test]
async fn large_values_keep_to_the_size_of_a_request() {
    let node = FakeNode::of_topic(1);
    let store = node.client().await.store("s");
    let writer = store.writer();
    let mut answers = Vec::new();
    for number in 0..40u32 {
        answers.push(writer.put(number.to_be_bytes(), vec![7; 1_500_000]).await.expect("room"));
    }
    for answer in answers {
        answer.await.expect("written");
    }
    assert_eq!(node.state().rows.len(), 40);
}

#[tokio::test]
async fn a_draining_node_says_that_the_open_writes_did_not_happen() {
    let store = FakeNode::of_topic(1).client().await.store("s");
    let writer = store.writer();
    let before = writer.put("a", "v").await.expect("room");
    before.await.expect("written");
    let open = writer.put("!drain", "v").await.expect("room");
    assert_eq!(failure(open.await), (ErrorKind::Unavailable, false));
    assert_eq!(writer.finish().await.expect_err("ended").reason(), Some(Reason::Draining));
}

#[tokio::test]
async fn a_stream_that_ends_leaves_doubt_only_for_what_was_sent() {
    let store = FakeNode::of_topic(1).client().await.store("s");
    let writer = store.with_write_deadline(Duration::from_millis(200)).writer();
    let mut answers = vec![writer.put("!hang", "v").await.expect("room")];
    // This is more than the connection takes from a node that does not read, and less than a new writer has room for.
    for number in 0..19u32 {
        answers.push(writer.put(number.to_be_bytes(), vec![7; 100_000]).await.expect("room"));
    }
    let mut doubts = Vec::new();
    for answer in answers {
        doubts.push(answer.await.expect_err("the node hangs").may_have_happened());
    }
    let sent = doubts.iter().filter(|in_doubt| **in_doubt).count();
    assert!((1..=19).contains(&sent), "{sent}");
    assert!(
        doubts[..sent].iter().all(|in_doubt| *in_doubt),
        "the first ones were sent: {doubts:?}"
    );
}

#[tokio::test]
async fn a_stream_without_answers_ends_at_the_deadline_of_its_oldest_write() {
    let store = FakeNode::of_topic(1).client().await.store("s");
    let writer = store.with_write_deadline(Duration::from_millis(100)).writer();
    writer.put("a", "v").await.expect("room").await.expect("written");
    let open = writer.put("!hang", "v").await.expect("room");
    assert_eq!(failure(open.await), (ErrorKind::Deadline, true));

    let late = writer.put("b", "v").await.map(|_| ()).expect_err("the stream has ended");
    assert_eq!((late.kind(), late.may_have_happened()), (ErrorKind::Broken, false));
    assert_eq!(writer.finish().await.expect_err("ended").kind(), ErrorKind::Deadline);
}

#[tokio::test]
async fn a_nameless_end_of_the_stream_leaves_doubt() {
    let store = FakeNode::of_topic(1).client().await.store("s");
    let writer = store.writer();
    let open = writer.put("!nameless", "v").await.expect("room");
    assert_eq!(failure(open.await), (ErrorKind::Broken, true));
}

#[tokio::test]
async fn a_writer_without_a_connection_fails_its_writes_and_none_of_them_happened() {
    let node = FakeNode::of_topic(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(node.router().serve_with_incoming_shutdown(incoming, async {
        stopped.await.expect("the test stops it");
    }));
    let store = Client::connect(&format!("http://{address}")).await.expect("it listens").store("s");
    stop.send(()).expect("it waits for this");
    serving.await.expect("the server ends").expect("and ends well");

    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let writer = store.writer();
        let outcome = match writer.put("k", "v").await {
            Ok(pending) => pending.await,
            Err(error) => Err(error),
        };
        let (_, may_have_happened) = failure(outcome);
        let ended = writer.finish().await.expect_err("nobody is there");
        if ended.kind() == ErrorKind::Unreachable {
            assert!(!may_have_happened);
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{ended:?}");
    }
}

#[tokio::test]
async fn a_dropped_writer_still_sends_what_it_accepted() {
    let store = FakeNode::of_topic(1).client().await.store("s");
    let writer = store.writer();
    let open = writer.put("k", "v").await.expect("room");
    drop(writer);
    open.await.expect("written");
}
