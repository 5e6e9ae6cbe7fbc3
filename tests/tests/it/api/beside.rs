//! A session that travels beside the messages: one value that a plain stub passes from each answer to the next call.

use bytes::Bytes;
use outrigger::embedded::{EmbeddedConfig, EmbeddedLog};
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::{GetRequest, Level, PartitionPosition, Reason, ScanRequest, Token};
use prost::Message;
use tempfile::TempDir;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::{Node, One, at, get, in_time, policy, put, reason};

const NAME: &str = "outrigger-token-bin";
const PARTITIONS: u32 = 8;
const KEYS: u32 = 40;

/// All that a stub has to keep: the value that the last answer brought.
#[derive(Default)]
struct Session(Bytes);

impl Session {
    fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert_bin(NAME, BinaryMetadataValue::from_bytes(&self.0));
        request
    }

    fn hear(&mut self, metadata: &MetadataMap) {
        let value = metadata.get_bin(NAME).expect("who sends it is sent it");
        self.0 = value.to_bytes().expect("it is base64");
    }

    fn token(&self) -> Token {
        Token::decode(self.0.clone()).expect("it is a token")
    }

    async fn put(&mut self, rows: &mut StoreClient<Channel>, key: &str, value: &str) {
        let write = rows.put(self.ask(put("notes", key, value)));
        let answer = in_time(write).await.expect("a write");
        self.hear(answer.metadata());
    }

    async fn get(&mut self, rows: &mut StoreClient<Channel>, key: &str) -> Option<String> {
        let request = GetRequest { key: key.to_owned().into(), ..GetRequest::default() };
        let answer = in_time(rows.get(self.ask(request))).await.expect("a read");
        self.hear(answer.metadata());
        let value = answer.into_inner().found?.value;
        Some(String::from_utf8(value.into()).expect("it is text"))
    }
}

/// Two nodes of one topic with several partitions.
async fn two() -> (TempDir, EmbeddedLog, Node, Node) {
    let dir = tempfile::tempdir().expect("a directory");
    let config = EmbeddedConfig::new(PARTITIONS, policy());
    let log = EmbeddedLog::open(&dir.path().join("log"), config).expect("a directory");
    let one = Node::start(&dir.path().join("one"), &[("notes", &log)]).await;
    let other = Node::start(&dir.path().join("other"), &[("notes", &log)]).await;
    one.ready().await;
    other.ready().await;
    (dir, log, one, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_passes_it_on_reads_what_it_wrote_on_any_node() {
    let (_dir, _log, one, other) = two().await;
    let (mut here, mut there) = (one.rows().await, other.rows().await);
    let mut session = Session::default();
    for round in 0..20 {
        let value = round.to_string();
        session.put(&mut here, "k", &value).await;
        assert_eq!(session.get(&mut there, "k").await, Some(value));
    }
    // What is written to one partition after the other is all included in the last answer's value.
    for key in 0..KEYS {
        session.put(&mut here, &key.to_string(), "v").await;
    }
    let positions = session.token().positions.into_iter();
    let written: Vec<u32> = positions.filter(|at| at.position > 0).map(|at| at.partition).collect();
    assert_eq!(written, (0..PARTITIONS).collect::<Vec<_>>(), "it includes all writes");
    let scan = there.scan(session.ask(ScanRequest::default())).await.expect("a scan");
    session.hear(scan.metadata());
    let (mut answers, mut rows) = (scan.into_inner(), 0);
    while let Some(answer) = in_time(answers.message()).await.expect("rows") {
        rows += u32::try_from(answer.rows.len()).expect("a few");
    }
    assert_eq!(rows, 1 + KEYS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_waits_for_what_its_session_has_seen() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let mut session = Session::default();
    session.put(&mut rows, "k", "v").await;
    // What it read names the leader epoch: without one nobody can tell a lost end from one that is to come.
    assert_eq!(session.get(&mut rows, "k").await.as_deref(), Some("v"));
    let token = session.token();
    let at_1_000 = PartitionPosition { position: 1_000, ..token.positions[0] };
    let ahead = Session(Token { positions: vec![at_1_000], ..token }.encode_to_vec().into());
    for level in [Level::Unspecified, Level::Local, Level::Latest] {
        let read = rows.get(ahead.ask(get("k", at(level, None)))).await;
        assert_eq!(reason(read), Reason::TokenBeyondLog, "{level:?}");
    }
    // Both hold: the token of the message and the one beside it.
    let message = get("k", at(Level::AtLeast, Some(session.token())));
    assert_eq!(reason(rows.get(ahead.ask(message)).await), Reason::TokenBeyondLog);
    // A read at STALE is outside, and moves nothing.
    let stale = rows.get(ahead.ask(get("k", at(Level::Stale, None)))).await.expect("a read");
    let mut unmoved = Session::default();
    unmoved.hear(stale.metadata());
    assert_eq!(unmoved.token(), ahead.token());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_nothing_is_sent_nothing() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let written = rows.put(put("notes", "k", "v")).await.expect("a write");
    assert!(written.metadata().get_bin(NAME).is_none());
    let read = rows.get(get("k", at(Level::Local, None))).await.expect("a read");
    assert!(read.metadata().get_bin(NAME).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_of_this_topic_is_refused_where_it_matters() {
    let one = One::ready().await;
    let mut rows = one.node.rows().await;
    let junk = Session(Bytes::from_static(b"\xff\xff\xff"));
    let refused: Result<_, Status> = rows.put(junk.ask(put("notes", "k", "v"))).await;
    assert_eq!(reason(refused), Reason::TokenInvalid);
    let read = rows.get(junk.ask(get("k", at(Level::Local, None)))).await;
    assert_eq!(reason(read), Reason::TokenInvalid);

    let another = Token { topic_id: vec![8; 16].into(), positions: Vec::new() };
    let mut another = Session(another.encode_to_vec().into());
    let before = another.token();
    another.put(&mut rows, "k", "v").await;
    assert_eq!(another.token(), before, "what it saw is not forgotten behind its back");
    let read = rows.get(another.ask(get("k", at(Level::Local, None)))).await;
    assert_eq!(reason(read), Reason::TokenOfAnotherTopic);
}
