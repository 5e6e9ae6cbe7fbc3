//! A node without a log: rows in a map, and keys whose writes misbehave as their name says.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use outrigger_client::Client;
use outrigger_client::proto::limits::REQUEST_BYTES_MAX;
use outrigger_client::proto::v1::admin_server::{Admin, AdminServer};
use outrigger_client::proto::v1::scan_request::Keys;
use outrigger_client::proto::v1::store_server::{Store, StoreServer};
use outrigger_client::proto::v1::verify_request::Ask;
use outrigger_client::proto::v1::verify_response::Answer;
use outrigger_client::proto::v1::write_item::Action;
use outrigger_client::proto::v1::write_reply::Outcome;
use outrigger_client::proto::v1::*;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::told::Told;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone, Default)]
pub(crate) struct FakeNode {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) topic: u8,
    pub(crate) rows: BTreeMap<Bytes, Value>,
    pub(crate) position: u64,
    /// What the reads demanded, in order.
    pub(crate) reads: Vec<ReadOptions>,
    /// Keys of the Puts and Deletes that came, in order, whatever became of them.
    pub(crate) written: Vec<Bytes>,
    /// What the Write streams brought, in order: store and number of items of each message.
    pub(crate) messages: Vec<(String, usize)>,
    /// Rows per message of a scan.
    pub(crate) scan_batch: usize,
    /// What follows the rows of a scan.
    pub(crate) scan_end: Option<ScanEnd>,
    /// What the watches asked for, in order.
    pub(crate) watched: Vec<WatchRequest>,
    /// What each of the next watches is told. A watch without a script is told nothing.
    pub(crate) watches: VecDeque<Vec<Told>>,
    /// Where the watches after those hear what they are told, as the test goes on. It is closed when the caller has gone.
    pub(crate) live: VecDeque<mpsc::Receiver<Told>>,
    /// Watches are answered when it is closed.
    pub(crate) held: Option<Arc<Semaphore>>,
    /// The points of cursors, by name.
    pub(crate) cursors: BTreeMap<String, WatchPoint>,
}

#[derive(Clone, Copy)]
pub(crate) enum ScanEnd {
    Fail,
    Hang,
}

impl FakeNode {
    pub(crate) fn of_topic(topic: u8) -> FakeNode {
        let node = FakeNode::default();
        node.state().topic = topic;
        node.state().scan_batch = 2;
        node
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics under the lock")
    }

    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(self.router().serve_with_incoming(incoming));
        address
    }

    pub(crate) fn router(&self) -> tonic::transport::server::Router {
        let store = StoreServer::new(self.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
        Server::builder().add_service(store).add_service(AdminServer::new(self.clone()))
    }

    pub(crate) async fn client(&self) -> Client {
        let address = self.serve().await;
        Client::connect(&format!("http://{address}")).await.expect("the node listens")
    }

    async fn write(&self, key: Bytes, value: Option<Bytes>) -> Result<(Revision, Token), Status> {
        if let Some(status) = scripted(&key).await {
            return Err(status);
        }
        let mut state = self.state();
        let revision = Revision { partition: 0, offset: state.position };
        state.position += 1;
        match value {
            Some(value) => state.rows.insert(key, Value { value, revision: Some(revision) }),
            None => state.rows.remove(&key),
        };
        Ok((revision, state.token()))
    }

    fn read(&self, options: Option<ReadOptions>) -> CopyState {
        let mut state = self.state();
        state.reads.extend(options);
        CopyState { token: Some(state.token()), age_ms: 12, exact: true, given_by: String::new() }
    }

    async fn reply(&self, item: WriteItem) -> Result<WriteReply, Status> {
        let value = match item.action {
            Some(Action::Put(value)) => Some(value),
            Some(Action::Delete(Tombstone {})) => None,
            None => return Err(Status::invalid_argument("no action")),
        };
        let outcome = match self.write(item.key, value).await {
            Ok((revision, _token)) => Outcome::Revision(revision),
            Err(status) => Outcome::Error(
                ErrorDetail::from_status(&status)
                    .filter(|detail| detail.reason() != Reason::Draining)
                    .ok_or(status)?,
            ),
        };
        Ok(WriteReply { outcome: Some(outcome) })
    }

    async fn replies(&self, request: WriteRequest) -> Result<WriteResponse, Status> {
        self.state().messages.push((request.store, request.items.len()));
        let mut replies = Vec::new();
        for item in request.items {
            replies.push(self.reply(item).await?);
        }
        Ok(WriteResponse { replies, token: Some(self.state().token()), ..WriteResponse::default() })
    }
}

impl State {
    pub(crate) fn token(&self) -> Token {
        let positions = vec![PartitionPosition {
            partition: 0,
            position: self.position,
            leader_epoch: Some(4),
        }];
        Token { topic_id: Bytes::copy_from_slice(&[self.topic; 16]), positions }
    }
}

/// What happens to a call because of its key.
async fn scripted(key: &[u8]) -> Option<Status> {
    Some(match key {
        b"!refused" => ErrorDetail::new(Reason::WriteDidNotHappen, "refused").into(),
        b"!doubt" => ErrorDetail::new(Reason::WriteUnknown, "timed out").into(),
        b"!drain" => ErrorDetail::new(Reason::Draining, "stopping").into(),
        b"!not ready" => ErrorDetail::new(Reason::NotReady, "opening").into(),
        b"!nameless" => Status::internal("a panic, a proxy"),
        b"!hang" => std::future::pending().await,
        _ => return None,
    })
}

#[tonic::async_trait]
impl Store for FakeNode {
    type ScanStream = Answers<ScanResponse>;
    type WriteStream = Answers<WriteResponse>;
    type WatchStream = Answers<WatchResponse>;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let request = request.into_inner();
        if let Some(status) = scripted(&request.key).await {
            return Err(status);
        }
        let copy = Some(self.read(request.read));
        let found = self.state().rows.get(&request.key).cloned();
        Ok(Response::new(GetResponse { found, copy }))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let PutRequest { key, value, .. } = request.into_inner();
        self.state().written.push(key.clone());
        let (revision, token) = FakeNode::write(self, key, Some(value)).await?;
        Ok(Response::new(PutResponse {
            revision: Some(revision),
            token: Some(token),
            applied: false,
        }))
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let key = request.into_inner().key;
        self.state().written.push(key.clone());
        let (revision, token) = FakeNode::write(self, key, None).await?;
        Ok(Response::new(DeleteResponse {
            revision: Some(revision),
            token: Some(token),
            applied: false,
        }))
    }

    async fn scan(
        &self,
        request: Request<ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let request = request.into_inner();
        let mut copy = Some(self.read(request.read.clone()));
        let rows = selected(&self.state().rows, &request);
        let batch = self.state().scan_batch;
        let end = self.state().scan_end;
        let mut answers: Vec<_> = rows.chunks(batch).map(|rows| rows.to_vec()).collect();
        if answers.is_empty() {
            answers.push(Vec::new());
        }
        let answers: Vec<_> =
            answers.into_iter().map(|rows| Ok(ScanResponse { copy: copy.take(), rows })).collect();
        let answers = tokio_stream::iter(answers);
        Ok(Response::new(match end {
            None => Box::pin(answers),
            Some(ScanEnd::Fail) => {
                Box::pin(answers.chain(tokio_stream::once(Err(Status::internal("torn")))))
            }
            Some(ScanEnd::Hang) => Box::pin(answers.chain(tokio_stream::pending())),
        }))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.state().watched.push(request.into_inner());
        let held = self.state().held.clone();
        if let Some(held) = held {
            held.acquire().await.expect_err("it is closed");
        }
        let mut state = self.state();
        if let Some(told) = state.watches.pop_front() {
            return Ok(Response::new(Box::pin(tokio_stream::iter(told))));
        }
        Ok(Response::new(match state.live.pop_front() {
            Some(told) => Box::pin(ReceiverStream::new(told)),
            None => Box::pin(tokio_stream::pending()),
        }))
    }

    /// The name "back" goes back.
    async fn commit_cursor(
        &self,
        request: Request<CommitCursorRequest>,
    ) -> Result<Response<CommitCursorResponse>, Status> {
        let CommitCursorRequest { name, point, .. } = request.into_inner();
        if name == "back" {
            return Err(ErrorDetail::new(Reason::CursorGoesBack, "further already").into());
        }
        self.state().cursors.insert(name, point.expect("a point"));
        Ok(Response::new(CommitCursorResponse {}))
    }

    async fn get_cursor(
        &self,
        request: Request<GetCursorRequest>,
    ) -> Result<Response<GetCursorResponse>, Status> {
        let name = request.into_inner().name;
        let point = self.state().cursors.get(&name).cloned();
        let unknown = || Status::from(ErrorDetail::new(Reason::Compacted, "not known"));
        let cursor = Some(cursor(name, point.ok_or_else(unknown)?));
        Ok(Response::new(GetCursorResponse { cursor }))
    }

    async fn list_cursors(
        &self,
        _request: Request<ListCursorsRequest>,
    ) -> Result<Response<ListCursorsResponse>, Status> {
        let cursors = self.state().cursors.clone();
        let lost = Some(ErrorDetail::new(Reason::Compacted, "not known"));
        let lost = Cursor { name: "lost".to_owned(), lost, ..Cursor::default() };
        let cursors = cursors.into_iter().map(|(name, point)| cursor(name, point));
        let cursors = cursors.chain([lost]).collect();
        Ok(Response::new(ListCursorsResponse { cursors, more: true }))
    }

    async fn delete_cursor(
        &self,
        request: Request<DeleteCursorRequest>,
    ) -> Result<Response<DeleteCursorResponse>, Status> {
        self.state().cursors.remove(&request.into_inner().name);
        Ok(Response::new(DeleteCursorResponse {}))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let node = self.clone();
        let mut requests = request.into_inner();
        let (answers, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                let answer = node.replies(request).await;
                let ends = answer.is_err();
                if answers.send(answer).await.is_err() || ends {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

fn cursor(name: String, point: WatchPoint) -> Cursor {
    let (behind_records, committed_at_ms) = (Some(3), Some(1_000));
    Cursor { name, point: Some(point), behind_records, committed_at_ms, lost: None }
}

fn selected(rows: &BTreeMap<Bytes, Value>, request: &ScanRequest) -> Vec<Row> {
    let wanted = |key: &Bytes| match &request.keys {
        None => true,
        Some(Keys::Prefix(prefix)) => key.starts_with(prefix),
        Some(Keys::Range(range)) => {
            *key >= range.start && range.end.as_ref().is_none_or(|end| key < end)
        }
    };
    let mut rows: Vec<Row> = rows
        .iter()
        .filter(|(key, _)| wanted(key))
        .map(|(key, value)| Row {
            omitted_value_bytes: None,
            key: key.clone(),
            value: if request.keys_only { Bytes::new() } else { value.value.clone() },
            revision: value.revision,
        })
        .collect();
    if request.reverse {
        rows.reverse();
    }
    if request.limit > 0 {
        rows.truncate(usize::try_from(request.limit).expect("a small limit"));
    }
    rows
}

#[tonic::async_trait]
impl Admin for FakeNode {
    type WatchStatusStream = Answers<WatchStatusResponse>;
    type VerifyStream = Answers<VerifyResponse>;

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let StatusRequest { store, with_digest } = request.into_inner();
        let digest = with_digest.then(|| Digest { rows: 3, ..Digest::default() });
        Ok(Response::new(StatusResponse { node: Some(node_status(&store, Phase::Ready, digest)) }))
    }

    async fn watch_status(
        &self,
        request: Request<WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        let store = request.into_inner().store;
        let phases = [Phase::Restoring, Phase::CatchingUp, Phase::Ready];
        let answers = phases
            .map(|phase| Ok(WatchStatusResponse { node: Some(node_status(&store, phase, None)) }));
        Ok(Response::new(Box::pin(tokio_stream::iter(answers))))
    }

    /// Every pinned copy has three buckets, and a page one row.
    async fn verify(
        &self,
        request: Request<Streaming<VerifyRequest>>,
    ) -> Result<Response<Self::VerifyStream>, Status> {
        let answer = |request: Result<VerifyRequest, Status>| {
            let answer = match request?.ask.expect("it asks something") {
                Ask::Pin(pin) if pin.store == "passed" => {
                    let passed = ErrorDetail::new(Reason::PositionPassed, "too late");
                    return Err(Status::from(passed));
                }
                Ask::Pin(_) => {
                    Answer::Pinned(PinnedCopy { buckets: vec![BucketSum::default(); 3] })
                }
                Ask::Rows(asked) => {
                    let key = asked
                        .after
                        .clone()
                        .map_or(Bytes::new(), |after| [&after[..], b"+"].concat().into());
                    let row = PinnedRow { key, ..PinnedRow::default() };
                    Answer::Rows(PinnedRows { rows: vec![row], more: asked.after.is_none() })
                }
            };
            Ok(VerifyResponse { answer: Some(answer) })
        };
        Ok(Response::new(Box::pin(request.into_inner().map(answer))))
    }

    async fn throttle(
        &self,
        _request: Request<ThrottleRequest>,
    ) -> Result<Response<ThrottleResponse>, Status> {
        Err(Status::unimplemented("no restore to throttle"))
    }

    async fn cancel(
        &self,
        _request: Request<CancelRequest>,
    ) -> Result<Response<CancelResponse>, Status> {
        Err(Status::unimplemented("no restore to cancel"))
    }

    async fn r#continue(
        &self,
        _request: Request<ContinueRequest>,
    ) -> Result<Response<ContinueResponse>, Status> {
        Err(Status::unimplemented("no restore to go on with"))
    }

    async fn release(
        &self,
        _request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        Ok(Response::new(ReleaseResponse { stopping: true }))
    }
}

fn node_status(store: &str, phase: Phase, digest: Option<Digest>) -> NodeStatus {
    let names = if store.is_empty() { vec!["a", "b"] } else { vec![store] };
    let stores = names.into_iter().map(|name| StoreStatus {
        store: name.to_owned(),
        phase: phase.into(),
        digest: digest.clone(),
        ..StoreStatus::default()
    });
    NodeStatus { version: "0.0.0".to_owned(), stores: stores.collect(), ..NodeStatus::default() }
}
