//! Who of the peers is there, and how they are: for people who look at this node's page. Nobody is asked while nobody
//! looks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outrigger_proto::peer::v1::{PeerStatusResponse, PeerStoreStatus};
use tokio::task::JoinSet;

use super::PeerConfig;
use super::address::{PLACES_MAX, PeerAddress, Place, places};
use super::call::Caller;
use super::manifest::told;
use crate::probes::{PeerSaid, PeerStore, PeerTold};
use crate::shown;

/// How often peers are asked while somebody looks.
const EVERY: Duration = Duration::from_secs(5);

/// How long a peer may take, to be reached and to answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// How long what they said is shown: longer than it takes to ask again. It is older only where nobody has looked.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(20);

/// More than there are names of stalls.
const STALLS_MAX: usize = 32;

/// Random bytes of this process, by which a node knows that it has asked itself.
static PROCESS: LazyLock<[u8; 16]> = LazyLock::new(|| {
    let mut bytes = [0; 16];
    openssl::rand::rand_bytes(&mut bytes).expect("the system has random bytes");
    bytes
});

pub(crate) fn process() -> [u8; 16] {
    *PROCESS
}

/// A clone is a reference.
#[derive(Clone)]
pub struct RollCall(Arc<Calling>);

struct Calling {
    addresses: Vec<PeerAddress>,
    caller: Caller,
    stores: Vec<String>,
    /// Whether they are being asked.
    asks: AtomicBool,
    /// The lock guards nothing else, and is held for a moment.
    last: Mutex<Last>,
}

struct Last {
    /// None: nobody has been asked.
    at: Option<Instant>,
    told: Arc<[PeerTold]>,
}

impl RollCall {
    /// `stores`: their names here. None: there is nobody to ask.
    pub fn new(config: &PeerConfig, stores: Vec<String>) -> Option<RollCall> {
        let addresses = config.addresses.clone();
        let last = Last::unasked(&addresses);
        config.asks().then(|| {
            RollCall(Arc::new(Calling {
                addresses,
                caller: Caller::of(config),
                stores,
                asks: AtomicBool::new(false),
                last: Mutex::new(last),
            }))
        })
    }

    /// Returns what the peers said last, a few seconds ago where this is called now and then: a call has them asked again
    /// for the next ones. It must be called on a tokio runtime.
    pub fn now(&self) -> Arc<[PeerTold]> {
        let mut last = self.0.last();
        if last.at.is_some_and(|at| at.elapsed() >= FORGOTTEN_AFTER) {
            *last = Last::unasked(&self.0.addresses);
        }
        let is_old = last.at.is_none_or(|at| at.elapsed() >= EVERY);
        if is_old && !self.0.asks.swap(true, Ordering::AcqRel) {
            let calling = self.0.clone();
            tokio::spawn(async move { calling.ask_all().await });
        }
        last.told.clone()
    }

    /// Asks all of them now, and waits for what they say.
    pub async fn ask(&self) -> Arc<[PeerTold]> {
        self.0.clone().ask_all().await;
        self.0.last().told.clone()
    }
}

impl Last {
    fn unasked(addresses: &[PeerAddress]) -> Last {
        let unasked = |address: &PeerAddress| PeerTold {
            address: address.to_string(),
            said: Err("it is being asked".to_owned()),
        };
        Last { at: None, told: addresses.iter().map(unasked).collect() }
    }
}

impl Calling {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_all(self: Arc<Calling>) {
        let mut asking = JoinSet::new();
        for (number, place) in self.places().await.into_iter().enumerate() {
            let calling = self.clone();
            asking.spawn(async move { (number, calling.ask(&place).await) });
        }
        let told = in_order(asking).await.into();
        *self.last() = Last { at: Some(Instant::now()), told };
        self.asks.store(false, Ordering::Release);
    }

    /// Looks all names up at the same time: one that nobody answers for holds up no other.
    async fn places(&self) -> Vec<Place> {
        let mut looking = JoinSet::new();
        for (number, address) in self.addresses.iter().cloned().enumerate() {
            looking.spawn(async move { (number, places(&[address]).await) });
        }
        let mut all: Vec<Place> = Vec::new();
        for place in in_order(looking).await.into_iter().flatten() {
            if !all.contains(&place) {
                all.push(place);
            }
        }
        all.truncate(PLACES_MAX);
        all
    }

    async fn ask(&self, place: &Place) -> PeerTold {
        let answer = self.caller.status(place, self.stores.clone(), ANSWER_MAX).await;
        let said = answer.map(|answer| self.said(answer));
        PeerTold { address: place.address.to_string(), said }
    }

    /// Only what was asked for is kept, and short.
    fn said(&self, answer: PeerStatusResponse) -> PeerSaid {
        let PeerStatusResponse { version, process, state_age_ms, stores } = answer;
        let ours = |each: &PeerStoreStatus| self.stores.contains(&each.store);
        let stores = stores.into_iter().filter(ours).take(self.stores.len());
        PeerSaid {
            version: told(&version),
            is_this_node: process[..] == self::process(),
            state_age_ms,
            stores: stores.map(store).collect(),
        }
    }
}

fn store(status: PeerStoreStatus) -> PeerStore {
    let PeerStoreStatus { store, phase, stalls, lag_records, confirmed_age_ms, restore_fraction } =
        status;
    PeerStore {
        store,
        phase: shown::phase_of(phase),
        stalls: stalls.into_iter().take(STALLS_MAX).map(shown::stall_of).collect(),
        lag_records,
        confirmed_age_ms,
        restore_fraction,
    }
}

/// Returns what became of numbered tasks, by their numbers.
async fn in_order<T: Send + 'static>(mut tasks: JoinSet<(usize, T)>) -> Vec<T> {
    let mut ended = Vec::new();
    while let Some(one) = tasks.join_next().await {
        ended.push(one.expect("asking does not panic"));
    }
    ended.sort_by_key(|(number, _)| *number);
    ended.into_iter().map(|(_, what)| what).collect()
}
