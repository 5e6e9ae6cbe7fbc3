//! The Write stream: order, failed items, and what its end says about the rest.

use outrigger::embedded::{EmbeddedConfig, EmbeddedLog};
use outrigger_proto::limits::KEY_BYTES_MAX;
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::write_item::Action;
use outrigger_proto::v1::write_reply::Outcome;
use outrigger_proto::v1::{
    Level, Reason, Tombstone, WriteItem, WriteReply, WriteRequest, WriteResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::{Node, One, at, detail, get, in_time, policy};

/// A stream that is written by hand.
pub(super) struct Stream {
    requests: mpsc::Sender<WriteRequest>,
    answers: Streaming<WriteResponse>,
}

impl Stream {
    pub(super) async fn open(mut rows: StoreClient<Channel>) -> Stream {
        let (requests, receiver) = mpsc::channel(64);
        let answers = rows.write(ReceiverStream::new(receiver)).await.expect("a stream");
        Stream { requests, answers: answers.into_inner() }
    }

    pub(super) async fn send(&self, store: &str, items: Vec<WriteItem>) {
        self.send_request(WriteRequest {
            store: store.to_owned(),
            items,
            ..WriteRequest::default()
        })
        .await;
    }

    pub(super) async fn send_request(&self, request: WriteRequest) {
        self.requests.send(request).await.expect("the stream is open");
    }

    pub(super) async fn answer(&mut self) -> WriteResponse {
        in_time(self.answers.message()).await.expect("an answer").expect("the stream goes on")
    }

    /// The next replies, as many as asked for; or what ended the stream before.
    pub(super) async fn replies(&mut self, count: usize) -> Result<Vec<WriteReply>, Status> {
        let mut replies = vec![];
        while replies.len() < count {
            let answer = in_time(self.answers.message()).await?;
            replies.extend(answer.expect("the stream goes on").replies);
        }
        assert_eq!(replies.len(), count, "one reply for each item");
        Ok(replies)
    }

    pub(super) async fn end(self) -> Result<Option<WriteResponse>, Status> {
        let Stream { requests, mut answers } = self;
        drop(requests);
        in_time(answers.message()).await
    }
}

pub(super) fn item(key: &str, value: &str) -> WriteItem {
    let action = Some(Action::Put(value.to_owned().into()));
    WriteItem { key: key.to_owned().into(), action }
}

fn outline(replies: &[WriteReply]) -> Vec<Result<u64, Reason>> {
    let outline = |reply: &WriteReply| match reply.outcome.as_ref().expect("an outcome") {
        Outcome::Revision(revision) => Ok(revision.offset),
        Outcome::Error(detail) => {
            assert!(!detail.may_have_happened && !detail.message.is_empty(), "{detail:?}");
            Err(detail.reason())
        }
    };
    replies.iter().map(outline).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_come_in_order_and_failed_items_fail_alone() {
    let one = One::ready().await;
    let mut stream = Stream::open(one.node.rows().await).await;
    let too_large = "k".repeat(KEY_BYTES_MAX + 1);
    let delete = WriteItem { key: "a".into(), action: Some(Action::Delete(Tombstone {})) };
    let nothing = WriteItem { key: "a".into(), action: None };
    stream.send("notes", vec![]).await;
    stream.send("", vec![item("a", "1"), item(&too_large, "2"), item("", "")]).await;
    stream.send("notes", vec![nothing]).await;
    stream.send("", vec![delete, item("b", "3")]).await;
    let replies = stream.replies(6).await.expect("replies");
    let (large, invalid) = (Err(Reason::KeyTooLarge), Err(Reason::InvalidRequest));
    assert_eq!(outline(&replies), [Ok(0), large, Ok(1), invalid, Ok(2), Ok(3)]);
    assert_eq!(stream.end().await.expect("a good end"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_are_under_way_and_every_item_is_answered_in_order() {
    const MESSAGES: u64 = 500;
    let one = One::ready().await;
    let Stream { requests, mut answers } = Stream::open(one.node.rows().await).await;
    let sending = async move {
        for number in 0..MESSAGES {
            let length = 1 + number % 7;
            let items = (0..length).map(|_| item("k", &number.to_string())).collect();
            let request = WriteRequest { items, ..WriteRequest::default() };
            requests.send(request).await.expect("the stream is open");
        }
    };
    let reading = async {
        let (mut offsets, mut token) = (vec![], None);
        while let Some(answer) = answers.message().await.expect("no error") {
            offsets.extend(outline(&answer.replies));
            token = answer.token;
        }
        (offsets, token)
    };
    let ((), (offsets, token)) = in_time(async { tokio::join!(sending, reading) }).await;
    let items: u64 = (0..MESSAGES).map(|number| 1 + number % 7).sum();
    assert_eq!(offsets, (0..items).map(Ok).collect::<Vec<_>>());
    let last = one.node.rows().await.get(get("k", at(Level::AtLeast, token))).await;
    let last = last.expect("a read").into_inner().found.expect("it was written");
    assert_eq!(last.value, (MESSAGES - 1).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_token_of_a_stream_covers_every_partition_that_it_wrote() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = EmbeddedConfig::new(8, policy());
    let log = EmbeddedLog::open(&dir.path().join("log"), config).expect("a directory");
    let node = Node::start(&dir.path().join("node"), &[("notes", &log)]).await;
    node.ready().await;
    let mut stream = Stream::open(node.rows().await).await;
    let mut last = None;
    for number in 0..40 {
        stream.send("", vec![item(&number.to_string(), "v")]).await;
        let answer = in_time(stream.answers.message()).await.expect("an answer").expect("a reply");
        last = answer.token;
    }
    // A message in which nothing succeeds does not take the token back.
    stream.send("", vec![WriteItem { key: "x".into(), action: None }]).await;
    let answer = in_time(stream.answers.message()).await.expect("an answer").expect("a reply");
    assert_eq!(answer.token, last);
    let positions = last.clone().expect("a token").positions;
    let ends: u64 = positions.iter().map(|at| at.position).sum();
    assert!(positions.len() > 1 && ends == 40, "{positions:?}");

    let other = Node::start(&dir.path().join("other"), &[("notes", &log)]).await;
    other.ready().await;
    for number in 0..40 {
        let read = get(&number.to_string(), at(Level::AtLeast, last.clone()));
        let found = other.rows().await.get(read).await.expect("a read").into_inner().found;
        assert!(found.is_some(), "key {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_larger_than_a_batch_is_answered_whole() {
    let one = One::ready().await;
    let mut stream = Stream::open(one.node.rows().await).await;
    stream.send("notes", (0..2_500).map(|number| item(&number.to_string(), "v")).collect()).await;
    let replies = stream.replies(2_500).await.expect("replies");
    assert_eq!(outline(&replies), (0..2_500).map(Ok).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_store_on_the_same_stream_ends_it_after_what_was_accepted() {
    let one = One::ready().await;
    let mut stream = Stream::open(one.node.rows().await).await;
    stream.send("notes", vec![item("a", "1")]).await;
    stream.send("users", vec![item("b", "2")]).await;
    let replies = stream.replies(1).await.expect("the first is answered");
    assert_eq!(outline(&replies), [Ok(0)]);
    let ended = stream.end().await.expect_err("the stream was refused");
    let detail = detail(&ended);
    assert_eq!((detail.reason(), detail.may_have_happened), (Reason::InvalidRequest, false));
    let b = one.node.rows().await.get(get("b", at(Level::Latest, None))).await.expect("a read");
    assert_eq!(b.into_inner().found, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_an_unknown_store_is_refused_before_anything_is_written() {
    let one = One::ready().await;
    let stream = Stream::open(one.node.rows().await).await;
    stream.send("users", vec![item("a", "1")]).await;
    let detail = detail(&stream.end().await.expect_err("the stream was refused"));
    assert_eq!((detail.reason(), detail.may_have_happened), (Reason::UnknownStore, false));
    let a = one.node.rows().await.get(get("a", at(Level::Latest, None))).await.expect("a read");
    assert_eq!(a.into_inner().found, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_writer_is_answered_item_by_item() {
    let one = One::ready().await;
    let client = one.node.client().await;
    let store = client.store("notes");
    let writer = store.writer();
    let mut pending = vec![];
    for number in 0..5_000_u64 {
        pending.push(writer.put(number.to_be_bytes(), "v").await.expect("room"));
    }
    let refused = writer.put("k".repeat(KEY_BYTES_MAX + 1), "v").await.expect("room");
    for (expected, pending) in (0..).zip(pending) {
        assert_eq!(pending.await.expect("a revision").offset, expected);
    }
    let refused = refused.await.expect_err("too large");
    assert_eq!(refused.reason(), Some(Reason::KeyTooLarge));
    assert!(!refused.may_have_happened());
    writer.finish().await.expect("a good end");
    let last = store.get(4_999_u64.to_be_bytes()).await.expect("a read");
    assert!(last.is_some(), "the session includes what its writer wrote");
}
