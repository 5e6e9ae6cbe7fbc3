//! Compares this node's copies with those of its peers, in the background: one store at a time, each time with the next
//! peer. The own copy is pinned and the peer's is asked for at one position; nobody waits for either.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use outrigger_core::digest::Digest;
use outrigger_core::node::Status;
use outrigger_core::phase::Phase;
use outrigger_core::store::Scan;
use outrigger_proto::v1::{self, ErrorDetail, Reason};

use super::convert;
use super::digest::read_on;
use super::service::Service;
use super::verify::Pinned;
use crate::peer::{self, Aim, Digests, Foremost, NoDigest, Place, Willing};
use crate::runtime::StoreHandle;
use crate::telemetry::metrics::{self, Compared};

const INFALLIBLE: &str = "a String takes every text";

/// How often another position is looked for, and the pause before the next.
const TRIES_MAX: u32 = 8;
const PACE: Duration = Duration::from_millis(200);

/// How long a copy is waited for that is not at the position yet.
const POSITION_MAX: Duration = Duration::from_secs(5);

/// Bytes after which whoever reads a copy rests for as long as it has read.
const READ_BYTES: usize = 1 << 20;
const REST_MAX: Duration = Duration::from_secs(1);

pub(super) const WHAT_TO_DO: &str = "`outrigger verify --from-log` with both nodes names the keys, and tells which of them the log is \
                          against: let that one rebuild (`outrigger reset`), and keep what it has for a report";

/// Compares every copy now and then, until this is dropped.
pub(super) async fn run(service: Service, digests: Digests) {
    let mut turns: BTreeMap<String, Turns> = BTreeMap::new();
    for store in service.stores.all() {
        metrics::begin_compared(store.handle.name());
    }
    // Nodes that were started together do not compare together.
    let mut pause = digests.every / 2 + digests.every * u32::from(chance()) / 512;
    loop {
        tokio::time::sleep(pause).await;
        pause = digests.every;
        for store in service.stores.all() {
            let store = &store.handle;
            // It cannot be compared, and Status says why.
            if store.status().phase == Phase::Ready {
                let turns = turns.entry(store.name().to_owned()).or_default();
                turns.take(&service, &digests, store).await;
            }
        }
    }
}

/// Which peers a copy was compared with.
#[derive(Default)]
struct Turns {
    /// The address of the last one.
    last: Option<String>,
    /// Addresses of those that differed when they were last compared with.
    differ: BTreeSet<String>,
}

/// Two digests at one position.
struct Both {
    at: v1::Token,
    own: v1::Digest,
    theirs: v1::Digest,
}

impl Turns {
    async fn take(&mut self, service: &Service, digests: &Digests, store: &StoreHandle) {
        let compared = match self.next(digests, store.name()).await {
            Ok(place) => compare(service, digests, store, &place).await.map(|both| (place, both)),
            Err(why) => Err(why),
        };
        let compared = match compared {
            Ok((place, both)) => self.judge(store.name(), &place.address.to_string(), &both),
            Err(why) => {
                tracing::warn!(
                    store = store.name(),
                    why,
                    "the copy was not compared with a peer's"
                );
                Compared::Failed
            }
        };
        metrics::compared(store.name(), compared, self.differ.len());
        store.circumstances().note_differ(self.differ.iter().cloned().collect());
    }

    /// Returns the next peer that is READY, in the order of their addresses. The error says why there is none.
    async fn next(&mut self, digests: &Digests, store: &str) -> Result<Place, String> {
        let (mut why, named) = (String::new(), in_order(digests.places().await));
        // A process that is gone for good differs from nobody.
        self.differ.retain(|peer| named.iter().any(|(address, _)| address == peer));
        for (address, place) in in_turn(named, self.last.as_deref(), chance()) {
            match digests.willing(&place, store).await {
                Ok(Willing::Ready) => {
                    self.last = Some(address);
                    return Ok(place);
                }
                Ok(Willing::Itself) => {}
                Ok(Willing::NotReady) => {
                    write!(why, "; {address}: it is not READY").expect(INFALLIBLE)
                }
                Err(reason) => write!(why, "; {address}: {reason}").expect(INFALLIBLE),
            }
        }
        Err(format!("no peer has a copy to compare with{why}"))
    }

    fn judge(&mut self, store: &str, peer: &str, both: &Both) -> Compared {
        let Both { at, own, theirs } = both;
        let positions = at.positions.iter().map(|at| format!("{}:{}", at.partition, at.position));
        let at = positions.collect::<Vec<_>>().join(" ");
        if (&own.sum, own.rows) == (&theirs.sum, theirs.rows) {
            self.differ.remove(peer);
            tracing::info!(store, peer, at, rows = own.rows, "the copy is equal to a peer's");
            return Compared::Equal;
        }
        self.differ.insert(peer.to_owned());
        let (rows, peer_rows, what_to_do) = (own.rows, theirs.rows, WHAT_TO_DO);
        tracing::error!(store, peer, at, rows, peer_rows, what_to_do, "the copies differ");
        Compared::Differs
    }
}

/// Returns the peers in the order of their addresses.
fn in_order(places: Vec<Place>) -> Vec<(String, Place)> {
    let named = places.into_iter().map(|place| (place.address.to_string(), place));
    let mut named: Vec<_> = named.collect();
    named.sort_by(|(one, _), (other, _)| one.cmp(other));
    named
}

/// Returns them from the one behind the last; where there was none, from one by chance, so that not all nodes begin with the
/// same.
fn in_turn<T>(mut named: Vec<(String, T)>, last: Option<&str>, chance: u8) -> Vec<(String, T)> {
    let first = match last {
        Some(last) => named.partition_point(|(address, _)| &**address <= last),
        None => usize::from(chance) * named.len() / 256,
    };
    named.rotate_left(first);
    named
}

/// Returns a number by chance, always the same in this process.
fn chance() -> u8 {
    peer::process()[0]
}

/// Compares the copy with a peer's at a position that both come by. The error says why that was not possible.
async fn compare(
    service: &Service,
    digests: &Digests,
    store: &StoreHandle,
    place: &Place,
) -> Result<Both, String> {
    let (mut aim, mut tries) = (Aim::default(), 0);
    loop {
        tries += 1;
        let at = position(&mut aim, &store.status());
        let pinning = async { pin(store, &at).await.map_err(NoDigest::Refused) };
        let asking = digests.of(place, store.name(), at.clone());
        let refused = match tokio::try_join!(pinning, asking) {
            Ok((pinned, theirs)) => {
                let own = sum(service, &pinned, &at).await.map_err(|detail| detail.message)?;
                return Ok(Both { at, own, theirs });
            }
            Err(NoDigest::Refused(detail)) => detail,
            Err(NoDigest::Failed(why)) => return Err(format!("{}: {why}", place.address)),
        };
        if refused.reason() == Reason::PositionPassed {
            aim.passed();
        }
        if tries == TRIES_MAX || !may_come(refused.reason()) {
            return Err(format!("{}: {}", place.address, refused.message));
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Whether another position may do, or the same one a moment later: nobody writes any more, or a copy met a gap and is exact
/// again soon.
fn may_come(refused: Reason) -> bool {
    use Reason::{DeadlineExceeded, Overloaded, PositionPassed, Restoring};
    matches!(refused, PositionPassed | DeadlineExceeded | Restoring | Overloaded)
}

fn position(aim: &mut Aim, status: &Status) -> v1::Token {
    let partitions = (0..).zip(&status.partitions);
    let foremost: Foremost = partitions
        .map(|(number, at)| (number, (at.applied.0, at.epoch.map(|epoch| epoch.0))))
        .collect();
    let topic = status.identity.as_ref().map(|identity| convert::topic_id(identity.topic));
    v1::Token { topic_id: topic.unwrap_or_default(), positions: aim.at(foremost, Instant::now()) }
}

/// Returns the digest of a copy at this position, for a peer that compares its own with it.
pub(super) async fn digest(
    service: &Service,
    store: &StoreHandle,
    at: &v1::Token,
) -> Result<v1::Digest, ErrorDetail> {
    let pinned = pin(store, at).await?;
    sum(service, &pinned, at).await
}

async fn pin(store: &StoreHandle, at: &v1::Token) -> Result<Pinned, ErrorDetail> {
    let at = convert::core_token(at, &store.gate())?;
    Pinned::at(store.clone(), at, POSITION_MAX).await
}

async fn sum(
    service: &Service,
    pinned: &Pinned,
    at: &v1::Token,
) -> Result<v1::Digest, ErrorDetail> {
    let _one_at_a_time = service.whole_copy_unhurried().await;
    let (origin, view) = pinned.view()?;
    let begun = (Digest::default(), Pace::begin());
    let summed = read_on(view, Vec::new(), begun, |(digest, pace), key, revision, value| {
        digest.add(key, revision, value);
        pace.read(key.len() + value.len());
        Scan::Continue
    });
    let (digest, _) = summed.await?.map_err(|error| origin.failed(&error))?;
    Ok(convert::digest(&digest, Some(at.clone())))
}

/// Reads for half of the time at most: what nobody waits for leaves disk and processor to others.
struct Pace {
    bytes: usize,
    since: Instant,
}

impl Pace {
    fn begin() -> Pace {
        Pace { bytes: 0, since: Instant::now() }
    }

    fn read(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= READ_BYTES {
            thread::sleep(self.since.elapsed().min(REST_MAX));
            *self = Pace::begin();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_its_turn_also_where_they_come_and_go() {
        let turn = |last: Option<&str>, chance: u8, names: &[&str]| -> String {
            let named = names.iter().map(|name| ((*name).to_owned(), ())).collect();
            in_turn(named, last, chance).into_iter().map(|(name, ())| name).collect()
        };
        for (chance, expected) in [(0, "abc"), (85, "abc"), (86, "bca"), (255, "cab")] {
            assert_eq!(turn(None, chance, &["a", "b", "c"]), expected, "{chance}");
        }
        assert_eq!(turn(Some("a"), 255, &["a", "b", "c"]), "bca");
        assert_eq!(turn(Some("c"), 255, &["a", "b", "c"]), "abc");
        assert_eq!(turn(Some("b"), 255, &["a", "c"]), "ca", "it is gone");
        assert_eq!(turn(None, 255, &[]), "");
    }

    #[test]
    fn a_peer_differs_until_it_was_found_equal() {
        let digest = |rows| v1::Digest { rows, ..v1::Digest::default() };
        let both = |own, theirs| Both {
            at: v1::Token::default(),
            own: digest(own),
            theirs: digest(theirs),
        };
        let mut turns = Turns::default();
        assert_eq!(turns.judge("notes", "http://b:1", &both(1, 2)), Compared::Differs);
        assert_eq!(turns.judge("notes", "http://c:1", &both(1, 1)), Compared::Equal);
        assert_eq!(turns.differ.len(), 1, "another peer says nothing of it");
        assert_eq!(turns.judge("notes", "http://b:1", &both(2, 2)), Compared::Equal);
        assert!(turns.differ.is_empty());
    }
}
