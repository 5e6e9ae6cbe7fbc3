//! Takes a copy from the first peer that gives one. All of it is bounded: a peer that is silent, or breaks off again
//! and again, is given up for the next.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_client::Tls;
use outrigger_core::offset::Generation;
use outrigger_core::peer::Transfer;
use outrigger_core::store::StoreError;
use outrigger_core::topic::Identity;
use tokio_util::sync::CancellationToken;

use super::PeerConfig;
use super::address::{self, PeerAddress, Place};
use super::incoming::{Incoming, IncomingError};
use super::manifest::Manifest;
use super::secret::Secret;
use super::transfer::{Ask, TransferError};
use crate::rocks;

/// How often a stream that broke off is resumed, for each peer: only when more had come.
const RECONNECTS_MAX: u32 = 5;
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

const REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// A clone is a reference.
#[derive(Clone)]
pub struct Taker(Arc<Taking>);

struct Taking {
    addresses: Vec<PeerAddress>,
    secret: Option<Secret>,
    /// Whom of the peers to trust that speak TLS.
    tls: Option<Tls>,
    data: PathBuf,
}

/// A copy that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The generation that it will be here.
    pub generation: Generation,
    /// What it must belong to.
    pub identity: Identity,
    /// Addresses to ask after all others, in this order.
    pub suspects: Vec<String>,
}

/// A copy that is here, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The address that gave it.
    pub peer: String,
    /// Smallest `delete.retention.ms` that the topic was seen with, as the peer told it; `u64::MAX`: it did not tell.
    pub delete_retention_ms_min: u64,
}

impl Taken {
    fn of(manifest: &Manifest) -> Taken {
        let Manifest { peer, delete_retention_ms_min, .. } = manifest;
        Taken { peer: peer.clone(), delete_retention_ms_min: *delete_retention_ms_min }
    }
}

/// It is told how much came, a few times a second at most.
pub type Report = Arc<dyn Fn(Transfer) + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    #[error("called off")]
    Cancelled,
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Why each peer gave nothing: its address with its reason.
    #[error("{}", reasons(.0))]
    Peers(Vec<(String, String)>),
}

fn reasons(peers: &[(String, String)]) -> String {
    let each: Vec<String> = peers.iter().map(|(peer, why)| format!("{peer}: {why}")).collect();
    each.join("; ")
}

impl Taker {
    /// A taker; none when nobody is to be asked. `data` is the data directory, locked by this process.
    pub fn new(config: &PeerConfig, data: &Path) -> Option<Taker> {
        if !config.asks() {
            return None;
        }
        let PeerConfig { addresses, secret, tls, .. } = config.clone();
        Some(Taker(Arc::new(Taking { addresses, secret, tls, data: data.to_owned() })))
    }

    /// Takes a copy to where `StoreCall::Adopt` finds it. Returns what it is, and which peer gave it. What came stays
    /// there after a failure, too, for the next time.
    pub async fn take(
        &self,
        wanted: Wanted,
        report: Report,
        cancel: &CancellationToken,
    ) -> Result<Taken, TakeError> {
        let (directory, mut incoming) = self.earlier(wanted.clone(), cancel.clone()).await?;
        let was_whole = incoming.as_ref().is_some_and(Incoming::is_whole);
        let mut reasons = Vec::new();
        // Names may be looked up for long, where nobody answers for them.
        let places = cancel.run_until_cancelled(address::places(&self.0.addresses)).await;
        let places = places.ok_or(TakeError::Cancelled)?;
        let places = in_turn(places, &wanted.suspects, incoming.as_ref());
        for Place { address: peer, name: host } in &places {
            let name = peer.to_string();
            let tls = self.0.tls.as_ref().map(|tls| tls.clone().with_server_name(host).connector());
            incoming.take_if(|incoming| incoming.manifest().peer != name);
            let ask = Ask {
                peer,
                secret: self.0.secret.as_ref(),
                tls: tls.as_ref(),
                identity: &wanted.identity,
                directory: &directory,
                cancel,
            };
            let error = match insist(&ask, &mut incoming, &report).await {
                Ok(manifest) => {
                    let (store, generation) = (&wanted.identity.store, wanted.generation);
                    tracing::info!(store, %generation, peer = name, "a peer gave its copy");
                    return Ok(Taken::of(&manifest));
                }
                Err(error) => error,
            };
            match error {
                TransferError::Cancelled => return Err(TakeError::Cancelled),
                TransferError::Land(error) if error.is_ours() => {
                    reasons.push((name, error.to_string()));
                    break;
                }
                other => reasons.push((name, other.to_string())),
            }
        }
        if was_whole && let Some(taken) = self.whole(&wanted, cancel).await? {
            return Ok(taken);
        }
        Err(TakeError::Peers(reasons))
    }

    /// A whole copy from before, taken when no peer gives one: its giver may have learnt more since, but it may be all that
    /// there is.
    async fn whole(
        &self,
        wanted: &Wanted,
        cancel: &CancellationToken,
    ) -> Result<Option<Taken>, TakeError> {
        let (_, incoming) = self.earlier(wanted.clone(), cancel.clone()).await?;
        let Some(whole) = incoming.filter(Incoming::is_whole) else { return Ok(None) };
        let (store, generation) = (&wanted.identity.store, wanted.generation);
        tracing::info!(store, %generation, "no peer gives anything: the copy that one gave before is taken");
        Ok(Some(Taken::of(whole.manifest())))
    }

    async fn earlier(
        &self,
        wanted: Wanted,
        cancel: CancellationToken,
    ) -> Result<(PathBuf, Option<Incoming>), StoreError> {
        let taking = self.0.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let Wanted { generation, identity, .. } = wanted;
            let store = &identity.store;
            let directory = rocks::begin_fetch(&taking.data, store, generation, &identity)?;
            let incoming = Incoming::resume(&directory, &cancel);
            Ok((directory, incoming))
        });
        looked.await.expect("looking at the disk does not panic")
    }
}

/// The places in the order in which they are asked: suspects last, and among the others first the one that has given
/// something already.
fn in_turn(mut places: Vec<Place>, suspects: &[String], incoming: Option<&Incoming>) -> Vec<Place> {
    let begun = incoming.map(|incoming| incoming.manifest().peer.as_str());
    places.sort_by_cached_key(|place| {
        let name = place.address.to_string();
        let suspect = suspects.iter().position(|suspect| *suspect == name);
        (suspect, begun != Some(&name))
    });
    places
}

/// Asks one peer, again when its stream breaks off.
async fn insist(
    ask: &Ask<'_>,
    incoming: &mut Option<Incoming>,
    report: &Report,
) -> Result<Manifest, TransferError> {
    for reconnects in 0.. {
        let before = incoming.as_ref().map(Incoming::bytes);
        if let (Some(incoming), 0) = (incoming.as_ref(), reconnects) {
            let (bytes, of) = (incoming.bytes(), incoming.bytes_total());
            tracing::info!(peer = %ask.peer, bytes, of, "goes on with a copy that broke off");
        }
        let error = match ask.run(incoming, paced(ask.peer, report.clone())).await {
            Ok(manifest) => return Ok(manifest),
            Err(error) => error,
        };
        let more = incoming.as_ref().map(Incoming::bytes) > before;
        let broke_off = match &error {
            TransferError::Status(_) | TransferError::Silent(_) => more,
            TransferError::Connect(_) => reconnects > 0,
            TransferError::Land(IncomingError::Damaged { .. }) => more,
            TransferError::Cancelled
            | TransferError::Manifest(_)
            | TransferError::Protocol
            | TransferError::Land(
                IncomingError::Disk { .. }
                | IncomingError::Full { .. }
                | IncomingError::OutOfPlace { .. }
                | IncomingError::Incomplete { .. },
            ) => false,
        };
        if !broke_off || reconnects == RECONNECTS_MAX {
            return Err(error);
        }
        tokio::select! {
            biased;
            () = ask.cancel.cancelled() => return Err(TransferError::Cancelled),
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
        }
    }
    unreachable!("the last attempt returns")
}

/// Reports seldom, but a stream's first chunk at once.
fn paced(peer: &PeerAddress, report: Report) -> impl FnMut(u64, u64) + Send + 'static {
    let (peer, mut told) = (peer.to_string(), None::<Instant>);
    move |bytes, bytes_total| {
        if told.is_none_or(|told| told.elapsed() >= REPORT_INTERVAL) {
            told = Some(Instant::now());
            report(Transfer { peer: peer.clone(), bytes, bytes_total });
        }
    }
}
