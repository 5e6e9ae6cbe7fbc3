//! What systemd is told of a node that it runs: that it serves, how it is, that it lives, that it stops.
//!
//! Without `NOTIFY_SOCKET` nobody is told anything.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use crate::probes::{Probe, Probes};

/// Where no watchdog is asked for, nothing has to be told this often.
const NEVER: Duration = Duration::from_secs(24 * 3_600);

/// Tells that the node serves, and goes on telling how it is; until this is dropped.
#[must_use = "nothing more is told when this is dropped"]
pub(super) struct Manager {
    _telling: AbortOnDropHandle<()>,
}

impl Manager {
    pub(super) fn serving(probes: watch::Receiver<Probes>) -> Manager {
        tell(&[NotifyState::Ready]);
        let telling: JoinHandle<()> = tokio::spawn(follow(probes));
        Manager { _telling: AbortOnDropHandle::new(telling) }
    }

    /// Tells that the node stops. It may take its time: the manager has a bound of its own.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

async fn follow(mut probes: watch::Receiver<Probes>) {
    // Two signs of life in each of its periods.
    let every = sd_notify::watchdog_enabled().map_or(NEVER, |period| period / 2);
    let mut signs = tokio::time::interval(every);
    signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            changed = probes.changed() => {
                if changed.is_err() {
                    return;
                }
                let told = status(probes.borrow().against(Probe::Ready));
                tell(&[NotifyState::Status(&told)]);
            }
            _ = signs.tick() => {
                // A node whose work does not go on gives no sign, and is restarted.
                if probes.borrow().against(Probe::Live).is_empty() {
                    tell(&[NotifyState::Watchdog]);
                }
            }
        }
    }
}

fn status(unready: &[String]) -> String {
    if unready.is_empty() { "READY".to_owned() } else { unready.join("; ") }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
