//! The services that applications and operators call: each call goes to its own file, each failure becomes a status here.

use std::sync::Arc;

use outrigger_proto::v1::admin_server::Admin;
use outrigger_proto::v1::store_server::Store;
use outrigger_proto::v1::{
    CancelRequest, CancelResponse, CommitCursorRequest, CommitCursorResponse, ContinueRequest,
    ContinueResponse, DeleteCursorRequest, DeleteCursorResponse, DeleteRequest, DeleteResponse,
    ErrorDetail, GetCursorRequest, GetCursorResponse, GetRequest, GetResponse, ListCursorsRequest,
    ListCursorsResponse, PutRequest, PutResponse, ReadOptions, ReleaseRequest, ReleaseResponse,
    ScanRequest, ScanResponse, StatusRequest, StatusResponse, ThrottleRequest, ThrottleResponse,
    Token, VerifyRequest, VerifyResponse, WatchRequest, WatchResponse, WatchStatusRequest,
    WatchStatusResponse, WriteRequest,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::answers::Answers;
use super::deadline::CallDeadline;
use super::door::{Asker, Door};
use super::replies::Replies;
use super::room::Share;
use super::session::Session;
use super::stores::Stores;
use super::{cursors, get, operate, scan, status, verify, watch, write, write_stream};
use crate::forward::Forwarder;
use crate::release::Release;
use crate::runtime::RestoreThrottle;
use crate::watchdog::Signs;

/// Digests that are made at the same time: two would only take turns on the disk.
const DIGESTS_MAX: usize = 1;

/// What all calls share. A clone is a reference.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) stores: Stores,
    pub(super) signs: Signs,
    pub(super) throttle: RestoreThrottle,
    pub(super) door: Door,
    /// What asks peers; none: what the own copy does not answer is refused.
    pub(super) forwarder: Option<Forwarder>,
    pub(super) release: Release,
    digests: Arc<Semaphore>,
    /// For those that nobody waits for: an operator's does not wait for them.
    unhurried: Arc<Semaphore>,
    /// Cancelled when the node stops: streams end.
    pub(super) ending: CancellationToken,
    /// The tasks behind the streams.
    pub(super) tasks: TaskTracker,
}

impl Service {
    pub(super) fn new(
        stores: Stores,
        signs: Signs,
        throttle: RestoreThrottle,
        door: Door,
        forwarder: Option<Forwarder>,
        release: Release,
        ending: CancellationToken,
    ) -> Service {
        Service {
            stores,
            signs,
            throttle,
            door,
            forwarder,
            release,
            digests: Arc::new(Semaphore::new(DIGESTS_MAX)),
            unhurried: Arc::new(Semaphore::new(DIGESTS_MAX)),
            ending,
            tasks: TaskTracker::new(),
        }
    }

    /// Returns who asks to read or to write: an application that may is not done.
    fn user(&self, of_call: &Extensions) -> Asker {
        self.door.asker(of_call).of_user(self.release.clone())
    }

    /// Returns the session that a call of `store` belongs to, where its caller sends one beside the message.
    fn session(&self, of_call: &MetadataMap, store: &str) -> Result<Option<Session>, ErrorDetail> {
        let partitions = || Ok(self.stores.one(store)?.handle.gate().positions.len());
        Session::of(of_call, partitions)
    }

    /// The same of a read, which then includes what the session has seen.
    fn session_of_read(
        &self,
        of_call: &MetadataMap,
        store: &str,
        read: &mut Option<ReadOptions>,
    ) -> Result<Option<Session>, ErrorDetail> {
        let mut session = self.session(of_call, store)?;
        if let Some(session) = &mut session {
            session.include(read)?;
        }
        Ok(session)
    }

    /// Waits for the turn to read a whole copy: nobody else reads one while the permit is held.
    pub(super) async fn whole_copy(&self) -> SemaphorePermit<'_> {
        self.digests.acquire().await.expect("the semaphore is never closed")
    }

    /// The same for whoever has time, beside those who have not.
    pub(super) async fn whole_copy_unhurried(&self) -> SemaphorePermit<'_> {
        self.unhurried.acquire().await.expect("the semaphore is never closed")
    }
}

pub(super) fn share(of_call: &Extensions) -> Share {
    of_call.get::<Share>().cloned().expect("every stream has its connection's")
}

/// Returns an answer, and beside it what its session has seen with it. `token`: what the answer tells of that.
fn told<T>(
    session: Option<Session>,
    answer: T,
    token: impl FnOnce(&T) -> Option<&Token>,
) -> Response<T> {
    let mut metadata = MetadataMap::new();
    if let Some(session) = session {
        session.tell(token(&answer), &mut metadata);
    }
    Response::from_parts(metadata, answer, Extensions::new())
}

#[tonic::async_trait]
impl Store for Service {
    type ScanStream = Answers<ScanResponse>;
    type WriteStream = Replies;
    type WatchStream = Answers<WatchResponse>;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let deadline = CallDeadline::of(request.metadata());
        let asker = self.user(request.extensions());
        let (metadata, _, mut request) = request.into_parts();
        let session = self.session_of_read(&metadata, &request.store, &mut request.read)?;
        let answer = get::get(self, &asker, request, deadline).await?;
        Ok(told(session, answer, |answer| answer.copy.as_ref()?.token.as_ref()))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let deadline = CallDeadline::of(request.metadata());
        let asker = self.user(request.extensions());
        let session = self.session(request.metadata(), &request.get_ref().store)?;
        let answer = write::put(&self.stores, &asker, request.into_inner(), deadline).await?;
        Ok(told(session, answer, |answer| answer.token.as_ref()))
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let deadline = CallDeadline::of(request.metadata());
        let asker = self.user(request.extensions());
        let session = self.session(request.metadata(), &request.get_ref().store)?;
        let answer = write::delete(&self.stores, &asker, request.into_inner(), deadline).await?;
        Ok(told(session, answer, |answer| answer.token.as_ref()))
    }

    async fn scan(
        &self,
        request: Request<ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let deadline = CallDeadline::of(request.metadata());
        let share = share(request.extensions());
        let asker = self.user(request.extensions());
        let (metadata, _, mut request) = request.into_parts();
        let session = self.session_of_read(&metadata, &request.store, &mut request.read)?;
        let mut answers = scan::scan(self, &asker, request, deadline, &share).await?;
        if session.is_some() {
            answers.await_first().await;
        }
        Ok(told(session, answers, |answers| answers.first()?.copy.as_ref()?.token.as_ref()))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let deadline = CallDeadline::of(request.metadata());
        let share = share(request.extensions());
        let asker = self.user(request.extensions());
        let answers = watch::watch(self, &asker, request.into_inner(), deadline, &share).await?;
        Ok(Response::new(answers))
    }

    async fn commit_cursor(
        &self,
        request: Request<CommitCursorRequest>,
    ) -> Result<Response<CommitCursorResponse>, Status> {
        let deadline = CallDeadline::of(request.metadata());
        let asker = self.user(request.extensions());
        let answer = cursors::commit(self, &asker, request.into_inner(), deadline).await;
        answer.map(Response::new).map_err(Status::from)
    }

    async fn get_cursor(
        &self,
        request: Request<GetCursorRequest>,
    ) -> Result<Response<GetCursorResponse>, Status> {
        let deadline = CallDeadline::of(request.metadata());
        let asker = self.user(request.extensions());
        let answer = cursors::get(self, &asker, request.into_inner(), deadline).await;
        answer.map(Response::new).map_err(Status::from)
    }

    async fn list_cursors(
        &self,
        request: Request<ListCursorsRequest>,
    ) -> Result<Response<ListCursorsResponse>, Status> {
        let deadline = CallDeadline::of(request.metadata());
        let asker = self.user(request.extensions());
        let answer = cursors::list(self, &asker, request.into_inner(), deadline).await;
        answer.map(Response::new).map_err(Status::from)
    }

    async fn delete_cursor(
        &self,
        request: Request<DeleteCursorRequest>,
    ) -> Result<Response<DeleteCursorResponse>, Status> {
        let asker = self.user(request.extensions());
        let answer = cursors::delete(self, &asker, request.into_inner()).await;
        answer.map(Response::new).map_err(Status::from)
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let share = share(request.extensions());
        let asker = self.user(request.extensions());
        Ok(Response::new(write_stream::open(self, asker, request.into_inner(), share)))
    }
}

#[tonic::async_trait]
impl Admin for Service {
    type WatchStatusStream = Answers<WatchStatusResponse>;
    type VerifyStream = Answers<VerifyResponse>;

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let asker = self.door.asker(request.extensions());
        let answer = status::status(self, &asker, request.into_inner()).await;
        answer.map(Response::new).map_err(Status::from)
    }

    async fn watch_status(
        &self,
        request: Request<WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        let asker = self.door.asker(request.extensions());
        let answer = status::watch(self, &asker, request.into_inner());
        answer.map(Response::new).map_err(Status::from)
    }

    async fn verify(
        &self,
        request: Request<Streaming<VerifyRequest>>,
    ) -> Result<Response<Self::VerifyStream>, Status> {
        let deadline = CallDeadline::of(request.metadata());
        let asker = self.door.asker(request.extensions());
        Ok(Response::new(verify::open(self, asker, request.into_inner(), deadline)))
    }

    async fn throttle(
        &self,
        request: Request<ThrottleRequest>,
    ) -> Result<Response<ThrottleResponse>, Status> {
        let asker = self.door.asker(request.extensions());
        let answer = operate::throttle(self, &asker, request.into_inner()).await;
        answer.map(Response::new).map_err(Status::from)
    }

    async fn cancel(
        &self,
        request: Request<CancelRequest>,
    ) -> Result<Response<CancelResponse>, Status> {
        let asker = self.door.asker(request.extensions());
        let answer = operate::cancel(&self.stores, &asker, request.into_inner()).await;
        answer.map(Response::new).map_err(Status::from)
    }

    async fn r#continue(
        &self,
        request: Request<ContinueRequest>,
    ) -> Result<Response<ContinueResponse>, Status> {
        let asker = self.door.asker(request.extensions());
        let answer = operate::go_on(&self.stores, &asker, request.into_inner()).await;
        answer.map(Response::new).map_err(Status::from)
    }

    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let asker = self.door.asker(request.extensions());
        operate::release(self, &asker).map(Response::new).map_err(Status::from)
    }
}
