//! News that is told at most once in a while, with the number of times that it happened since.

use std::time::Duration;

use tokio::time::Instant;

pub(super) struct Seldom {
    every: Duration,
    told: Option<Instant>,
    times: u64,
}

impl Seldom {
    pub(super) fn new(every: Duration) -> Seldom {
        Seldom { every, told: None, times: 0 }
    }

    /// It happened. The times since it was told last, this one included, when it is to be told now.
    pub(super) fn now(&mut self, now: Instant) -> Option<u64> {
        self.times += 1;
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < self.every) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_told_is_counted() {
        let begun = Instant::now();
        let mut news = Seldom::new(Duration::from_secs(10));
        assert_eq!(news.now(begun), Some(1));
        assert_eq!(news.now(begun + Duration::from_secs(1)), None);
        assert_eq!(news.now(begun + Duration::from_secs(9)), None);
        assert_eq!(news.now(begun + Duration::from_secs(10)), Some(3));
    }
}
