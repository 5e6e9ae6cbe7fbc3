//! `outrigger plan`: what a start would decide now, and why, without starting.
//!
//! It takes the same facts, the same look at the disk and the same `decide` as a node; only what a node learns by
//! reading is missing: that the log has another history at the copy's position. Nothing is made, opened for writing or
//! removed. While a node uses the data directory its own Status is the answer, and this refuses.

mod text;

use std::sync::Arc;

use outrigger_core::store::StoreError;
use outrigger_core::topic::LogFacts;

use crate::config::ServeConfig;
use crate::exit::Exit;
use crate::kafka::KafkaStartError;
use crate::rocks::{DataDir, DataDirError, Shared};
use crate::survey::{self, Local};

use self::text::Unanswered;

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("{0}\n  a running node tells itself what it does: `outrigger status`")]
    InUse(DataDirError),
    #[error(transparent)]
    Data(DataDirError),
    #[error(transparent)]
    Kafka(#[from] KafkaStartError),
    #[error("cannot look at the copy of store {store}: {error}")]
    Store { store: String, error: StoreError },
}

/// Returns every store's plan as text, and what the process exits with.
pub fn run(config: &ServeConfig) -> Result<(String, Exit), PlanError> {
    drop(look(Local::of(config))?);
    let facts = survey::describe(config)?;
    let stores = config.stores.iter().zip(facts);
    let facts = stores.map(|(store, facts)| {
        facts.map_err(|error| Unanswered::ask(&config.kafka, &config.data, store, error))
    });
    let facts = facts.collect();
    plans(Local::of(config), facts)
}

/// `facts` are what Kafka said of each store's topic.
fn plans(
    local: Local<'_>,
    facts: Vec<Result<LogFacts, Unanswered>>,
) -> Result<(String, Exit), PlanError> {
    let data = look(local)?;
    let shared = Arc::new(Shared::new(survey::RESOURCES));
    let mut out = String::new();
    let mut exit = Exit::Success;
    for (store, facts) in local.stores.iter().zip(facts) {
        match facts {
            Ok(facts) => {
                let planned = survey::plan(local, store, facts, data.is_some(), &shared);
                let planned = planned.map_err(|error| PlanError::Store {
                    store: store.name.as_str().to_owned(),
                    error,
                })?;
                exit = worse(exit, planned.exit());
                text::store(store, &planned, local, &mut out);
            }
            Err(unanswered) => {
                exit = worse(exit, survey::exit_unplanned(&unanswered.error));
                text::unanswered(store, unanswered, local, &mut out);
            }
        }
    }
    Ok((out, exit))
}

fn look(local: Local<'_>) -> Result<Option<DataDir>, PlanError> {
    DataDir::look(local.data).map_err(|error| match error {
        DataDirError::InUse { .. } => PlanError::InUse(error),
        DataDirError::NotADirectory { .. }
        | DataDirError::NoParent { .. }
        | DataDirError::Forbidden { .. }
        | DataDirError::Io { .. } => PlanError::Data(error),
    })
}

impl PlanError {
    pub fn exit(&self) -> Exit {
        match self {
            PlanError::InUse(_) | PlanError::Data(_) => Exit::DataDirectory,
            PlanError::Kafka(error) => survey::exit_of_start(error),
            PlanError::Store { .. } => Exit::InputOutput,
        }
    }
}

/// Returns the worse of the two: a store that a person must look at outweighs one that only has to wait.
fn worse(one: Exit, other: Exit) -> Exit {
    let rank = |exit| match exit {
        Exit::Success => 0,
        Exit::TryAgain => 1,
        _ => 2,
    };
    if rank(other) > rank(one) { other } else { one }
}
