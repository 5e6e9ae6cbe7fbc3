//! Liveness falls when work is not done, and only then: threads that hang, writes that nobody answers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outrigger::embedded::EmbeddedLog;
use outrigger::index::StoreIndex;
use outrigger::log::Log;
use outrigger::watchdog::Patience;
use outrigger_client::proto::v1::Phase;
use outrigger_core::log::LogCall;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;

use super::operator::{channel, health};
use super::{Logs, Node, in_time, policy, topic};

/// A patience of more looks than any real piece of work takes here, which ends soon enough for a test.
fn impatient() -> Patience {
    Patience {
        look_every: Duration::from_millis(20),
        core_looks_max: 100,
        log_looks_max: 100,
        disk_looks_max: 100,
        write_looks_max: 100,
    }
}

async fn until(channel: &Channel, liveness: ServingStatus) {
    in_time(async {
        while health(channel, "liveness").await != Ok(liveness) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A log that hangs in every call, on the core thread, while somebody holds it.
struct Held {
    logs: Logs,
    hold: Arc<tokio::sync::Mutex<()>>,
}

impl Log for Held {
    fn call(&self, store: StoreIndex, call: LogCall) {
        drop(self.hold.blocking_lock());
        self.logs.call(store, call);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_hangs_is_not_live_until_it_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = topic(&dir.path().join("log"), policy());
    let hold = Arc::new(tokio::sync::Mutex::new(()));
    let held = hold.clone();
    let over = |logs: Logs| -> Box<dyn Log> { Box::new(Held { logs, hold: held }) };
    let node =
        Node::start_on(&dir.path().join("node"), &[("notes", &log)], impatient(), over).await;
    node.ready().await;
    let probe = channel(&node).await;
    until(&probe, ServingStatus::Serving).await;

    let guard = hold.lock().await;
    // It asks the log for its end every second.
    until(&probe, ServingStatus::NotServing).await;
    drop(guard);

    until(&probe, ServingStatus::Serving).await;
}

/// A log that keeps appends to itself until it is told to pass them on.
struct Silent {
    logs: Arc<Logs>,
    kept: Arc<Mutex<Vec<(StoreIndex, LogCall)>>>,
}

impl Log for Silent {
    fn call(&self, store: StoreIndex, call: LogCall) {
        match call {
            LogCall::Append { .. } => self.kept.lock().expect("no panic").push((store, call)),
            other => self.logs.call(store, other),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_writes_nobody_answers_is_not_live_until_they_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = topic(&dir.path().join("log"), policy());
    let (kept, mut passed) = (Arc::new(Mutex::new(Vec::new())), None);
    let over = |logs: Logs| -> Box<dyn Log> {
        let logs = Arc::new(logs);
        passed = Some(logs.clone());
        Box::new(Silent { logs, kept: kept.clone() })
    };
    let node =
        Node::start_on(&dir.path().join("node"), &[("notes", &log)], impatient(), over).await;
    node.ready().await;
    let probe = channel(&node).await;
    until(&probe, ServingStatus::Serving).await;

    let store = node.client().await.store("notes");
    let write = tokio::spawn(async move { store.put("k", "v").await });
    until(&probe, ServingStatus::NotServing).await;
    assert_eq!(health(&probe, "readiness").await, Ok(ServingStatus::Serving), "reads go on");

    let logs = passed.expect("the node has started");
    for (store, call) in kept.lock().expect("no panic").drain(..) {
        logs.call(store, call);
    }
    write.await.expect("no panic").expect("it is acknowledged after all");
    until(&probe, ServingStatus::Serving).await;
}

/// Makes a disk that hangs: whoever reads the store's IDENTITY waits until somebody writes to it.
fn hang_disk(node: &Path, store: &str) -> PathBuf {
    let directory = node.join("data").join(store);
    std::fs::create_dir_all(&directory).expect("a directory");
    let identity = directory.join("IDENTITY");
    let made = Command::new("mkfifo").arg(&identity).status().expect("mkfifo is everywhere");
    assert!(made.success());
    identity
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_holds_up_its_own_store_and_liveness_and_no_other_store() {
    let dir = tempfile::tempdir().expect("a directory");
    let names = ["hangs", "one", "two", "three", "four", "five", "six", "seven"];
    let logs: Vec<EmbeddedLog> =
        names.iter().map(|name| topic(&dir.path().join(name), policy())).collect();
    let stores: Vec<(&str, &EmbeddedLog)> = names.into_iter().zip(&logs).collect();
    let path = dir.path().join("node");
    let identity = hang_disk(&path, "hangs");
    let node = Node::start_on(&path, &stores, impatient(), |logs| Box::new(logs)).await;
    let client = node.client().await;
    in_time(async {
        loop {
            let stores = client.status().await.expect("a status").stores;
            let ready = stores.iter().filter(|store| store.phase() == Phase::Ready).count();
            if ready == names.len() - 1 {
                return;
            }
        }
    })
    .await;
    let probe = channel(&node).await;
    until(&probe, ServingStatus::NotServing).await;

    std::fs::write(&identity, "").expect("its reader waits");
    until(&probe, ServingStatus::Serving).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_does_not_keep_the_process_from_ending() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = topic(&dir.path().join("log"), policy());
    let path = dir.path().join("node");
    let identity = hang_disk(&path, "notes");
    let node = Node::start_on(&path, &[("notes", &log)], impatient(), |logs| Box::new(logs)).await;
    let probe = channel(&node).await;
    until(&probe, ServingStatus::NotServing).await;

    in_time(node.sidecar.crash()).await;

    std::fs::write(&identity, "").expect("its reader waits still");
}
