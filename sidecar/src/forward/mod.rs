//! Reads that this node cannot answer before its copy is READY: a peer answers them, over the peers' listener.
//!
//! ```text
//! caller -> node that restores: grpc::read -> Forwarder -> peer: grpc::peer -> its own copy
//! ```
//! Core's `forward` says whom to ask and for how long. A peer answers from its own copy or refuses, so that nothing
//! goes in a circle; how many reads are on their way at once is bounded.

mod known;

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use outrigger_core::forward::{Attempt, Forward};
use outrigger_core::gate::Gate;
use outrigger_proto::peer::v1::ForwardTarget;
use outrigger_proto::peer::v1::peer_client::PeerClient;
use outrigger_proto::v1::{ErrorDetail, Reason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use self::known::Known;
use crate::peer::{self, PeerConfig, Secret};
use crate::runtime::clock;
use crate::telemetry::metrics;

/// Reads on their way to peers at once, of all stores: each holds an answer in memory.
const READS_MAX: usize = 256;

/// A clone is a reference.
#[derive(Clone)]
pub struct Forwarder(Arc<Forwarding>);

struct Forwarding {
    known: Known,
    secret: Option<Secret>,
    room: Arc<Semaphore>,
}

/// What a peer says of one read.
pub enum Outcome<T> {
    Answer(T),
    Refused(ErrorDetail),
}

/// A peer's answer.
pub struct Given<T> {
    pub answer: T,
    /// The address of the peer.
    pub by: String,
    /// It is one of the reads on their way until this is dropped.
    pub place: OwnedSemaphorePermit,
}

/// Why no peer has answered.
#[derive(Debug)]
pub enum Unanswered {
    /// The read itself is wrong, or its token: a node that is READY says so.
    Read(ErrorDetail),
    /// Nobody could, for these reasons, or there were too many such reads.
    Nobody(String),
}

impl Forwarder {
    /// None: nobody is to be asked.
    pub fn new(config: &PeerConfig) -> Option<Forwarder> {
        (config.asks() && config.forward_reads).then(|| {
            Forwarder(Arc::new(Forwarding {
                known: Known::new(config.addresses.clone(), config.tls.clone()),
                secret: config.secret.clone(),
                room: Arc::new(Semaphore::new(READS_MAX)),
            }))
        })
    }

    /// Asks one peer after the other. `call` asks one of them, and may wait so long for its first answer.
    pub async fn ask<T, F>(
        &self,
        store: &str,
        mut forward: Forward,
        call: impl Fn(PeerClient<Channel>) -> F,
    ) -> Result<Given<T>, Unanswered>
    where
        F: Future<Output = Result<Outcome<T>, Status>>,
    {
        let Ok(place) = self.0.room.clone().try_acquire_owned() else {
            return Err(Unanswered::Nobody(format!("{READS_MAX} reads are forwarded already")));
        };
        let peers = self.0.known.now().await;
        let mut reasons = Vec::new();
        while let Some((attempt, peer)) = peers.next(&mut forward, clock::now().mono) {
            let Attempt { peer: number, within } = attempt;
            let reason = match timeout(within, call(peer.client())).await {
                Ok(Ok(Outcome::Answer(answer))) => {
                    peers.answered(number);
                    metrics::read_forwarded(store, true);
                    return Ok(Given { answer, by: peer.to_string(), place });
                }
                Ok(Ok(Outcome::Refused(detail))) if is_of_the_read(detail.reason()) => {
                    peers.answered(number);
                    return Err(Unanswered::Read(detail));
                }
                Ok(Ok(Outcome::Refused(detail))) => detail.message,
                Ok(Err(status)) => why(&status),
                Err(_late) => format!("no answer within {within:?}"),
            };
            peers.failed(number, clock::now().mono);
            reasons.push(format!("{peer}: {}", peer::told(&reason)));
        }
        metrics::read_forwarded(store, false);
        match reasons.is_empty() {
            true => Err(Unanswered::Nobody("there was no time to ask one".to_owned())),
            false => Err(Unanswered::Nobody(reasons.join("; "))),
        }
    }

    /// A request to a peer, with what proves that a node asks.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(secret) = &self.0.secret {
            let value = secret.authorization().parse().expect("a secret is visible ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        request
    }
}

/// Which copy may answer what this node is asked.
pub fn target(topic: &str, gate: &Gate) -> ForwardTarget {
    let topic_id = gate.topic.map(|id| id.0.to_vec().into()).unwrap_or_default();
    ForwardTarget { topic: topic.to_owned(), topic_id }
}

/// Whether every READY node would say the same.
fn is_of_the_read(reason: Reason) -> bool {
    match reason {
        Reason::InvalidRange
        | Reason::InvalidRequest
        | Reason::TokenInvalid
        | Reason::RowTooLarge
        | Reason::TokenOfAnotherTopic
        | Reason::TokenBeyondLog
        | Reason::TokenOfAnotherHistory => true,
        Reason::Unspecified
        | Reason::UnknownStore
        | Reason::StoreNotNamed
        | Reason::KeyTooLarge
        | Reason::ValueTooLarge
        | Reason::RequestTooLarge
        | Reason::Unimplemented
        | Reason::Unauthenticated
        | Reason::NotAllowed
        | Reason::PositionPassed
        | Reason::NotReady
        | Reason::Restoring
        | Reason::TooStale
        | Reason::Overloaded
        | Reason::DeadlineExceeded
        | Reason::Draining
        | Reason::LogUnavailable
        | Reason::WrongPhase
        | Reason::RefusedIdentity
        | Reason::RefusedTopicPolicy
        | Reason::RefusedLogIncomplete
        | Reason::RefusedCancelled
        | Reason::WriteDidNotHappen
        | Reason::WriteUnknown
        | Reason::Authorisation
        | Reason::StoreFailed => false,
    }
}

fn why(status: &Status) -> String {
    match (status.code(), status.source()) {
        (Code::Unimplemented, _) => "it answers no reads of other nodes".to_owned(),
        (_, Some(cause)) => last_cause(cause),
        (code, None) => format!("{code:?}: {}", status.message()),
    }
}

/// Those before the last say only that there is no connection.
fn last_cause(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), last_cause)
}
