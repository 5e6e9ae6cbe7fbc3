//! How fast the restores of a process may read, all stores together.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use outrigger_core::gate::Rejection;
use outrigger_core::phase::Phase;
use tokio::sync::{Mutex, oneshot};

use super::inbox::Input;

/// An operator's way to the rate while the process runs. A clone is a reference.
#[derive(Clone)]
pub struct RestoreThrottle {
    /// Held until the answer: whoever comes meanwhile waits outside of the core's inbox, which bounds it.
    inbox: Arc<Mutex<Sender<Input>>>,
}

impl RestoreThrottle {
    pub(super) fn new(inbox: Sender<Input>) -> RestoreThrottle {
        RestoreThrottle { inbox: Arc::new(Mutex::new(inbox)) }
    }

    /// Sets the rate in bytes of keys and values per second; none: as fast as they can. It holds when this returns.
    pub async fn set(&self, rate: Option<NonZeroU64>) -> Result<(), Rejection> {
        let inbox = self.inbox.lock().await;
        let (answer, holds) = oneshot::channel();
        inbox.send(Input::RestoreRate(rate, answer)).map_err(|_| Rejection::Draining)?;
        holds.await.map_err(|_| Rejection::Draining)
    }
}

/// Returns the part of the rate that each store has while those in these phases restore: it is split evenly, and what
/// one does not use is not given to another.
pub(super) fn share<'a>(
    rate: Option<NonZeroU64>,
    phases: impl Iterator<Item = &'a Phase>,
) -> Option<NonZeroU64> {
    let restoring = phases.filter(|phase| match phase {
        Phase::Restoring(_) | Phase::CatchingUp => true,
        Phase::Opening | Phase::Ready | Phase::Refused(_) | Phase::Stopped => false,
    });
    let restoring = u64::try_from(restoring.count()).expect("lengths fit 64 bits");
    rate.map(|rate| NonZeroU64::new(rate.get() / restoring.max(1)).unwrap_or(NonZeroU64::MIN))
}

#[cfg(test)]
mod tests {
    use outrigger_core::phase::Cause;

    use super::*;

    #[test]
    fn the_rate_is_split_among_those_who_restore() {
        let restoring = Phase::Restoring(Cause::Empty);
        let phases = [Phase::Ready, restoring, Phase::Opening, Phase::CatchingUp];
        let share = |rate| share(NonZeroU64::new(rate), phases.iter()).map(NonZeroU64::get);
        assert_eq!((share(0), share(1), share(101)), (None, Some(1), Some(50)));
        let idle = super::share(NonZeroU64::new(100), [Phase::Ready].iter());
        assert_eq!(idle, NonZeroU64::new(100), "the next to restore has all of it at once");
    }
}
