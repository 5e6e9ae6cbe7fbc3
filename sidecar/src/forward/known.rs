//! Who the peers are now, and a connection to each: names are looked up again now and then, since nodes come and
//! go behind them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use outrigger_client::Tls;
use outrigger_core::forward::{Attempt, Forward, Peers};
use outrigger_proto::limits::CHECKPOINT_MESSAGE_BYTES_MAX;
use outrigger_proto::peer::v1::peer_client::PeerClient;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::peer::{self, PeerAddress, Place};

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a read waits for names to be looked up. Later the names may be found all the same.
const LOOKUP_MAX: Duration = Duration::from_secs(1);

const CONNECT_MAX: Duration = Duration::from_secs(1);

/// A peer that hangs, and a machine that vanished, are noticed while a read still waits.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Known {
    addresses: Vec<PeerAddress>,
    tls: Option<Tls>,
    /// Held for a moment, and under no other lock.
    now: Mutex<Option<Looked>>,
    /// Held by whoever looks names up, so that one does. `now` is taken under it.
    looking: tokio::sync::Mutex<()>,
}

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
    channel: Channel,
}

impl Known {
    pub(super) fn new(addresses: Vec<PeerAddress>, tls: Option<Tls>) -> Known {
        Known { addresses, tls, now: Mutex::new(None), looking: tokio::sync::Mutex::new(()) }
    }

    /// Those that there are now. Only the first read waits for others to be looked up.
    pub(super) async fn now(&self) -> Arc<All> {
        match self.last() {
            Some((all, fresh)) if fresh => all,
            Some((all, _old)) => match self.looking.try_lock() {
                Ok(_one) => self.look(Some(all)).await,
                Err(_another_looks) => all,
            },
            None => {
                let _one = self.looking.lock().await;
                match self.last() {
                    Some((all, _)) => all,
                    None => self.look(None).await,
                }
            }
        }
    }

    fn last(&self) -> Option<(Arc<All>, bool)> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.as_ref().map(|looked| (looked.all.clone(), looked.at.elapsed() < LOOK_EVERY))
    }

    async fn look(&self, before: Option<Arc<All>>) -> Arc<All> {
        let all = match (timeout(LOOKUP_MAX, peer::places(&self.addresses)).await, before) {
            (Ok(places), Some(before)) if before.are_at(&places) => before,
            (Ok(places), before) => Arc::new(self.all(places, before.as_deref())),
            (Err(_late), Some(before)) => before,
            // They are asked by their names, as long as nothing else is known.
            (Err(_late), None) => {
                let named = self.addresses.iter().flat_map(|named| Place::all(named, &[]));
                Arc::new(self.all(named.collect(), None))
            }
        };
        let looked = Looked { at: Instant::now(), all: all.clone() };
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Some(looked);
        all
    }

    /// Connections to places that were there before are kept.
    fn all(&self, places: Vec<Place>, before: Option<&All>) -> All {
        let kept = |place: &Place| before?.each.iter().find(|peer| peer.place == *place).cloned();
        let each = places.into_iter().map(|place| kept(&place).unwrap_or_else(|| self.to(place)));
        let each: Vec<_> = each.collect();
        let order = Mutex::new(Peers::new(each.len()));
        All { each, order }
    }

    /// It connects with its first read, and again whenever the connection is gone.
    fn to(&self, place: Place) -> Peer {
        let endpoint = Endpoint::from(place.address.uri())
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        let tls = self.tls.as_ref().filter(|_| place.address.speaks_tls());
        let channel = match tls {
            Some(tls) => {
                let connector = tls.clone().with_server_name(&place.name).connector();
                endpoint.connect_with_connector_lazy(connector)
            }
            None => endpoint.connect_lazy(),
        };
        Peer { place, channel }
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
    pub(super) fn client(&self) -> PeerClient<Channel> {
        PeerClient::new(self.channel.clone())
            .max_decoding_message_size(CHECKPOINT_MESSAGE_BYTES_MAX)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.address.fmt(f)
    }
}
