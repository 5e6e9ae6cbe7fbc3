//! `outrigger doctor`: everything around a node that can be looked at from outside, a line each.
//!
//! A line says good, warn or bad, and what to do. Nothing is changed, and a node may run on the same data directory.

mod access;
mod certificates;
mod findings;
#[expect(unsafe_code, reason = "the limit on open files is asked of C")]
mod machine;
mod peers;
mod replication;
mod store;

use std::sync::Arc;

use crate::config::ServeConfig;
use crate::exit::Exit;
use crate::kafka::KafkaStartError;
use crate::rocks::Shared;
use crate::survey::{self, Local};

use self::findings::Findings;
use self::store::Topic;

/// Returns the findings as text, and `Negative` when one of them is bad.
pub fn run(config: &ServeConfig) -> Result<(String, Exit), KafkaStartError> {
    let mut findings = Findings::default();
    for warning in &config.warnings {
        findings.warn(warning.clone(), "correct the configuration, if this is not meant");
    }
    access::examine(config, &mut findings);
    certificates::examine(config, &mut findings);
    peers::examine(config, &mut findings);
    let facts = survey::describe(config)?;
    let stores = config.stores.iter().zip(facts);
    let topics: Vec<_> = stores.map(|(store, facts)| Topic::of(config, store, facts)).collect();
    on_disk(Local::of(config), topics, &mut findings);
    let exit = if findings.any_bad() { Exit::Negative } else { Exit::Success };
    Ok((findings.text(), exit))
}

/// `topics` are what Kafka says of each store's.
fn on_disk(local: Local<'_>, topics: Vec<Topic>, findings: &mut Findings) {
    let (data, _held) = machine::data_directory(local, findings);
    machine::open_files(findings);
    let shared = Arc::new(Shared::new(survey::RESOURCES));
    for (store, topic) in local.stores.iter().zip(topics) {
        findings.begin(format!("store {}, topic {}", store.name, store.topic));
        store::examine(local, store, topic, &data, &shared, findings);
    }
}
