//! `wait`: until nodes answer and their stores are in the phase that is wanted.

use std::fmt;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use outrigger_client::proto::v1::Phase;
use outrigger_client::{Error as CallError, ErrorKind, Reason, StoreStatus};

use super::connect::Connect;
use super::failure::{Failure, full};
use super::output::Output;
use super::status::text;
use super::target::Targets;
use crate::config::parse_duration;
use crate::exit::Exit;

/// Waits until nodes answer and their stores are READY, or in another phase, and says on standard error what it waits for
///
/// Ends with 69 when a node has not answered in time, with 75 when a store has not come that far, and at once with 65
/// when a store refuses, which only a person can end.
#[derive(Debug, clap::Args)]
pub(super) struct WaitArgs {
    #[command(flatten)]
    targets: Targets,
    /// The phase
    #[arg(long = "for", value_enum, value_name = "PHASE", default_value = "ready")]
    wanted: Wanted,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wanted {
    /// Disk and topic are being examined
    Opening,
    /// The copy is being brought to the end of the log
    Restoring,
    /// That end is reached, and the copy is not exact yet
    CatchingUp,
    /// Reads and writes are answered
    Ready,
    /// A person must decide
    Refused,
}

/// The time between two looks at a node that is not there yet.
const POLL: Duration = Duration::from_millis(100);

/// How long a look may take: a node that takes longer to say how it is does not answer.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// One node, and what was told of it last.
struct Awaited {
    server: String,
    connect: Connect,
    told: Option<Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    NoAnswer {
        why: String,
    },
    /// Some stores are elsewhere: a sentence for each of them.
    Elsewhere {
        stores: Vec<String>,
    },
    There {
        stores: Vec<String>,
    },
}

/// Why a wait ended before all was as wanted.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    #[error("{server} has not answered within {timeout:?}: {why}")]
    NoAnswer { server: String, timeout: Duration, why: String },
    #[error("not within {timeout:?}: at {server} {stores}")]
    Elsewhere { server: String, timeout: Duration, stores: String },
    #[error("at {server} {store}")]
    Refused { server: String, store: String },
}

impl WaitError {
    pub fn exit(&self) -> Exit {
        match self {
            WaitError::NoAnswer { .. } => Exit::Unavailable,
            WaitError::Elsewhere { .. } => Exit::TryAgain,
            WaitError::Refused { .. } => Exit::Refused,
        }
    }
}

pub(super) async fn run(args: WaitArgs) -> Result<Exit, Failure> {
    let WaitArgs { targets, wanted, timeout } = args;
    let Targets { servers, connect, store } = targets.checked()?;
    let deadline = Instant::now() + timeout;
    for server in servers {
        let mut awaited = Awaited { server, connect: connect.clone(), told: None };
        awaited.until(store.as_deref(), wanted, deadline, timeout).await?;
    }
    Ok(Exit::Success)
}

impl Awaited {
    async fn until(
        &mut self,
        store: Option<&str>,
        wanted: Wanted,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<(), Failure> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).clamp(POLL, LOOK_MAX);
            let looked = tokio::time::timeout(left, self.look(store, wanted)).await;
            let silent = |_| Ok(Seen::NoAnswer { why: format!("it said nothing for {left:?}") });
            let seen = looked.unwrap_or_else(silent)?;
            self.tell(&seen)?;
            if matches!(seen, Seen::There { .. }) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.late(seen, timeout).into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Looks once at the node. Only what waiting cannot end is an error.
    async fn look(&self, store: Option<&str>, wanted: Wanted) -> Result<Seen, Failure> {
        match self.stores(store).await {
            Ok(stores) => self.judge(&stores, wanted),
            Err(error) if is_final(&error) => Err(Failure::Read(error)),
            Err(error) => Ok(Seen::NoAnswer { why: full(&error) }),
        }
    }

    async fn stores(&self, store: Option<&str>) -> Result<Vec<StoreStatus>, CallError> {
        let client = self.connect.client(&self.server).await?;
        match store {
            Some(store) => Ok(vec![client.store(store).status().await?]),
            None => Ok(client.status().await?.stores),
        }
    }

    fn judge(&self, stores: &[StoreStatus], wanted: Wanted) -> Result<Seen, Failure> {
        let there = |store: &&StoreStatus| store.phase() == wanted.phase();
        let elsewhere: Vec<_> = stores.iter().filter(|store| !there(store)).collect();
        if let Some(store) = elsewhere.iter().find(|store| refuses_for_good(store)) {
            let store = text::refusal(store);
            return Err(WaitError::Refused { server: self.server.clone(), store }.into());
        }
        Ok(if elsewhere.is_empty() {
            Seen::There { stores: stores.iter().map(is_in).collect() }
        } else {
            Seen::Elsewhere { stores: elsewhere.into_iter().map(is_in).collect() }
        })
    }

    /// Tells what is new.
    fn tell(&mut self, seen: &Seen) -> Result<(), Failure> {
        if self.told.as_ref() == Some(seen) {
            return Ok(());
        }
        self.told = Some(seen.clone());
        match seen {
            Seen::There { stores } => {
                let mut out = Output::open();
                let server = &self.server;
                let told =
                    stores.iter().try_for_each(|store| out.line(&format!("{server}  {store}")));
                told.and_then(|()| out.flush()).map_err(Failure::Output)?;
            }
            Seen::NoAnswer { .. } | Seen::Elsewhere { .. } => {
                eprintln!("outrigger: waiting for {}: {seen}", self.server);
            }
        }
        Ok(())
    }

    fn late(&self, seen: Seen, timeout: Duration) -> WaitError {
        let server = self.server.clone();
        match seen {
            Seen::NoAnswer { why } => WaitError::NoAnswer { server, timeout, why },
            Seen::Elsewhere { stores } | Seen::There { stores } => {
                WaitError::Elsewhere { server, timeout, stores: stores.join(", ") }
            }
        }
    }
}

/// Whether a store's refusal stays: a node that a peer gives a copy refuses only until it has it.
fn refuses_for_good(store: &StoreStatus) -> bool {
    let from_peer = store.restore.as_ref().is_some_and(|restore| restore.from_peer.is_some());
    store.phase() == Phase::Refused && !from_peer
}

fn is_in(store: &StoreStatus) -> String {
    format!("{} is {}", store.store, text::phase(store))
}

/// Whether the same would be answered for ever.
fn is_final(error: &CallError) -> bool {
    matches!(error.kind(), ErrorKind::Address | ErrorKind::Invalid)
        || matches!(error.reason(), Some(Reason::Unauthenticated | Reason::NotAllowed))
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::NoAnswer { why } => f.write_str(why.lines().next().unwrap_or_default()),
            Seen::Elsewhere { stores } | Seen::There { stores } => f.write_str(&stores.join(", ")),
        }
    }
}

impl Wanted {
    fn phase(self) -> Phase {
        match self {
            Wanted::Opening => Phase::Opening,
            Wanted::Restoring => Phase::Restoring,
            Wanted::CatchingUp => Phase::CatchingUp,
            Wanted::Ready => Phase::Ready,
            Wanted::Refused => Phase::Refused,
        }
    }
}
