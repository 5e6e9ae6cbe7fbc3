//! `grpc.health.v1`: liveness and readiness, apart.
//!
//! | service | SERVING means |
//! |---|---|
//! | (empty), `liveness`, `outrigger.v1.Admin` | the process answers, no thread hangs, no write is overdue |
//! | `readiness`, `outrigger.v1.Store` | every store is READY and near the log's end; no drain is about to begin |
//! | `outrigger.v1.Store/<name>` | this store is |
//! | `startup` | every store has been READY since the process began |
//!
//! Restart the process only when liveness fails. The same is told as [`Probes`], with reasons, to whoever asks over HTTP.

use std::collections::{BTreeMap, BTreeSet};

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
use crate::probes::Probes;
use crate::shown::STOPPING;
use crate::watchdog::Hung;

const LIVE: [&str; 3] = ["", "liveness", admin_server::SERVICE_NAME];
const READY: [&str; 2] = ["readiness", store_server::SERVICE_NAME];
const STARTED: [&str; 1] = ["startup"];

pub(super) struct Health {
    reporter: HealthReporter,
    stores: Stores,
    /// The largest lag of a store that counts as ready; none: any.
    ready_lag_max: Option<u64>,
    hung: watch::Receiver<Hung>,
    /// Once cancelled, nobody new should come, while those who are here are served.
    leaving: CancellationToken,
    /// Every store has been READY, not necessarily all at the same time.
    started: BTreeSet<String>,
    probes: watch::Sender<Probes>,
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
        probes: watch::Sender<Probes>,
    ) -> Health {
        let (started, told) = (BTreeSet::new(), BTreeMap::new());
        let mut health =
            Health { reporter, stores, ready_lag_max, hung, leaving, started, probes, told };
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
        if !ending.is_cancelled() {
            // Whoever looks at the work has ended before it.
            let nobody = vec!["nobody looks whether the work goes on".to_owned()];
            self.probes.send_modify(|told| told.not_live = nobody);
        }
        self.end().await;
    }

    async fn report(&mut self) {
        let leaving = self.leaving.is_cancelled();
        let unready = |store: &Store| (service_of(store), unready(store, self.ready_lag_max));
        let stores: Vec<_> = self.stores.all().iter().map(unready).collect();
        let judged = self.judge(leaving, stores.iter().filter_map(|(_, why)| why.clone()));
        for (services, against) in [
            (&LIVE[..], &judged.not_live),
            (&READY[..], &judged.not_ready),
            (&STARTED[..], &judged.not_started),
        ] {
            for service in services {
                self.set(service, against.is_empty()).await;
            }
        }
        for (service, why) in stores {
            self.set(&service, !leaving && why.is_none()).await;
        }
        self.tell(judged);
    }

    fn judge(&mut self, leaving: bool, unready: impl Iterator<Item = String>) -> Probes {
        let hung = self.hung.borrow().iter().map(|work| format!("{work} does not go on")).collect();
        let leaving = leaving.then(|| STOPPING.to_owned());
        let stores = self.stores.all();
        for store in stores.iter().filter(|store| store.handle.status().phase == Phase::Ready) {
            self.started.insert(store.handle.name().to_owned());
        }
        let not_started = stores.iter().filter(|store| !self.started.contains(store.handle.name()));
        Probes {
            not_live: hung,
            not_ready: leaving.into_iter().chain(unready).collect(),
            not_started: not_started.map(|store| waits_for(&store.handle.status())).collect(),
        }
    }

    fn tell(&self, judged: Probes) {
        self.probes.send_if_modified(|told| {
            let is_news = *told != judged;
            *told = judged;
            is_news
        });
    }

    async fn set(&mut self, service: &str, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        if self.told.insert(service.to_owned(), status) != Some(status) {
            self.reporter.set_service_status(service, status).await;
        }
    }

    async fn end(&mut self) {
        // Over HTTP the node lives to its end: nobody is to restart it while it drains.
        let stopping = vec![STOPPING.to_owned()];
        self.probes.send_modify(|told| told.not_ready = stopping);
        let stores: Vec<_> = self.stores.all().iter().map(service_of).collect();
        let all = stores.iter().map(String::as_str).chain(READY).chain(STARTED).chain(LIVE);
        for service in all {
            self.set(service, false).await;
            // This ends the streams of its watchers, which would otherwise hold up the server's own end.
            self.reporter.clear_service_status(service).await;
        }
    }
}

fn service_of(store: &Store) -> String {
    format!("{}/{}", store_server::SERVICE_NAME, store.handle.name())
}

fn unready(store: &Store, lag_max: Option<u64>) -> Option<String> {
    why_unready(&store.handle.status(), lag_max)
}

/// Returns why a copy is not ready enough; none: it is. READY says that it has everything from the start of its restore
/// on; `lag_max` asks for more: that it is at most this many offsets behind the end that was last heard of.
fn why_unready(status: &Status, lag_max: Option<u64>) -> Option<String> {
    if status.phase != Phase::Ready {
        return Some(waits_for(status));
    }
    let lag_max = lag_max?;
    match state::lag(status) {
        Some(lag) if lag <= lag_max => None,
        Some(lag) => Some(format!(
            "{} is {lag} offsets behind the end of the log, and ready_lag_max is {lag_max}",
            status.store
        )),
        None => Some(format!("the end of the log of {} is not known", status.store)),
    }
}

fn waits_for(status: &Status) -> String {
    let stalls: Vec<_> = status.stalls.iter().map(|stall| stall.kind.name()).collect();
    let held = if stalls.is_empty() { String::new() } else { format!(" ({})", stalls.join(", ")) };
    format!("{} is {}{held}", status.store, status.phase)
}

#[cfg(test)]
mod tests {
    use tonic::Request;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_server::Health as Probed;
    use tonic_health::server::HealthService;

    use super::*;
    use crate::config::Ack;
    use crate::fixtures::ready;

    #[tokio::test]
    async fn whoever_asks_first_hears_of_every_service() {
        let reporter = HealthReporter::new();
        let service = HealthService::from_health_reporter(reporter.clone());
        let (_hangs, hung) = watch::channel(Hung::default());
        let (stores, leaving) = (Stores::new(vec![], Ack::default()), CancellationToken::new());
        let probes = watch::Sender::new(Probes::starting());
        let _health = Health::named(reporter, stores, None, hung, leaving, probes).await;
        for name in LIVE.into_iter().chain(READY).chain(STARTED) {
            let asked = Request::new(HealthCheckRequest { service: name.to_owned() });
            let heard = Probed::check(&service, asked).await;
            assert!(heard.is_ok(), "{name:?}: {heard:?}");
        }
    }

    #[test]
    fn only_a_ready_store_is_ready() {
        assert_eq!(why_unready(&ready(), None), None);
        for phase in [Phase::Opening, Phase::CatchingUp, Phase::Stopped] {
            let why = why_unready(&Status { phase: phase.clone(), ..ready() }, None);
            assert_eq!(why, Some(format!("notes is {phase}")));
        }
    }

    #[test]
    fn lag_counts_over_all_partitions_when_a_bound_is_set() {
        let behind_by_forty = ready();
        assert_eq!(why_unready(&behind_by_forty, Some(40)), None);
        assert!(
            why_unready(&behind_by_forty, Some(39)).is_some_and(|why| why.contains("40 offsets"))
        );
        let unknown = Status { partitions: vec![], ..ready() };
        assert!(why_unready(&unknown, Some(1_000)).is_some());
    }
}
