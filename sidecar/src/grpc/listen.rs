//! Incoming connections, over TCP and Unix sockets: bounded in number for each address, and in the time that they
//! may keep a place without a use for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::activity::Activity;
use super::call::Calls;
use super::connection::{self, Begun, Closed, Windows};
use super::door::Door;
use super::room::Room;
use crate::access::Caller;
use crate::seldom::Seldom;
use crate::telemetry::metrics;
use crate::tls::TlsServer;

/// Connections at the same time through each address: callers of one never take the places of the other. More wait
/// to be accepted, and push out those that make no calls.
const CONNECTIONS_MAX: usize = 256;

/// Connections of one address that may send much ahead and make many calls at a time.
const WIDE_MAX: usize = 8;

/// The pause after a failed accept (no file descriptors left, say), for a loop that fails at once would use a whole
/// core, and before places are looked for again where all connections have calls.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The same news is not logged again before this.
const NEWS_EVERY: Duration = Duration::from_secs(10);

/// A socket that is bound and listens.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener, TlsServer),
    Unix(UnixListener),
}

/// Whom a listener is for, as metrics and the log name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Callers,
    Peers,
}

pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// Who is connected through one listener.
struct Places {
    listener: &'static str,
    door: Door,
    connections: JoinSet<Closed>,
    activities: BTreeMap<Id, Arc<Activity>>,
    /// Connections with wide windows.
    wide: BTreeSet<Id>,
    room: Room,
    full: Seldom,
    /// How often this node closed connections, by why.
    closed: BTreeMap<&'static str, Seldom>,
    /// Why the last handshake came to nothing.
    handshake: String,
}

/// Serves until `ending`, and then until the last call is answered. Dropped, it cuts all connections.
pub(super) async fn serve(
    listener: Listener,
    whom: For,
    routes: Routes,
    door: Door,
    ending: CancellationToken,
) {
    let mut places = Places::new(listener.name(whom), door);
    let mut waiting = None;
    loop {
        if let Some(begun) = waiting.take() {
            waiting = places.seat(begun, &routes, &ending);
        }
        let placed = waiting.is_none();
        let news = places.news_at();
        tokio::select! {
            biased;
            () = ending.cancelled() => break,
            Some(closed) = places.connections.join_next_with_id() => places.vacate(closed),
            accepted = listener.accept(), if placed => match accepted {
                Ok(begun) => waiting = Some(begun),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = tokio::time::sleep(ACCEPT_PAUSE), if !placed => {}
            () = until(news) => places.tell_rest(Instant::now()),
        }
    }
    // Nobody must be accepted who would not be served.
    drop((listener, waiting));
    while let Some(closed) = places.connections.join_next_with_id().await {
        places.vacate(closed);
    }
    // It is told now or never: the sum of what is told is the metric's.
    places.tell_rest(Instant::now() + NEWS_EVERY);
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Places {
    fn new(listener: &'static str, door: Door) -> Places {
        Places {
            listener,
            door,
            connections: JoinSet::new(),
            activities: BTreeMap::new(),
            wide: BTreeSet::new(),
            room: Room::new(),
            full: Seldom::new(NEWS_EVERY),
            closed: BTreeMap::new(),
            handshake: String::new(),
        }
    }

    /// Gives the connection back while there is no place for it, and makes room for it.
    fn seat(&mut self, begun: Begun, routes: &Routes, ending: &CancellationToken) -> Option<Begun> {
        if self.activities.len() >= CONNECTIONS_MAX {
            self.make_way();
            return Some(begun);
        }
        let activity = Arc::new(Activity::new());
        let share = self.room.share();
        let calls = Calls::new(routes.clone(), activity.clone(), share, self.door.clone());
        let wide = self.wide.len() < WIDE_MAX;
        let windows = if wide { Windows::WIDE } else { Windows::NARROW };
        let served = connection::serve(begun, windows, calls, activity.clone(), ending.clone());
        let id = self.connections.spawn(served).id();
        if wide {
            self.wide.insert(id);
        }
        self.activities.insert(id, activity);
        metrics::connections(self.listener, self.activities.len());
        None
    }

    /// Makes one connection leave at a time: one that made no call is worth less than one that made a call long ago. Only
    /// calls of those whom the rules know count.
    fn make_way(&mut self) {
        let now = Instant::now();
        let useless =
            self.activities.values().filter_map(|each| Some((each.uselessness(now)?, each)));
        // One that got a call after it was told to leave stays until that has ended.
        if useless.clone().any(|(_, activity)| activity.leaves()) {
            return;
        }
        match useless.max_by_key(|(uselessness, _)| *uselessness) {
            Some((_, activity)) => activity.leave(),
            None => {
                if self.full.now(now).is_some() {
                    tracing::warn!(
                        listener = self.listener,
                        connections = CONNECTIONS_MAX,
                        "all places for connections are taken by callers with open calls; others wait"
                    );
                }
            }
        }
    }

    fn vacate(&mut self, closed: Result<(Id, Closed), tokio::task::JoinError>) {
        let (id, why) = match closed {
            Ok((id, why)) => (id, why),
            Err(error) => {
                tracing::error!(%error, "a defect of outrigger: a connection's task panicked");
                (error.id(), Closed::Ended)
            }
        };
        self.activities.remove(&id);
        self.wide.remove(&id);
        metrics::connections(self.listener, self.activities.len());
        let Some(name) = why.name() else { return };
        if let Closed::Handshake(why) = why {
            self.handshake = why;
        }
        metrics::connection_closed(self.listener, name);
        let news = self.closed.entry(name).or_insert_with(|| Seldom::new(NEWS_EVERY));
        if let Some(times) = news.now(Instant::now()) {
            self.tell(name, times);
        }
    }

    /// When news that waits is to be told.
    fn news_at(&self) -> Option<Instant> {
        self.closed.values().filter_map(Seldom::due).min()
    }

    /// Tells what waits and is due by `now`.
    fn tell_rest(&mut self, now: Instant) {
        let rest = self.closed.iter_mut().filter_map(|(why, news)| Some((*why, news.rest(now)?)));
        let rest: Vec<_> = rest.collect();
        for (why, times) in rest {
            self.tell(why, times);
        }
    }

    fn tell(&self, why: &'static str, times: u64) {
        if why == Closed::HANDSHAKE {
            tracing::warn!(
                listener = self.listener,
                failed = times,
                last = self.handshake,
                "handshakes of TLS came to nothing: check what those callers trust, and the certificates that they show"
            );
            return;
        }
        tracing::warn!(
            listener = self.listener,
            why,
            closed = times,
            connections = self.activities.len(),
            "connections that make no calls, take no answers, or whose caller's certificate has ended, are closed"
        );
    }
}

impl Listener {
    fn name(&self, whom: For) -> &'static str {
        match (self, whom) {
            (_, For::Peers) => "peers",
            (Listener::Tcp(_) | Listener::Tls(..), For::Callers) => "tcp",
            (Listener::Unix(_), For::Callers) => "socket",
        }
    }

    async fn accept(&self) -> io::Result<Begun> {
        // Answers are small and awaited: waiting for more to send with them only delays them.
        match self {
            Listener::Tcp(listener) => {
                let (socket, address) = listener.accept().await?;
                socket.set_nodelay(true)?;
                let caller = Caller { address: Some(address), ..Caller::default() };
                Ok(Begun::Plain(Box::new(socket), caller))
            }
            Listener::Tls(listener, server) => {
                let (socket, address) = listener.accept().await?;
                socket.set_nodelay(true)?;
                Ok(Begun::Tls(socket, address, server.clone()))
            }
            Listener::Unix(listener) => {
                let (socket, _address) = listener.accept().await?;
                let caller = Caller::user(socket.peer_cred()?.uid());
                Ok(Begun::Plain(Box::new(socket), caller))
            }
        }
    }
}
