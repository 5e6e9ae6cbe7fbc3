//! Whether the application beside a node is done: then the node need not wait for its last calls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A clone is a reference.
#[derive(Clone, Debug, Default)]
pub struct Release(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Whether `state` is `Remembered`. Every call looks at it, and takes the lock only then.
    remembered: AtomicBool,
    news: Notify,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Serves,
    /// The application said that it is done. Whoever calls takes that back.
    Remembered,
    /// The node was told to stop, and serves on for its drain delay.
    Leaves,
    /// It was told to stop, and its application is done. Nothing changes that: the application was told so.
    Drains,
}

impl State {
    /// Whether the node was told to stop.
    fn is_leaving(self) -> bool {
        match self {
            State::Serves | State::Remembered => false,
            State::Leaves | State::Drains => true,
        }
    }
}

impl Release {
    /// The application says that it is done. Returns whether the node was told to stop, and so drains now.
    pub fn give(&self) -> bool {
        let mut state = self.state();
        let stopping = state.is_leaving();
        self.set(&mut state, if stopping { State::Drains } else { State::Remembered });
        stopping
    }

    /// Somebody calls: nobody was done.
    pub fn take_back(&self) {
        if !self.0.remembered.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state();
        match *state {
            State::Remembered => self.set(&mut state, State::Serves),
            State::Serves | State::Leaves | State::Drains => {}
        }
    }

    /// The node was told to stop: from now on a release is not taken back.
    pub fn leave(&self) {
        let mut state = self.state();
        match *state {
            State::Serves => self.set(&mut state, State::Leaves),
            State::Remembered => self.set(&mut state, State::Drains),
            State::Leaves | State::Drains => {}
        }
    }

    /// Waits until the node leaves and the application is done.
    pub async fn drains(&self) {
        self.until(Release::is_over).await;
    }

    /// Waits until the node was told to stop.
    pub async fn leaves(&self) {
        self.until(Release::is_leaving).await;
    }

    /// Whether the node leaves and the application is done.
    pub fn is_over(&self) -> bool {
        *self.state() == State::Drains
    }

    /// Whether the node was told to stop.
    pub fn is_leaving(&self) -> bool {
        self.state().is_leaving()
    }

    async fn until(&self, is_so: impl Fn(&Release) -> bool) {
        loop {
            // What is told from here on is heard.
            let mut news = std::pin::pin!(self.0.news.notified());
            news.as_mut().enable();
            if is_so(self) {
                return;
            }
            news.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: &mut State, to: State) {
        *state = to;
        self.0.remembered.store(to == State::Remembered, Ordering::Relaxed);
        self.0.news.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_remembered_until_somebody_calls_and_can_be_given_again() {
        let release = Release::default();
        assert!(!release.give() && !release.give());
        release.take_back();
        release.take_back();
        assert!(!release.give() && !release.is_over(), "the node serves on");
        release.leave();
        assert!(release.is_over() && release.is_over());

        let release = Release::default();
        assert!(!release.give());
        release.take_back();
        release.leave();
        assert!(release.is_leaving() && !release.is_over(), "somebody called");
        assert!(release.give() && release.is_over());
    }

    #[test]
    fn who_was_told_that_the_node_drains_is_right_whatever_is_called_then() {
        let release = Release::default();
        release.leave();
        assert!(release.give());
        // A call that comes before the node has heard of it.
        release.take_back();
        assert!(release.is_over());
        release.leave();
        assert!(release.give() && release.is_over());
    }

    #[tokio::test]
    async fn who_waits_already_hears_of_it() {
        let release = Release::default();
        release.leave();
        let waits = tokio::spawn({
            let release = release.clone();
            async move { release.drains().await }
        });
        tokio::task::yield_now().await;
        assert!(release.give());
        waits.await.expect("it ends");
    }
}
