//! `grpc.health.v1`: liveness and readiness, apart.
//!
//! | service | SERVING means |
//! |---|---|
//! | (empty), `liveness`, `outrigger.v1.Admin` | the process answers and its work goes on: no thread hangs, no write is overdue. Restart it only when this fails |
//! | `readiness`, `outrigger.v1.Store` | every store is READY, near enough to the end of the log, and the node is not about to drain |
//! | `outrigger.v1.Store/<name>` | this store is |

use std::collections::BTreeMap;

use outrigger_core::node::Status;
use outrigger_core::phase::Phase;
use outrigger_proto::v1::{admin_server, store_server};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::changes::{Changes, Closed};
use super::state;
use super::stores::{Store, Stores};
use crate::watchdog::Hung;

const LIVE: [&str; 3] = ["", "liveness", admin_server::SERVICE_NAME];
const READY: [&str; 2] = ["readiness", store_server::SERVICE_NAME];

pub(super) struct Health {
    reporter: HealthReporter,
    stores: Stores,
    /// The largest lag of a store that counts as ready; none: any.
    ready_lag_max: Option<u64>,
    hung: watch::Receiver<Hung>,
    /// Once cancelled, nobody new should come, while those who are here are served.
    leaving: CancellationToken,
    /// What was last told of each service: watchers hear of every call, even of one that changes nothing.
    told: BTreeMap<String, ServingStatus>,
}

impl Health {
    /// Gives every service its name before anybody is answered, so that no probe hears that there is none.
    pub(super) async fn named(
        reporter: HealthReporter,
        stores: Stores,
        ready_lag_max: Option<u64>,
        hung: watch::Receiver<Hung>,
        leaving: CancellationToken,
    ) -> Health {
        let told = BTreeMap::new();
        let mut health = Health { reporter, stores, ready_lag_max, hung, leaving, told };
        health.report().await;
        health
    }

    /// Reports until the node stops; then nothing is served, and watchers are let go.
    pub(super) async fn follow(mut self, ending: CancellationToken) {
        let mut changes = Changes::of(self.stores.all());
        loop {
            let left = self.leaving.is_cancelled();
            self.report().await;
            let change = async {
                tokio::select! {
                    changed = changes.next() => changed,
                    // It ends with the runtime, and so with all stores.
                    watched = self.hung.changed() => watched.map_err(|_| Closed),
                    () = self.leaving.cancelled(), if !left => Ok(()),
                }
            };
            match ending.run_until_cancelled(change).await {
                Some(Ok(())) => {}
                Some(Err(Closed)) | None => break,
            }
        }
        self.end().await;
    }

    async fn report(&mut self) {
        let left = self.leaving.is_cancelled();
        let live = self.hung.borrow().is_empty();
        for service in LIVE {
            self.set(service, live).await;
        }
        let ready = |store: &Store| !left && is_ready(&store.handle.status(), self.ready_lag_max);
        let stores: Vec<_> =
            self.stores.all().iter().map(|store| (service_of(store), ready(store))).collect();
        let all_ready = stores.iter().all(|(_, ready)| *ready);
        for (service, ready) in stores {
            self.set(&service, ready).await;
        }
        for service in READY {
            self.set(service, all_ready).await;
        }
    }

    async fn set(&mut self, service: &str, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        if self.told.insert(service.to_owned(), status) != Some(status) {
            self.reporter.set_service_status(service, status).await;
        }
    }

    async fn end(&mut self) {
        let stores: Vec<_> = self.stores.all().iter().map(service_of).collect();
        for service in stores.iter().map(String::as_str).chain(READY).chain(LIVE) {
            self.set(service, false).await;
            // This ends the streams of its watchers, which would otherwise hold up the server's own end.
            self.reporter.clear_service_status(service).await;
        }
    }
}

fn service_of(store: &Store) -> String {
    format!("{}/{}", store_server::SERVICE_NAME, store.handle.name())
}

/// Whether a copy is ready enough. READY says that it has everything from the start of its restore on; `lag_max` asks
/// for more: that it is at most so many offsets behind the end that was last heard of.
fn is_ready(status: &Status, lag_max: Option<u64>) -> bool {
    let near = lag_max.is_none_or(|lag_max| state::lag(status).is_some_and(|lag| lag <= lag_max));
    status.phase == Phase::Ready && near
}

#[cfg(test)]
mod tests {
    use tonic::Request;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_server::Health as Probed;
    use tonic_health::server::HealthService;

    use super::*;
    use crate::grpc::state::tests::ready;

    #[tokio::test]
    async fn whoever_asks_first_hears_of_every_service() {
        let reporter = HealthReporter::new();
        let service = HealthService::from_health_reporter(reporter.clone());
        let (_hangs, hung) = watch::channel(Hung::default());
        let (stores, leaving) = (Stores::new(vec![]), CancellationToken::new());
        let _health = Health::named(reporter, stores, None, hung, leaving).await;
        for name in LIVE.into_iter().chain(READY) {
            let asked = Request::new(HealthCheckRequest { service: name.to_owned() });
            let heard = Probed::check(&service, asked).await;
            assert!(heard.is_ok(), "{name:?}: {heard:?}");
        }
    }

    #[test]
    fn only_a_ready_store_is_ready() {
        assert!(is_ready(&ready(), None));
        for phase in [Phase::Opening, Phase::CatchingUp, Phase::Stopped] {
            assert!(!is_ready(&Status { phase, ..ready() }, None));
        }
    }

    #[test]
    fn lag_counts_over_all_partitions_when_a_bound_is_set() {
        let behind_by_forty = ready();
        assert!(is_ready(&behind_by_forty, Some(40)));
        assert!(!is_ready(&behind_by_forty, Some(39)));
        let unknown = Status { partitions: vec![], ..ready() };
        assert!(!is_ready(&unknown, Some(1_000)));
    }
}
