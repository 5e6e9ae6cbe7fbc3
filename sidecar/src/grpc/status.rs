//! Status, once and as a stream.

use std::time::Duration;

use outrigger_proto::Rpc;
use outrigger_proto::v1::{
    ErrorDetail, NodeStatus, StatusRequest, StatusResponse, WatchStatusRequest, WatchStatusResponse,
};
use tokio::sync::mpsc;

use super::answers::{Answers, Part};
use super::changes::{Changes, Closed};
use super::door::Asker;
use super::service::Service;
use super::stores::Store;
use super::{convert, digest, state};
use crate::access::Keys;
use crate::runtime::clock;

const INTERVAL_DEFAULT_MS: u32 = 1_000;

/// How long nothing is sent where nothing changes: with a message whoever watches hears that it is still so, or that nobody
/// knows.
const QUIET_MAX: Duration = Duration::from_secs(5);

pub(super) async fn status(
    service: &Service,
    asker: &Asker,
    request: StatusRequest,
) -> Result<StatusResponse, ErrorDetail> {
    let stores = service.stores.named(&request.store)?;
    may_see(asker, Rpc::Status, stores)?;
    if request.with_digest {
        stores.iter().try_for_each(|store| asker.may_sum_up(store.handle.name()))?;
    }
    let mut node = node_status(service, stores);
    if request.with_digest {
        for (status, store) in node.stores.iter_mut().zip(stores) {
            status.digest = digest::of(service, &store.handle).await?;
        }
    }
    Ok(StatusResponse { node: Some(node) })
}

pub(super) fn watch(
    service: &Service,
    asker: &Asker,
    request: WatchStatusRequest,
) -> Result<Answers<WatchStatusResponse>, ErrorDetail> {
    let stores = service.stores.named(&request.store)?;
    may_see(asker, Rpc::WatchStatus, stores)?;
    let changes = Changes::of(stores);
    let (parts, answers) = Answers::channel(1, &service.ending);
    let watch = Watch {
        service: service.clone(),
        store: request.store,
        interval: interval(request.interval_ms),
        changes,
        parts,
    };
    let ending = service.ending.clone();
    service.tasks.spawn(async move { ending.run_until_cancelled(watch.send()).await });
    Ok(answers)
}

/// Whether the caller may see all of them: what it may not see is refused, never left out.
fn may_see(asker: &Asker, rpc: Rpc, stores: &[Store]) -> Result<(), ErrorDetail> {
    stores.iter().try_for_each(|store| asker.may(rpc, store.handle.name(), Keys::All))
}

struct Watch {
    service: Service,
    /// Known to be a store's name, or empty.
    store: String,
    interval: Duration,
    changes: Changes,
    parts: mpsc::Sender<Part<WatchStatusResponse>>,
}

impl Watch {
    /// Sends what changed. It ends when nobody reads any more, or when a store was closed: the node stops.
    async fn send(mut self) {
        while let Ok(place) = self.parts.reserve().await {
            let stores = self.service.stores.named(&self.store).ok();
            let node = stores.map(|stores| node_status(&self.service, stores));
            let leaving = self.service.release.is_leaving();
            place.send(Part::Message(WatchStatusResponse { node }));
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = self.parts.closed() => return,
            }
            tokio::select! {
                changed = self.changes.next() => match changed {
                    Ok(()) => {}
                    Err(Closed) => return,
                },
                () = self.service.release.leaves(), if !leaving => {}
                () = tokio::time::sleep(QUIET_MAX) => {}
                () = self.parts.closed() => return,
            }
        }
    }
}

pub(super) fn node_status(service: &Service, stores: &[Store]) -> NodeStatus {
    let now = clock::now();
    let Service { signs, release, .. } = service;
    let age = signs.core.age(now.mono).as_millis();
    NodeStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        stores: stores.iter().map(|store| state::of(store, now)).collect(),
        state_age_ms: Some(u64::try_from(age).unwrap_or(u64::MAX)),
        hung: signs.hung.borrow().to_vec(),
        stopping: release.is_leaving(),
    }
}

fn interval(asked_ms: u32) -> Duration {
    convert::pause(asked_ms, INTERVAL_DEFAULT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_bounded_below_and_has_a_default() {
        let table = [(0, 1_000), (1, 100), (99, 100), (100, 100), (5_000, 5_000)];
        for (asked_ms, ms) in table {
            assert_eq!(interval(asked_ms), Duration::from_millis(ms), "{asked_ms}");
        }
    }
}
