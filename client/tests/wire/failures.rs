use std::time::Duration;

use outrigger_client::{Client, ErrorKind, Reason, Scan};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};

use crate::fake::FakeNode;

#[tokio::test]
async fn the_nodes_word_decides_whether_a_write_may_have_happened() {
    let store = FakeNode::of_topic(1).client().await.store("s");
    for (key, kind, reason, may_have_happened) in [
        ("!refused", ErrorKind::NotWritten, Some(Reason::WriteDidNotHappen), false),
        ("!doubt", ErrorKind::Unknown, Some(Reason::WriteUnknown), true),
        ("!not ready", ErrorKind::Unavailable, Some(Reason::NotReady), false),
        ("!nameless", ErrorKind::Broken, None, true),
    ] {
        for error in
            [store.put(key, "v").await.expect_err(key), store.delete(key).await.expect_err(key)]
        {
            assert_eq!((error.kind(), error.reason()), (kind, reason), "{key}");
            assert_eq!(error.may_have_happened(), may_have_happened, "{key}");
        }
        let read = store.get(key).await.expect_err(key);
        assert_eq!((read.kind(), read.may_have_happened()), (kind, false), "{key}");
    }
}

/// To send it a second time could undo what somebody else wrote in between: only the caller knows whether that does
/// harm.
#[tokio::test]
async fn a_write_in_doubt_is_sent_once() {
    let node = FakeNode::of_topic(1);
    let store = node.client().await.store("s").with_write_deadline(Duration::from_millis(50));
    for key in ["!doubt", "!nameless", "!hang"] {
        store.put(key, "v").await.expect_err(key);
        store.delete(key).await.expect_err(key);
        let written = std::mem::take(&mut node.state().written);
        assert_eq!(written, [key, key], "a Put and a Delete");
    }
}

#[tokio::test]
async fn a_write_whose_deadline_passes_may_have_happened() {
    let deadline = Duration::from_millis(50);
    let store = FakeNode::of_topic(1).client().await.store("s");
    let store = store.with_write_deadline(deadline).with_read_deadline(deadline);
    let error = store.put("!hang", "v").await.expect_err("no answer");
    assert_eq!((error.kind(), error.may_have_happened()), (ErrorKind::Deadline, true));
    let error = store.get("!hang").await.expect_err("no answer");
    assert_eq!((error.kind(), error.may_have_happened()), (ErrorKind::Deadline, false));
}

/// Whoever wants to wait without end says the longest time that there is, which gRPC's header cannot say.
#[tokio::test]
async fn a_deadline_without_end_is_taken_by_every_call() {
    let node = FakeNode::of_topic(1);
    let store = node.client().await.store("s").with_write_deadline(Duration::MAX);
    let store = store.with_read_deadline(Duration::MAX).with_max_staleness(Duration::MAX);
    store.put("k", "v").await.expect("a put");
    store.get("k").await.expect("a get").expect("a row");
    let mut rows = store.scan(Scan::all()).await.expect("a scan");
    rows.next().await.expect("a row").expect("a row");
    store.delete("k").await.expect("a delete");
    let writer = store.writer();
    let written = writer.put("k", "v").await.expect("room");
    writer.finish().await.expect("the stream ends well");
    written.await.expect("a write");
    store.cursors().await.expect("a list");
    // What the node says of it is another matter.
    store.cancel_restore().await.ok();
    store.continue_restore().await.ok();
    store.cursor("mailer").get().await.ok();
    store.cursor("mailer").delete().await.ok();
}

#[tokio::test]
async fn a_node_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let error = Client::connect(&address).await.expect_err("nobody listens");
    assert_eq!((error.kind(), error.may_have_happened()), (ErrorKind::Unreachable, false));
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains("refused"), "{text}");

    let error = Client::connect("unix:///nowhere/at/all.sock").await.expect_err("no socket");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

/// Kills the node as a crash would: its runtime and all its connections end.
async fn node_that_can_die() -> (String, oneshot::Sender<()>, std::thread::JoinHandle<()>) {
    let (kill, killed) = oneshot::channel();
    let (listening, address) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let address = FakeNode::of_topic(1).serve().await;
            listening.send(address).expect("the test waits");
            killed.await.expect("the test kills");
        });
    });
    (format!("http://{}", address.await.expect("it listens")), kill, thread)
}

#[tokio::test]
async fn a_dead_node_is_unreachable_and_a_new_one_is_found_without_a_new_client() {
    let (address, kill, thread) = node_that_can_die().await;
    let store = Client::connect(&address).await.expect("it listens").store("s");
    store.put("k", "v").await.expect("write");
    kill.send(()).expect("it waits for this");
    thread.join().expect("the runtime ends");

    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let error = store.put("k", "v").await.expect_err("nobody is there");
        if error.kind() == ErrorKind::Unreachable {
            assert!(!error.may_have_happened());
            break;
        }
        // The connection may not be known to be lost yet.
        assert_eq!(error.kind(), ErrorKind::Broken, "{error:?}");
        assert!(tokio::time::Instant::now() < deadline, "{error:?}");
    }

    let port = address.strip_prefix("http://").expect("made above");
    let listener = TcpListener::bind(port).await.expect("the port is free again");
    let router = FakeNode::of_topic(1).router();
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    store.put("k", "v").await.expect("the channel connects again by itself");
}

#[tokio::test]
async fn a_write_on_a_connection_that_breaks_may_have_happened() {
    let (address, kill, thread) = node_that_can_die().await;
    let store = Client::connect(&address).await.expect("it listens").store("s");
    let write = tokio::spawn({
        let store = store.clone();
        async move { store.put("!hang", "v").await }
    });
    // It is answered after the write on the same connection, so that one has arrived.
    store.put("k", "v").await.expect("write");
    kill.send(()).expect("it waits for this");
    thread.join().expect("the runtime ends");
    let error = write.await.expect("the task ends").expect_err("the node died");
    assert!(error.may_have_happened(), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Broken, "{error:?}");
}

#[tokio::test]
async fn a_peer_that_is_no_node_leaves_a_write_in_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            let mut preface = [0; 24];
            peer.read_exact(&mut preface).await.expect("the client speaks first");
        }
    });
    let client = Client::connect(&address).await.expect("it listens");
    let error = client.store("s").put("k", "v").await.expect_err("nobody answers");
    assert!(error.may_have_happened(), "{error:?}");
}

#[tokio::test]
async fn a_unix_socket_serves_like_a_port() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("node.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let router = FakeNode::of_topic(1).router();
    tokio::spawn(router.serve_with_incoming(UnixListenerStream::new(listener)));

    let client = Client::connect(&format!("unix://{}", path.display())).await.expect("it listens");
    client.store("").put("k", "v").await.expect("write");
}
