//! One connection to one node.

use std::future::Future;
use std::num::NonZeroU64;
use std::time::Duration;

use outrigger_proto::limits::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};
use outrigger_proto::v1::admin_client::AdminClient;
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::{NodeStatus, ReleaseRequest, StatusRequest, ThrottleRequest};
use tonic::codegen::http::HeaderValue;
use tonic::{Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::address::{self, Spoken};
use crate::bearer;
use crate::connections::Connections;
use crate::error::{Effect, Error};
use crate::pinned::Pinned;
use crate::status::{self, StatusStream};
use crate::store::Store;
use crate::tls::{Tls, TlsConnector};
use crate::token::Token;

/// What an operator asks for is answered without waiting for log or disk.
const OPERATOR_DEADLINE: Duration = Duration::from_secs(5);

/// The longest deadline that a call can tell: `grpc-timeout` has eight digits, of hours at most.
const TOLD_MAX: Duration = Duration::from_secs(99_999_999 * 3_600);

/// A connection to one node, or several where many calls are open at the same time. It is cheap to clone, and clones
/// share the connections.
#[derive(Clone, Debug)]
pub struct Client {
    connections: Connections,
}

/// What a node does that was told that its application is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// It was told to stop, and drains now.
    Draining,
    /// It serves as before, and remembers it.
    Remembered,
}

impl Client {
    /// Connects to the node at `http://host:port` or `unix:///path/of.sock`.
    ///
    /// Later, a connection that was lost is made again by the next call; only a call that finds nobody
    /// there fails with [`Unreachable`](crate::ErrorKind::Unreachable), and has then changed nothing.
    ///
    /// # Errors
    ///
    /// [`Address`](crate::ErrorKind::Address) when this is no address of a node, and
    /// [`Unreachable`](crate::ErrorKind::Unreachable) when nobody answers there within 2 s.
    pub async fn connect(address: &str) -> Result<Client, Error> {
        Client::begin(address, Spoken::Plain, None).await
    }

    /// Connects to the node at `https://host:port`, which must be one that `tls` trusts. Everything else is as of
    /// [`Client::connect`].
    ///
    /// # Errors
    ///
    /// [`Address`](crate::ErrorKind::Address) when this is no address of a node that speaks TLS or `tls` cannot be used,
    /// and [`Unreachable`](crate::ErrorKind::Unreachable) when nobody answers there within 2 s, or somebody who is not
    /// trusted. A node that turns this caller's certificate away says so to the first call.
    pub async fn connect_tls(address: &str, tls: &Tls) -> Result<Client, Error> {
        tls.check().map_err(|error| Error::tls(&error))?;
        Client::begin(address, Spoken::Tls, Some(tls.connector())).await
    }

    async fn begin(
        address: &str,
        spoken: Spoken,
        tls: Option<TlsConnector>,
    ) -> Result<Client, Error> {
        let endpoint = address::endpoint(address, spoken)?;
        let connections = Connections::begin(endpoint, tls).await;
        let connections = connections.map_err(|error| Error::no_node(address, &error))?;
        Ok(Client { connections })
    }

    /// Sends a bearer token with every call from now on, on this client, its clones and their stores; `None`: no more.
    /// Streams that are open keep the one that they began with; a watch, and so a cache, whose token is taken away is opened
    /// again with the newest. A node asks for one where its rules say so.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) when it is not of visible ASCII characters alone, or longer than 1,024.
    pub fn set_bearer_token(&self, token: Option<&str>) -> Result<(), Error> {
        let header = token.map(bearer::header).transpose()?;
        self.connections.authorise(header);
        Ok(())
    }

    /// A handle on one store, with a session of its own. The name may be empty when the node has only
    /// one store. Nothing is sent: a name that the node does not know fails the first call.
    pub fn store(&self, name: impl Into<String>) -> Store {
        Store::new(self.clone(), name.into())
    }

    /// Whether a service of the node's health is serving: `startup` (every store has been READY once), `readiness` (every
    /// store is), `liveness` (its work goes on), or `outrigger.v1.Store/<store>`, the readiness of one store.
    ///
    /// # Errors
    ///
    /// As of [`Client::status`], and [`Invalid`](crate::ErrorKind::Invalid) for a service that the node does not know.
    pub async fn is_serving(&self, service: &str) -> Result<bool, Error> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let request = with_deadline(request, OPERATOR_DEADLINE);
        let mut health = HealthClient::new(self.connections.clone());
        let answer = answer(Effect::None, OPERATOR_DEADLINE, health.check(request)).await?;
        Ok(answer.status() == ServingStatus::Serving)
    }

    /// The state of all stores of the node. It is answered in every phase.
    ///
    /// # Errors
    ///
    /// [`Unreachable`](crate::ErrorKind::Unreachable), [`Broken`](crate::ErrorKind::Broken), or
    /// [`Deadline`](crate::ErrorKind::Deadline) after 5 s.
    pub async fn status(&self) -> Result<NodeStatus, Error> {
        status::node(self, StatusRequest::default()).await
    }

    /// The state of the node with one store: whoever may see no other asks for it by name.
    ///
    /// # Errors
    ///
    /// As of [`Client::status`], and [`Invalid`](crate::ErrorKind::Invalid) for a store that the node does not have.
    pub async fn status_of(&self, store: &str) -> Result<NodeStatus, Error> {
        let request = StatusRequest { store: store.to_owned(), with_digest: false };
        status::node(self, request).await
    }

    /// The state of all stores of the node, now and after each change, at most once per `interval`, which
    /// counts in whole milliseconds.
    ///
    /// # Errors
    ///
    /// Those of [`Client::status`]; the stream ends with an error when the node does.
    pub async fn watch_status(
        &self,
        interval: Duration,
    ) -> Result<StatusStream<NodeStatus>, Error> {
        StatusStream::open(self, String::new(), interval, Ok).await
    }

    /// The same with one store: whoever may see no other asks for it by name.
    ///
    /// # Errors
    ///
    /// As of [`Client::status_of`]; the stream ends with an error when the node does.
    pub async fn watch_status_of(
        &self,
        store: &str,
        interval: Duration,
    ) -> Result<StatusStream<NodeStatus>, Error> {
        StatusStream::open(self, store.to_owned(), interval, Ok).await
    }

    /// Has the node keep the store's copy exactly as it is at `at`, once the copy is there; waits `wait` at most, and
    /// never longer than 60 s.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when the copy is already beyond `at` (take a newer
    /// position) or cannot be read now, [`Deadline`](crate::ErrorKind::Deadline) when it is not there in time,
    /// [`SessionLost`](crate::ErrorKind::SessionLost) when `at` is of another topic or history.
    pub async fn pin(
        &self,
        store: impl Into<String>,
        at: &Token,
        wait: Duration,
    ) -> Result<Pinned, Error> {
        Pinned::open(self, store.into(), at, wait).await
    }

    /// Sets how many bytes of keys and values per second the restores of the node may read, all stores together, until
    /// its process ends. `None`: as fast as they can.
    ///
    /// # Errors
    ///
    /// Those of [`Client::status`].
    pub async fn throttle(&self, bytes_per_second: Option<NonZeroU64>) -> Result<(), Error> {
        let bytes_per_second = bytes_per_second.map(NonZeroU64::get);
        let request = with_deadline(ThrottleRequest { bytes_per_second }, OPERATOR_DEADLINE);
        let mut admin = self.admin();
        answer(Effect::None, OPERATOR_DEADLINE, admin.throttle(request)).await?;
        Ok(())
    }

    /// Says that the application beside the node is done, so that the node does not wait for its last calls: one that was
    /// told to stop, and serves on for its drain delay, drains at once. One that was not serves as before, and skips that
    /// delay when it is told to stop, unless it is read or written again before.
    ///
    /// # Errors
    ///
    /// Those of [`Client::status`].
    pub async fn release(&self) -> Result<Released, Error> {
        let request = with_deadline(ReleaseRequest {}, OPERATOR_DEADLINE);
        let mut admin = self.admin();
        let answer = answer(Effect::None, OPERATOR_DEADLINE, admin.release(request)).await?;
        Ok(if answer.stopping { Released::Draining } else { Released::Remembered })
    }

    pub(crate) fn traced(self, traceparent: HeaderValue) -> Client {
        Client { connections: self.connections.traced(traceparent) }
    }

    pub(crate) fn rows(&self) -> StoreClient<Connections> {
        StoreClient::new(self.connections.clone())
            .max_encoding_message_size(REQUEST_BYTES_MAX)
            .max_decoding_message_size(RESPONSE_BYTES_MAX)
    }

    pub(crate) fn admin(&self) -> AdminClient<Connections> {
        AdminClient::new(self.connections.clone())
            .max_encoding_message_size(REQUEST_BYTES_MAX)
            .max_decoding_message_size(RESPONSE_BYTES_MAX)
    }
}

/// A unary request that tells the node its deadline; one that the protocol cannot say is told as the longest that it can.
pub(crate) fn with_deadline<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline.min(TOLD_MAX));
    request
}

/// Waits for the answer of a call, `deadline` at most. The request's own timeout does not do: it ends
/// with the first byte of the answer, and does not run while a connection is made.
pub(crate) async fn answer<T>(
    effect: Effect,
    deadline: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Error> {
    match tokio::time::timeout(deadline, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(Error::of_call(effect, status)),
        Err(_elapsed) => Err(Error::deadline(effect, deadline)),
    }
}
