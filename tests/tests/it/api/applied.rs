//! Writes that are answered when the node's own copy has them, or say that it has not.

use std::sync::{Arc, Mutex, PoisonError};

use outrigger::embedded::EmbeddedLog;
use outrigger::index::StoreIndex;
use outrigger::log::LogSink;
use outrigger::watchdog::Patience;
use outrigger_core::log::LogEvent;
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::{
    Ack, DeleteRequest, Level, PutRequest, PutResponse, ReadOptions, Reason, WriteRequest,
};
use tempfile::TempDir;
use tonic::transport::Channel;

use super::write_stream::{Stream, item};
use super::{Node, One, at, get, in_time, policy, put, reason, topic};

const ROUNDS: u64 = 300;

/// The log has answered by then, also on a busy machine.
const LOG_MS_MAX: u64 = 5_000;

type Events = Vec<(StoreIndex, LogEvent)>;

/// What the log gives to read, kept back from the node while somebody wants that.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Option<Events>>>);

impl Kept {
    fn between(self, sink: LogSink) -> LogSink {
        Arc::new(move |store, event| {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *kept, &event) {
                (Some(kept), LogEvent::Fetched(_)) => kept.push((store, event)),
                (Some(_) | None, _) => sink(store, event),
            }
        })
    }

    fn keep(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    }
}

fn applied(key: &str, value: &str) -> PutRequest {
    PutRequest { ack: Ack::Applied.into(), ..put("notes", key, value) }
}

/// What a stub finds that knows nothing of tokens.
async fn found(rows: &mut StoreClient<Channel>, key: &str) -> Option<String> {
    let answer = rows.get(get(key, ReadOptions::default())).await.expect("a read").into_inner();
    let value = answer.found?.value;
    Some(String::from_utf8(value.into()).expect("it is text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_it_finds_what_it_wrote_without_a_token() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    for round in 0..ROUNDS {
        let value = round.to_string();
        let written = rows.put(applied("k", &value)).await.expect("a write").into_inner();
        assert!(written.applied);
        assert_eq!(found(&mut rows, "k").await, Some(value));
    }
    let delete =
        DeleteRequest { key: "k".into(), ack: Ack::Applied.into(), ..DeleteRequest::default() };
    assert!(rows.delete(delete).await.expect("a delete").into_inner().applied);
    assert_eq!(found(&mut rows, "k").await, None);
    let written = rows.put(put("notes", "k", "unasked")).await.expect("a write");
    assert!(!written.into_inner().applied, "nobody asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_of_a_stream_wait_for_the_copy_where_all_of_their_items_ask_for_it() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let mut stream = Stream::open(one.node.rows().await).await;
    for round in 0..ROUNDS {
        let value = round.to_string();
        let items = vec![item("a", &value), item("b", &value)];
        let ack = Ack::Applied.into();
        stream.send_request(WriteRequest { items, ack, ..WriteRequest::default() }).await;
        assert!(stream.answer().await.applied);
        assert_eq!(found(&mut rows, "b").await, Some(value));
    }
    stream.send("", vec![item("a", "unasked")]).await;
    assert!(!stream.answer().await.applied, "nobody asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_the_copy_does_not_get_in_time_is_a_success_that_says_so() {
    let site = Site::new();
    let node = site.start().await;
    node.ready().await;
    site.kept.keep();
    let mut rows = node.rows().await;
    let waits = PutRequest { wait_ms_max: Some(LOG_MS_MAX), ..applied("k", "v") };
    let written = in_time(rows.put(waits)).await.expect("the log has it").into_inner();
    assert!(!written.applied && written.revision.is_some());
    let mut stream = Stream::open(node.rows().await).await;
    let (items, ack) = (vec![item("a", "v")], Ack::Applied.into());
    let request =
        WriteRequest { items, ack, wait_ms_max: Some(LOG_MS_MAX), ..WriteRequest::default() };
    stream.send_request(request).await;
    let answer = stream.answer().await;
    assert!(!answer.applied && answer.token.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_not_ready_is_not_waited_for() {
    let site = Site::new();
    let node = site.start().await;
    node.ready().await;
    // The log has a record that the node is not given when it is started anew.
    let mut rows = node.rows().await;
    site.kept.keep();
    rows.put(put("notes", "k", "1")).await.expect("a write");
    drop(rows);
    in_time(node.sidecar.drain()).await;
    let node = site.start().await;
    let mut rows = node.rows().await;
    // As long as it knows no topic, a write is refused by name.
    let written: PutResponse = in_time(async {
        loop {
            let waits = PutRequest { wait_ms_max: Some(600_000), ..applied("k", "2") };
            match rows.put(waits).await {
                Ok(written) => return written.into_inner(),
                Err(refused) => assert_eq!(reason::<()>(Err(refused)), Reason::NotReady),
            }
        }
    })
    .await;
    assert!(!written.applied && written.revision.is_some());
    let read = rows.get(get("k", at(Level::Local, None))).await;
    assert_eq!(reason(read), Reason::Restoring);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_node_does_not_know_is_refused() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let unknown = PutRequest { ack: 77, ..put("notes", "k", "v") };
    assert_eq!(reason(rows.put(unknown).await), Reason::InvalidRequest);
    assert_eq!(found(&mut rows, "k").await, None);
}

/// A place for one node after the other.
struct Site {
    dir: TempDir,
    log: EmbeddedLog,
    kept: Kept,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().expect("a directory");
        let log = topic(&dir.path().join("log"), policy());
        Site { dir, log, kept: Kept::default() }
    }

    async fn start(&self) -> Node {
        let (place, stores) = (self.dir.path().join("node"), [("notes", &self.log)]);
        let told = |sink| self.kept.clone().between(sink);
        Node::start_between(&place, &stores, Patience::PRODUCTION, |logs| Box::new(logs), told)
            .await
    }
}
