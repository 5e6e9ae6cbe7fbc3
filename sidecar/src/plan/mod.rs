//! `outrigger plan`: what a start would decide now, and why, without starting.
//!
//! It takes the same facts, the same look at the disk and the same `decide` as a node; only what a node learns by
//! reading is missing: that the log has another history at the copy's position. Nothing is made, opened for writing or
//! removed. While a node uses the data directory its own Status is the answer, and this refuses.

mod text;

use std::sync::Arc;

use outrigger_core::store::StoreError;

use crate::config::ServeConfig;
use crate::exit::Exit;
use crate::kafka::KafkaStartError;
use crate::rocks::{DataDir, DataDirError, Shared};
use crate::survey;

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
    // The directory is not held while Kafka is asked, which may take long: a node must be able to start meanwhile.
    drop(look(config)?);
    let facts = survey::describe(config)?;
    let data = look(config)?;
    let shared = Arc::new(Shared::new(survey::RESOURCES));
    let mut out = String::new();
    let mut exit = Exit::Success;
    for (store, facts) in config.stores.iter().zip(facts) {
        match facts {
            Ok(facts) => {
                let planned = survey::plan(config, store, facts, data.is_some(), &shared);
                let planned = planned.map_err(|error| PlanError::Store {
                    store: store.name.as_str().to_owned(),
                    error,
                })?;
                exit = worse(exit, planned.exit());
                text::store(store, &planned, config, &mut out);
            }
            Err(error) => {
                exit = worse(exit, survey::exit_unplanned(&error));
                text::unanswered(store, &error, config, &mut out);
            }
        }
    }
    Ok((out, exit))
}

fn look(config: &ServeConfig) -> Result<Option<DataDir>, PlanError> {
    DataDir::look(&config.data).map_err(|error| match error {
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
