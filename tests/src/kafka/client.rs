//! Clients of the harness: plain librdkafka with every setting that matters written down.

use std::future::Future;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::read::Isolation;

/// The longest time for one question to a broker; who waits longer asks again.
pub(super) const ASK_MAX: Duration = Duration::from_secs(5);

/// After this a request to a broker that does not answer, a paused one for instance, is sent elsewhere;
/// librdkafka's default of 60 s outlasts the delivery timeout.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(4);

pub(super) fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("broker.address.family", "v4")
        // Brokers die in these tests; the default of 10 s would be most of a test's time.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("socket.timeout.ms", ANSWER_MAX.as_millis().to_string());
    config
}

pub(super) fn consumer(bootstrap: &str, isolation: Isolation) -> Result<BaseConsumer> {
    config(bootstrap)
        .set("allow.auto.create.topics", "false")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        // The group is never joined: librdkafka wants the name of one before it assigns.
        .set("group.id", "outrigger-tests")
        .set("isolation.level", isolation.name())
        .create()
        .context("creating a consumer")
}

/// A consumer that belongs to a group, or may speak in its name.
pub(super) fn member(bootstrap: &str, group: &str) -> Result<BaseConsumer> {
    config(bootstrap)
        .set("enable.auto.commit", "false")
        .set("group.id", group)
        .create()
        .context("creating a consumer of a group")
}

pub(super) fn admin(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>> {
    config(bootstrap).create().context("creating an admin client")
}

/// How many brokers of its cluster the broker at `address` knows; 0 when it does not answer.
pub(super) fn brokers_seen_by(address: &str) -> usize {
    let Ok(client) = consumer(address, Isolation::Uncommitted) else {
        return 0;
    };
    let metadata = client.fetch_metadata(None, Duration::from_secs(1));
    metadata.map_or(0, |metadata| metadata.brokers().len())
}

/// Waits for an admin call on a thread of its own, so that tests may use it inside and outside of a runtime.
pub(super) fn wait<T: Send>(call: impl Future<Output = T> + Send) -> T {
    let on_runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime without threads needs a few file descriptors only")
            .block_on(call)
    };
    thread::scope(|scope| {
        scope.spawn(on_runtime).join().expect("admin calls answer with errors, they do not panic")
    })
}
