//! Who the peers are now, and a connection to each: names are looked up again now and then, since nodes come and
//! go behind them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use outrigger_client::Tls;
use outrigger_core::forward::{Attempt, Forward, Peers};
use outrigger_proto::limits::RESPONSE_BYTES_MAX;
use outrigger_proto::peer::v1::peer_client::PeerClient;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::peer::{self, PeerAddress, Place};

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a read waits for names to be looked up, where none were.
const LOOKUP_MAX: Duration = Duration::from_secs(1);

const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Scans that are forwarded at once, of all stores and to all peers.
pub(super) const SCANS_MAX: u32 = 16;

/// Bytes of one scan that may be on their way: a batch, which its caller has not taken, leaves the others their own.
const SCAN_BYTES: u32 = 1 << 20;

/// A peer that hangs, and a machine that vanished, are noticed while a read still waits.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A clone is a reference.
#[derive(Clone)]
pub(super) struct Known(Arc<Inner>);

struct Inner {
    addresses: Vec<PeerAddress>,
    tls: Option<Tls>,
    /// None: nothing is known yet.
    now: watch::Sender<Option<Looked>>,
    /// Whether names are being looked up.
    looking: AtomicBool,
}

#[derive(Clone)]
struct Looked {
    at: Instant,
    all: Arc<All>,
}

/// Those that there are, and what is known of them.
pub(super) struct All {
    each: Vec<Peer>,
    /// Held for a moment, and under no other lock.
    order: Mutex<Peers>,
}

#[derive(Clone)]
pub(super) struct Peer {
    place: Place,
    rows: Channel,
    /// Scans have a connection of their own: callers who do not take their rows fill it, and Gets go on.
    scans: Channel,
}

impl Known {
    pub(super) fn new(addresses: Vec<PeerAddress>, tls: Option<Tls>) -> Known {
        let (now, looking) = (watch::Sender::new(None), AtomicBool::new(false));
        Known(Arc::new(Inner { addresses, tls, now, looking }))
    }

    /// Those that there are now. Names are looked up beside the reads; only where nothing is known yet a read waits for
    /// that.
    pub(super) async fn now(&self) -> Arc<All> {
        let mut changes = self.0.now.subscribe();
        let last = changes.borrow_and_update().clone();
        if last.as_ref().is_none_or(|last| last.at.elapsed() >= LOOK_EVERY)
            && !self.0.looking.swap(true, Ordering::AcqRel)
        {
            // It goes on when the caller of this read has gone.
            tokio::spawn(self.clone().look());
        }
        if let Some(last) = last {
            return last.all;
        }
        let first = timeout(LOOKUP_MAX, changes.wait_for(Option::is_some)).await;
        match first.map(|looked| looked.ok().and_then(|looked| looked.clone())) {
            Ok(Some(first)) => first.all,
            // They are asked by their names, as long as nothing else is known.
            Ok(None) | Err(_) => {
                let named = self.0.addresses.iter().flat_map(|named| Place::all(named, &[]));
                Arc::new(self.0.all(named.collect(), None))
            }
        }
    }

    async fn look(self) {
        let mut places = peer::places(&self.0.addresses).await;
        // A name's addresses come in any order.
        places.sort_by_cached_key(|place| (place.name.clone(), place.address.to_string()));
        let before = self.0.now.borrow().as_ref().map(|looked| looked.all.clone());
        let all = match before {
            Some(before) if before.are_at(&places) => before,
            before => Arc::new(self.0.all(places, before.as_deref())),
        };
        self.0.now.send_replace(Some(Looked { at: Instant::now(), all }));
        self.0.looking.store(false, Ordering::Release);
    }
}

impl Inner {
    /// Connections to places that were there before are kept.
    fn all(&self, places: Vec<Place>, before: Option<&All>) -> All {
        let kept = |place: &Place| before?.each.iter().find(|peer| peer.place == *place).cloned();
        let each = places.into_iter().map(|place| kept(&place).unwrap_or_else(|| self.to(place)));
        let each: Vec<_> = each.collect();
        let order = Mutex::new(Peers::new(each.len()));
        All { each, order }
    }

    fn to(&self, place: Place) -> Peer {
        let scans = self.channel(&place, |endpoint| {
            endpoint
                .initial_stream_window_size(SCAN_BYTES)
                .initial_connection_window_size(SCAN_BYTES * SCANS_MAX)
        });
        let rows = self.channel(&place, |endpoint| endpoint);
        Peer { place, rows, scans }
    }

    /// It connects with its first read, and again whenever the connection is gone.
    fn channel(&self, place: &Place, set: impl Fn(Endpoint) -> Endpoint) -> Channel {
        let endpoint = Endpoint::from(place.address.uri())
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        let endpoint = set(endpoint);
        match self.tls.as_ref().filter(|_| place.address.speaks_tls()) {
            Some(tls) => {
                let connector = tls.clone().with_server_name(&place.name).connector();
                endpoint.connect_with_connector_lazy(connector)
            }
            None => endpoint.connect_lazy(),
        }
    }
}

impl All {
    fn are_at(&self, places: &[Place]) -> bool {
        self.each.iter().map(|peer| &peer.place).eq(places)
    }

    /// `now` is monotonic.
    pub(super) fn next(&self, forward: &mut Forward, now: Duration) -> Option<(Attempt, &Peer)> {
        let attempt = self.order().next(forward, now)?;
        Some((attempt, &self.each[attempt.peer]))
    }

    pub(super) fn answered(&self, peer: usize) {
        self.order().answered(peer);
    }

    /// `now` is monotonic.
    pub(super) fn failed(&self, peer: usize, now: Duration) {
        self.order().failed(peer, now);
    }

    fn order(&self) -> std::sync::MutexGuard<'_, Peers> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    /// What asks it for rows.
    pub(super) fn rows(&self) -> PeerClient<Channel> {
        client(&self.rows)
    }

    /// What asks it for scans.
    pub(super) fn scans(&self) -> PeerClient<Channel> {
        client(&self.scans)
    }
}

fn client(channel: &Channel) -> PeerClient<Channel> {
    PeerClient::new(channel.clone()).max_decoding_message_size(RESPONSE_BYTES_MAX)
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.address.fmt(f)
    }
}
