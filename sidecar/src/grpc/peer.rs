//! The service for other nodes: who may ask, a checkpoint as a stream that the taker's pace holds back, and the reads that
//! they forward, which are answered from the own copy or not at all.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use outrigger_proto::Rpc;
use outrigger_proto::peer::v1::checkpoint_response::Part as Content;
use outrigger_proto::peer::v1::peer_digest_response::Outcome;
use outrigger_proto::peer::v1::peer_server::Peer;
use outrigger_proto::peer::v1::{
    CheckpointChunk, CheckpointFile, CheckpointHeader, CheckpointRequest, CheckpointResponse,
    CopyIdentity, ForwardGetRequest, ForwardGetResponse, ForwardScanRequest, ForwardScanResponse,
    PeerDigestRequest, PeerDigestResponse, PeerStatusRequest, PeerStatusResponse, PeerStoreStatus,
};
use outrigger_proto::v1::StoreStatus;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Code, Request, Response, Status};
use xxhash_rust::xxh3::xxh3_64;

use super::answers::{Answers, Part};
use super::deadline::CallDeadline;
use super::door::Door;
use super::service::{Service, share};
use super::status::node_status;
use super::{compare, forwarded};
use crate::access::Keys;
use crate::escape::escape;
use crate::giver::{Chunk, GiveError, Giver, Lease};
use crate::rocks::FORMAT;
use crate::{peer, telemetry};

/// Chunks read ahead of the connection, for each taker.
const AHEAD: usize = 4;

/// How long a taker may take nothing: one that hangs must not keep a checkpoint for ever.
const TAKE_MAX: Duration = Duration::from_secs(60);

/// Characters of a store's name; one that is longer is no store's.
const STORE_TOLD_MAX: usize = 256;

/// Stores that a node may ask about at once.
const STORES_ASKED_MAX: usize = 1_000;

const EXPIRE_INTERVAL: Duration = Duration::from_secs(5);

/// How often refusals are told at most: strangers must not fill the log.
const REFUSALS_TOLD_INTERVAL: Duration = Duration::from_secs(60);

/// A clone is a reference.
#[derive(Clone)]
pub(super) struct Peers {
    giver: Arc<Giver>,
    service: Service,
    door: Door,
    ending: CancellationToken,
    tasks: TaskTracker,
    refusals: Arc<Refusals>,
}

/// Callers without the secret: anybody can be one, as often as they like.
#[derive(Default)]
struct Refusals {
    /// When one was told of last. The lock guards nothing else, and is held for one question.
    told: Mutex<Option<Instant>>,
}

impl Refusals {
    fn tell(&self, by: &str) {
        telemetry::metrics::refused_to_peer();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= REFUSALS_TOLD_INTERVAL) {
            *told = Some(Instant::now());
            tracing::warn!(
                by,
                "somebody asked as a peer with a wrong secret, or with none: refused. Told once a minute at most, the \
                 metrics count them"
            );
        }
    }
}

impl Peers {
    pub(super) fn new(giver: Giver, service: &Service) -> Peers {
        let (ending, tasks) = (service.ending.clone(), service.tasks.clone());
        let (door, service) = (service.door.clone(), service.clone());
        Peers { giver: Arc::new(giver), service, door, ending, tasks, refusals: Arc::default() }
    }

    /// Lets nodes in: they have the secret, where there is one, and the right to it, where there are rules.
    fn let_in<T>(&self, rpc: Rpc, request: &Request<T>, store: &str) -> Result<(), Status> {
        let said = request.metadata().get("authorization");
        let asker = self.door.asker(request.extensions());
        if !self.giver.allows(said.map(|said| said.as_bytes())) {
            self.refusals.tell(&asker.told());
            return Err(Status::permission_denied(
                "the peer secret is another: give all nodes of the store the same",
            ));
        }
        // It is quoted where it is refused.
        let store: String = store.chars().take(STORE_TOLD_MAX).collect();
        asker.may(rpc, &escape(store.as_bytes()), Keys::All)?;
        Ok(())
    }

    /// Ends old leases until the node ends.
    pub(super) async fn expire(&self) {
        let mut ticks = tokio::time::interval(EXPIRE_INTERVAL);
        loop {
            tokio::select! {
                biased;
                () = self.ending.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if self.giver.waits() {
                let giver = self.giver.clone();
                let expired = tokio::task::spawn_blocking(move || giver.expire()).await;
                expired.expect("removing files does not panic");
            }
        }
    }
}

#[tonic::async_trait]
impl Peer for Peers {
    type CheckpointStream = Answers<CheckpointResponse>;
    type ForwardScanStream = Answers<ForwardScanResponse>;

    async fn checkpoint(
        &self,
        request: Request<CheckpointRequest>,
    ) -> Result<Response<Self::CheckpointStream>, Status> {
        self.let_in(Rpc::Checkpoint, &request, &request.get_ref().store)?;
        let (sender, answers) = Answers::channel(AHEAD, &self.ending);
        let outlet = Outlet {
            giver: self.giver.clone(),
            sender,
            ending: self.ending.clone(),
            runtime: Handle::current(),
        };
        let request = request.into_inner();
        self.tasks.spawn_blocking(move || outlet.give(&request));
        Ok(Response::new(answers))
    }

    async fn forward_get(
        &self,
        request: Request<ForwardGetRequest>,
    ) -> Result<Response<ForwardGetResponse>, Status> {
        let read = request.get_ref().request.as_ref().ok_or_else(no_read)?;
        self.let_in(Rpc::ForwardGet, &request, &read.store)?;
        let deadline = CallDeadline::of(request.metadata());
        let answered = forwarded::get(&self.service, request.into_inner(), deadline).await;
        Ok(Response::new(answered))
    }

    async fn forward_scan(
        &self,
        request: Request<ForwardScanRequest>,
    ) -> Result<Response<Self::ForwardScanStream>, Status> {
        let read = request.get_ref().request.as_ref().ok_or_else(no_read)?;
        self.let_in(Rpc::ForwardScan, &request, &read.store)?;
        let (deadline, share) = (CallDeadline::of(request.metadata()), share(request.extensions()));
        let answered = forwarded::scan(&self.service, request.into_inner(), deadline, &share).await;
        Ok(Response::new(answered))
    }

    async fn peer_status(
        &self,
        request: Request<PeerStatusRequest>,
    ) -> Result<Response<PeerStatusResponse>, Status> {
        let stores = &request.get_ref().stores;
        if stores.is_empty() || stores.len() > STORES_ASKED_MAX {
            // Who is no node hears that, and nothing else.
            self.let_in(Rpc::PeerStatus, &request, "")?;
            let text = format!("name 1 to {STORES_ASKED_MAX} stores");
            return Err(Status::invalid_argument(text));
        }
        for store in stores {
            self.let_in(Rpc::PeerStatus, &request, store)?;
        }
        let node = node_status(&self.service, self.service.stores.all());
        let wanted = node.stores.into_iter().filter(|each| stores.contains(&each.store));
        Ok(Response::new(PeerStatusResponse {
            version: node.version,
            process: peer::process().to_vec().into(),
            state_age_ms: node.state_age_ms,
            stores: wanted.map(store_status).collect(),
        }))
    }

    async fn peer_digest(
        &self,
        request: Request<PeerDigestRequest>,
    ) -> Result<Response<PeerDigestResponse>, Status> {
        self.let_in(Rpc::PeerDigest, &request, &request.get_ref().store)?;
        let PeerDigestRequest { store, at } = request.into_inner();
        let summed = match self.service.stores.one(&store) {
            Ok(store) => {
                compare::digest(&self.service, &store.handle, &at.unwrap_or_default()).await
            }
            Err(detail) => Err(detail),
        };
        let outcome = summed.map_or_else(Outcome::Refused, Outcome::Digest);
        Ok(Response::new(PeerDigestResponse { outcome: Some(outcome) }))
    }
}

fn store_status(status: StoreStatus) -> PeerStoreStatus {
    PeerStoreStatus {
        stalls: status.stalls.iter().map(|stall| stall.kind).collect(),
        restore_fraction: status.restore.and_then(|restore| restore.fraction),
        store: status.store,
        phase: status.phase,
        lag_records: status.lag_records,
        confirmed_age_ms: status.confirmed_age_ms,
    }
}

fn no_read() -> Status {
    Status::invalid_argument("the request has no read in it")
}

/// What feeds one taker's stream, on a blocking thread.
struct Outlet {
    giver: Arc<Giver>,
    sender: mpsc::Sender<Part<CheckpointResponse>>,
    ending: CancellationToken,
    runtime: Handle,
}

/// The taker is gone, or the node ends.
struct Gone;

impl Outlet {
    fn give(&self, request: &CheckpointRequest) {
        let resume = request.resume.as_ref().map(|have| {
            let file = usize::try_from(have.file).unwrap_or(usize::MAX);
            (have.checkpoint.as_str(), file, have.offset)
        });
        let mut lease = match self.giver.lease(&request.store, resume) {
            Ok(lease) => lease,
            Err(error) => return self.end(Err(status(&error))),
        };
        let bytes: u64 = lease.checkpoint().files().iter().map(|file| file.bytes).sum();
        let (store, checkpoint) = (request.store.as_str(), lease.id().to_owned());
        let left = lease.bytes_left();
        tracing::info!(store, checkpoint, bytes, left, "gives its copy to a peer");
        let given = match self.chunks(store, &mut lease) {
            Ok(given) => given,
            Err(Gone) => {
                return tracing::info!(store, checkpoint, "the peer left before it had the copy");
            }
        };
        // Its checkpoint goes before the taker hears the end.
        drop(lease);
        if given.is_ok() {
            tracing::info!(store, checkpoint, "gave its copy to a peer");
        }
        self.end(given);
    }

    fn chunks(&self, store: &str, lease: &mut Lease) -> Result<Result<(), Status>, Gone> {
        self.send(Content::Header(header(lease)))?;
        loop {
            let chunk = match lease.next_chunk() {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(Ok(())),
                Err(error) => {
                    tracing::error!(store, %error, "the copy cannot be given");
                    return Ok(Err(status(&error)));
                }
            };
            let bytes = chunk.data.len();
            self.wait(self.giver.reserve(bytes))?;
            self.send(Content::Chunk(message(chunk)))?;
            telemetry::metrics::given_to_peers(store, bytes);
        }
    }

    fn wait(&self, pause: Duration) -> Result<(), Gone> {
        if pause.is_zero() {
            return Ok(());
        }
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.ending.cancelled() => Err(Gone),
                () = self.sender.closed() => Err(Gone),
                () = tokio::time::sleep(pause) => Ok(()),
            }
        })
    }

    fn send(&self, content: Content) -> Result<(), Gone> {
        let part = Part::Message(CheckpointResponse { part: Some(content) });
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.ending.cancelled() => Err(Gone),
                sent = self.sender.send_timeout(part, TAKE_MAX) => sent.map_err(|_| Gone),
            }
        })
    }

    fn end(&self, last: Result<(), Status>) {
        // Perhaps nobody is there any more.
        let _gone = self.runtime.block_on(self.sender.send_timeout(Part::Last(last), TAKE_MAX));
    }
}

fn header(lease: &Lease) -> CheckpointHeader {
    let identity = lease.checkpoint().identity();
    let files = lease.checkpoint().files().iter();
    CheckpointHeader {
        checkpoint: lease.id().to_owned(),
        identity: Some(CopyIdentity {
            store: identity.store.clone(),
            cluster_id: identity.cluster.clone(),
            topic_id: identity.topic.0.to_vec().into(),
            partitions: identity.partitions,
        }),
        format: FORMAT,
        files: files
            .map(|file| CheckpointFile { name: file.name.clone(), bytes: file.bytes })
            .collect(),
        delete_retention_ms_min: Some(lease.delete_retention_ms_min()),
    }
}

fn message(chunk: Chunk) -> CheckpointChunk {
    let Chunk { file, offset, data } = chunk;
    let file = u32::try_from(file).expect("a checkpoint's files are counted in 16 bits");
    CheckpointChunk { file, offset, xxh3: xxh3_64(&data), data }
}

fn status(error: &GiveError) -> Status {
    let code = match error {
        GiveError::UnknownStore => Code::NotFound,
        GiveError::NotReady => Code::Unavailable,
        GiveError::TooManyTakers | GiveError::Occupied | GiveError::TooManyFiles(_) => {
            Code::ResourceExhausted
        }
        GiveError::Position { .. } => Code::InvalidArgument,
        GiveError::Store(_) | GiveError::Read(_) => Code::Internal,
    };
    Status::new(code, error.to_string())
}
