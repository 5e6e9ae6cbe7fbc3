//! A small question to a peer: a connection of its own, and what proves to the peer that a node asks.

use std::error::Error;
use std::time::Duration;

use outrigger_client::Tls;
use outrigger_proto::peer::v1::peer_client::PeerClient;
use outrigger_proto::peer::v1::{PeerStatusRequest, PeerStatusResponse};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use super::PeerConfig;
use super::address::Place;
use super::manifest::told;
use super::secret::Secret;

const CONNECT_MAX: Duration = Duration::from_secs(2);

/// A machine that vanished in the middle of an answer is noticed, long before its next chunk of a copy is overdue: the log,
/// or another peer, has all of that.
pub(super) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(4);
pub(super) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(4);

/// Who this node is to its peers, and whom of them it trusts.
#[derive(Clone)]
pub(super) struct Caller {
    secret: Option<Secret>,
    tls: Option<Tls>,
}

impl Caller {
    pub(super) fn of(config: &PeerConfig) -> Caller {
        Caller { secret: config.secret.clone(), tls: config.tls.clone() }
    }

    /// Connects to a peer. The error says why there is no connection.
    pub(super) async fn connect(&self, place: &Place) -> Result<PeerClient<Channel>, String> {
        let endpoint = Endpoint::from(place.address.uri())
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        let connected = match self.tls.as_ref().filter(|_| place.address.speaks_tls()) {
            Some(tls) => {
                let connector = tls.clone().with_server_name(&place.name).connector();
                endpoint.connect_with_connector(connector).await
            }
            None => endpoint.connect().await,
        };
        let channel = connected
            .map_err(|error| format!("it cannot be reached ({})", told(&last_cause(&error))))?;
        Ok(PeerClient::new(channel))
    }

    /// Asks a peer how it is, about these stores, no longer than `answer_max`. The error says why it does not tell.
    pub(super) async fn status(
        &self,
        place: &Place,
        stores: Vec<String>,
        answer_max: Duration,
    ) -> Result<PeerStatusResponse, String> {
        let asking = async {
            let mut client = self.connect(place).await?;
            let answer = client.peer_status(self.request(PeerStatusRequest { stores })).await;
            answer.map(Response::into_inner).map_err(|status| refusal(&status))
        };
        let answer = timeout(answer_max, asking).await;
        answer.unwrap_or_else(|_late| Err(format!("no answer within {answer_max:?}")))
    }

    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(secret) = &self.secret {
            let value = secret.authorization().parse().expect("a secret is visible ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        request
    }
}

/// Returns what a peer that refuses says, in words.
pub(super) fn refusal(status: &Status) -> String {
    match (status.code(), status.source()) {
        (Code::Unimplemented, _) => {
            "it does not know the question: it is of an older version, or listens to peers elsewhere".to_owned()
        }
        (_, Some(cause)) => told(&last_cause(cause)),
        (code, None) => format!("{code:?}: {}", told(status.message())),
    }
}

/// Causes before the last say only that there is no connection.
pub(crate) fn last_cause(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), last_cause)
}
