//! The connections to one node: another one is made when those that are there have no place for more calls.
//!
//! A node takes a bounded number of calls through one connection, and a call beyond them would wait in this process,
//! unsent and unseen, until one of them ends. Streams are calls that seldom end.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tonic::transport::{Channel, Endpoint, Error};

use crate::tls::TlsConnector;
use crate::trace::TRACEPARENT;

/// How many calls a node takes through one connection at least: one that comes when it has many connections already is
/// given no more.
pub(crate) const CALLS_MAX: u32 = 128;

/// A stream of writes takes as much of what a node has for one connection as thirty-two other calls. Half of that is
/// left to the others.
const WRITES: u32 = 8;
const WRITES_PATH: &str = "/outrigger.v1.Store/Write";

/// With more connections calls wait for each other after all: a node keeps places for others, too.
const CONNECTIONS_MAX: usize = 32;

/// Clones are the same connections.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    endpoint: Endpoint,
    /// What connects where TLS is spoken.
    tls: Option<TlsConnector>,
    /// The lock is held while a connection is chosen. There is always one.
    open: Arc<Mutex<Vec<Connection>>>,
    /// What calls say of their caller. The lock is held while it is copied.
    authorization: Arc<Mutex<Option<HeaderValue>>>,
    /// The trace that the calls of this clone belong to.
    traceparent: Option<HeaderValue>,
}

#[derive(Clone, Debug)]
struct Connection {
    channel: Channel,
    calls: Arc<AtomicU32>,
}

/// A call that has not ended, and for how many it counts.
#[derive(Debug)]
struct Open(Arc<AtomicU32>, u32);

impl Connections {
    /// Makes the first connection to `endpoint`, to which the others will be made as well.
    pub(crate) async fn begin(
        endpoint: Endpoint,
        tls: Option<TlsConnector>,
    ) -> Result<Connections, Error> {
        let channel = match &tls {
            Some(tls) => endpoint.connect_with_connector(tls.clone()).await?,
            None => endpoint.connect().await?,
        };
        let first = Connection { channel, calls: Arc::default() };
        let open = Arc::new(Mutex::new(vec![first]));
        Ok(Connections { endpoint, tls, open, authorization: Arc::default(), traceparent: None })
    }

    /// The same connections, with calls that belong to a trace.
    pub(crate) fn traced(self, traceparent: HeaderValue) -> Connections {
        Connections { traceparent: Some(traceparent), ..self }
    }

    /// Sets the header `authorization` of the calls that begin from now on.
    pub(crate) fn authorise(&self, header: Option<HeaderValue>) {
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = header;
    }

    /// The first connection that has a place; else a new one, which connects with its first call; else the one with the
    /// fewest calls.
    fn choose(&self, weight: u32) -> (Channel, Open) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.iter().any(Connection::has_a_place) && open.len() < CONNECTIONS_MAX {
            let channel = match &self.tls {
                Some(tls) => self.endpoint.connect_with_connector_lazy(tls.clone()),
                None => self.endpoint.connect_lazy(),
            };
            open.push(Connection { channel, calls: Arc::default() });
        }
        let chosen = open.iter().find(|connection| connection.has_a_place());
        let least = || open.iter().min_by_key(|connection| connection.calls());
        let chosen = chosen.or_else(least).expect("there is a first one");
        chosen.calls.fetch_add(weight, Ordering::Relaxed);
        (chosen.channel.clone(), Open(Arc::clone(&chosen.calls), weight))
    }
}

impl Connection {
    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    fn has_a_place(&self) -> bool {
        self.calls() < CALLS_MAX
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Service<Request<Body>> for Connections {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    /// The call decides which connection it uses.
    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let said = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(said) = said {
            request.headers_mut().insert(AUTHORIZATION, said);
        }
        if let Some(traceparent) = &self.traceparent {
            request.headers_mut().insert(TRACEPARENT, traceparent.clone());
        }
        let weight = if request.uri().path() == WRITES_PATH { WRITES } else { 1 };
        let (mut channel, call) = self.choose(weight);
        Box::pin(async move {
            poll_fn(|context| channel.poll_ready(context)).await?;
            let answer = channel.call(request).await?;
            // The call ends with its answer's last byte, or when nobody wants the rest.
            let counted = move |body: Body| {
                body.map_frame(move |frame| {
                    let _open = &call;
                    frame
                })
            };
            Ok(answer.map(|body| Body::new(counted(body))))
        })
    }
}
