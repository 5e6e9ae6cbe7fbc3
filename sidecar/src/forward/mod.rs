//! Reads that this node cannot answer before its copy is READY: a peer answers them, over the peers' listener.
//!
//! ```text
//! caller -> node that restores: grpc::forward -> Forwarder -> peer: grpc::forwarded -> its own copy
//! ```
//! Core's `forward` says whom to ask and for how long. A peer answers from its own copy or refuses, so that nothing goes
//! in a circle. Answers that are held here are bounded: 256 rows of up to 64 KiB, one larger one at a time, and 16 scans.

mod known;

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use outrigger_core::forward::{ANSWER_MAX, Attempt, Forward};
use outrigger_core::topic::TopicId;
use outrigger_proto::Rpc;
use outrigger_proto::peer::v1::ForwardTarget;
use outrigger_proto::peer::v1::peer_client::PeerClient;
use outrigger_proto::v1::{ErrorDetail, Reason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use self::known::{Known, Peer, SCANS_MAX};
use crate::peer::{self, PeerConfig, Secret};
use crate::runtime::clock;
use crate::telemetry::{metrics, trace};

/// Gets that are forwarded at once, of all stores.
const GETS_MAX: usize = 256;

/// Rows of up to this many bytes of key and value are held by all forwarded Gets at once; a larger row is asked for alone.
pub const SMALL_ROW_BYTES: u64 = 64 * 1024;

/// A clone is a reference.
#[derive(Clone)]
pub struct Forwarder(Arc<Forwarding>);

struct Forwarding {
    known: Known,
    secret: Option<Secret>,
    gets: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    large_rows: Semaphore,
}

/// What is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Get,
    Scan,
}

impl Kind {
    fn rpc(self) -> Rpc {
        match self {
            Kind::Get => Rpc::ForwardGet,
            Kind::Scan => Rpc::ForwardScan,
        }
    }
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
    pub place: Place,
}

/// What a read has that is on its way.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    _span: trace::Span,
}

/// Why no peer has answered.
#[derive(Debug)]
pub enum Unanswered {
    /// A READY peer says why it cannot: each would, or no other has said more.
    Said { by: String, detail: ErrorDetail },
    /// Nobody could, for these reasons.
    Nobody(String),
    /// Too many such reads are on their way.
    Full,
}

/// One peer that is asked.
pub struct Ask {
    pub client: PeerClient<Channel>,
    within: Duration,
    authorization: Option<String>,
    trace: trace::Headers,
}

impl Ask {
    /// The message with what proves that a node asks, and with the time that the peer has for it.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.within);
        if let Some(authorization) = &self.authorization {
            let value = authorization.parse().expect("a secret is visible ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        self.trace.put_into(request.metadata_mut());
        request
    }
}

impl Forwarder {
    /// None: nobody is to be asked.
    pub fn new(config: &PeerConfig) -> Option<Forwarder> {
        let scans = usize::try_from(SCANS_MAX).expect("usize holds 32 bits");
        (config.asks() && config.forward_reads).then(|| {
            Forwarder(Arc::new(Forwarding {
                known: Known::new(config.addresses.clone(), config.tls.clone()),
                secret: config.secret.clone(),
                gets: Arc::new(Semaphore::new(GETS_MAX)),
                scans: Arc::new(Semaphore::new(scans)),
                large_rows: Semaphore::new(1),
            }))
        })
    }

    /// Asks one peer after the other. `call` asks one of them; it may take as long as core gives it for its first answer.
    pub async fn ask<T, F>(
        &self,
        store: &str,
        kind: Kind,
        mut forward: Forward,
        call: impl Fn(Ask) -> F,
    ) -> Result<Given<T>, Unanswered>
    where
        F: Future<Output = Result<Outcome<T>, Status>>,
    {
        let room = match kind {
            Kind::Get => &self.0.gets,
            Kind::Scan => &self.0.scans,
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            metrics::read_forwarded(store, false);
            return Err(Unanswered::Full);
        };
        let peers = self.0.known.now().await;
        let (mut reasons, mut said) = (Vec::new(), None);
        while let Some((attempt, peer)) = peers.next(&mut forward, clock::now().mono) {
            let Attempt { peer: number, within } = attempt;
            let by = peer.to_string();
            let mut span = trace::forward(store, &by, kind.rpc());
            let ask = self.asking(kind, peer, within, span.headers());
            match turn(within, call(ask)).await {
                Turn::Answered(answer) => {
                    peers.answered(number);
                    metrics::read_forwarded(store, true);
                    let place = Place { _permit: permit, _span: span };
                    return Ok(Given { answer, by, place });
                }
                Turn::Refused(detail) => {
                    peers.answered(number);
                    span.refused(detail.reason());
                    metrics::read_forwarded(store, true);
                    return Err(Unanswered::Said { by, detail });
                }
                Turn::Passed(detail) => {
                    span.refused(detail.reason());
                    said = Some(Unanswered::Said { by, detail });
                }
                Turn::Failed { reason, of_the_peer } => {
                    span.failed();
                    if of_the_peer {
                        peers.failed(number, clock::now().mono);
                    }
                    reasons.push(format!("{by}: {}", peer::told(&reason)));
                }
            }
        }
        metrics::read_forwarded(store, false);
        Err(said.unwrap_or_else(|| {
            if reasons.is_empty() {
                Unanswered::Nobody("there was no time to ask one".to_owned())
            } else {
                Unanswered::Nobody(reasons.join("; "))
            }
        }))
    }

    fn asking(&self, kind: Kind, peer: &Peer, within: Duration, trace: trace::Headers) -> Ask {
        let client = match kind {
            Kind::Get => peer.rows(),
            Kind::Scan => peer.scans(),
        };
        let authorization = self.0.secret.as_ref().map(Secret::authorization);
        Ask { client, within, authorization, trace }
    }

    /// Waits for its turn to have a row of more than [`SMALL_ROW_BYTES`] in memory.
    pub async fn large_row(&self) -> SemaphorePermit<'_> {
        self.0.large_rows.acquire().await.expect("the semaphore is never closed")
    }
}

/// Which copy may answer.
pub fn target(topic: TopicId) -> ForwardTarget {
    ForwardTarget { topic_id: topic.0.to_vec().into() }
}

/// What became of one peer's turn.
enum Turn<T> {
    Answered(T),
    /// Every READY node would say the same.
    Refused(ErrorDetail),
    /// It is READY, and its copy does not do for this read, or it has too much to do: another's may.
    Passed(ErrorDetail),
    Failed {
        reason: String,
        /// Whether it is the peer that fails, and not this read alone.
        of_the_peer: bool,
    },
}

async fn turn<T>(
    within: Duration,
    answer: impl Future<Output = Result<Outcome<T>, Status>>,
) -> Turn<T> {
    match timeout(within, answer).await {
        Ok(Ok(Outcome::Answer(answer))) => Turn::Answered(answer),
        Ok(Ok(Outcome::Refused(detail))) => refused(detail),
        Ok(Err(status)) => Turn::Failed { reason: why(&status), of_the_peer: true },
        Err(_late) => Turn::Failed {
            reason: format!("no answer within {within:?}"),
            // A caller with little time says nothing of the peer.
            of_the_peer: within >= ANSWER_MAX,
        },
    }
}

fn refused<T>(detail: ErrorDetail) -> Turn<T> {
    match detail.reason() {
        Reason::InvalidRange
        | Reason::TokenInvalid
        | Reason::RowTooLarge
        | Reason::TokenOfAnotherTopic
        | Reason::TokenBeyondLog
        | Reason::TokenOfAnotherHistory => Turn::Refused(detail),
        Reason::TooStale | Reason::Overloaded | Reason::DeadlineExceeded => Turn::Passed(detail),
        // What is wrong with a request this node has seen itself: who finds more knows less of the protocol.
        Reason::InvalidRequest
        | Reason::Unspecified
        | Reason::UnknownStore
        | Reason::StoreNotNamed
        | Reason::KeyTooLarge
        | Reason::ValueTooLarge
        | Reason::RequestTooLarge
        | Reason::Unimplemented
        | Reason::Unauthenticated
        | Reason::NotAllowed
        | Reason::PositionPassed
        | Reason::Compacted
        | Reason::CursorGoesBack
        | Reason::CursorInUse
        | Reason::NotReady
        | Reason::Restoring
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
        | Reason::StoreFailed => Turn::Failed { reason: detail.message, of_the_peer: true },
    }
}

fn why(status: &Status) -> String {
    match (status.code(), status.source()) {
        (Code::Unimplemented, _) => "it answers no reads of other nodes".to_owned(),
        (_, Some(cause)) => peer::last_cause(cause),
        (code, None) => format!("{code:?}: {}", status.message()),
    }
}
