//! Digests of the copies that peers have, for whoever compares the own copy with them.

use std::time::Duration;

use outrigger_proto::peer::v1::PeerDigestRequest;
use outrigger_proto::peer::v1::peer_digest_response::Outcome;
use outrigger_proto::v1::{Digest, ErrorDetail, Phase, Token};
use tokio::time::timeout;

use super::PeerConfig;
use super::address::{PeerAddress, Place, places};
use super::call::{Caller, refusal};
use super::roll::process;

/// How long a peer may take to say whether it is READY.
const STATUS_MAX: Duration = Duration::from_secs(5);

/// How long it may take to sum up a whole copy: longer than any pin is kept.
const DIGEST_MAX: Duration = Duration::from_secs(330);

/// What asks peers for them, one at a time.
pub struct Digests {
    addresses: Vec<PeerAddress>,
    caller: Caller,
    pub(crate) every: Duration,
}

/// Whether a peer can be asked for a digest.
pub(crate) enum Willing {
    Ready,
    /// It is this node.
    Itself,
    /// Its copy is not READY, or it has none.
    NotReady,
}

/// Why there is no digest.
pub(crate) enum NoDigest {
    Refused(ErrorDetail),
    Failed(String),
}

impl Digests {
    /// None: nothing is to be compared.
    pub fn new(config: &PeerConfig) -> Option<Digests> {
        let every = config.verify_every.filter(|_| config.asks())?;
        Some(Digests { addresses: config.addresses.clone(), caller: Caller::of(config), every })
    }

    /// Returns where the peers are now.
    pub(crate) async fn places(&self) -> Vec<Place> {
        places(&self.addresses).await
    }

    /// Asks a peer how its copy of a store is. The error says why it does not tell.
    pub(crate) async fn willing(&self, place: &Place, store: &str) -> Result<Willing, String> {
        let answer = self.caller.status(place, vec![store.to_owned()], STATUS_MAX).await?;
        if answer.process[..] == process() {
            return Ok(Willing::Itself);
        }
        let ready =
            answer.stores.iter().any(|each| each.store == store && each.phase() == Phase::Ready);
        Ok(if ready { Willing::Ready } else { Willing::NotReady })
    }

    /// Asks a peer for the digest of its copy at this position.
    pub(crate) async fn of(
        &self,
        place: &Place,
        store: &str,
        at: Token,
    ) -> Result<Digest, NoDigest> {
        let asking = async {
            let mut client = self.caller.connect(place).await?;
            let request = PeerDigestRequest { store: store.to_owned(), at: Some(at) };
            let mut request = self.caller.request(request);
            request.set_timeout(DIGEST_MAX);
            let answer = client.peer_digest(request).await;
            answer.map_err(|status| refusal(&status))
        };
        let answer = match timeout(DIGEST_MAX, asking).await {
            Ok(answer) => answer.map_err(NoDigest::Failed)?,
            Err(_late) => {
                return Err(NoDigest::Failed(format!("no answer within {DIGEST_MAX:?}")));
            }
        };
        match answer.into_inner().outcome {
            Some(Outcome::Digest(digest)) => Ok(digest),
            Some(Outcome::Refused(detail)) => Err(NoDigest::Refused(detail)),
            None => Err(NoDigest::Failed("it says neither what nor why not".to_owned())),
        }
    }
}
