//! Whether the application beside a node is done: then the node need not wait for its last calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A clone is a reference.
#[derive(Clone, Debug, Default)]
pub struct Release(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Every call looks at it.
    given: AtomicBool,
    news: Notify,
}

impl Release {
    /// The application says that it is done.
    pub fn give(&self) {
        self.0.given.store(true, Ordering::SeqCst);
        self.0.news.notify_waiters();
    }

    /// Somebody calls: nobody was done.
    pub fn take_back(&self) {
        if self.0.given.load(Ordering::Relaxed) {
            self.0.given.store(false, Ordering::SeqCst);
        }
    }

    /// Waits until the application is done.
    pub async fn given(&self) {
        loop {
            // What is told from here on is heard.
            let mut news = std::pin::pin!(self.0.news.notified());
            news.as_mut().enable();
            if self.0.given.load(Ordering::SeqCst) {
                return;
            }
            news.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, timeout};

    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    #[tokio::test]
    async fn it_is_remembered_until_somebody_calls_and_can_be_given_again() {
        let release = Release::default();
        let given = async || timeout(AT_ONCE, release.given()).await.is_ok();
        assert!(!given().await);
        release.take_back();
        assert!(!given().await);
        release.give();
        assert!(given().await && given().await);
        release.take_back();
        assert!(!given().await);
        release.give();
        assert!(given().await);
    }

    #[tokio::test]
    async fn who_waits_already_hears_of_it() {
        let release = Release::default();
        let waits = tokio::spawn({
            let release = release.clone();
            async move { release.given().await }
        });
        tokio::task::yield_now().await;
        release.give();
        waits.await.expect("it ends");
    }
}
